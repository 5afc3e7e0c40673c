//! Crop and resize one image as Pillow does: antialiased convolution in 8 bits.

use crate::DataError;
use crate::preprocess::{Crop, decode::Picture};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer, images::Image, images::ImageRef};
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
    out: Image<'static>,
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
            out: Image::new(size as u32, size as u32, pixel_type(channels)),
            size,
            channels,
        }
    }

    /// The finished pixels, u8 `[size, size, channels]`, or why there are none.
    pub(crate) fn run(&mut self, picture: &Picture) -> Result<&[u8], String> {
        if self.crop == Crop::Pad {
            self.pad(picture)?;
            return Ok(self.out.buffer());
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
        let side = square.side as u32;
        let source = ImageRef::new(side, side, &self.square, pixel_type(self.channels));
        let resized = source.map_err(|error| error.to_string()).and_then(|source| {
            self.resizer.resize(&source, &mut self.out, &self.options).map_err(|error| error.to_string())
        });
        resized.map(|()| self.out.buffer())
    }

    fn pad(&mut self, picture: &Picture) -> Result<(), String> {
        let (width, height, size) = (picture.width, picture.height, self.size);
        if width > size || height > size {
            return Err(format!("it is {width}×{height}, too large for --crop pad --size {size}"));
        }
        let (left, top) = ((size - width) / 2, (size - height) / 2);
        let out = self.out.buffer_mut();
        out.fill(0);
        for (row, pixels) in picture.pixels.chunks_exact(width * self.channels).enumerate() {
            let first = ((top + row) * size + left) * self.channels;
            out[first..first + pixels.len()].copy_from_slice(pixels);
        }
        Ok(())
    }
}

fn pixel_type(channels: usize) -> PixelType {
    if channels == 1 { PixelType::U8 } else { PixelType::U8x3 }
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
