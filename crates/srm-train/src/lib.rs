//! Learn f by Algorithm 1: draw data, run short chains, ascend mean f(x⁺) − mean f(x⁻) with ADAM.
//!
//! - [`Trainer`] is handed its net, anything [`srm_energy::Trainable`], and its [`Data`], images or any array; [`Trainer::update`]
//!   is one update of Algorithm 1 and fits on a screen; [`Trainer::run`] repeats it, tells a [`Sink`] what happened, and lets a
//!   [`Store`] keep states and give them back.
//! - [`Watch`] compares a run's numbers with their own past. An update that leaves them is data, not an error
//!   ([`Trouble`]): the run returns to its last good checkpoint, or ends as [`End::Diverged`].
//! - [`Adam`] keeps its moments where they can be saved. [`Ema`], [`SpectralNorm`] and [`ReplayBuffer`] are off by default.
//! - [`RunFolder`] is sink and store on disk, from which a run of any net goes on bit for bit; [`MemoryStore`] keeps
//!   states in memory. What a folder holds besides tensors is [`srm_run`]'s.
//! - [`Evaluation`] scores the weights every so many updates; the best are kept.
//! - [`Trainer::set_ranks`] shares one run among processes ([`srm_ranks`]), with the same bits for any number of them.
//! - [`srm_run::StepRecord`] is the one form in which numbers travel.
//!
//! ```
//! use srm_energy::{Autograd, fresh_weights};
//! use srm_langevin::{Dynamics, Kernel, Spread, Start, Stop};
//! use srm_train::{Data, End, MemoryStore, Settings, Trainer};
//! use tch::{Device, Kind, Tensor};
//!
//! // f over the plane, learned from points of a line
//! let line = Tensor::linspace(-1.0, 1.0, 100, (Kind::Float, Device::Cpu));
//! let points = Tensor::stack(&[line.shallow_clone(), &line * 0.5], 1);
//! let net = Autograd::new(fresh_weights(1, &[("a", &[16, 2]), ("b", &[1, 16])])?, |w, x| {
//!     let h = x.linear(&w["a.weight"], Some(&w["a.bias"])).silu();
//!     h.linear(&w["b.weight"], Some(&w["b.bias"]))
//! })?;
//! let dynamics = Dynamics::new(Kernel::eq4(0.01), 10, Start::Uniform);
//! let settings = Settings::new(dynamics, 5, 16, 1e-3);
//! let mut trainer = Trainer::new(net, points, settings, Spread { threads: 2, block: 8 })?;
//! let mut store = MemoryStore::default();
//! assert_eq!(trainer.run(&mut store, &mut (), &Stop::default())?, End::Finished);
//! assert_eq!(store.last().map(|snapshot| snapshot.state.update), Some(5));
//! # Ok::<(), srm_train::TrainError>(())
//! ```
//!
//! What survives a crash is said on the page of [`srm_run`], what several processes share on that of [`srm_ranks`].

#![deny(missing_docs)]

mod adam;
mod bytes;
mod ema;
mod error;
mod evaluation;
mod feed;
mod from_config;
mod growth;
mod measured;
mod ranks;
mod replay_buffer;
mod run;
mod run_folder;
mod settings;
mod sink;
mod snapshot_file;
mod spectral_norm;
mod store;
mod tensor_file;
mod trainer;
mod update;
mod watch;
mod weights;

pub use adam::Adam;
pub use bytes::{to_bytes, to_tensor};
pub use ema::Ema;
pub use error::TrainError;
pub use evaluation::{Evaluation, Score};
pub use feed::Data;
pub use from_config::TrainerOptions;
pub use replay_buffer::ReplayBuffer;
pub use run::End;
pub use run_folder::{ResumedRun, RunFolder};
pub use settings::Settings;
pub use sink::{Sink, Trouble};
pub use spectral_norm::SpectralNorm;
pub use store::{MemoryStore, Snapshot, Store, Why};
pub use trainer::{GRID_COUNT, GRID_SEED, Trainer};
pub use update::Step;
pub use watch::{Reason, Watch};

/// What a [`Sink`] hears besides [`Trouble`].
pub use srm_run::{GridRecord, PerImage, Rollback, ScoreRecord, StepRecord};

/// The result of everything here.
pub type Result<T> = std::result::Result<T, TrainError>;

#[cfg(test)]
mod tests;
