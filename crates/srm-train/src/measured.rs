//! Hold what an update has found of each image, and bring together what all ranks have.

use crate::{PerImage, Result};
use srm_ranks::{Ranks, RanksError, Reason};

/// What a rank says in place of a step where it has dropped its part of the update: earlier than any step.
const DROPPED: f64 = -1.0;

/// What is known of each image of a batch.
#[derive(Default)]
pub(crate) struct Measured {
    /// The earliest Langevin step at which a chain was no longer finite.
    pub(crate) bad_step: Option<usize>,
    /// f(x⁺).
    pub(crate) f_data: Vec<f64>,
    /// f(x⁻).
    pub(crate) f_sample: Vec<f64>,
    /// r of the chain.
    pub(crate) r: Vec<f64>,
    /// Sum and sum of squares of the sample's pixels.
    pub(crate) pixels: [Vec<f64>; 2],
}

impl Measured {
    /// That of all ranks, in their order; `None` where any rank has dropped its part of the update and gives `None`.
    pub(crate) fn gathered(mine: Option<Self>, ranks: &dyn Ranks) -> Result<Option<Self>> {
        let dropped = mine.is_none();
        let mine = mine.unwrap_or_default();
        let count = mine.r.len();
        // columns may be empty where a chain blew up; f64 holds every step
        let column = |values: Vec<f64>| values.into_iter().chain(std::iter::repeat(f64::NAN)).take(count);
        let [sums, squares] = mine.pixels;
        let columns = [mine.f_data, mine.f_sample, mine.r, sums, squares];
        let first = if dropped { DROPPED } else { mine.bad_step.map_or(f64::INFINITY, |step| step as f64) };
        let mine: Vec<f64> = std::iter::once(first).chain(columns.into_iter().flat_map(column)).collect();
        let mut bad_step = f64::INFINITY;
        let mut all: [Vec<f64>; 5] = Default::default();
        for (rank, numbers) in ranks.gather_numbers(&mine)?.into_iter().enumerate() {
            let Some((step, columns)) = numbers.split_first().filter(|(_, rest)| rest.len().is_multiple_of(all.len()))
            else {
                return Err(RanksError::Talk { rank, reason: Reason::Unreadable }.into());
            };
            bad_step = bad_step.min(*step);
            let count = columns.len() / all.len();
            for (i, column) in all.iter_mut().enumerate() {
                column.extend(&columns[i * count..(i + 1) * count]);
            }
        }
        if bad_step == DROPPED {
            return Ok(None);
        }
        let [f_data, f_sample, r, sums, squares] = all;
        let bad_step = bad_step.is_finite().then_some(bad_step as usize);
        Ok(Some(Self { bad_step, f_data, f_sample, r, pixels: [sums, squares] }))
    }

    /// The numbers per image, as a sink takes them.
    pub(crate) fn per_image(&self) -> PerImage {
        let single = |values: &[f64]| values.iter().map(|&value| value as f32).collect();
        PerImage { f_data: single(&self.f_data), f_sample: single(&self.f_sample), chain_grad_norm: single(&self.r) }
    }

    /// Standard deviation of all pixels of the samples; `image` pixels each.
    pub(crate) fn pixel_std(&self, image: usize) -> f64 {
        let count = (self.r.len() * image) as f64;
        let [mean, square] = self.pixels.each_ref().map(|sums| sums.iter().sum::<f64>() / count);
        (square - mean * mean).max(0.0).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use srm_ranks::threads;

    fn gathered(numbers: &[f64]) -> Result<Option<Measured>> {
        let ranks = threads(2);
        let sent: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        ranks[1].send(0, &sent)?;
        let one = || vec![1.0];
        let mine = Measured { bad_step: None, f_data: one(), f_sample: one(), r: one(), pixels: [one(), one()] };
        Measured::gathered(Some(mine), &ranks[0])
    }

    #[test]
    fn numbers_of_another_rank_that_are_no_columns_are_refused() {
        let all = gathered(&[4.0, 2.0, 3.0, 5.0, 6.0, 7.0]).unwrap().unwrap();
        assert_eq!((all.bad_step, all.r, all.pixels), (Some(4), vec![1.0, 5.0], [vec![1.0, 6.0], vec![1.0, 7.0]]));
        assert!(gathered(&[DROPPED]).unwrap().is_none(), "one rank has dropped its part of the update");
        for numbers in [&[][..], &[4.0, 2.0], &[4.0, 2.0, 3.0, 5.0, 6.0, 7.0, 8.0]] {
            let error = gathered(numbers).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains("a message of another rank cannot be read"), "{error}");
        }
    }
}
