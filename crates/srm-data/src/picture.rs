//! Write images: `.npy`, PNG grids, folders of PNGs; each file whole or not at all.

use crate::{DataError, NpyNumber, npy::npy};
use image::{ExtendedColorType, ImageFormat};
use ndarray::{Array3, Array4, ArrayView, ArrayView3, ArrayView4, Axis, Dimension, s};
use rayon::prelude::*;
use srm_files::{remove_leftovers, write_whole};
use std::fs;
use std::io::{Cursor, Write};
use std::path::Path;

/// Pixels in [-1, 1] as bytes: clamped, (x + 1) · 127.5 rounded.
///
/// # Shapes
/// `planar`: f32 `[b, c, h, w]` with that `shape`; out: u8 `[b, h, w, c]`.
///
/// # Panics
/// Where `planar` has another length than `shape` says.
pub fn to_u8(planar: &[f32], [b, c, h, w]: [usize; 4]) -> Array4<u8> {
    assert_eq!(planar.len(), b * c * h * w, "planar pixels of shape [{b}, {c}, {h}, {w}]");
    Array4::from_shape_fn((b, h, w, c), |(image, row, column, channel)| {
        let value = planar[((image * c + channel) * h + row) * w + column];
        // `as` saturates and turns NaN into 0: a diverged image is written black, not refused.
        ((value.clamp(-1.0, 1.0) + 1.0) * 127.5).round() as u8
    })
}

/// Write an array as `.npy`: images u8 `[n, h, w, c]`, points f32 `[n, d]`, ….
///
/// # Errors
/// [`DataError::Io`].
pub fn write_npy<A, D>(path: &Path, array: &ArrayView<'_, A, D>) -> Result<(), DataError>
where
    A: NpyNumber,
    D: Dimension,
{
    write_whole(path, |file| npy(file, array)).map_err(DataError::io("write", path))
}

/// Write a PNG of all images in rows of `columns`, with `padding` black pixels around each.
///
/// # Errors
/// [`DataError::NoImages`], [`DataError::Channels`], [`DataError::Io`], [`DataError::Picture`].
pub fn write_grid(path: &Path, images: &ArrayView4<'_, u8>, columns: usize, padding: usize) -> Result<(), DataError> {
    if images.dim().0 == 0 {
        return Err(DataError::NoImages { path: path.to_owned() });
    }
    write_png(path, &grid(images, columns, padding).view())
}

/// All images in rows of `columns`, with `padding` black pixels around each.
///
/// # Shapes
/// `images`: u8 `[n, h, w, c]`; out: u8 `[rows, columns, c]` in pixels.
pub fn grid(images: &ArrayView4<'_, u8>, columns: usize, padding: usize) -> Array3<u8> {
    let (n, h, w, c) = images.dim();
    let columns = columns.clamp(1, n.max(1));
    let rows = n.div_ceil(columns);
    let side = |count: usize, pixels: usize| count * (pixels + padding) + padding;
    let mut sheet = Array3::<u8>::zeros((side(rows, h), side(columns, w), c));
    if c == 4 {
        sheet.slice_mut(s![.., .., 3]).fill(255);
    }
    for (i, image) in images.outer_iter().enumerate() {
        let (top, left) = (side(i / columns, h), side(i % columns, w));
        sheet.slice_mut(s![top..top + h, left..left + w, ..]).assign(&image);
    }
    sheet
}

/// Write each image to `folder/000000.png`, `000001.png`, …
///
/// # Errors
/// As in [`write_grid`].
pub fn write_pngs(folder: &Path, images: &ArrayView4<'_, u8>) -> Result<(), DataError> {
    fs::create_dir_all(folder).map_err(DataError::io("make", folder))?;
    remove_leftovers(folder).map_err(DataError::io("write", folder))?;
    // on all threads: a disk that is told to keep many small files does so in one go
    let write = |i: usize| write_png(&folder.join(format!("{i:06}.png")), &images.index_axis(Axis(0), i));
    (0..images.dim().0).into_par_iter().try_for_each(write)
}

fn write_png(path: &Path, image: &ArrayView3<'_, u8>) -> Result<(), DataError> {
    let (h, w, c) = image.dim();
    let colour = match c {
        1 => ExtendedColorType::L8,
        3 => ExtendedColorType::Rgb8,
        4 => ExtendedColorType::Rgba8,
        got => return Err(DataError::Channels { got }),
    };
    let pixels: Vec<u8> = image.iter().copied().collect();
    // into memory first: the image crate's own way to a file drops the error of its last write, as on a full disk
    let mut encoded = Cursor::new(Vec::new());
    image::write_buffer_with_format(&mut encoded, &pixels, w as u32, h as u32, colour, ImageFormat::Png)
        .map_err(|source| DataError::Picture { path: path.to_owned(), source })?;
    write_whole(path, |file| file.write_all(encoded.get_ref())).map_err(DataError::io("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_has_rows_columns_and_padding() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("grid.png");
        let images = Array4::from_shape_fn((5, 4, 4, 3), |(n, ..)| 50 * (n as u8 + 1));
        write_grid(&path, &images.view(), 3, 2).unwrap();
        let picture = image::open(&path).unwrap().to_rgb8();
        assert_eq!(picture.dimensions(), (3 * 6 + 2, 2 * 6 + 2));
        assert_eq!(picture.get_pixel(1, 1).0, [0; 3]);
        assert_eq!(picture.get_pixel(2, 2).0, [50; 3]);
        assert_eq!(picture.get_pixel(8 + 3, 8 + 3).0, [250; 3]); // image 4: row 1, column 1
        assert_eq!(picture.get_pixel(14 + 3, 8 + 3).0, [0; 3]); // no image 5
        let empty = Array4::<u8>::zeros((0, 4, 4, 3));
        assert!(matches!(write_grid(&path, &empty.view(), 3, 2), Err(DataError::NoImages { .. })));
    }

    #[test]
    fn bytes_round_and_clamp() {
        let bytes = to_u8(&[-2.0, -1.0, 0.0, 1.0, 7.0, f32::NAN], [6, 1, 1, 1]);
        assert_eq!(bytes.iter().copied().collect::<Vec<_>>(), [0, 0, 128, 255, 255, 0]);
    }

    #[test]
    fn an_unwritable_place_is_an_error_with_its_name() {
        let images = Array4::<u8>::zeros((1, 2, 2, 1));
        let error = write_grid(Path::new("/nowhere/at/all.png"), &images.view(), 1, 0).unwrap_err();
        assert!(error.to_string().contains("/nowhere/at/all.png"), "{error}");
    }
}
