//! Decode one image file into 8 bits, grey or RGB, upright, without alpha.

use crate::DataError;
use image::{DynamicImage, ImageFormat, ImageResult, codecs::pnm::PnmDecoder, metadata::Orientation};
use std::{fmt, io::Cursor, str::FromStr};

/// A decoded image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Picture {
    pub(crate) width: usize,
    pub(crate) height: usize,
    /// 1 grey or 3 RGB.
    pub(crate) channels: usize,
    /// u8 `[height, width, channels]`.
    pub(crate) pixels: Vec<u8>,
}

/// What shows through transparent pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Background {
    /// 255, as paper.
    #[default]
    White,
    /// 0.
    Black,
}

impl FromStr for Background {
    type Err = DataError;

    fn from_str(text: &str) -> Result<Self, DataError> {
        match text {
            "white" => Ok(Self::White),
            "black" => Ok(Self::Black),
            _ => {
                let value = text.to_owned();
                Err(DataError::BadOption { option: "--background", value, expected: "white or black" })
            }
        }
    }
}

impl fmt::Display for Background {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::White { "white" } else { "black" })
    }
}

impl Picture {
    /// Decode PNG, JPEG, PGM/PPM, BMP or WebP, whatever the file is called.
    ///
    /// 16 bits become 8 by rounding, alpha is laid over `background`, a JPEG's EXIF orientation is applied, of an
    /// animation the first frame is taken. Fails with the reason, also for a JPEG that is cut off and for a PGM or PPM with more
    /// bytes than its header says, which decoders let pass.
    pub(crate) fn decode(bytes: &[u8], background: Background) -> Result<Self, String> {
        if bytes.is_empty() {
            return Err("the file is empty (0 bytes)".into());
        }
        let format = image::guess_format(bytes).ok().filter(|format| format.reading_enabled());
        let format = format.ok_or("it is no PNG, JPEG, PGM/PPM, BMP or WebP image")?;
        if format == ImageFormat::Jpeg && !jpeg_is_whole(bytes) {
            return Err("the JPEG is cut off".into());
        }
        let decoded = match format {
            ImageFormat::Pnm => decode_pnm(bytes),
            _ => image::load_from_memory_with_format(bytes, format).map(|picture| (picture, 0)),
        };
        let (mut picture, rest) = decoded.map_err(|error| format!("it is damaged ({error})"))?;
        if rest > 0 {
            return Err(format!("it is damaged ({rest} bytes more than its header says)"));
        }
        if format == ImageFormat::Jpeg {
            picture.apply_orientation(jpeg_orientation(bytes));
        }
        Ok(Self::flatten(picture, background))
    }

    fn flatten(picture: DynamicImage, background: Background) -> Self {
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        let ground = if background == Background::White { 255 } else { 0 };
        let (channels, pixels) = match picture {
            DynamicImage::ImageLuma8(grey) => (1, grey.into_raw()),
            DynamicImage::ImageRgb8(colour) => (3, colour.into_raw()),
            DynamicImage::ImageLuma16(_) => (1, picture.into_luma8().into_raw()),
            DynamicImage::ImageLumaA8(_) | DynamicImage::ImageLumaA16(_) => {
                (1, lay::<2>(&picture.into_luma_alpha8(), ground))
            }
            colour if colour.color().has_alpha() => (3, lay::<4>(&colour.into_rgba8(), ground)),
            colour => (3, colour.into_rgb8().into_raw()),
        };
        Self { width, height, channels, pixels }
    }

    /// With 1 or 3 channels. Grey of a colour is 0.299 R + 0.587 G + 0.114 B, as Pillow's `convert("L")` (ITU-R 601).
    pub(crate) fn with_channels(self, channels: usize) -> Self {
        let pixels = match (self.channels, channels) {
            (1, 3) => self.pixels.iter().flat_map(|&grey| [grey; 3]).collect(),
            (3, 1) => {
                let luma = |rgb: &[u8]| {
                    let [r, g, b] = [rgb[0], rgb[1], rgb[2]].map(u32::from);
                    // the weights in units of 2⁻¹⁶, rounded
                    ((19_595 * r + 38_470 * g + 7_471 * b + 0x8000) >> 16) as u8
                };
                self.pixels.chunks_exact(3).map(luma).collect()
            }
            _ => return self,
        };
        Self { channels, pixels, ..self }
    }
}

