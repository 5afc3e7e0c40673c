//! Write the folder of a run and read it back: layout, logs, checkpoints' files and which of them stay, lock,
//! TensorBoard. No libtorch: what a tensor is, only whoever writes or reads a checkpoint's tensors knows.
//!
//! - [`layout`] names every file.
//! - [`Run`] reads a folder, whoever writes it at the moment: settings, [`Metrics`], scores, history, checkpoints.
//!   [`Metrics`] knows what rollbacks took back.
//! - [`RunWriter`] writes one under a [`Lock`]; [`Resumable`] is what it finds there to go on from, and [`About`] is
//!   what it is told of the run: a config, or whatever another program says of its own.
//! - [`Checkpoint`] is the folder of one state: whole, damaged, or not there. [`RunState`] is what of it is no tensor.
//!
//! ```
//! use srm_run::{About, DataFile, Description, PerImage, Environment, Lock, Run, RunError, RunWriter, StepRecord};
//!
//! let folder = std::env::temp_dir().join(format!("srm-run-{}", std::process::id()));
//! let about = About {
//!     description: Description::Own {
//!         said: serde_json::json!({ "what": "an example" }),
//!         settings: serde_json::json!({ "train": { "batch": 16 } }),
//!     },
//!     log: srm_config::LogConfig { tensorboard: false, ..Default::default() },
//!     checkpoint: Default::default(),
//!     scored: false,
//!     environment: Environment::default(),
//!     data: DataFile::default(),
//! };
//! let mut writer = RunWriter::create(Lock::take(&folder)?, about)?;
//! writer.record(&StepRecord { update: 1, gap: 0.5, ..StepRecord::default() }, &PerImage::default())?;
//! writer.end("finished", 1)?;
//!
//! let run = Run::open(&folder)?;
//! let metrics = run.metrics()?.expect("an update was logged");
//! assert_eq!(metrics.kept().map(|step| step.gap).collect::<Vec<_>>(), [0.5]);
//! assert!(run.newest()?.is_none(), "no checkpoint was written");
//! # drop(writer);
//! # std::fs::remove_dir_all(&folder).map_err(RunError::io(&folder))?;
//! # Ok::<(), RunError>(())
//! ```
//!
#![doc = include_str!("../docs/runs-that-survive.md")]
#![deny(missing_docs)]

mod about;
mod checkpoint;
mod environment;
mod error;
mod events;
mod keep;
pub mod layout;
mod lock;
mod log;
mod log_file;
mod record;
mod run;
mod state;
mod writer;

pub use about::{About, Description, Resumable};
pub use checkpoint::{Checkpoint, Damaged, DataFile, StateFile, checkpoints, newest, newest_weights, put_in_place};
pub use environment::Environment;
pub use error::RunError;
pub use lock::Lock;
pub use log::{Fault, Log, Metrics};
pub use record::{Best, Event, Evidence, GridRecord, PerImage, Rollback, ScoreRecord, StepRecord};
pub use run::{Run, json};
pub use state::{Due, RunState, WatchStatistics};
pub use writer::{Kept, RunWriter, clear, is_run, is_used};

/// The result of everything here.
pub type Result<T> = std::result::Result<T, RunError>;

#[cfg(test)]
mod tests;
