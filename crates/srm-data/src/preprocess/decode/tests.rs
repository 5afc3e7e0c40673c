//! Every format decodes to the right pixels, and what is damaged or promises too much is refused.

use super::*;
use image::{GrayAlphaImage, ImageBuffer, Luma, Rgb, RgbImage, Rgba, RgbaImage};

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
        assert_eq!((white.channels, &white.pixels[..3], &white.pixels[3..6]), (3, &[255; 3][..], &[100, 0, 200][..]));
        assert_eq!(white.pixels[6..], [224, 204, 244]); // a fifth of the colour, four fifths of 255
        assert_eq!(Picture::decode(&bytes, Background::Black).unwrap().pixels[6..], [20, 0, 40]);
    }
    let grey = GrayAlphaImage::from_raw(2, 1, vec![10, 255, 10, 0]).unwrap();
    assert_eq!(decode(&encode(grey, ImageFormat::Png)).unwrap().pixels, [10, 255]);
}

/// EXIF with one entry: orientation (0x0112), short, 6 = turn by 90° clockwise.
const TURN: &[u8] = b"II\x2A\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";

/// A picture of 16 × 8 pixels whose right half is white, with EXIF where each format has it.
fn wide_with(format: ImageFormat, exif: &[u8]) -> Vec<u8> {
    let wide = image::GrayImage::from_fn(16, 8, |x, _| Luma([if x < 8 { 0 } else { 255 }]));
    let wide: DynamicImage =
        if format == ImageFormat::WebP { DynamicImage::from(wide).into_rgb8().into() } else { wide.into() };
    let file = encode(wide, format);
    match format {
        ImageFormat::Jpeg => {
            let length = (2 + 6 + exif.len() as u16).to_be_bytes();
            [&file[..2], b"\xFF\xE1", &length, b"Exif\0\0", exif, &file[2..]].concat()
        }
        ImageFormat::Png => {
            let mut crc = flate2::Crc::new();
            crc.update(b"eXIf");
            crc.update(exif);
            let (before, end) = file.split_at(file.len() - 12); // IEND: after the pixels, where decoders do not look
            let length = (exif.len() as u32).to_be_bytes();
            [before, &length, b"eXIf", exif, &crc.sum().to_be_bytes(), end].concat()
        }
        _ => {
            // the extended form: a header with the flag for EXIF and the size less one, the pixels, the EXIF
            let header = [&b"VP8X\x0A\0\0\0\x08\0\0\0"[..], &[15, 0, 0, 7, 0, 0]].concat();
            let length = (exif.len() as u32).to_le_bytes();
            let padding = &[0][..exif.len() % 2];
            let parts = [b"WEBP", &header[..], &file[12..], b"EXIF", &length, exif, padding].concat();
            [b"RIFF", &(parts.len() as u32).to_le_bytes()[..], &parts].concat()
        }
    }
}

#[test]
fn the_orientation_in_exif_is_applied_in_every_format_that_has_it() {
    for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP] {
        for exif in [TURN.to_vec(), [b"Exif\0\0", TURN].concat()] {
            let turned = decode(&wide_with(format, if format == ImageFormat::Jpeg { TURN } else { &exif })).unwrap();
            assert_eq!((turned.width, turned.height), (8, 16), "{format:?}");
            let last = turned.pixels.len() - 1;
            assert!(turned.pixels[0] < 20 && turned.pixels[last] > 235, "{format:?}"); // the left half came to the top
        }
        let damaged = decode(&wide_with(format, b"II\x2A\0\xFF\xFF\xFF\xFF")).unwrap();
        assert_eq!((damaged.width, damaged.height), (16, 8), "{format:?}");
    }
}

#[test]
fn what_follows_a_whole_jpeg_is_left_alone() {
    let jpeg = encode(colours(), ImageFormat::Jpeg);
    let alone = decode(&jpeg).unwrap();
    let film = b"\0\0\0\x18ftypmp42\xFF\xDA\xFF\xD8\xFF\xE1";
    for rest in [&film[..], &jpeg, &jpeg[..jpeg.len() / 2], b"\0\0\0"] {
        assert_eq!(decode(&[&jpeg, rest].concat()).unwrap(), alone);
    }
    assert!(decode(&jpeg[..jpeg.len() - 9]).unwrap_err().contains("cut off"));
}

#[test]
fn a_header_that_promises_more_than_there_can_be_is_refused_before_room_is_made() {
    let pam = "P7\nWIDTH 9999999\nHEIGHT 9999999\nDEPTH 3\nMAXVAL 255\nTUPLTYPE RGB\nENDHDR\n";
    let maps = (1..=6).map(|kind| format!("P{kind}\n9999999 9999999\n{}", if kind % 3 == 1 { "" } else { "255\n" }));
    for file in maps.chain([pam.to_owned(), pam.replace("9999999", "4294967295")]) {
        let reason = decode(file.as_bytes()).unwrap_err();
        assert!(reason.contains("9999999×9999999 pixels") || reason.contains("too large"), "{file:?}: {reason}");
    }
    // the size of a sound picture replaced, and where there is one its checksum
    let mut png = encode(colours(), ImageFormat::Png);
    for side in [60_000_u32, 0x7FFF_FFFF] {
        png[16..24].copy_from_slice(&[side.to_be_bytes(), side.to_be_bytes()].concat());
        let mut crc = flate2::Crc::new();
        crc.update(&png[12..29]);
        png[29..33].copy_from_slice(&crc.sum().to_be_bytes());
        let reason = decode(&png).unwrap_err();
        assert!(reason.contains("60000×60000 pixels") || reason.contains("without bounds"), "{reason}");
    }
    let mut bmp = encode(colours(), ImageFormat::Bmp);
    bmp[18..26].copy_from_slice(&[0xFF, 0xFF, 0, 0, 0xFF, 0xFF, 0, 0]);
    assert!(decode(&bmp).unwrap_err().contains("65535×65535"), "{:?}", decode(&bmp));
    let mut jpeg = encode(colours(), ImageFormat::Jpeg);
    let frame = jpeg.windows(2).position(|pair| pair == [0xFF, 0xC0]).unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xFF; 4]);
    assert!(decode(&jpeg).unwrap_err().contains("65535×65535"), "{:?}", decode(&jpeg));
    let mut webp = encode(colours(), ImageFormat::WebP);
    webp[21..25].copy_from_slice(&[0xFE, 0xBF, 0xFF, 0x0F]); // VP8L: 14 bits each of width and height less one
    assert!(decode(&webp).unwrap_err().contains("16383×16383"), "{:?}", decode(&webp));
}

#[test]
fn other_files_are_named() {
    for (bytes, expected) in [
        (
            &b"GIF89a-------------"[..],
            "it is no PNG, JPEG, PGM/PPM, BMP or WebP picture but a picture (GIF): this format",
        ),
        (b"II*\0", "a picture (TIFF)"),
        (b"<!DOCTYPE html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"\x07\x07", "it is no PNG, JPEG, PGM/PPM, BMP or WebP picture"),
    ] {
        let reason = decode(bytes).unwrap_err();
        assert!(reason.contains(expected), "{reason}");
    }
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
    let red = Picture { width: 1, height: 1, channels: 3, pixels: vec![255, 0, 0], lost: None };
    let grey = red.clone().with_channels(1);
    assert_eq!((grey.channels, &grey.pixels[..]), (1, &[76][..])); // 0.299 · 255 = 76.2
    assert_eq!(grey.with_channels(3).pixels, [76; 3]);
    assert_eq!(red.clone().with_channels(3), red);
}
