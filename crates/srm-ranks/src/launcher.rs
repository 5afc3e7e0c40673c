//! Read what a launcher tells its processes: how many there are, and which this one is.

use std::env;

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
