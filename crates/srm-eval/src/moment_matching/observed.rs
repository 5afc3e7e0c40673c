//! Draw observed images as training sees them: mirrored at random where it does so, with N(0, σ²) on them.

use crate::{EvalError, Result};
use srm_data::{ImageSet, Pick, fill_batch};
use srm_random::{Key, Purpose, normal, permutation, uniform};
use tch::Tensor;

/// The images of a set in a keyed random order.
pub struct Observed<'a> {
    images: &'a ImageSet,
    order: Vec<usize>,
    seed: u64,
    /// σ in pixel units, of a range from −1 to 1.
    sigma: f64,
    /// Mirror each image with probability ½.
    flip: bool,
}

impl<'a> Observed<'a> {
    /// All images of the set.
    pub fn new(images: &'a ImageSet, seed: u64, sigma: f64, flip: bool) -> Self {
        let order = permutation(&Key::new(seed, Purpose::DataOrder), images.len());
        Self { images, order, seed, sigma, flip }
    }

    /// Images.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Never true for a set that opened.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The images at `count` places of the order from `first`, `[count, c, h, w]`, f32 on the CPU. An image is the same
    /// whatever the batch.
    ///
    /// # Errors
    /// [`EvalError::TooFewImages`] past the end.
    pub fn batch(&self, first: usize, count: usize) -> Result<Tensor> {
        let got = self.order.len();
        let chosen = self.order.get(first..first + count);
        let chosen = chosen.ok_or(EvalError::TooFewImages { what: "a batch", needed: first + count, got })?;
        let pick = |&index: &usize| {
            let mut coin = [1.0];
            if self.flip {
                uniform(&Key { id: index as u64, ..Key::new(self.seed, Purpose::Flip) }, 0.0, 1.0, &mut coin);
            }
            Pick { index, flip: coin[0] < 0.5 }
        };
        let picks: Vec<Pick> = chosen.iter().map(pick).collect();
        let mut pixels = Vec::new();
        fill_batch(self.images, &picks, &mut pixels)?;
        let size = [self.images.channels(), self.images.height(), self.images.width()];
        let mut noise = vec![0.0; size.iter().product()];
        for (pick, image) in picks.iter().zip(pixels.chunks_mut(noise.len())) {
            normal(&Key { id: pick.index as u64, ..Key::new(self.seed, Purpose::DataNoise) }, &mut noise);
            image.iter_mut().zip(&noise).for_each(|(pixel, u)| *pixel += self.sigma as f32 * u);
        }
        let [c, h, w] = size.map(|side| side as i64);
        Ok(Tensor::f_from_slice(&pixels)?.f_reshape([count as i64, c, h, w])?)
    }
}
