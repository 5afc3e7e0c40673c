//! Join the other processes of a job, part from them, and end the job.

#[cfg(feature = "mpi")]
use crate::mpi_ranks;
use crate::{Ranks, RanksError, Result, SingleProcess, launched};

/// The ranks that this process is one of: those of MPI where a launcher has started several.
///
/// Whoever joins must [`leave`] on the same thread, at the end of what all ranks do together. A thread that ends without
/// that, by a return or a panic, ends the whole job with exit code 1, whatever has been done: the others may wait for this
/// rank for ever. A failure that is this rank's alone says so itself, by [`end_job`].
///
/// ```
/// let ranks = srm_ranks::join()?;
/// assert!(ranks.rank() < ranks.size());
/// srm_ranks::leave();
/// # Ok::<(), srm_ranks::RanksError>(())
/// ```
///
/// # Errors
/// [`RanksError::WithoutMpi`] without the feature `mpi`, [`RanksError::MpiDoesNotStart`] with it.
pub fn join() -> Result<Box<dyn Ranks>> {
    match launched() {
        1 => Ok(Box::new(SingleProcess)),
        #[cfg(feature = "mpi")]
        count => match mpi_ranks::MpiRanks::start() {
            Some(ranks) => Ok(Box::new(ranks)),
            None => Err(RanksError::MpiDoesNotStart { count }),
        },
        #[cfg(not(feature = "mpi"))]
        count => Err(RanksError::WithoutMpi { count }),
    }
}

/// The MPI library that this program was built with; `None` without the feature `mpi`.
pub fn library() -> Option<String> {
    #[cfg(feature = "mpi")]
    return mpi_ranks::library();
    #[cfg(not(feature = "mpi"))]
    None
}

/// Part from the others, all at the same point; no rank talks after it. Does nothing in a single process.
pub fn leave() {
    #[cfg(feature = "mpi")]
    mpi_ranks::leave();
}

/// End the whole job with this exit code: this rank has failed where the others wait for it. Does nothing in a single process.
pub fn end_job(code: u8) {
    #[cfg(feature = "mpi")]
    if launched() > 1 {
        mpi_ranks::abort(i32::from(code));
    }
    let _ = code;
}
