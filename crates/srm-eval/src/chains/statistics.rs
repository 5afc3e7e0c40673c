//! Turn the logs of blocks of chains into numbers for people: step by step, over all chains that are still finite.

use crate::Result;
use crate::chains::{ChainLog, log::NUMBERS};
use serde::Serialize;
use tch::{Device, Kind, Tensor};

/// What chains are like at one step: over those that are finite there, NaN where none is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct StepStatistics {
    /// Updates made before; 0 is the start z.
    pub step: usize,
    /// Chains that are finite.
    pub chains: usize,
    /// Mean of f.
    pub f: f64,
    /// Std of f over the chains (1/n).
    pub f_std: f64,
    /// Mean of ‖f'‖₂ per image, as the net gives it, before any clip.
    pub gradient_norm: f64,
    /// Std of all pixels, as `sample_std` of `metrics.jsonl`.
    pub std: f64,
    /// Largest |x| of a pixel; data lie in [-1, 1].
    pub largest: f64,
    /// Mean over the chains of the rms distance of a pixel from z.
    pub distance: f64,
    /// Share of the proposals accepted since the step before in this list; NaN where none was made. Plain chains accept none.
    pub acceptance: f64,
}

/// Numbers of every chain at the steps of a plan.
#[derive(Clone, Debug)]
pub struct ChainTable {
    steps: Vec<usize>,
    chains: usize,
    /// `[steps, chains, 7]`
    values: Vec<f32>,
    finite_steps: Vec<i64>,
    largest: Vec<f32>,
    accepted: Vec<f64>,
    seen: usize,
}

impl ChainTable {
    /// Put the blocks' logs side by side and cut the last block's padding: `chains` stay.
    ///
    /// # Errors
    /// [`crate::EvalError::Torch`].
    pub fn new(logs: &[&ChainLog], chains: usize) -> Result<Self> {
        let side_by_side = |of: &dyn Fn(&ChainLog) -> Tensor| -> Result<Tensor> {
            let parts: Vec<Tensor> = logs.iter().map(|log| of(log)).collect();
            Ok(Tensor::f_cat(&parts, 0)?.f_narrow(0, 0, chains as i64)?.f_to_device(Device::Cpu)?)
        };
        let steps: Vec<usize> =
            logs.first().map_or(Vec::new(), |log| log.numbers.iter().map(|(step, _)| *step).collect());
        let mut values = Vec::with_capacity(steps.len() * chains * NUMBERS as usize);
        for i in 0..steps.len() {
            values.extend(Vec::<f32>::try_from(side_by_side(&|log| log.numbers[i].1.shallow_clone())?.f_view([-1])?)?);
        }
        Ok(Self {
            steps,
            chains,
            values,
            finite_steps: Vec::try_from(side_by_side(&|log| log.finite_steps.shallow_clone())?)?,
            largest: Vec::try_from(side_by_side(&|log| log.largest.shallow_clone())?)?,
            accepted: Vec::try_from(side_by_side(&|log| log.accepted.shallow_clone())?.f_to_kind(Kind::Double)?)?,
            seen: logs.first().map_or(0, |log| log.steps),
        })
    }

    /// Statistics at each step of the plan.
    pub fn statistics(&self) -> Vec<StepStatistics> {
        let mut before: Option<(usize, f64)> = None;
        let steps = self.steps.iter().enumerate().map(|(i, &step)| {
            let finite: Vec<[f64; NUMBERS as usize]> =
                (0..self.chains).filter(|&chain| self.is_finite(i, chain)).map(|chain| self.row(i, chain)).collect();
            let mean = |of: &dyn Fn(&[f64; NUMBERS as usize]) -> f64| {
                finite.iter().map(of).sum::<f64>() / finite.len() as f64 // NaN for none
            };
            let (f, pixel) = (mean(&|row| row[0]), mean(&|row| row[2]));
            let accepted = mean(&|row| row[6]);
            let acceptance = before.map_or(f64::NAN, |(last, then)| (accepted - then) / (step - last) as f64);
            before = Some((step, accepted));
            StepStatistics {
                step,
                chains: finite.len(),
                f,
                f_std: mean(&|row| (row[0] - f).powi(2)).sqrt(),
                gradient_norm: mean(&|row| row[1]),
                std: mean(&|row| row[3].powi(2) + (row[2] - pixel).powi(2)).sqrt(),
                largest: finite.iter().map(|row| row[4]).fold(f64::NAN, f64::max),
                distance: mean(&|row| row[5]),
                acceptance,
            }
        });
        steps.collect()
    }

    /// The largest |x| that a pixel of any chain had at any step while the chain was finite.
    pub fn largest(&self) -> f64 {
        self.largest.iter().copied().map(f64::from).fold(0.0, f64::max)
    }

    /// The share of all proposals that were accepted; NaN before the first.
    pub fn acceptance(&self) -> f64 {
        self.accepted.iter().sum::<f64>() / (self.seen * self.chains) as f64
    }

    /// Chains whose numbers were no longer finite, and the step at which.
    pub fn blown_up(&self) -> Vec<(usize, usize)> {
        let when = |chain: usize| {
            let finite_steps = usize::try_from(self.finite_steps[chain]).unwrap_or(0);
            let last = self.steps.len().checked_sub(1).filter(|&last| self.steps[last] == self.seen);
            match last {
                _ if finite_steps < self.seen => Some(finite_steps),
                // the last state is seen by the plan alone
                Some(last) if !self.is_finite(last, chain) => Some(self.seen),
                _ => None,
            }
        };
        (0..self.chains).filter_map(|chain| Some((chain, when(chain)?))).collect()
    }

    fn row(&self, i: usize, chain: usize) -> [f64; NUMBERS as usize] {
        let first = (i * self.chains + chain) * NUMBERS as usize;
        std::array::from_fn(|number| f64::from(self.values[first + number]))
    }

    fn is_finite(&self, i: usize, chain: usize) -> bool {
        let row = self.row(i, chain);
        self.finite_steps[chain] >= self.steps[i].min(self.seen) as i64 && row[0].is_finite() && row[4].is_finite()
    }
}
