//! Read a few pictures straight into memory, whatever their form and size.

use crate::preprocess::{Background, Crop, Filter, Picture, Scaler};
use crate::{DataError, ImageSet};
use ndarray::Array4;
use std::fs;
use std::path::{Path, PathBuf};

/// Pictures in memory.
pub struct Gallery {
    /// u8 `[n, size, size, channels]`.
    pub images: Array4<u8>,
    /// Where each is from: a file, or an index of the `.npy`.
    pub names: Vec<String>,
    /// How many had another size or shape, and were cut to the middle square and resized.
    pub resized: usize,
}

/// Read a picture file, a folder of them (in the order of names) or a `.npy` of u8 `[n, h, w, c]`, at most `count`.
///
/// Pictures of another size are cut to the middle square and resized (antialiased, bilinear). Grey pictures become RGB
/// where the net wants it; a `.npy` of other channels is an error.
///
/// # Errors
/// [`DataError::Io`], [`DataError::NoImagesIn`], [`DataError::BadImage`], [`DataError::NotAnImageSet`],
/// [`DataError::Channels`].
pub fn read_gallery(path: &Path, size: usize, channels: usize, count: usize) -> Result<Gallery, DataError> {
    if path.extension().is_some_and(|kind| kind.eq_ignore_ascii_case("npy")) {
        return from_npy(path, size, channels, count);
    }
    let files = if path.is_dir() { pictures_in(path)? } else { vec![path.to_owned()] };
    let mut reader = Reader::new(size, channels);
    if channels == 4 {
        let reason = "pictures have no fourth channel; give a .npy of the net's size".to_owned();
        return Err(DataError::BadImage { name: path.display().to_string(), reason });
    }
    for file in files.iter().take(count) {
        let name = file.display().to_string();
        let bytes = fs::read(file).map_err(DataError::io("read", file))?;
        let picture = Picture::decode(&bytes, Background::White)
            .map_err(|reason| DataError::BadImage { name: name.clone(), reason })?;
        reader.take(picture.with_channels(channels), name)?;
    }
    reader.done()
}

fn from_npy(path: &Path, size: usize, channels: usize, count: usize) -> Result<Gallery, DataError> {
    let set = ImageSet::open(path)?;
    if set.channels() != channels {
        let got = format!("{} channels, where the net has {channels}", set.channels());
        return Err(DataError::NotAnImageSet { path: path.to_owned(), got });
    }
    let mut reader = Reader::new(size, channels);
    for i in 0..set.len().min(count) {
        let picture = Picture { width: set.width(), height: set.height(), channels, pixels: set.image(i).to_vec() };
        reader.take(picture, format!("{} of {}", i, path.display()))?;
    }
    reader.done()
}

fn pictures_in(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    const KINDS: [&str; 8] = ["png", "jpg", "jpeg", "pgm", "ppm", "pnm", "bmp", "webp"];
    let (mut files, mut others) = (Vec::new(), 0);
    for entry in fs::read_dir(folder).map_err(DataError::io("read", folder))? {
        let path = entry.map_err(DataError::io("read", folder))?.path();
        let kind = path.extension().map(|kind| kind.to_string_lossy().to_lowercase());
        match kind.is_some_and(|kind| KINDS.contains(&kind.as_str())) {
            true => files.push(path),
            false => others += 1,
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(DataError::NoImagesIn { path: folder.to_owned(), others });
    }
    Ok(files)
}

/// Gathers pictures in one size.
struct Reader {
    size: usize,
    channels: usize,
    scaler: Scaler,
    pixels: Vec<u8>,
    names: Vec<String>,
    resized: usize,
}

impl Reader {
    fn new(size: usize, channels: usize) -> Self {
        let scaler = Scaler::new(Crop::Square, Filter::default(), size, channels);
        Self { size, channels, scaler, pixels: Vec::new(), names: Vec::new(), resized: 0 }
    }

    fn take(&mut self, picture: Picture, name: String) -> Result<(), DataError> {
        if (picture.width, picture.height) == (self.size, self.size) {
            self.pixels.extend(&picture.pixels);
        } else if self.channels == 4 {
            let reason = format!("it is {}×{}, and four channels are not resized", picture.width, picture.height);
            return Err(DataError::BadImage { name, reason });
        } else {
            let scaled = self.scaler.run(&picture);
            self.pixels.extend(scaled.map_err(|reason| DataError::BadImage { name: name.clone(), reason })?);
            self.resized += 1;
        }
        self.names.push(name);
        Ok(())
    }

    fn done(self) -> Result<Gallery, DataError> {
        let shape = (self.names.len(), self.size, self.size, self.channels);
        let images = Array4::from_shape_vec(shape, self.pixels).expect("every picture has been brought to one size");
        Ok(Gallery { images, names: self.names, resized: self.resized })
    }
}
