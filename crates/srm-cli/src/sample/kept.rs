//! Read the picture that chains continue, and say which pixels stay.

use std::path::{Path, PathBuf};

use anyhow::Result;
use ndarray::{Array3, Array4, s};
use srm_data::read_picture;
use srm_langevin::{Dynamics, Known};
use tch::Tensor;

use crate::{flags::Size, model::Model, session::usage};

/// A picture of which all stays, or what is white in a mask.
pub struct Kept {
    path: PathBuf,
    /// `[h, w, c]`
    picture: Array3<u8>,
    /// `[h, w, 1]`
    pub mask: Option<Array3<u8>>,
}

impl Kept {
    /// Read the picture in the net's channels, and the mask.
    ///
    /// # Errors
    /// They cannot be read, or have different sizes.
    pub fn open(path: &Path, mask: Option<&Path>, model: &Model) -> Result<Kept> {
        let picture = read_picture(path, model.shape()[2])?;
        let read_mask = |path: &Path| {
            let mask = read_picture(path, 1)?;
            let ([h, w, _], [height, width, _]) = (shape(&mask), shape(&picture));
            match (h, w) == (height, width) {
                true => Ok(mask),
                false => Err(usage(format!(
                    "--mask {}: {w}x{h} px, the picture of --grow has {width}x{height}; give one of its size",
                    path.display()
                ))),
            }
        };
        let mask = mask.map(read_mask).transpose()?;
        Ok(Kept { path: path.to_owned(), picture, mask })
    }

    /// Height and width of the picture.
    pub fn size(&self) -> Size {
        let [height, width, _] = shape(&self.picture);
        Size([height, width])
    }

    /// What is known of the net's images: the picture in their middle.
    ///
    /// # Errors
    /// It is larger, or leaves nothing to draw.
    pub fn within(self, model: &Model) -> Result<Known> {
        let [height, width, channels] = model.shape();
        let Size([h, w]) = self.size();
        let name = self.path.display().to_string();
        if h > height || w > width {
            return Err(usage(format!(
                "--grow {name}: {w}x{h} px do not lie in {width}x{height}; give a larger --size"
            )));
        }
        let (top, left) = ((height - h) / 2, (width - w) / 2);
        let [all_rows, all_columns, _] = model.drawn_shape();
        let [above, beside] = [(all_rows - height) / 2 + top, (all_columns - width) / 2 + left];
        let mut image = Array4::<u8>::zeros((1, all_rows, all_columns, channels));
        image.slice_mut(s![0, above..above + h, beside..beside + w, ..]).assign(&self.picture);
        // one channel of a mask serves all
        let stays = self.mask.unwrap_or_else(|| Array3::from_elem((h, w, 1), u8::MAX));
        let stays = stays.broadcast((h, w, channels)).expect("the mask has the picture's size");
        if (h, w) == (height, width) && stays.iter().all(|&byte| byte >= 128) {
            return Err(usage(format!(
                "--grow {name}: all of {width}x{height} px stays; give a larger --size, or a --mask that is black where to draw"
            )));
        }
        let mut free = Array3::<f32>::ones((all_rows, all_columns, channels));
        let mut inner = free.slice_mut(s![above..above + h, beside..beside + w, ..]);
        inner.zip_mut_with(&stays, |free, &byte| *free = f32::from(byte < 128));
        let tensor = |values: Vec<f32>| -> Result<Tensor> {
            let shape = [all_rows, all_columns, channels].map(|side| side as i64);
            Ok(Tensor::f_from_slice(&values)?.f_reshape(shape)?.f_permute([2, 0, 1])?.f_contiguous()?)
        };
        let image = tensor(image.iter().map(|&byte| f32::from(byte) / 127.5 - 1.0).collect())?;
        let free = tensor(free.into_iter().collect())?;
        Ok(Known::new(&image, &free, &Dynamics::from(&model.langevin).shapes(&model.image()))?)
    }
}

fn shape(picture: &Array3<u8>) -> [usize; 3] {
    [picture.dim().0, picture.dim().1, picture.dim().2]
}
