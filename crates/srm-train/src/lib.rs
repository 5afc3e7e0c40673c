//! Learn f by Algorithm 1: draw data, run short chains, ascend mean f(x⁺) − mean f(x⁻) with ADAM.
//!
//! - [`Trainer`] holds the net, its optimiser and the sampler; [`Trainer::update`] is one update of Algorithm 1 and fits on
//!   a screen; [`Trainer::run`] repeats it and tells a [`Sink`] what happened.
//! - [`Adam`] keeps its moments where they can be saved.
//! - [`RunFolder`] is the sink on disk: `config.json`, `metrics.jsonl`, `samples/`, `checkpoints/`.
//! - [`StepRecord`] is the one form in which numbers travel.
//!
//! A chain or a gradient that is not finite ends the run as [`End::Diverged`]: data, not an error.

#![deny(missing_docs)]

mod adam;
mod error;
mod record;
mod run_folder;
mod trainer;

pub use adam::Adam;
pub use error::TrainError;
pub use record::{Sink, StepRecord};
pub use run_folder::RunFolder;
pub use trainer::{End, GRID_COUNT, GRID_SEED, Trainer, TrainerOptions, to_bytes};

/// The result of everything here.
pub type Result<T> = std::result::Result<T, TrainError>;

#[cfg(test)]
mod tests;
