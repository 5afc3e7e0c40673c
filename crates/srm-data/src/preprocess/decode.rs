//! Decode one image file into 8 bits, grey or RGB, upright, without alpha.

use crate::{
    Cut, DataError,
    preprocess::header::{check_promise, check_webp, png_exif, whole_jpeg},
};
use image::codecs::{png::PngDecoder, webp::WebPDecoder};
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, metadata::Orientation};
use srm_files::{BEGINNING, identify_bytes};
use std::{fmt, io::Cursor, str::FromStr};

/// Bytes that a decoder may ask for besides the picture: rows, and unpacked notes in the file.
const DECODER_BYTES: u64 = 1 << 28;

/// A decoded image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Picture {
    pub(crate) width: usize,
    pub(crate) height: usize,
    /// 1 grey or 3 RGB.
    pub(crate) channels: usize,
    /// u8 `[height, width, channels]`.
    pub(crate) pixels: Vec<u8>,
    /// What of the file is not in the pixels.
    pub(crate) lost: Option<Lost>,
}

/// What a file has and pixels do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// Pixels that let something shine through.
    Transparency,
    /// The frames after the first.
    Motion,
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
    /// Decode PNG, JPEG, PBM to PAM, BMP or WebP, whatever the file is called.
    ///
    /// 16 bits become 8 by rounding, alpha is laid over `background`, the orientation in EXIF is applied, of an animation
    /// the first frame is taken, what follows a JPEG's end is left alone. Fails with the reason, also for a JPEG that is
    /// cut off and for a PGM or PPM with more bytes than its header says, which decoders let pass. What the header
    /// promises is held against the file's length before room is made for it.
    pub(crate) fn decode(bytes: &[u8], background: Background) -> Result<Self, String> {
        if bytes.is_empty() {
            return Err("the file is empty (0 bytes)".into());
        }
        let Some(format) = image::guess_format(bytes).ok().filter(ImageFormat::reading_enabled) else {
            return Err(match identify_bytes(&bytes[..bytes.len().min(BEGINNING)]) {
                Some(kind) => format!("it is no PNG, JPEG, PGM/PPM, BMP or WebP picture but {kind}"),
                None => "it is no PNG, JPEG, PGM/PPM, BMP or WebP picture".into(),
            });
        };
        let bytes = match format {
            ImageFormat::Jpeg => whole_jpeg(bytes).ok_or("the JPEG is cut off")?,
            _ => bytes,
        };
        let (mut picture, orientation, rest) = decode_upto_its_end(bytes, format)?;
        if rest > 0 {
            return Err(format!("it is damaged ({rest} bytes more than its header says)"));
        }
        picture.apply_orientation(orientation);
        let lost = match is_animated(bytes, format) {
            true => Some(Lost::Motion),
            false => is_transparent(&picture).then_some(Lost::Transparency),
        };
        Ok(Self { lost, ..Self::flatten(picture, background) })
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
        Self { width, height, channels, pixels, lost: None }
    }

    /// A square of it; none where it does not lie inside.
    pub(crate) fn cut(&self, Cut { left, top, side }: Cut) -> Option<Self> {
        let inside = |first: usize, length: usize| first.checked_add(side).is_some_and(|end| end <= length);
        if side == 0 || !inside(left, self.width) || !inside(top, self.height) {
            return None;
        }
        let row = |y: usize| &self.pixels[(y * self.width + left) * self.channels..][..side * self.channels];
        let pixels = (top..top + side).flat_map(row).copied().collect();
        Some(Self { width: side, height: side, channels: self.channels, pixels, lost: self.lost })
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

/// The picture, the orientation that its EXIF asks for, and in PBM to PAM how many bytes follow beyond the line feed
/// that some programs write at the end.
fn decode_upto_its_end(bytes: &[u8], format: ImageFormat) -> Result<(DynamicImage, Orientation, usize), String> {
    if format == ImageFormat::WebP {
        check_webp(bytes)?;
    }
    let damaged = |error: ImageError| match error {
        ImageError::Limits(_) => {
            format!(
                "it is damaged, or larger than what is read: its {} bytes claim a picture without bounds",
                bytes.len()
            )
        }
        error => format!("it is damaged ({error})"),
    };
    let mut cursor = Cursor::new(bytes);
    let mut reader = ImageReader::with_format(&mut cursor, format);
    let mut limits = Limits::default();
    limits.max_alloc = Some(DECODER_BYTES);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(damaged)?;
    let (width, height) = decoder.dimensions();
    check_promise(format, width, height, bytes.len())?;
    let exif = match format {
        ImageFormat::Png => png_exif(bytes).map(<[u8]>::to_vec),
        _ => decoder.exif_metadata().ok().flatten(),
    };
    // some programs keep the mark that EXIF has in a JPEG
    let exif = exif.as_deref().map(|exif| exif.strip_prefix(b"Exif\0\0").unwrap_or(exif));
    let orientation = exif.and_then(Orientation::from_exif_chunk).unwrap_or(Orientation::NoTransforms);
    let picture = DynamicImage::from_decoder(decoder).map_err(damaged)?;
    let rest = bytes.get(cursor.position() as usize..).unwrap_or_default();
    let rest = match bytes {
        [b'P', b'4'..=b'7', ..] => rest.strip_suffix(b"\n").unwrap_or(rest),
        [b'P', b'1'..=b'3', ..] => rest.trim_ascii(),
        _ => &[],
    };
    Ok((picture, orientation, rest.len()))
}

/// Whether a file has several frames.
fn is_animated(bytes: &[u8], format: ImageFormat) -> bool {
    let bytes = Cursor::new(bytes);
    match format {
        ImageFormat::Png => PngDecoder::new(bytes).is_ok_and(|decoder| decoder.is_apng().unwrap_or(false)),
        ImageFormat::WebP => WebPDecoder::new(bytes).is_ok_and(|decoder| decoder.has_animation()),
        _ => false,
    }
}

/// Whether something would shine through a pixel.
fn is_transparent(picture: &DynamicImage) -> bool {
    match picture {
        DynamicImage::ImageLumaA8(picture) => picture.pixels().any(|pixel| pixel.0[1] < u8::MAX),
        DynamicImage::ImageRgba8(picture) => picture.pixels().any(|pixel| pixel.0[3] < u8::MAX),
        DynamicImage::ImageLumaA16(picture) => picture.pixels().any(|pixel| pixel.0[1] < u16::MAX),
        DynamicImage::ImageRgba16(picture) => picture.pixels().any(|pixel| pixel.0[3] < u16::MAX),
        _ => false,
    }
}

/// Lay pixels of N channels, the last of them alpha, over `ground`: (c a + ground (255 - a)) / 255, rounded.
fn lay<const N: usize>(pixels: &[u8], ground: u32) -> Vec<u8> {
    let (pixels, _) = pixels.as_chunks::<N>();
    let mut laid = vec![0; pixels.len() * (N - 1)];
    for (to, from) in laid.chunks_exact_mut(N - 1).zip(pixels) {
        let alpha = u32::from(from[N - 1]);
        for (to, &colour) in to.iter_mut().zip(from) {
            *to = ((u32::from(colour) * alpha + ground * (255 - alpha) + 127) / 255) as u8;
        }
    }
    laid
}

#[cfg(test)]
mod tests;
