//! Find the image of a set that is nearest to a sample, to see whether samples are copies.

use crate::{DataError, ImageSet};
use ndarray::{ArrayView3, ArrayView4};
use rayon::prelude::*;

/// The nearest image of a set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbour {
    /// Its index in the set.
    pub index: usize,
    /// Whether it is its mirror image that is nearest: training with flips shows both.
    pub mirrored: bool,
    /// Root of the mean squared difference over all pixels and channels, in grey levels, 0 to 255.
    pub distance: f64,
}

/// For each sample the nearest image of the set or its mirror image, by squared pixel difference; of equals the first.
///
/// # Shapes
/// `samples`: u8 `[n, h, w, c]` with the set's h, w and c.
///
/// # Errors
/// [`DataError::SampleShape`] where the shapes differ.
pub fn nearest(set: &ImageSet, samples: &ArrayView4<'_, u8>) -> Result<Vec<Neighbour>, DataError> {
    let (expected, (_, h, w, c)) = (set.shape(), samples.dim());
    if [h, w, c] != expected {
        return Err(DataError::SampleShape { expected, got: [h, w, c] });
    }
    let samples: Vec<ArrayView3<'_, u8>> = samples.outer_iter().collect();
    Ok(samples.par_iter().map(|sample| nearest_to(set, sample, w * c)).collect())
}

/// The `count` images of the set nearest to one sample or to its mirror image, nearest first.
///
/// # Shapes
/// `sample`: u8 `[h, w, c]`, as the set's images.
///
/// # Errors
/// [`DataError::SampleShape`] where the shapes differ.
pub fn nearest_few(set: &ImageSet, sample: &ArrayView3<'_, u8>, count: usize) -> Result<Vec<Neighbour>, DataError> {
    let (expected, (h, w, c)) = (set.shape(), sample.dim());
    if [h, w, c] != expected {
        return Err(DataError::SampleShape { expected, got: [h, w, c] });
    }
    let [plain, mirror] = both_ways(sample);
    let both = |index: usize| {
        let to = |pixels: &[u8]| squared_below(set.image(index), pixels, w * c, u64::MAX).unwrap_or(u64::MAX);
        let (one, other) = (to(&plain), to(&mirror));
        (one.min(other), index, other < one)
    };
    let mut all: Vec<(u64, usize, bool)> = (0..set.len()).into_par_iter().map(both).collect();
    all.sort_unstable();
    let neighbour = |(sum, index, mirrored): (u64, usize, bool)| {
        let distance = (sum as f64 / plain.len() as f64).sqrt();
        Neighbour { index, mirrored, distance }
    };
    Ok(all.into_iter().take(count).map(neighbour).collect())
}

/// A sample and its mirror image.
fn both_ways(sample: &ArrayView3<'_, u8>) -> [Vec<u8>; 2] {
    [sample.iter().copied().collect(), sample.slice(ndarray::s![.., ..;-1, ..]).iter().copied().collect()]
}

fn nearest_to(set: &ImageSet, sample: &ArrayView3<'_, u8>, row: usize) -> Neighbour {
    let [plain, mirror] = both_ways(sample);
    let (mut best, mut found) = (u64::MAX, (0, false));
    for index in 0..set.len() {
        for (mirrored, pixels) in [(false, &plain), (true, &mirror)] {
            if let Some(sum) = squared_below(set.image(index), pixels, row, best) {
                (best, found) = (sum, (index, mirrored));
            }
        }
    }
    Neighbour { index: found.0, mirrored: found.1, distance: (best as f64 / plain.len() as f64).sqrt() }
}

/// The sum of squared differences, unless it reaches `limit`, which is checked after each row.
fn squared_below(one: &[u8], other: &[u8], row: usize, limit: u64) -> Option<u64> {
    let mut sum = 0;
    for (one, other) in one.chunks(row).zip(other.chunks(row)) {
        let squares = one.iter().zip(other).map(|(&a, &b)| u32::from(a.abs_diff(b)).pow(2));
        sum += u64::from(squares.sum::<u32>()); // a row of 128 px has at most 512 · 255² < 2³²
        if sum >= limit {
            return None;
        }
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{synthetic::blobs, write_npy};
    use ndarray::{Array4, s};

    #[test]
    fn an_image_and_its_mirror_image_find_themselves() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.npy");
        let images = Array4::from_shape_vec((9, 16, 16, 3), blobs(9, 16, 3, 1)).unwrap();
        write_npy(&path, &images.view()).unwrap();
        let set = ImageSet::open(&path).unwrap();

        let found = nearest(&set, &images.view()).unwrap();
        assert!(found.iter().enumerate().all(|(i, one)| (one.index, one.mirrored, one.distance) == (i, false, 0.0)));
        let found = nearest(&set, &images.slice(s![.., .., ..;-1, ..])).unwrap();
        assert!(found.iter().enumerate().all(|(i, one)| (one.index, one.mirrored, one.distance) == (i, true, 0.0)));

        let few = nearest_few(&set, &images.slice(s![3, .., ..;-1, ..]), 3).unwrap();
        assert_eq!((few.len(), few[0].index, few[0].mirrored, few[0].distance), (3, 3, true, 0.0));
        assert!(few[1].distance <= few[2].distance);

        let brighter = images.mapv(|level| level.min(200) + 10);
        let shifted = nearest(&set, &brighter.slice(s![4..5, .., .., ..])).unwrap();
        assert_eq!((shifted[0].index, shifted[0].mirrored), (4, false));
        assert!((shifted[0].distance - 10.0).abs() < 5.0, "{}", shifted[0].distance);

        let error = nearest(&set, &images.slice(s![.., ..8, .., ..])).unwrap_err().to_string();
        assert!(error.contains("8") && error.contains("16"), "{error}");
    }
}
