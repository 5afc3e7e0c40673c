//! Crop and resize one image as Pillow does: antialiased convolution in 8 bits.

use crate::DataError;
use crate::preprocess::{Crop, decode::Picture};
use fast_image_resize::{
    FilterType, PixelTrait, ResizeAlg, ResizeOptions, Resizer,
    images::{TypedImage, TypedImageRef},
    pixels::{U8, U8x3},
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
        self.square.clear();
        for row in square.top..square.top + square.side {
            let first = (row * picture.width + square.left) * self.channels;
            self.square.extend_from_slice(&picture.pixels[first..first + square.side * self.channels]);
        }
        if square.side == self.size {
            return Ok(&self.square);
        }
        match self.channels {
            1 => self.resize::<U8>(square.side)?,
            _ => self.resize::<U8x3>(square.side)?,
        }
        Ok(&self.out)
    }

    /// Resize the square into `out`: rows first, then columns, each rounded to 8 bits, as Pillow does; in one call the
    /// library would begin with the columns, up to 5 levels away at sharp edges under a filter with negative lobes.
    ///
    /// For the two kinds of pixel by name: the function that finds the kind at run time is compiled here for all 15,
    /// for a minute and 5 MB.
    fn resize<P: PixelTrait>(&mut self, side: usize) -> Result<(), String> {
        self.narrow.resize(side * self.size * self.channels, 0);
        let (height, size) = (side as u32, self.size as u32);
        let source = TypedImageRef::<P>::from_buffer(height, height, &self.square).map_err(text)?;
        let mut narrow = TypedImage::<P>::from_buffer(size, height, &mut self.narrow).map_err(text)?;
        self.resizer.resize_typed(&source, &mut narrow, &self.options).map_err(text)?;
        let mut out = TypedImage::<P>::from_buffer(size, size, &mut self.out).map_err(text)?;
        self.resizer.resize_typed(&narrow, &mut out, &self.options).map_err(text)
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
        let picture = Picture { width: 4, height: 2, channels: 1, pixels: vec![255, 10, 30, 255, 255, 50, 70, 255] };
        let mut scaler = Scaler::new(Crop::Square, Filter::Box, 1, 1);
        assert_eq!(scaler.run(&picture), Ok(&[40_u8][..]));
        let mut same = Scaler::new(Crop::Square, Filter::Lanczos, 2, 1);
        assert_eq!(same.run(&picture), Ok(&[10_u8, 30, 50, 70][..]));
    }

    #[test]
    fn padding_puts_zeros_around() {
        let picture = Picture { width: 1, height: 2, channels: 3, pixels: vec![1, 2, 3, 4, 5, 6] };
        let mut scaler = Scaler::new(Crop::Pad, Filter::Box, 3, 3);
        let mut expected = [0; 27];
        expected[3..6].copy_from_slice(&[1, 2, 3]);
        expected[12..15].copy_from_slice(&[4, 5, 6]);
        assert_eq!(scaler.run(&picture), Ok(&expected[..]));
        let wide = Picture { width: 4, height: 1, channels: 3, pixels: vec![0; 12] };
        assert!(scaler.run(&wide).unwrap_err().contains("4×1"));
    }
}
