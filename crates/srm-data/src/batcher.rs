//! Choose the images of each update and turn them into numbers.

use crate::{DataError, ImageSet};
use srm_random::{Key, Purpose, permutation, uniform};

/// One image of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pick {
    /// Index in the set.
    pub index: usize,
    /// Mirror it left to right.
    pub flip: bool,
}

/// Chooses batches: epochs of keyed permutations, no image twice in an epoch.
///
/// The choice is a function of the update and of the images used before it, so a resumed run draws what the unbroken one
/// would have drawn, and a run may go on with another batch size; the permutation of the current epoch is kept only to
/// save time.
#[derive(Debug)]
pub struct Batcher {
    len: usize,
    batch: usize,
    seed: u64,
    flip: bool,
    epoch: Option<(u64, Vec<usize>)>,
}

impl Batcher {
    /// Batches of `batch` from `len` images, at least one each; with `flip` each image is mirrored with probability ½.
    pub fn new(len: usize, batch: usize, seed: u64, flip: bool) -> Self {
        Self { len: len.max(1), batch: batch.max(1), seed, flip, epoch: None }
    }

    /// The images of `update`, from 1, after `seen` images have been used.
    pub fn batch_at(&mut self, update: u64, seen: u64) -> Vec<Pick> {
        let first = seen as usize;
        let mut coins = vec![0.0; self.batch];
        if self.flip {
            uniform(&Key { update, ..Key::new(self.seed, Purpose::Flip) }, 0.0, 1.0, &mut coins);
        }
        (first..).zip(coins).map(|(i, coin)| Pick { index: self.index(i), flip: self.flip && coin < 0.5 }).collect()
    }

    fn index(&mut self, position: usize) -> usize {
        let epoch = (position / self.len) as u64;
        if self.epoch.as_ref().is_none_or(|(kept, _)| *kept != epoch) {
            let key = Key { update: epoch, ..Key::new(self.seed, Purpose::DataOrder) };
            self.epoch = Some((epoch, permutation(&key, self.len)));
        }
        self.epoch.as_ref().map_or(0, |(_, order)| order[position % self.len])
    }
}

/// Fill `out` with the picked images, each pixel p as p/127.5 − 1 in [-1, 1].
///
/// # Shapes
/// `out` becomes f32 `[picks, c, h, w]`, planar.
///
/// # Errors
/// [`DataError::BadImage`] for an index outside the set.
pub fn fill_batch(images: &ImageSet, picks: &[Pick], out: &mut Vec<f32>) -> Result<(), DataError> {
    let (h, w, c) = (images.height(), images.width(), images.channels());
    out.resize(picks.len() * c * h * w, 0.0);
    for (pick, planar) in picks.iter().zip(out.chunks_mut(c * h * w)) {
        if pick.index >= images.len() {
            let name = format!("image {} of {}", pick.index, images.path().display());
            return Err(DataError::BadImage { name, reason: format!("there are only {}", images.len()) });
        }
        let pixels = images.image(pick.index);
        for (channel, plane) in planar.chunks_exact_mut(h * w).enumerate() {
            for (bytes, row) in pixels.chunks_exact(w * c).zip(plane.chunks_exact_mut(w)) {
                let levels = bytes[channel..].iter().step_by(c).map(|&byte| LEVELS[usize::from(byte)]);
                if pick.flip {
                    row.iter_mut().rev().zip(levels).for_each(|(out, level)| *out = level);
                } else {
                    row.iter_mut().zip(levels).for_each(|(out, level)| *out = level);
                }
            }
        }
    }
    Ok(())
}

/// p/127.5 − 1 for each byte p.
static LEVELS: [f32; 256] = {
    let mut levels = [0.0; 256];
    let mut byte = 0;
    while byte < 256 {
        levels[byte] = byte as f32 / 127.5 - 1.0;
        byte += 1;
    }
    levels
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{to_u8, write_npy};
    use ndarray::Array4;

    #[test]
    fn an_epoch_holds_each_image_once_and_the_order_changes() {
        let mut batcher = Batcher::new(10, 4, 3, false);
        let indices: Vec<usize> =
            (1..=5).flat_map(|t| batcher.batch_at(t, 4 * (t - 1))).map(|pick| pick.index).collect();
        let (mut first, mut second) = (indices[..10].to_vec(), indices[10..].to_vec());
        assert_ne!(first, second);
        first.sort_unstable();
        second.sort_unstable();
        assert_eq!(first, (0..10).collect::<Vec<_>>());
        assert_eq!(second, (0..10).collect::<Vec<_>>());
    }

    #[test]
    fn a_batch_depends_on_its_update_alone() {
        let mut through = Batcher::new(100, 7, 3, true);
        let last = (1..=40).map(|t| through.batch_at(t, 7 * (t - 1))).last();
        assert_eq!(last, Some(Batcher::new(100, 7, 3, true).batch_at(40, 7 * 39)));
        let flips = (1..=100).flat_map(|t| through.batch_at(t, 7 * (t - 1))).filter(|pick| pick.flip).count();
        assert!((270..430).contains(&flips), "{flips} of 700"); // six standard deviations
    }

    #[test]
    fn pixels_become_planar_numbers_and_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.npy");
        let array = Array4::from_shape_fn((2, 2, 3, 3), |(n, h, w, c)| (n * 100 + h * 40 + w * 10 + c) as u8);
        write_npy(&path, &array.view()).unwrap();
        let set = ImageSet::open(&path).unwrap();
        let mut out = Vec::new();
        let picks = [Pick { index: 1, flip: false }, Pick { index: 1, flip: true }];
        fill_batch(&set, &picks, &mut out).unwrap();
        assert_eq!(out[0], 100.0 / 127.5 - 1.0);
        let bytes = to_u8(&out, [2, 3, 2, 3]);
        for h in 0..2 {
            for w in 0..3 {
                for c in 0..3 {
                    assert_eq!(bytes[[0, h, w, c]], array[[1, h, w, c]]);
                    assert_eq!(bytes[[1, h, w, c]], array[[1, h, 2 - w, c]]);
                }
            }
        }
        assert!(fill_batch(&set, &[Pick { index: 2, flip: false }], &mut out).is_err());
    }
}
