//! Name the numbers and events of a run.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The numbers of one logged update: one line of `metrics.jsonl`. Of a line that is read, update, gap and r must be
/// there; other numbers that it lacks are NaN.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Update t, from 1.
    pub update: u64,
    /// Mean f(x⁺) over the noisy data batch.
    #[serde(default = "unknown")]
    pub f_data: f64,
    /// Mean f(x⁻) over the samples.
    #[serde(default = "unknown")]
    pub f_sample: f64,
    /// d = `f_data − f_sample`; healthy when it oscillates about 0 ("Anatomy", AAAI 2020).
    pub gap: f64,
    /// r: mean over chains and steps of ‖f'(x)‖₂ per image.
    pub chain_grad_norm: f64,
    /// ‖∇θ(f_data − f_sample)‖₂ over all weights, before any clip.
    #[serde(default = "unknown")]
    pub theta_grad_norm: f64,
    /// Standard deviation of all pixels of the samples; the data's is about 0.5.
    #[serde(default = "unknown")]
    pub sample_std: f64,
    /// ADAM's rate at this update.
    #[serde(default = "unknown")]
    pub lr: f64,
    /// σ at this update.
    #[serde(default = "unknown")]
    pub data_noise: f64,
    /// Wall-clock seconds of training so far, of all processes of the run.
    #[serde(default = "unknown")]
    pub seconds: f64,
    /// Data images used so far.
    #[serde(default)]
    pub images_seen: u64,
    /// Rollbacks before this update: after one, updates count on from where it went.
    pub attempt: u32,
}

fn unknown() -> f64 {
    f64::NAN
}

/// The numbers behind a record's means, one per image.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PerImage {
    /// f(x⁺).
    pub f_data: Vec<f32>,
    /// f(x⁻).
    pub f_sample: Vec<f32>,
    /// r of each chain.
    pub chain_grad_norm: Vec<f32>,
}

/// A return to an earlier state after trouble: a line of `metrics.jsonl`, and one of `history.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rollback {
    /// The update that was refused.
    #[serde(default)]
    pub update: u64,
    /// The update whose state holds again; 0: the fresh net.
    pub to: u64,
    /// Why, in words.
    #[serde(default)]
    pub reason: String,
    /// The random stream from here on, which counts the rollbacks.
    pub attempt: u32,
    /// Factor on the learning rate from here on.
    #[serde(default = "unknown")]
    pub rate_factor: f64,
    /// Added to the data noise from here on.
    #[serde(default = "unknown")]
    pub extra_noise: f64,
}

impl Rollback {
    /// Whether it took back what was logged of an update in that attempt: the run as it is now does not come from it.
    pub fn takes_back(&self, update: u64, attempt: u32) -> bool {
        self.attempt > attempt && update > self.to
    }
}

/// A score in the history of a run: one line of `scores.jsonl`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ScoreRecord {
    /// The update whose weights were scored.
    pub update: u64,
    /// What was measured.
    pub name: String,
    /// Lower is better; null where the chains blew up.
    pub score: Option<f64>,
    /// What stands beside it.
    #[serde(flatten)]
    pub details: BTreeMap<String, f64>,
    /// Samples it was made from.
    #[serde(default)]
    pub count: usize,
    /// Whether the averaged weights were scored.
    #[serde(default)]
    pub averaged: bool,
    /// Whether no score before was as good.
    #[serde(default)]
    pub best: bool,
    /// Wall-clock seconds that scoring took.
    #[serde(default = "unknown")]
    pub seconds: f64,
    /// Rollbacks before this update.
    #[serde(default)]
    pub attempt: u32,
}

/// The best score of a run so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// The update whose weights had it.
    pub update: u64,
    /// What was measured.
    pub name: String,
    /// Its value.
    pub score: f64,
}
