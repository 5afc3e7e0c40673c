//! Run a command on all ranks that a launcher has started, or refuse to.

use std::path::PathBuf;

use anyhow::Result;
use serde::{Serialize, de::DeserializeOwned};
use srm_ranks::{Ranks, end_job, join, leave};

use crate::{
    failure::{self, Failure, usage},
    output::Output,
};

pub use srm_ranks::{launched, library, local_rank, neighbours};

/// Refuse to run a command that does not share its work as several processes.
///
/// # Errors
/// There are several, and each would do the same and write the same files.
pub fn refuse() -> Result<()> {
    match launched() {
        1 => Ok(()),
        count => Err(usage(format!(
            "train, sample, evaluate and reconstruct share their work among processes; this command does not, and was started \
             as {count}; run it without mpirun"
        ))),
    }
}

/// Run a command that shares its work: all ranks run it, and rank 0 alone speaks. Where a rank fails the whole job ends, unless
/// the error is one that `agreed` says all ranks end with, at the same point.
///
/// # Errors
/// What the command returns.
pub fn together(
    output: &Output,
    agreed: fn(&Failure) -> bool,
    command: impl FnOnce(Box<dyn Ranks>) -> Result<()>,
) -> Result<()> {
    let team = join().map_err(|error| usage(error.to_string()))?;
    let (rank, size) = (team.rank(), team.size());
    if rank > 0 {
        output.be_quiet();
    }
    let ended = command(team);
    match &ended {
        Err(error) if size > 1 && !error.downcast_ref().is_some_and(agreed) => {
            output.error(&format!("error: rank {rank} of {size}: {}", failure::text(error)));
            end_job(failure::code(error));
        }
        _ => leave(),
    }
    ended
}

/// What rank 0 decides, for all.
///
/// # Errors
/// As [`srm_ranks::agree`].
pub fn agree<T: Serialize + DeserializeOwned>(team: &dyn Ranks, decide: impl FnOnce() -> Result<T>) -> Result<T> {
    srm_ranks::agree(team, decide)
}

/// The files that rank 0 decides on, for all.
///
/// # Errors
/// As [`srm_ranks::agree`].
pub fn agree_on_files(team: &dyn Ranks, decide: impl FnOnce() -> Result<Vec<PathBuf>>) -> Result<Vec<PathBuf>> {
    srm_ranks::agree_on_files(team, decide)
}

/// The file that rank 0 decides on, for all.
///
/// # Errors
/// As [`srm_ranks::agree`].
pub fn agree_on_file(team: &dyn Ranks, decide: impl FnOnce() -> Result<PathBuf>) -> Result<PathBuf> {
    srm_ranks::agree_on_file(team, decide)
}

/// Check that all ranks have the same of something, named by `what`, as `mine` tells it.
///
/// # Errors
/// As [`srm_ranks::same`].
pub fn same(team: &dyn Ranks, what: &str, mine: impl FnOnce() -> Result<String>) -> Result<()> {
    srm_ranks::same(team, what, mine)
}
