//! Crop and resize one image as Pillow does: antialiased convolution in 8 bits.

use crate::DataError;
use crate::preprocess::{Crop, decode::Picture};
use fast_image_resize::{
    FilterType, ResizeAlg, ResizeOptions, Resizer,
    images::{TypedImage, TypedImageRef},
    pixels::U8,
};
use std::{fmt, str::FromStr};

/// The kernel of the resize, by Pillow's names; when shrinking its width grows with the factor (antialiasing).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Filter {
    /// Mean of the covered pixels.
    Box,
    /// Triangle; what torchvision's `Resize` does to a Pillow image when nothing else is said, hence the default here.
    #[default]
    Bilinear,
    /// Raised cosine times sinc, of the triangle's width.
    Hamming,
    /// Catmull-Rom cubic, a = -0.5.
    Bicubic,
    /// Sinc windowed by sinc, three lobes.
    Lanczos,
}

const NAMES: [(Filter, &str, FilterType); 5] = [
    (Filter::Box, "box", FilterType::Box),
    (Filter::Bilinear, "bilinear", FilterType::Bilinear),
    (Filter::Hamming, "hamming", FilterType::Hamming),
    (Filter::Bicubic, "bicubic", FilterType::CatmullRom),
    (Filter::Lanczos, "lanczos", FilterType::Lanczos3),
];

impl FromStr for Filter {
    type Err = DataError;

    fn from_str(text: &str) -> Result<Self, DataError> {
        NAMES.iter().find(|(_, name, _)| *name == text).map(|(filter, ..)| *filter).ok_or_else(|| {
            let expected = "box, bilinear, hamming, bicubic or lanczos";
            DataError::BadOption { option: "--filter", value: text.to_owned(), expected }
        })
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAMES[*self as usize].1)
    }
}

/// Crops and resizes; keeps its buffers from image to image.
pub(crate) struct Scaler {
    crop: Crop,
    options: ResizeOptions,
    resizer: Resizer,
    square: Vec<u8>,
    turned: Vec<u8>,
    narrow: Vec<u8>,
    out: Vec<u8>,
    size: usize,
    channels: usize,
}

impl Scaler {
    pub(crate) fn new(crop: Crop, filter: Filter, size: usize, channels: usize) -> Self {
        let algorithm = ResizeAlg::Convolution(NAMES[filter as usize].2);
        Self {
            crop,
            options: ResizeOptions::new().resize_alg(algorithm),
            resizer: Resizer::new(),
            square: Vec::new(),
            turned: Vec::new(),
            narrow: Vec::new(),
            out: vec![0; size * size * channels],
            size,
            channels,
        }
    }

    /// The finished pixels, u8 `[size, size, channels]`, or why there are none.
    pub(crate) fn run(&mut self, picture: &Picture) -> Result<&[u8], String> {
        if self.crop == Crop::Pad {
            self.pad(picture)?;
            return Ok(&self.out);
        }
        let square = self.crop.square(picture.width, picture.height)?;
        let first = (square.top * picture.width + square.left) * self.channels;
        let rows = Rows { pixels: &picture.pixels[first..], stride: picture.width, count: square.side };
        if square.side == self.size {
            self.square.clear();
            let width = self.size * self.channels;
            for row in rows.pixels.chunks(picture.width * self.channels).take(self.size) {
                self.square.extend_from_slice(&row[..width]);
            }
            return Ok(&self.square);
        }
        turn(&rows, square.side, self.channels, &mut self.turned);
        self.resize(square.side)?;
        Ok(&self.out)
    }

    /// Resize the turned square into `out`: rows first, then columns, each rounded to 8 bits, as Pillow does; in one call the
    /// library would begin with the columns, up to 5 levels away at sharp edges under a filter with negative lobes.
    ///
    /// Rows are shrunk as columns of the turned square, in which the channels are columns of their own: the library's inner
    /// loops are compiled here for each kind of pixel, at half a minute and a megabyte each, and so one will do.
    fn resize(&mut self, side: usize) -> Result<(), String> {
        let (size, channels) = (self.size, self.channels);
        self.narrow.resize(size * side * channels, 0);
        shrink(&mut self.resizer, &self.options, (&self.turned, side), (&mut self.narrow, size), side * channels)?;
        let narrow = Rows { pixels: &self.narrow, stride: side, count: size }; // [x, y, channel]
        turn(&narrow, side, channels, &mut self.turned); // [y, x, channel]
        shrink(&mut self.resizer, &self.options, (&self.turned, side), (&mut self.out, size), size * channels)
    }

