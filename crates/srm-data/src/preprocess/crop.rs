//! Cut the square out of a photo that is then resized.

use crate::DataError;
use std::{fmt, str::FromStr};

/// What to take of each image. Text form: `center178`, `box:x0,y0,x1,y1`, `square`, `none`, `pad`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crop {
    /// `centerN`: the N×N pixels in the middle; smaller images are refused. On CelebA's 178×218, `center178` is
    /// 0,20,178,198 (what resizing the short side and cropping the middle keeps) and `center140` is 19,39,159,179
    /// (score_sde, datasets.py).
    Center(usize),
    /// `box:x0,y0,x1,y1`: left, top, right and bottom in pixels, right and bottom excluded, as Pillow counts. NVAE's
    /// CelebA box is 15,40,163,188.
    Box([usize; 4]),
    /// `square`: the largest square in the middle, whatever the image's size.
    Square,
    /// `none`: the whole image, which must be square.
    None,
    /// `pad`: the whole image at its own size in the middle of zeros, never resized; larger images are refused. Makes
    /// 32 px of MNIST's 28.
    Pad,
}

/// A square of the image: left, top and side in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Square {
    pub(crate) left: usize,
    pub(crate) top: usize,
    pub(crate) side: usize,
}

impl Crop {
    /// The square to cut from an image of this size, or why there is none. [`Crop::Pad`] cuts nothing and has none.
    pub(crate) fn square(self, width: usize, height: usize) -> Result<Square, String> {
        let middle = |side| Square { left: (width - side) / 2, top: (height - side) / 2, side };
        let is = format!("it is {width}×{height}");
        match self {
            Self::Center(side) if side <= width.min(height) => Ok(middle(side)),
            Self::Box([left, top, right, bottom]) if right <= width && bottom <= height => {
                Ok(Square { left, top, side: right - left })
            }
            Self::Center(_) | Self::Box(_) => Err(format!("{is}, too small for --crop {self}")),
            Self::Square => Ok(middle(width.min(height))),
            Self::None if width == height => Ok(middle(width)),
            Self::None => Err(format!("{is}, not square; --crop square takes the middle")),
            Self::Pad => Err("padding cuts nothing".into()),
        }
    }
}

impl FromStr for Crop {
    type Err = DataError;

    fn from_str(text: &str) -> Result<Self, DataError> {
        let wrong = || DataError::BadOption {
            option: "--crop",
            value: text.to_owned(),
            expected: "center178, center140 (or centerN), box:x0,y0,x1,y1 with x1-x0 = y1-y0 > 0, square, none or pad",
        };
        match text {
            "square" => return Ok(Self::Square),
            "none" => return Ok(Self::None),
            "pad" => return Ok(Self::Pad),
            _ => {}
        }
        if let Some(side) = text.strip_prefix("center") {
            return side.parse().ok().filter(|&side| side > 0).map(Self::Center).ok_or_else(wrong);
        }
        let numbers: Vec<usize> = text
            .strip_prefix("box:")
            .and_then(|list| list.split(',').map(|number| number.trim().parse().ok()).collect())
            .ok_or_else(wrong)?;
        match numbers[..] {
            [x0, y0, x1, y1] if x1 > x0 && y1 > y0 && x1 - x0 == y1 - y0 => Ok(Self::Box([x0, y0, x1, y1])),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Crop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Center(side) => write!(f, "center{side}"),
            Self::Box([x0, y0, x1, y1]) => write!(f, "box:{x0},{y0},{x1},{y1}"),
            Self::Square => f.write_str("square"),
            Self::None => f.write_str("none"),
            Self::Pad => f.write_str("pad"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square(text: &str, width: usize, height: usize) -> Result<[usize; 3], String> {
        let crop: Crop = text.parse().unwrap();
        crop.square(width, height).map(|square| [square.left, square.top, square.side])
    }

    #[test]
    fn celeba_has_its_named_boxes() {
        assert_eq!(square("center178", 178, 218), Ok([0, 20, 178]));
        assert_eq!(square("center140", 178, 218), Ok([19, 39, 140]));
        assert_eq!(square("box:15,40,163,188", 178, 218), Ok([15, 40, 148]));
        assert_eq!(square("square", 178, 218), Ok([0, 20, 178]));
        assert_eq!(square("none", 64, 64), Ok([0, 0, 64]));
    }

    #[test]
    fn an_image_that_does_not_fit_is_refused_with_its_size() {
        for (crop, width, height) in [("center178", 177, 218), ("box:0,0,9,9", 9, 8), ("none", 178, 218)] {
            let reason = square(crop, width, height).unwrap_err();
            assert!(reason.contains(&format!("{width}×{height}")), "{reason}");
        }
    }

    #[test]
    fn text_comes_back_and_nonsense_is_refused() {
        for text in ["center178", "box:15,40,163,188", "square", "none", "pad"] {
            assert_eq!(text.parse::<Crop>().unwrap().to_string(), text);
        }
        for text in ["center", "center0", "box:1,2,3", "box:0,0,4,5", "box:4,4,0,0", "face", ""] {
            let message = text.parse::<Crop>().unwrap_err().to_string();
            assert!(message.contains("center178") && message.contains(text), "{message}");
        }
    }
}