/// Decode PGM, PPM or PBM; also how many bytes follow beyond the line feed that some programs write at the end.
fn decode_pnm(bytes: &[u8]) -> ImageResult<(DynamicImage, usize)> {
    let mut cursor = Cursor::new(bytes);
    let picture = DynamicImage::from_decoder(PnmDecoder::new(&mut cursor)?)?;
    let rest = bytes.get(cursor.position() as usize..).unwrap_or_default();
    let binary = matches!(bytes, [b'P', b'4'..=b'6', ..]);
    let rest = if binary { rest.strip_suffix(b"\n").unwrap_or(rest) } else { rest.trim_ascii() };
    Ok((picture, rest.len()))
}

/// The orientation in the EXIF segment (APP1) before the first scan.
fn jpeg_orientation(bytes: &[u8]) -> Orientation {
    let mut rest = bytes.get(2..).unwrap_or_default();
    while let [0xFF, marker, high, low, ..] = *rest {
        let length = usize::from(u16::from_be_bytes([high, low])); // its own two bytes included
        let Some(segment) = rest.get(4..2 + length) else { break };
        match (marker, segment.strip_prefix(b"Exif\0\0")) {
            (0xE1, Some(exif)) => return Orientation::from_exif_chunk(exif).unwrap_or(Orientation::NoTransforms),
            (0xDA, _) => break,
            _ => rest = &rest[2 + length..],
        }
    }
    Orientation::NoTransforms
}

/// Lay pixels of N channels, the last of them alpha, over `ground`: (c a + ground (255 - a)) / 255, rounded.
fn lay<const N: usize>(pixels: &[u8], ground: u32) -> Vec<u8> {
    let over = |pixel: &[u8; N]| {
        let alpha = u32::from(pixel[N - 1]);
        let mut out = pixel.map(|colour| ((u32::from(colour) * alpha + ground * (255 - alpha) + 127) / 255) as u8);
        out[N - 1] = 255;
        out
    };
    let (pixels, _) = pixels.as_chunks::<N>();
    pixels.iter().map(over).flat_map(|pixel| pixel.into_iter().take(N - 1)).collect()
}

