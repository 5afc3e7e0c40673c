//! Find out whether this process is one of several that an MPI launcher has started, and join them.

use std::{env, ffi::OsString, os::unix::ffi::OsStringExt, path::PathBuf};

use anyhow::Result;
use serde::{Serialize, de::DeserializeOwned};
use srm_train::{Alone, Team};

use crate::session::{Failure, Output, Session, failure, usage};

/// Where launchers say how many processes they have started: Open MPI, MPICH and Intel MPI, Slurm with PMI-2.
const SIZES: [&str; 2] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"];
/// Where they say which of the processes of its machine this one is.
const LOCAL_RANKS: [&str; 4] = ["OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID", "LOCAL_RANK"];
/// Where they say how many there are on this machine.
const LOCAL_SIZES: [&str; 2] = ["OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS"];
/// Where Slurm says how many there are on each machine, such as `8(x2),3`, and which of the machines this one is.
const SLURM_LAYOUT: (&str, &str) = ("SLURM_STEP_TASKS_PER_NODE", "SLURM_NODEID");
/// Slurm's `srun --mpi=pmix` sets this and the size of its step.
const PMIX: (&str, &str) = ("PMIX_RANK", "SLURM_STEP_NUM_TASKS");

/// Processes that the launcher has started; 1 without one.
pub fn launched() -> usize {
    let number = |name: &str| env::var(name).ok().and_then(|value| value.parse::<usize>().ok());
    let slurm = env::var_os(PMIX.0).and_then(|_| number(PMIX.1));
    SIZES.into_iter().find_map(number).or(slurm).unwrap_or(1)
}

/// Which of the processes of this machine this one is: its GPU.
pub fn local_rank() -> usize {
    LOCAL_RANKS.into_iter().find_map(|name| env::var(name).ok()?.parse().ok()).unwrap_or(0)
}

/// The team of this process.
///
/// # Errors
/// It is one of several, and this program was built without MPI.
#[cfg(not(feature = "mpi"))]
pub fn join() -> Result<Box<dyn Team>> {
    match launched() {
        1 => Ok(Box::new(Alone)),
        count => Err(usage(format!(
            "started as one of {count} processes, but this srm was built without MPI; build it with \
             `cargo build -p srm-cli --features mpi` (Debian: libopenmpi-dev openmpi-bin libclang-dev)"
        ))),
    }
}

/// The team of this process.
///
/// # Errors
/// MPI does not start.
#[cfg(feature = "mpi")]
pub fn join() -> Result<Box<dyn Team>> {
    match launched() {
        1 => Ok(Box::new(Alone)),
        count => Ok(Box::new(crate::mpi_team::MpiTeam::start().ok_or_else(|| {
            usage(format!("one of {count} processes, but MPI does not start; run it by mpirun or srun --mpi=pmix"))
        })?)),
    }
}

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
    let team = join()?;
    let (rank, size) = (team.rank(), team.size());
    if rank > 0 {
        output.be_quiet();
    }
    let ended = command(&Session::new(output, team));
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
/// What rank 0's decision returns; the others then wait for the end of the job.
pub fn agree<T: Serialize + DeserializeOwned>(team: &dyn Team, decide: impl FnOnce() -> Result<T>) -> Result<T> {
    if team.rank() > 0 {
        return Ok(serde_json::from_slice(&team.broadcast(Vec::new())?)?);
    }
    let decided = decide()?;
    team.broadcast(serde_json::to_vec(&decided)?)?;
    Ok(decided)
}

/// The files that rank 0 decides on, for all; by their bytes, since a path need not be UTF-8.
///
/// # Errors
/// As [`agree`].
pub fn agree_on_files(team: &dyn Team, decide: impl FnOnce() -> Result<Vec<PathBuf>>) -> Result<Vec<PathBuf>> {
    let bytes = |path: PathBuf| path.into_os_string().into_vec();
    let agreed: Vec<Vec<u8>> = agree(team, || Ok(decide()?.into_iter().map(bytes).collect()))?;
    Ok(agreed.into_iter().map(|bytes| OsString::from_vec(bytes).into()).collect())
}

/// [`agree_on_files`] for one file.
///
/// # Errors
/// As [`agree`].
pub fn agree_on_file(team: &dyn Team, decide: impl FnOnce() -> Result<PathBuf>) -> Result<PathBuf> {
    agree_on_files(team, || Ok(vec![decide()?])).map(|mut files| files.pop().expect("one was decided on"))
}

/// Check that all ranks have the same of something, named by `what`, as `mine` tells it; a team of one asks nothing.
///
/// # Errors
/// This rank has another than rank 0; what `mine` returns.
pub fn same(team: &dyn Team, what: &str, mine: impl FnOnce() -> Result<String>) -> Result<()> {
    if team.size() == 1 {
        return Ok(());
    }
    let mine = mine()?;
    let first = agree(team, || Ok(mine.clone()))?;
    anyhow::ensure!(first == mine, "not the {what} of rank 0: {mine} here, {first} there; give all ranks the same");
    Ok(())
}

/// Processes on this machine that the launcher has started; 1 without one.
pub fn neighbours() -> usize {
    if launched() == 1 {
        return 1;
    }
    let slurm = || tasks_of(&env::var(SLURM_LAYOUT.0).ok()?, env::var(SLURM_LAYOUT.1).ok()?.parse().ok()?);
    LOCAL_SIZES.into_iter().find_map(|name| env::var(name).ok()?.parse().ok()).or_else(slurm).unwrap_or(1).max(1)
}

/// Tasks on machine `node` by Slurm's list of `count` and `count(xmachines)`.
fn tasks_of(layout: &str, node: usize) -> Option<usize> {
    let mut passed = 0;
    for entry in layout.split(',') {
        let (count, machines) = match entry.split_once("(x") {
            Some((count, machines)) => (count, machines.strip_suffix(')')?.parse().ok()?),
            None => (entry, 1),
        };
        passed += machines;
        if node < passed {
            return count.parse().ok();
        }
    }
    None
}

/// The MPI library that this program was built with.
pub fn library() -> Option<String> {
    #[cfg(feature = "mpi")]
    return crate::mpi_team::library();
    #[cfg(not(feature = "mpi"))]
    None
}

/// Part from the others, all at the same point.
pub fn leave() {
    #[cfg(feature = "mpi")]
    crate::mpi_team::leave();
}

/// End the whole job: this rank has failed where the others wait for it. Does nothing in a team of one.
pub fn end_job(code: u8) {
    #[cfg(feature = "mpi")]
    if launched() > 1 {
        crate::mpi_team::abort(i32::from(code));
    }
    let _ = code;
}

#[cfg(test)]
mod tests {
    use super::tasks_of;

    #[test]
    fn a_slurm_layout_gives_the_tasks_of_each_machine() {
        let tasks = |layout| [0, 1, 2, 3].map(|node| tasks_of(layout, node));
        assert_eq!(tasks("8(x2),3"), [Some(8), Some(8), Some(3), None]);
        assert_eq!(tasks("2"), [Some(2), None, None, None]);
        assert_eq!(tasks("1,4(x2)"), [Some(1), Some(4), Some(4), None]);
        assert_eq!(tasks("many(x"), [None; 4]);
    }
}
