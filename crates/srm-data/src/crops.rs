//! Cut squares out of pictures at random places: what a net sees of a texture.

use crate::gallery::{each, whole};
use crate::{Cut, DataError, ImageSet};
use ndarray::Array4;
use srm_random::{Key, Purpose, uniform};
use std::path::Path;

/// `count` squares of `side` pixels of the pictures that [`read_gallery`](crate::read_gallery) takes, in their own size: square i from
/// picture i, from the first again after the last, at a place that follows from `seed` and i.
///
/// # Errors
/// As in [`read_gallery`](crate::read_gallery); [`DataError::BadPicture`] for one that is smaller, or of one value throughout.
pub fn random_crops(path: &Path, side: usize, channels: usize, count: usize, seed: u64) -> Result<ImageSet, DataError> {
    let mut pictures = Vec::new();
    each(path, channels, usize::MAX, |picture, name| {
        whole(&picture, &name)?;
        let bad = |reason: String| Err(DataError::BadPicture { name: name.clone(), reason });
        if picture.width < side || picture.height < side {
            return bad(format!(
                "{}×{} px hold no square of {side}; take a larger picture",
                picture.width, picture.height
            ));
        }
        if picture.pixels.chunks_exact(channels).all(|pixel| pixel == &picture.pixels[..channels]) {
            return bad("all its pixels are alike: there is nothing to learn".to_owned());
        }
        pictures.push(picture);
        Ok(())
    })?;
    let mut pixels = Vec::with_capacity(count * side * side * channels);
    for (id, picture) in (0..count).zip(pictures.iter().cycle()) {
        let mut place = [0.0; 2];
        uniform(&Key { id: id as u64, ..Key::new(seed, Purpose::Crop) }, 0.0, 1.0, &mut place);
        // both ends count: of w − side + 1 places each is as likely
        let at =
            |part: f32, length: usize| ((f64::from(part) * (length - side + 1) as f64) as usize).min(length - side);
        let cut = Cut { left: at(place[0], picture.width), top: at(place[1], picture.height), side };
        pixels.extend(picture.cut(cut).map(|cut| cut.pixels).unwrap_or_default());
    }
    let shape = (pixels.len() / (side * side * channels), side, side, channels);
    let crops = Array4::from_shape_vec(shape, pixels).expect("each crop has its pixels");
    ImageSet::from_array(path, crops)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write_grid;

    #[test]
    fn crops_lie_in_their_picture_at_any_place_and_follow_from_the_seed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.png");
        // each pixel tells where it is
        let picture = Array4::from_shape_fn((1, 20, 30, 3), |(_, y, x, c)| [y as u8, x as u8, 7][c]);
        write_grid(&path, &picture.view(), 1, 0).unwrap();
        let crops = random_crops(&path, 16, 3, 400, 5).unwrap();
        assert_eq!((crops.len(), crops.shape()), (400, [16, 16, 3]));
        let mut seen = std::collections::BTreeSet::new();
        for i in 0..400 {
            let crop = crops.image(i);
            let (top, left) = (crop[0], crop[1]);
            seen.insert((top, left));
            for (at, pixel) in crop.chunks_exact(3).enumerate() {
                assert_eq!(pixel, [top + (at / 16) as u8, left + (at % 16) as u8, 7]);
            }
        }
        assert!(
            seen.len() > 70 - 5 && seen.contains(&(0, 0)) && seen.contains(&(4, 14)),
            "{} of 75 places",
            seen.len()
        );
        assert_eq!(random_crops(&path, 16, 3, 3, 5).unwrap().image(2), crops.image(2));
        assert_ne!(random_crops(&path, 16, 3, 3, 6).unwrap().image(2), crops.image(2));
        let grey = random_crops(&path, 16, 1, 3, 5).unwrap();
        assert_eq!(grey.shape(), [16, 16, 1]);
    }

    #[test]
    fn pictures_that_say_nothing_or_are_too_small_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.png");
        let refused = |side: usize, value: fn(usize) -> u8| {
            let picture = Array4::from_shape_fn((1, 20, 30, 1), |(_, _, x, _)| value(x));
            write_grid(&path, &picture.view(), 1, 0).unwrap();
            random_crops(&path, side, 1, 3, 5).unwrap_err().to_string()
        };
        let small = refused(24, |x| x as u8);
        assert!(small.contains("x.png") && small.contains("30×20 px hold no square of 24"), "{small}");
        let flat = refused(16, |_| 9);
        assert!(flat.contains("x.png") && flat.contains("all its pixels are alike"), "{flat}");
    }

    #[test]
    fn transparent_and_animated_pictures_are_refused() {
        use image::{ImageEncoder, codecs::png::PngEncoder};
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.png");
        let png = |alpha: u8| {
            let pixels: Vec<u8> =
                (0..20 * 20).flat_map(|i| [i as u8, 3, 7, if i == 33 { alpha } else { 255 }]).collect();
            let mut bytes = Vec::new();
            PngEncoder::new(&mut bytes).write_image(&pixels, 20, 20, image::ExtendedColorType::Rgba8).unwrap();
            bytes
        };
        let refused = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            random_crops(&path, 16, 3, 3, 5).map(|_| ()).unwrap_err().to_string()
        };
        let told = refused(&png(200));
        assert!(told.contains("x.png") && told.contains("transparent in places"), "{told}");
        // the chunk that says how many frames there are, behind the header's 33 bytes
        let mut moving = png(255);
        let chunk = [&b"acTL"[..], &2u32.to_be_bytes(), &0u32.to_be_bytes()].concat();
        let mut sum = flate2::Crc::new();
        sum.update(&chunk);
        moving.splice(33..33, [&8u32.to_be_bytes()[..], &chunk, &sum.sum().to_be_bytes()].concat());
        let told = refused(&moving);
        assert!(told.contains("x.png") && told.contains("animated"), "{told}");
        std::fs::write(&path, png(255)).unwrap();
        assert_eq!(random_crops(&path, 16, 3, 3, 5).unwrap().len(), 3, "alpha of 255 throughout shows nothing");
    }
}
