//! Draw smooth coloured blobs: a built-in image set for tests and first runs, the same on every machine.

use srm_random::{Key, Purpose, uniform};

/// Blobs in one image.
const BLOBS: usize = 3;
/// Random numbers of one blob: centre (2), width, and a colour of up to 4 channels.
const DRAWS: usize = 7;

/// Smooth blobs of random place, width and colour on a dark ground, keyed by (`seed`, image index), so that image i
/// does not depend on `count`.
///
/// # Shapes
/// Returns u8 `[count, size, size, channels]`, row-major; `channels` is 1 to 4, more repeat the fourth.
pub fn blobs(count: usize, size: usize, channels: usize, seed: u64) -> Vec<u8> {
    let mut pixels = Vec::with_capacity(count * size * size * channels);
    for image in 0..count {
        let mut draws = [0.0_f32; BLOBS * DRAWS];
        uniform(&Key { id: image as u64, ..Key::new(seed, Purpose::Synthetic) }, 0.0, 1.0, &mut draws);
        for row in 0..size {
            for column in 0..size {
                for channel in 0..channels {
                    pixels.push(level(&draws, row, column, channel.min(3), size));
                }
            }
        }
    }
    pixels
}

/// The grey level of one channel of one pixel: a ground of 24, then each blob painted over it by its Gaussian weight.
fn level(draws: &[f32], row: usize, column: usize, channel: usize, size: usize) -> u8 {
    let mut level = 24.0;
    for blob in draws.chunks_exact(DRAWS) {
        let place = |pixel: usize| (pixel as f32 + 0.5) / size as f32;
        let (down, right) = (place(row) - blob[0], place(column) - blob[1]);
        let width = 0.08 + 0.14 * blob[2]; // std as a share of the image
        let weight = (-(down * down + right * right) / (2.0 * width * width)).exp();
        level += weight * (60.0 + 195.0 * blob[3 + channel] - level);
    }
    level.round().clamp(0.0, 255.0) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_do_not_depend_on_count_and_differ_from_each_other() {
        let few = blobs(2, 16, 3, 5);
        let many = blobs(6, 16, 3, 5);
        assert_eq!(few, many[..few.len()]);
        assert_ne!(few[..16 * 16 * 3], few[16 * 16 * 3..]);
        assert_ne!(few, blobs(2, 16, 3, 6));
    }

    #[test]
    fn images_are_smooth_and_use_the_range() {
        let image = blobs(8, 32, 1, 1);
        let steps = image.chunks_exact(32).flat_map(|row| row.windows(2)).map(|pair| pair[0].abs_diff(pair[1]));
        // steepest slope of a blob of the smallest width 0.08: 230 · exp(-1/2) / 0.08 / 32 = 55 levels a pixel
        assert!(steps.max().is_some_and(|step| step <= 55));
        let (low, high) = (image.iter().min(), image.iter().max());
        assert!(low.zip(high).is_some_and(|(low, high)| *low < 60 && *high > 120));
    }
}