    fn pad(&mut self, picture: &Picture) -> Result<(), String> {
        let (width, height, size) = (picture.width, picture.height, self.size);
        if width > size || height > size {
            return Err(format!("it is {width}×{height}, too large for --crop pad --size {size}"));
        }
        let (left, top) = ((size - width) / 2, (size - height) / 2);
        let out = &mut self.out;
        out.fill(0);
        for (row, pixels) in picture.pixels.chunks_exact(width * self.channels).enumerate() {
            let first = ((top + row) * size + left) * self.channels;
            out[first..first + pixels.len()].copy_from_slice(pixels);
        }
        Ok(())
    }
}

/// Some rows of pixels, from the first on.
struct Rows<'a> {
    pixels: &'a [u8],
    /// Pixels from one row to the next.
    stride: usize,
    count: usize,
}

/// Exchange the first two axes of the first `columns` pixels of all rows.
fn turn(rows: &Rows<'_>, columns: usize, channels: usize, to: &mut Vec<u8>) {
    to.resize(rows.count * columns * channels, 0);
    match channels {
        1 => turn_pixels::<1>(rows, to),
        _ => turn_pixels::<3>(rows, to),
    }
}

fn turn_pixels<const N: usize>(rows: &Rows<'_>, to: &mut [u8]) {
    let (from, to) = (rows.pixels.as_chunks::<N>().0, to.as_chunks_mut::<N>().0);
    for (column, to) in to.chunks_exact_mut(rows.count).enumerate() {
        for (row, to) in to.iter_mut().enumerate() {
            *to = from[row * rows.stride + column];
        }
    }
}

/// Resize columns of bytes: `[height, width]` to another height.
fn shrink(
    resizer: &mut Resizer,
    options: &ResizeOptions,
    (from, height): (&[u8], usize),
    (to, new_height): (&mut [u8], usize),
    width: usize,
) -> Result<(), String> {
    let source = TypedImageRef::<U8>::from_buffer(width as u32, height as u32, from).map_err(text)?;
    let mut target = TypedImage::<U8>::from_buffer(width as u32, new_height as u32, to).map_err(text)?;
    resizer.resize_typed(&source, &mut target, options).map_err(text)
}

fn text(error: impl fmt::Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_keep_their_names() {
        for (filter, name, _) in NAMES {
            assert_eq!((filter.to_string().as_str(), name.parse::<Filter>().unwrap()), (name, filter));
        }
        assert!("nearest".parse::<Filter>().unwrap_err().to_string().contains("lanczos"));
    }

    #[test]
    fn the_box_filter_takes_the_mean_of_the_crop_alone() {
        // 4 × 2 pixels, two channels' worth of columns: the middle square is 10, 30 / 50, 70
        let picture =
            Picture { width: 4, height: 2, channels: 1, pixels: vec![255, 10, 30, 255, 255, 50, 70, 255], lost: None };
        let mut scaler = Scaler::new(Crop::Square, Filter::Box, 1, 1);
        assert_eq!(scaler.run(&picture), Ok(&[40_u8][..]));
        let mut same = Scaler::new(Crop::Square, Filter::Lanczos, 2, 1);
        assert_eq!(same.run(&picture), Ok(&[10_u8, 30, 50, 70][..]));
    }

    #[test]
    fn padding_puts_zeros_around() {
        let picture = Picture { width: 1, height: 2, channels: 3, pixels: vec![1, 2, 3, 4, 5, 6], lost: None };
        let mut scaler = Scaler::new(Crop::Pad, Filter::Box, 3, 3);
        let mut expected = [0; 27];
        expected[3..6].copy_from_slice(&[1, 2, 3]);
        expected[12..15].copy_from_slice(&[4, 5, 6]);
        assert_eq!(scaler.run(&picture), Ok(&expected[..]));
        let wide = Picture { width: 4, height: 1, channels: 3, pixels: vec![0; 12], lost: None };
        assert!(scaler.run(&wide).unwrap_err().contains("4×1"));
    }
}
