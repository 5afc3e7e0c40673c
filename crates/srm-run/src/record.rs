//! Name the numbers and events of a run.

use crate::Environment;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use srm_config::Change;
use std::collections::BTreeMap;

/// The numbers of one logged update: one line of `metrics.jsonl`. Of a line that is read, update, gap and r must be
/// there; other numbers that it lacks are NaN. A number that JSON cannot say is null there, and NaN again when it is read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Update t, from 1.
    pub update: u64,
    /// Mean f(x⁺) over the noisy data batch.
    #[serde(default = "unknown", deserialize_with = "number")]
    pub f_data: f64,
    /// Mean f(x⁻) over the samples.
    #[serde(default = "unknown", deserialize_with = "number")]
    pub f_sample: f64,
    /// d = `f_data − f_sample`; healthy when it oscillates about 0 ("Anatomy", AAAI 2020).
    #[serde(deserialize_with = "number")]
    pub gap: f64,
    /// r: mean over chains and steps of ‖f'(x)‖₂ per image.
    #[serde(deserialize_with = "number")]
    pub chain_grad_norm: f64,
    /// ‖∇θ(f_data − f_sample)‖₂ over all weights, before any clip.
    #[serde(default = "unknown", deserialize_with = "number")]
    pub theta_grad_norm: f64,
    /// Standard deviation of all pixels of the samples; the data's is about 0.5.
    #[serde(default = "unknown", deserialize_with = "number")]
    pub sample_std: f64,
    /// ADAM's rate at this update.
    #[serde(default = "unknown", deserialize_with = "number")]
    pub lr: f64,
    /// σ at this update.
    #[serde(default = "unknown", deserialize_with = "number")]
    pub data_noise: f64,
    /// Wall-clock seconds of training so far, of all processes of the run.
    #[serde(default = "unknown", deserialize_with = "number")]
    pub seconds: f64,
    /// Data images used so far.
    #[serde(default, deserialize_with = "or_default")]
    pub images_seen: u64,
    /// Rollbacks before this update: after one, updates count on from where it went.
    pub attempt: u32,
    /// Of a ladder the width in pixels of the grid that f, gap, r and spread above are of: the finest that has joined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Of a ladder the numbers of its coarser grids, coarse to fine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grids: Vec<GridRecord>,
}

impl StepRecord {
    /// The numbers of a ladder's grid of so many pixels, where it had joined.
    pub fn on_grid(&self, size: u64) -> Option<GridRecord> {
        if self.size != Some(size) {
            return self.grids.iter().find(|grid| grid.size == size).cloned();
        }
        Some(GridRecord {
            size,
            f_data: self.f_data,
            f_sample: self.f_sample,
            gap: self.gap,
            chain_grad_norm: self.chain_grad_norm,
            sample_std: self.sample_std,
        })
    }
}

/// The numbers of one update on one grid of a ladder, as in [`StepRecord`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GridRecord {
    /// Width of the grid's images in pixels.
    pub size: u64,
    /// Mean f(x⁺) over the noisy data batch, averaged down to the grid.
    #[serde(default = "unknown", deserialize_with = "number")]
    pub f_data: f64,
    /// Mean f(x⁻) over the chains at the end of the grid.
    #[serde(default = "unknown", deserialize_with = "number")]
    pub f_sample: f64,
    /// `f_data − f_sample`.
    #[serde(default = "unknown", deserialize_with = "number")]
    pub gap: f64,
    /// r over the grid's steps.
    #[serde(default = "unknown", deserialize_with = "number")]
    pub chain_grad_norm: f64,
    /// Standard deviation of all pixels at the end of the grid.
    #[serde(default = "unknown", deserialize_with = "number")]
    pub sample_std: f64,
}

fn unknown() -> f64 {
    f64::NAN
}

/// A number; null as NaN, which is written like that.
fn number<'de, D: Deserializer<'de>>(value: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(value)?.unwrap_or(f64::NAN))
}

/// A value; null as one that is not there.
fn or_default<'de, T: Deserialize<'de> + Default, D: Deserializer<'de>>(value: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(value)?.unwrap_or_default())
}

/// Those of some records that have the form of today.
fn readable<'de, D: Deserializer<'de>>(value: D) -> Result<Vec<StepRecord>, D::Error> {
    let all = Option::<Vec<Value>>::deserialize(value)?.unwrap_or_default();
    Ok(all.into_iter().filter_map(|record| serde_json::from_value(record).ok()).collect())
}

/// Those of some numbers that are not null.
fn known<'de, D: Deserializer<'de>>(value: D) -> Result<BTreeMap<String, f64>, D::Error> {
    let all = BTreeMap::<String, Option<f64>>::deserialize(value)?;
    Ok(all.into_iter().filter_map(|(name, number)| Some((name, number?))).collect())
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
    #[serde(default, deserialize_with = "or_default")]
    pub update: u64,
    /// The update whose state holds again; 0: the fresh net.
    pub to: u64,
    /// Why, in words.
    #[serde(default, deserialize_with = "or_default")]
    pub reason: String,
    /// The random stream from here on, which counts the rollbacks.
    pub attempt: u32,
    /// Factor on the learning rate from here on.
    #[serde(default = "unknown", deserialize_with = "number")]
    pub rate_factor: f64,
    /// Added to the data noise from here on.
    #[serde(default = "unknown", deserialize_with = "number")]
    pub extra_noise: f64,
}

impl Rollback {
    /// Whether it took back what was logged of an update in that attempt: the run as it is now does not come from it.
    pub fn takes_back(&self, update: u64, attempt: u32) -> bool {
        self.attempt > attempt && update > self.to
    }
}

/// A line of `history.jsonl`: a start, a resume, a rollback or an end.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The last update before it; of a rollback the one that was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update: Option<u64>,
    /// The rollback, of which all stands in the line, the update too.
    #[serde(flatten, skip_deserializing)]
    pub rollback: Option<Rollback>,
    /// Settings that a resume changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes: Option<Vec<Change>>,
    /// What else was different at a resume, a line each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub differences: Option<Vec<String>>,
    /// What a start or a resume computes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<Environment>,
    /// `start`, `resume`, `rollback`, `finished`, `interrupted`, `diverged`.
    pub event: String,
    /// When, in seconds since 1970.
    pub time: Option<u64>,
}

/// What was seen at a refused update: a JSON file in `divergence`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The update.
    pub update: u64,
    /// Rollbacks before it.
    pub attempt: u32,
    /// Why it was refused, with its numbers.
    #[serde(default)]
    pub reason: Value,
    /// The same in words.
    pub text: String,
    /// Its numbers; `None` where they were not finite.
    pub refused: Option<StepRecord>,
    /// The last logged updates before it; those of another form are left out.
    #[serde(default, deserialize_with = "readable")]
    pub last: Vec<StepRecord>,
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
    #[serde(flatten, deserialize_with = "known")]
    pub details: BTreeMap<String, f64>,
    /// Samples it was made from.
    #[serde(default, deserialize_with = "or_default")]
    pub count: usize,
    /// Whether the averaged weights were scored.
    #[serde(default, deserialize_with = "or_default")]
    pub averaged: bool,
    /// Whether no score before was as good.
    #[serde(default, deserialize_with = "or_default")]
    pub best: bool,
    /// Wall-clock seconds that scoring took.
    #[serde(default = "unknown", deserialize_with = "number")]
    pub seconds: f64,
    /// Rollbacks before this update.
    #[serde(default, deserialize_with = "or_default")]
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
