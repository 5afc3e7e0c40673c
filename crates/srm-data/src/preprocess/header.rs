//! Look at a picture file before it is decoded: what it promises, where it ends, which way up it is.

use crate::preprocess::LARGEST_PICTURE;
use image::ImageFormat;
use std::ops::Range;

/// Pixels that a file may promise whatever its length, 8192 × 4096. Two decoders at work on such pictures, with the
/// widest pixels and the copies that are made of them, stay below 1 GB.
const FREE_PIXELS: u64 = 1 << 25;
/// Pixels per byte that a larger picture may have: ten times what photos have, and less than what bombs have.
const PIXELS_PER_BYTE: u64 = 64;

/// Refuse a picture whose header promises more pixels than its file can hold or than are read.
pub(crate) fn check_promise(format: ImageFormat, width: u32, height: u32, bytes: usize) -> Result<(), String> {
    let (pixels, bytes) = (u64::from(width) * u64::from(height), bytes as u64);
    // what no sound file can go beyond: eight pixels per byte in PBM; one bit for each block of 8 × 8 pixels in JPEG;
    // eight pixels per byte under deflate, which never shrinks more than 1032 times, in PNG
    let densest = match format {
        ImageFormat::Pnm => 8,
        ImageFormat::Jpeg => 8 * 64,
        ImageFormat::Png => 8 * 1032,
        _ => u64::MAX,
    };
    if pixels == 0 {
        return Err(format!("it is damaged: it claims {width}×{height} pixels"));
    }
    if pixels > bytes.saturating_mul(densest) {
        return Err(format!("it is damaged or cut off: it claims {width}×{height} pixels in {bytes} bytes"));
    }
    let most = (PIXELS_PER_BYTE * bytes).max(FREE_PIXELS).min((LARGEST_PICTURE * LARGEST_PICTURE) as u64);
    if pixels > most {
        return Err(format!(
            "it claims {width}×{height} pixels in {bytes} bytes: it is damaged, or larger than what is read (at most \
             {LARGEST_PICTURE}×{LARGEST_PICTURE}, and beyond 8192×4096 at most {PIXELS_PER_BYTE} pixels per byte)"
        ));
    }
    Ok(())
}

/// The JPEG from its first byte to its end-of-image marker; none where that is missing, as in a file that is cut off,
/// whose rest decoders fill with grey.
///
/// What follows belongs to something else: the film of a motion photo, the further pictures of a multi-picture file.
/// What lies within segments, such as the thumbnail in EXIF, is stepped over.
pub(crate) fn whole_jpeg(bytes: &[u8]) -> Option<&[u8]> {
    let mut at = 2;
    loop {
        // to the next marker: past the data of a scan, where 0xFF is followed by 0 or by a restart marker, and past
        // bytes between segments, over which decoders step too
        at += bytes.get(at..)?.windows(2).position(|pair| pair[0] == 0xFF && !matches!(pair[1], 0 | 0xFF))?;
        let marker = bytes[at + 1];
        at += 2;
        match marker {
            0xD9 => return Some(&bytes[..at]),
            0x01 | 0xD0..=0xD8 => {} // stand alone
            _ => at += usize::from(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?)),
        }
    }
}

/// Refuse a WebP with parts that reach beyond its end or with frames that promise too much: its decoder makes room for
/// both before it looks.
pub(crate) fn check_webp(bytes: &[u8]) -> Result<(), String> {
    check_webp_chunks(bytes, 12..bytes.len(), 0)
}

fn check_webp_chunks(file: &[u8], Range { start: mut at, end }: Range<usize>, depth: usize) -> Result<(), String> {
    while let Some([a, b, c, d, size @ ..]) = file.get(at..end).and_then(|rest| rest.first_chunk::<8>()) {
        let size = u32::from_le_bytes(*size) as usize;
        let data = at + 8..at + 8 + size;
        let Some(payload) = file.get(data.clone()).filter(|_| data.end <= end) else {
            return Err(format!(
                "the WebP is damaged or cut off: a part of it claims {size} bytes, {} are there",
                end - data.start
            ));
        };
        match ([*a, *b, *c, *d], payload) {
            // within a frame of an animation: 16 bytes of its own, then parts
            ([b'A', b'N', b'M', b'F'], frame) if depth == 0 && frame.len() > 16 => {
                check_webp_chunks(file, data.start + 16..data.end, 1)?;
            }
            // RFC 6386, 9.1: a tag of three bytes, three fixed ones, then 14 bits each of width and height
            ([b'V', b'P', b'8', b' '], [_, _, _, _, _, _, w0, w1, h0, h1, ..]) => {
                let [width, height] = [[*w0, *w1], [*h0, *h1]].map(|side| u16::from_le_bytes(side) & 0x3FFF);
                check_promise(ImageFormat::WebP, width.into(), height.into(), file.len())?;
            }
            _ => {}
        }
        at = data.end + size % 2;
    }
    Ok(())
}

