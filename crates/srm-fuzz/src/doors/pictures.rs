//! Hand in a picture: PNG, JPEG, PNM, BMP, WebP.

use super::{Door, file};
use crate::formats::{self, PNG, begin_with};
use crate::{
    Dice,
    mutate::{change_bytes, change_digits},
};
use image::{DynamicImage, ImageFormat, codecs::jpeg::JpegEncoder};
use std::io::Cursor;
use std::path::Path;

/// Side of the net's images.
const SIDE: usize = 8;

pub(super) const PICTURES: Door = Door {
    name: "pictures",
    what: "PNG, JPEG, PNM, BMP and WebP, by way of `srm reconstruct --images` and `cargo xtask preprocess`",
    sources: &[
        "crates/srm-data/src/preprocess/decode.rs",
        "crates/srm-data/src/preprocess/header.rs",
        "crates/srm-data/src/gallery.rs",
    ],
    longest: 1 << 14,
    seeds,
    header,
    change,
    mend,
    enter,
};

/// Pictures of every format and depth.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let colours = DynamicImage::ImageRgba8(image::RgbaImage::from_fn(9, 7, |x, y| {
        image::Rgba([x as u8 * 20, y as u8 * 30, 128, if x > 4 { 255 } else { 100 }])
    }));
    let written = |picture: &DynamicImage, format| {
        let mut file = Cursor::new(Vec::new());
        picture.write_to(&mut file, format).expect("a picture is written to memory");
        file.into_inner()
    };
    let (rgb, grey) = (DynamicImage::from(colours.to_rgb8()), DynamicImage::from(colours.to_luma8()));
    let deep = DynamicImage::from(colours.to_rgb16());
    let mut pictures: Vec<Vec<u8>> = [&colours, &rgb, &grey, &deep, &DynamicImage::from(colours.to_luma_alpha8())]
        .map(|picture| written(picture, ImageFormat::Png))
        .into();
    pictures.extend([ImageFormat::Bmp, ImageFormat::Pnm, ImageFormat::WebP].map(|format| written(&rgb, format)));
    pictures.extend([ImageFormat::Bmp, ImageFormat::Pnm, ImageFormat::WebP].map(|format| written(&colours, format)));
    for picture in [&rgb, &grey] {
        let mut jpeg = Vec::new();
        JpegEncoder::new(&mut jpeg).encode_image(picture).expect("a picture is written to memory");
        let exif = b"\xFF\xE1\x00\x22Exif\0\0II\x2A\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
        pictures.push([&jpeg[..2], exif, &jpeg[2..]].concat());
        pictures.push(jpeg);
    }
    let plain: [&[u8]; 6] = [
        b"P1\n# words\n3 2\n1 0 1\n0 1 0\n",
        b"P2\n2 2\n255\n7 9 11 200\n",
        b"P3\n1 2\n65535\n0 1 2 3 4 65535\n",
        b"P4\n9 2\n\xAA\x80\x55\x00",
        b"P5\n2 1\n65535\n\x01\x02\x03\x04",
        b"P7\nWIDTH 2\nHEIGHT 1\nDEPTH 4\nMAXVAL 255\nTUPLTYPE RGB_ALPHA\nENDHDR\n\x01\x02\x03\x04\x05\x06\x07\x08",
    ];
    pictures.extend(plain.map(<[u8]>::to_vec));
    pictures
}

fn header(bytes: &[u8]) -> bool {
    match bytes {
        [0xFF, 0xD8, 0xFF, ..] | [b'B', b'M', ..] => true,
        [b'P', b'1'..=b'7', space, ..] => space.is_ascii_whitespace(),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => true,
        _ => {
            let sum = bytes.get(12..29).map(|header| formats::crc32(header) as usize);
            bytes.starts_with(PNG) && bytes.get(12..16) == Some(b"IHDR") && formats::u32_be(bytes, 29) == sum
        }
    }
}

/// Another side in the header of a PNG, BMP, JPEG or PNM; elsewhere a byte.
pub(super) fn change(bytes: &mut Vec<u8>, dice: &mut Dice) {
    if bytes.starts_with(b"P") && bytes.len() > 2 && dice.one_in(3) {
        let at = 2 + dice.below((bytes.len() - 2).min(20));
        return change_digits(bytes, at, dice);
    }
    let frame = bytes.windows(2).position(|pair| matches!(pair, [0xFF, 0xC0..=0xC2]));
    let place = match (bytes.first(), frame) {
        (Some(0x89), _) => Some((16 + 4 * dice.below(2), 4)),
        (Some(b'B'), _) => Some((18 + 4 * dice.below(2), 4)),
        (Some(0xFF), Some(at)) => Some((at + 5 + 2 * dice.below(2), 2)),
        _ => None,
    };
    let is_bmp = bytes.first() == Some(&b'B');
    match place.and_then(|(at, width)| bytes.get_mut(at..at + width)).filter(|_| dice.one_in(3)) {
        Some(side) => {
            let number = dice.one_of(&[0, 1, 255, 0x7FFF, 0xFFFF, 0x7FFF_FFFF, u32::MAX]).to_be_bytes();
            side.copy_from_slice(&number[4 - side.len()..]);
            // little-endian there; which side is which does not matter
            if let Some(sides) = bytes.get_mut(18..26).filter(|_| is_bmp) {
                sides.reverse();
            }
        }
        None => change_bytes(bytes, dice),
    }
}

/// The signature that is nearest, and the sums of a PNG.
pub(super) fn mend(bytes: &mut Vec<u8>) {
    match bytes.get(1).copied() {
        Some(b'P') if bytes.get(3) == Some(&b'G') => begin_with(bytes, PNG),
        Some(0xD8) => begin_with(bytes, b"\xFF\xD8\xFF"),
        _ => {}
    }
    if bytes.starts_with(PNG) {
        formats::mend_png(bytes);
    } else if bytes.starts_with(b"RIFF") && bytes.len() >= 12 {
        let length = (bytes.len() as u32 - 8).to_le_bytes();
        bytes[4..8].copy_from_slice(&length);
        bytes[8..12].copy_from_slice(b"WEBP");
    }
}

fn enter(bytes: &[u8], folder: &Path) {
    let path = file(folder, "picture.png", bytes);
    // what the reader makes of it does not matter here: only that it comes to an end
    let _ = srm_data::read_gallery(&path, SIDE, 3, 1);
    let _ = srm_data::read_gallery(&path, SIDE, 1, 1);
}
