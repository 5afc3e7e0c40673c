//! Show samples above the images of a set that are nearest to them: copies would be seen.

use anyhow::Result;
use ndarray::Array4;
use srm_data::{ImageSet, Neighbour};

/// Rows of samples and rows of their nearest images in turn, `[2 n, h, w, c]`, the last pair of rows filled up with black.
///
/// # Errors
/// The shapes differ.
pub fn with_neighbours(
    samples: &Array4<u8>,
    set: &ImageSet,
    found: &[Neighbour],
    columns: usize,
) -> Result<Array4<u8>> {
    let (count, h, w, c) = samples.dim();
    let mut pixels: Vec<u8> = Vec::with_capacity(2 * count.next_multiple_of(columns) * h * w * c);
    let image_len = h * w * c;
    let all: Vec<u8> = samples.iter().copied().collect();
    for first in (0..count).step_by(columns) {
        let row = first..(first + columns).min(count);
        let missing = vec![0; (columns - row.len()) * image_len];
        pixels.extend(&all[row.start * image_len..row.end * image_len]);
        pixels.extend(&missing);
        for one in &found[row] {
            for line in set.image(one.index).chunks(w * c) {
                match one.mirrored {
                    true => pixels.extend(line.chunks(c).rev().flatten()),
                    false => pixels.extend(line),
                }
            }
        }
        pixels.extend(&missing);
    }
    Ok(Array4::from_shape_vec((pixels.len() / image_len, h, w, c), pixels)?)
}