/// Whether an end-of-image marker follows the last start of a scan: a JPEG that is cut off has none, and decoders fill
/// the rest with grey. Within a scan the two bytes of a marker cannot stand together.
fn jpeg_is_whole(bytes: &[u8]) -> bool {
    let last = |marker: u8| bytes.windows(2).rposition(|pair| pair == [0xFF, marker]);
    last(0xD9) > last(0xDA)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{ExtendedColorType, GrayAlphaImage, ImageBuffer, Luma, Rgb, RgbImage, Rgba, RgbaImage};

    fn encode(picture: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
        let mut file = Cursor::new(Vec::new());
        picture.into().write_to(&mut file, format).unwrap();
        file.into_inner()
    }

    fn decode(bytes: &[u8]) -> Result<Picture, String> {
        Picture::decode(bytes, Background::White)
    }

    fn colours() -> RgbImage {
        RgbImage::from_fn(12, 8, |x, y| Rgb([(x * 20) as u8, (y * 30) as u8, 128]))
    }

    #[test]
    fn every_format_decodes() {
        let colours = colours();
        for format in [ImageFormat::Png, ImageFormat::Pnm, ImageFormat::Bmp, ImageFormat::Jpeg, ImageFormat::WebP] {
            let bytes = encode(colours.clone(), format);
            let picture = decode(&bytes).unwrap();
            assert_eq!((picture.width, picture.height, picture.channels), (12, 8, 3), "{format:?}");
            let difference = picture.pixels.iter().zip(colours.as_raw()).map(|(a, b)| a.abs_diff(*b)).max();
            let allowed = if format == ImageFormat::Jpeg { 40 } else { 0 }; // quality 75 on a steep colour ramp
            assert!(difference.is_some_and(|difference| difference <= allowed), "{format:?} {difference:?}");
        }
        assert_eq!(decode(b"P2\n2 1\n255\n7 9\n").unwrap().pixels, [7, 9]);
        let grey = encode(ImageBuffer::from_fn(4, 4, |x, _| Luma([x as u8])), ImageFormat::Jpeg);
        assert_eq!(decode(&grey).unwrap().channels, 1);
    }

    #[test]
    fn sixteen_bits_round_to_eight() {
        let deep = ImageBuffer::from_fn(2, 1, |x, _| Luma([[128 + 257 * 7_u16, 129 + 257 * 7][x as usize]]));
        let picture = decode(&encode(deep, ImageFormat::Png)).unwrap();
        assert_eq!((picture.channels, picture.pixels), (1, vec![7, 8]));
        let deep = ImageBuffer::from_pixel(1, 1, Rgb([65535_u16, 0, 257 * 9]));
        assert_eq!(decode(&encode(deep, ImageFormat::Png)).unwrap().pixels, [255, 0, 9]);
    }

    #[test]
    fn alpha_is_laid_over_the_background() {
        let glass = RgbaImage::from_fn(3, 1, |x, _| Rgba([100, 0, 200, [0, 255, 51][x as usize]]));
        for format in [ImageFormat::Png, ImageFormat::WebP] {
            let bytes = encode(glass.clone(), format);
            let white = decode(&bytes).unwrap();
            assert_eq!(
                (white.channels, &white.pixels[..3], &white.pixels[3..6]),
                (3, &[255; 3][..], &[100, 0, 200][..])
            );
            assert_eq!(white.pixels[6..], [224, 204, 244]); // a fifth of the colour, four fifths of 255
            assert_eq!(Picture::decode(&bytes, Background::Black).unwrap().pixels[6..], [20, 0, 40]);
        }
        let grey = GrayAlphaImage::from_raw(2, 1, vec![10, 255, 10, 0]).unwrap();
        assert_eq!(decode(&encode(grey, ImageFormat::Png)).unwrap().pixels, [10, 255]);
    }

    #[test]
    fn orientation_in_the_file_is_applied() {
        let mut jpeg = Vec::new();
        let wide: Vec<u8> = (0..16 * 8).map(|i| if i % 16 < 8 { 0 } else { 255 }).collect();
        image::codecs::jpeg::JpegEncoder::new(&mut jpeg).encode(&wide, 16, 8, ExtendedColorType::L8).unwrap();
        // an APP1 segment with one EXIF entry: orientation (0x0112), short, 6 = turn by 90° clockwise
        let exif = b"\xFF\xE1\x00\x22Exif\0\0II\x2A\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
        let turned = decode(&[&jpeg[..2], exif, &jpeg[2..]].concat()).unwrap();
        assert_eq!((turned.width, turned.height), (8, 16));
        assert!(turned.pixels[0] < 20 && turned.pixels[127] > 235); // the left half came to the top
    }

    #[test]
    fn damage_is_found_and_named() {
        for format in [ImageFormat::Png, ImageFormat::Pnm, ImageFormat::Bmp, ImageFormat::Jpeg, ImageFormat::WebP] {
            let bytes = encode(colours(), format);
            let reason = decode(&bytes[..bytes.len() * 2 / 3]).unwrap_err();
            assert!(reason.contains("damaged") || reason.contains("cut off"), "{format:?}: {reason}");
        }
        assert!(decode(b"").unwrap_err().contains("0 bytes"));
        assert!(decode(b"<html>quota</html>").unwrap_err().contains("no PNG"));
        assert!(decode(b"GIF89a-------------").unwrap_err().contains("no PNG"));
        assert!(decode(b"P5\n2 1\n255\nabc").unwrap_err().contains("1 bytes more"));
        assert!(decode(b"P5\n2 1\n255\nab\x0B").unwrap_err().contains("1 bytes more"));
        assert!(decode(b"P5\n2 1\n255\nab\n").is_ok());
        assert!(decode(b"P5\r\n2 1\r\n255\r\nab").unwrap_err().contains("damaged"));
    }

    #[test]
    fn channels_convert_both_ways() {
        let red = Picture { width: 1, height: 1, channels: 3, pixels: vec![255, 0, 0] };
        let grey = red.clone().with_channels(1);
        assert_eq!((grey.channels, &grey.pixels[..]), (1, &[76][..])); // 0.299 · 255 = 76.2
        assert_eq!(grey.with_channels(3).pixels, [76; 3]);
        assert_eq!(red.clone().with_channels(3), red);
    }
}
