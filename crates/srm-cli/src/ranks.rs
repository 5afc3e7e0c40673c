//! Run a command on all ranks that a launcher has started, or refuse to.

use anyhow::Result;
use srm_ranks::{end_job, join, launched, leave};

use crate::session::{Failure, Output, Session, failure, usage};

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
    command: impl FnOnce(&Session) -> Result<()>,
) -> Result<()> {
    let ranks = join().map_err(|error| usage(error.to_string()))?;
    let (rank, size) = (ranks.rank(), ranks.size());
    if rank > 0 {
        output.be_quiet();
    }
    let ended = command(&Session::new(output, ranks));
    match &ended {
        Err(error) if size > 1 && !error.downcast_ref().is_some_and(agreed) => {
            output.error(&format!("error: rank {rank} of {size}: {}", failure::text(error)));
            end_job(failure::code(error));
        }
        _ => leave(),
    }
    ended
}