/// The EXIF of a PNG, wherever it stands among its parts: decoders see it only before the pixels.
pub(crate) fn png_exif(bytes: &[u8]) -> Option<&[u8]> {
    let mut at = 8;
    loop {
        let [a, b, c, d, kind @ ..] = bytes.get(at..)?.first_chunk::<8>()?;
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        if kind == b"eXIf" {
            return bytes.get(at + 8..at + 8 + length);
        }
        at = at.checked_add(length + 12)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promises_are_held_against_the_bytes_that_are_there() {
        use ImageFormat::{Bmp, Jpeg, Png, Pnm, WebP};
        let check = |format, side: [u32; 2], bytes| check_promise(format, side[0], side[1], bytes);
        for (format, side, bytes) in [
            (Pnm, [8, 8], 8),
            (Jpeg, [178, 218], 6_000),
            (Jpeg, [16_320, 12_240], 12_000_000), // 200 megapixels of a telephone
            (Png, [8192, 4096], 5_000),           // one colour
            (WebP, [8192, 4096], 40),
            (Bmp, [8192, 4096], 100),
        ] {
            assert_eq!(check(format, side, bytes), Ok(()), "{format:?} {side:?} {bytes}");
        }
        for (format, side, bytes, expected) in [
            (Pnm, [9_999_999, 9_999_999], 21, "damaged or cut off: it claims 9999999×9999999 pixels in 21 bytes"),
            (Jpeg, [1_000, 1_000], 1_000, "damaged or cut off: it claims 1000×1000"),
            (Png, [9_000, 9_000], 9_000, "damaged or cut off: it claims 9000×9000"),
            (WebP, [16_383, 16_383], 1_000, "it is damaged, or larger than what is read"),
            (Bmp, [65_535, 65_535], usize::MAX >> 8, "at most 16384×16384"),
            (Bmp, [0, 3], 100, "it claims 0×3"),
        ] {
            let reason = check(format, side, bytes).unwrap_err();
            assert!(reason.contains(expected), "{reason}");
        }
    }

    #[test]
    fn a_jpeg_ends_at_its_own_marker() {
        // start, a segment with a whole JPEG in it, a table, a scan with stuffed and restart bytes, the end
        let thumbnail = b"\xFF\xE1\x00\x08\xFF\xD8\xFF\xD9ab";
        let scan = b"\xFF\xDA\x00\x03\x01\x12\xFF\x00\x34\xFF\xD0\x56\xFF\xFF\xD9";
        let jpeg = [b"\xFF\xD8", &thumbnail[..], b"\xFF\xDB\x00\x03\x07", scan].concat();
        assert_eq!(whole_jpeg(&jpeg), Some(&jpeg[..]));
        for rest in [&b"\0\0\0\x18ftypmp42"[..], b"\xFF\xDA\xFF\xD8", b"\xFF"] {
            assert_eq!(whole_jpeg(&[&jpeg, rest].concat()), Some(&jpeg[..]));
        }
        for length in 0..jpeg.len() {
            assert_eq!(whole_jpeg(&jpeg[..length]), None, "{length}");
        }
    }

    #[test]
    fn parts_of_a_webp_lie_within_it_and_promise_no_more_than_it_holds() {
        let part = |name: &[u8; 4], claimed: u32, data: &[u8]| [&name[..], &claimed.to_le_bytes(), data].concat();
        let file = |parts: &[Vec<u8>]| [b"RIFF\0\0\0\0WEBP".to_vec(), parts.concat()].concat();
        let lossy = |side: u16| {
            let side = side.to_le_bytes();
            part(b"VP8 ", 10, &[&[0, 0, 0, 0x9D, 1, 0x2A][..], &side, &side].concat())
        };
        assert_eq!(check_webp(&file(&[part(b"EXIF", 3, b"abc\0"), lossy(64)])), Ok(()));
        let reason = check_webp(&file(&[part(b"EXIF", u32::MAX - 9, b"abc\0")])).unwrap_err();
        assert!(reason.contains("claims 4294967286 bytes, 4 are there"), "{reason}");
        let reason = check_webp(&file(&[lossy(16_383)])).unwrap_err();
        assert!(reason.contains("claims 16383×16383"), "{reason}");
        let frame = [vec![0; 16], lossy(16_383)].concat();
        let reason = check_webp(&file(&[part(b"ANMF", frame.len() as u32, &frame)])).unwrap_err();
        assert!(reason.contains("claims 16383×16383"), "{reason}");
    }

    #[test]
    fn exif_is_found_before_and_after_the_pixels() {
        let part = |name: &[u8; 4], data: &[u8]| [&(data.len() as u32).to_be_bytes()[..], name, data, b"crc!"].concat();
        let file = |parts: &[Vec<u8>]| [b"\x89PNG\r\n\x1a\n".to_vec(), parts.concat()].concat();
        assert_eq!(png_exif(&file(&[part(b"eXIf", b"ab"), part(b"IDAT", b"x")])), Some(&b"ab"[..]));
        assert_eq!(png_exif(&file(&[part(b"IDAT", b"xyz"), part(b"eXIf", b"ab")])), Some(&b"ab"[..]));
        assert_eq!(png_exif(&file(&[part(b"IDAT", b"xyz"), part(b"IEND", b"")])), None);
        assert_eq!(png_exif(&file(&[b"\xFF\xFF\xFF\xFFIDAT".to_vec()])), None);
    }
}
