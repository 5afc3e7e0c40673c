//! Share work among processes, the ranks, so that any number of them gives the same bits.
//!
//! - [`Ranks`] is how the processes of a job talk, six calls that carry bytes: [`SingleProcess`] is the job of one, [`threads`]
//!   gives every thread a rank, and the feature `mpi` adds processes that `mpirun` or `srun` has started. [`join`] finds out which.
//! - Work is cut into fixed blocks of rows; `ranks.own_rows(count, block)` says which rows are this rank's.
//! - `ranks.sum(…)` adds up what all blocks gave, a [`PartialSum`] from each rank, in the order of one fixed tree; `gather_rows`,
//!   `gather_images` and `gather_numbers` bring together what each rank has of its own.
//! - `ranks.turns()` gives one rank, that which `writes()`, the parts that all make in turn: [`Turns`].
//! - [`agree`] tells all what rank 0 decides, [`same`] refuses ranks that were given different things.
//! - [`launched`], [`local_rank`] and [`neighbours`] read what the launcher says of this process.
//!
//! ```
//! use srm_ranks::{PartialSum, Ranks, SingleProcess};
//! use tch::{Device, Tensor};
//!
//! let ranks: &dyn Ranks = &SingleProcess;
//! // ten rows in blocks of four are three blocks; a single process has them all
//! let mine = ranks.own_rows(10, 4);
//! assert_eq!(mine, 0..10);
//! let mut sum = PartialSum::new(3);
//! for first in mine.step_by(4) {
//!     sum.add_block(first / 4, Tensor::from_slice(&[first as f32]))?;
//! }
//! assert_eq!(ranks.sum(sum, Device::Cpu)?.double_value(&[0]), 0.0 + 4.0 + 8.0);
//! # Ok::<(), srm_ranks::RanksError>(())
//! ```
//!
//! Whatever a rank decides, it decides from numbers that all have; files are rank 0's.
//!
#![doc = include_str!("../docs/several-processes.md")]
#![deny(missing_docs)]

mod agree;
mod error;
mod exchange;
#[cfg(feature = "mpi")]
mod heartbeat;
mod launcher;
#[cfg(feature = "mpi")]
mod mpi_ranks;
mod process;
mod ranks;
mod threads;
mod tree;
mod turns;

pub use agree::{agree, agree_on_file, agree_on_files, same};
pub use error::{RanksError, Reason};
pub use launcher::{launched, local_rank, neighbours};
pub use process::{end_job, join, leave, library};
pub use ranks::{Ranks, SingleProcess};
pub use threads::{ThreadRank, threads};
pub use tree::PartialSum;
pub use turns::Turns;

/// The result of everything here.
pub type Result<T> = std::result::Result<T, RanksError>;
