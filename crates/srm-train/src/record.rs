//! Name the numbers and events of a run.

use crate::Reason;
use serde::{Deserialize, Serialize};
use tch::Tensor;

/// The numbers of one logged update: one line of `metrics.jsonl`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
    /// ‖∇θ(f_data − f_sample)‖₂ over all weights, before any clip.
    pub theta_grad_norm: f64,
    /// Standard deviation of all pixels of the samples; the data's is about 0.5.
    pub sample_std: f64,
    /// ADAM's rate at this update.
    pub lr: f64,
    /// σ at this update.
    pub data_noise: f64,
    /// Wall-clock seconds of training so far, of all processes of the run.
    pub seconds: f64,
    /// Data images used so far.
    pub images_seen: u64,
    /// Rollbacks before this update: after one, updates count on from where it went.
    pub attempt: u32,
}

/// The numbers behind a record's means, one an image.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Details {
    /// f(x⁺).
    pub f_data: Vec<f32>,
    /// f(x⁻).
    pub f_sample: Vec<f32>,
    /// r of each chain.
    pub chain_grad_norm: Vec<f32>,
}

/// An update that was refused; the weights are those of the update before.
#[derive(Debug)]
pub struct Trouble {
    /// The update.
    pub update: u64,
    /// Which attempt it belonged to.
    pub attempt: u32,
    /// Why.
    pub reason: Reason,
    /// Its numbers, where they are finite.
    pub record: Option<StepRecord>,
    /// Its samples, `[n, …]`, at most as many as a grid has; not finite everywhere where chains blew up.
    pub samples: Tensor,
}

/// A return to an earlier state after trouble.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rollback {
    /// The update that was refused.
    pub update: u64,
    /// The update whose state holds again; 0: the fresh net.
    pub to: u64,
    /// Why, in words.
    pub reason: String,
    /// The random stream from here on, which counts the rollbacks.
    pub attempt: u32,
    /// Factor on the learning rate from here on.
    pub rate_factor: f64,
    /// Added to the data noise from here on.
    pub extra_noise: f64,
}
