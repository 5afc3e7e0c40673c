//! Carry the numbers of one update to whoever wants them.

use crate::{Result, Trainer};
use serde::{Deserialize, Serialize};

/// The numbers of one logged update: one line of `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Update t, from 1.
    pub update: u64,
    /// Mean f(x⁺) over the noisy data batch.
    pub f_data: f64,
    /// Mean f(x⁻) over the samples.
    pub f_sample: f64,
    /// d = `f_data − f_sample`; healthy when it oscillates about 0 ("Anatomy", AAAI 2020).
    pub gap: f64,
    /// r: mean over chains and steps of ‖f'(x)‖₂ per image.
    pub chain_grad_norm: f64,
    /// ‖∇θ(f_data − f_sample)‖₂ over all weights.
    pub theta_grad_norm: f64,
    /// Standard deviation of all pixels of the samples; the data's is about 0.5.
    pub sample_std: f64,
    /// ADAM's rate at this update.
    pub lr: f64,
    /// σ at this update.
    pub data_noise: f64,
    /// Wall-clock seconds since this process began to train.
    pub seconds: f64,
    /// Data images used so far.
    pub images_seen: u64,
}

/// Receives what happens in a run. Every method defaults to nothing.
pub trait Sink {
    /// A logged update.
    ///
    /// # Errors
    /// What the sink meets; it ends the run.
    fn record(&mut self, record: &StepRecord) -> Result<()> {
        let _ = record;
        Ok(())
    }

    /// Every update, logged or not: how far the run is.
    fn progress(&mut self, update: u64, updates: u64) {
        let _ = (update, updates);
    }

    /// Sample grid time: the images that `srm sample` gives with the grid's seed, u8 `[n, h, w, c]`.
    ///
    /// # Errors
    /// As for [`Sink::record`].
    fn samples(&mut self, update: u64, images: &ndarray::Array4<u8>) -> Result<()> {
        let _ = (update, images);
        Ok(())
    }

    /// Checkpoint time.
    ///
    /// # Errors
    /// As for [`Sink::record`].
    fn checkpoint(&mut self, trainer: &Trainer) -> Result<()> {
        let _ = trainer;
        Ok(())
    }
}
