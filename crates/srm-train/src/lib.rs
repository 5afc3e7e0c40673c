//! Learn f by Algorithm 1: draw data, run short chains, ascend mean f(x⁺) − mean f(x⁻) with ADAM.
//!
//! - [`Trainer`] holds the net and everything else that the next update reads; [`Trainer::update`] is one update of
//!   Algorithm 1 and fits on a screen; [`Trainer::run`] repeats it and tells a [`Sink`] what happened.
//! - [`Watch`] compares a run's numbers with their own past. An update that leaves them is data, not an error
//!   ([`Trouble`]): the run returns to its last good checkpoint, or ends as [`End::Diverged`].
//! - [`Adam`] keeps its moments where they can be saved. [`Ema`], [`Spectral`] and [`Bank`] are off by default.
//! - [`RunFolder`] is the sink on disk, with checkpoints from which a run goes on bit for bit.
//! - [`Evaluation`] scores the weights every so many updates; the best are kept.
//! - [`Team`] shares one run among processes, with the same bits for any number of them.
//! - [`StepRecord`] is the one form in which numbers travel.

#![deny(missing_docs)]

mod adam;
mod bank;
mod checkpoint;
mod ema;
mod environment;
mod error;
mod evaluation;
mod events;
mod exchange;
mod lock;
mod log_file;
mod record;
mod resident;
mod run;
mod run_folder;
mod spectral;
mod state;
mod team;
mod tensor_file;
mod trainer;
mod tree;
mod update;
mod watch;

pub use adam::Adam;
pub use bank::Bank;
pub use ema::Ema;
pub use environment::Environment;
pub use error::TrainError;
pub use evaluation::{Best, Evaluation, Score, ScoreRecord};
pub use exchange::{all_rows, receive_tensor, send_tensor};
pub use lock::Lock;
pub use record::{Details, Occasion, Rollback, Sink, StepRecord, Trouble};
pub use run::End;
pub use run_folder::{Found, RunFolder};
pub use spectral::Spectral;
pub use state::{Due, Saved, State};
pub use team::{Alone, Team, gather_images, gather_numbers, part, rows};
pub use trainer::{GRID_COUNT, GRID_SEED, Trainer, TrainerOptions, to_bytes};
pub use update::Step;
pub use watch::{Reason, Watch};

pub(crate) use ema::restore;

/// Tensors with their names.
pub type Named = Vec<(String, tch::Tensor)>;

/// The result of everything here.
pub type Result<T> = std::result::Result<T, TrainError>;

#[cfg(test)]
mod tests;
