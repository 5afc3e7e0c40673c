//! Hold what an update has found of each image, and bring together what all ranks have.

use crate::{PerImage, Result};
use srm_ranks::{Ranks, RanksError, Reason};
use srm_run::GridRecord;

/// What a rank says in place of a step where it has dropped its part of the update: earlier than any step.
const DROPPED: f64 = -1.0;

/// What is known of the images of a batch.
#[derive(Default)]
pub(crate) struct Measured {
    /// The earliest Langevin step at which a chain was no longer finite.
    pub(crate) bad_step: Option<usize>,
    /// What is known on each grid, coarse to fine.
    pub(crate) grids: Vec<Columns>,
}

/// What is known of each image on one grid.
#[derive(Clone, Default)]
pub(crate) struct Columns {
    /// f(x⁺).
    pub(crate) f_data: Vec<f64>,
    /// f(x⁻).
    pub(crate) f_sample: Vec<f64>,
    /// r of the chain.
    pub(crate) r: Vec<f64>,
    /// Sum and sum of squares of the sample's pixels.
    pub(crate) pixels: [Vec<f64>; 2],
}

/// The columns of a grid.
const COLUMNS: usize = 5;

impl Measured {
    /// That of all ranks on so many grids, in the ranks' order; `None` where any rank has dropped its part of the update and gives
    /// `None`.
    pub(crate) fn gathered(mine: Option<Self>, grids: usize, ranks: &dyn Ranks) -> Result<Option<Self>> {
        let dropped = mine.is_none();
        let mine = mine.unwrap_or_default();
        let first = if dropped { DROPPED } else { mine.bad_step.map_or(f64::INFINITY, |step| step as f64) };
        let columns = mine.grids.into_iter().flat_map(Columns::numbers);
        let mine: Vec<f64> = std::iter::once(first).chain(columns).collect();
        let mut bad_step = f64::INFINITY;
        let mut all = vec![<[Vec<f64>; COLUMNS]>::default(); grids];
        for (rank, numbers) in ranks.gather_numbers(&mine)?.into_iter().enumerate() {
            let whole = |rest: &[f64]| rest.len().is_multiple_of(COLUMNS * grids);
            let Some((step, columns)) = numbers.split_first().filter(|(_, rest)| whole(rest)) else {
                return Err(RanksError::Talk { rank, reason: Reason::Unreadable }.into());
            };
            bad_step = bad_step.min(*step);
            let count = columns.len() / (COLUMNS * grids);
            for (i, column) in all.iter_mut().flatten().enumerate() {
                column.extend(&columns[i * count..(i + 1) * count]);
            }
        }
        if bad_step == DROPPED {
            return Ok(None);
        }
        let named = |[f_data, f_sample, r, sums, squares]: [Vec<f64>; COLUMNS]| Columns {
            f_data,
            f_sample,
            r,
            pixels: [sums, squares],
        };
        let bad_step = bad_step.is_finite().then_some(bad_step as usize);
        Ok(Some(Self { bad_step, grids: all.into_iter().map(named).collect() }))
    }

    /// The numbers per image on the finest grid, as a sink takes them.
    pub(crate) fn per_image(&self) -> PerImage {
        let single = |values: &[f64]| values.iter().map(|&value| value as f32).collect();
        let finest = self.grids.last().cloned().unwrap_or_default();
        PerImage {
            f_data: single(&finest.f_data),
            f_sample: single(&finest.f_sample),
            chain_grad_norm: single(&finest.r),
        }
    }
}

impl Columns {
    /// One after the other, all as long as r: they may be empty where a chain blew up. f64 holds every step.
    fn numbers(self) -> impl Iterator<Item = f64> {
        let count = self.r.len();
        let [sums, squares] = self.pixels;
        let columns = [self.f_data, self.f_sample, self.r, sums, squares];
        columns.into_iter().flat_map(move |column| column.into_iter().chain(std::iter::repeat(f64::NAN)).take(count))
    }

    /// The means of an update on a grid whose images are `size` wide and have so many pixels; f and r by their number of places.
    pub(crate) fn record(&self, size: u64, pixels: usize, places: f64) -> GridRecord {
        let [f_data, f_sample, chain_grad_norm] = [&self.f_data, &self.f_sample, &self.r].map(|all| mean(all) / places);
        let sample_std = self.pixel_std(pixels);
        GridRecord { size, f_data, f_sample, gap: f_data - f_sample, chain_grad_norm, sample_std }
    }

    /// Standard deviation of all pixels of the samples; `image` pixels each.
    fn pixel_std(&self, image: usize) -> f64 {
        let count = (self.r.len() * image) as f64;
        let [mean, square] = self.pixels.each_ref().map(|sums| sums.iter().sum::<f64>() / count);
        (square - mean * mean).max(0.0).sqrt()
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
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
        let mine = Columns { f_data: one(), f_sample: one(), r: one(), pixels: [one(), one()] };
        Measured::gathered(Some(Measured { bad_step: None, grids: vec![mine] }), 1, &ranks[0])
    }

    #[test]
    fn numbers_of_another_rank_that_are_no_columns_are_refused() {
        let all = gathered(&[4.0, 2.0, 3.0, 5.0, 6.0, 7.0]).unwrap().unwrap();
        let [ref grid] = all.grids[..] else { panic!("one grid") };
        assert_eq!((all.bad_step, &grid.r[..]), (Some(4), &[1.0, 5.0][..]));
        assert_eq!(grid.pixels, [vec![1.0, 6.0], vec![1.0, 7.0]]);
        assert!(gathered(&[DROPPED]).unwrap().is_none(), "one rank has dropped its part of the update");
        for numbers in [&[][..], &[4.0, 2.0], &[4.0, 2.0, 3.0, 5.0, 6.0, 7.0, 8.0]] {
            let error = gathered(numbers).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains("a message of another rank cannot be read"), "{error}");
        }
    }
}
