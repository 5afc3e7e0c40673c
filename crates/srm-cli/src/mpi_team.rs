//! Let the ranks of a run talk by MPI.

use std::cell::RefCell;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use std::time::{Duration, Instant};

use mpi::Threading;
use mpi::datatype::PartitionMut;
use mpi::environment::Universe;
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, CommunicatorCollectives, Destination, Root, Source};
use srm_train::{Team, TrainError};

type Result<T> = std::result::Result<T, TrainError>;

/// Seconds that a rank waits for another before it takes it, or the link, for gone: `SRM_PATIENCE` changes it.
const PATIENCE: u64 = 45;

/// The ranks of `MPI_COMM_WORLD`. All calls come from the thread that has started it.
pub struct MpiTeam {
    world: SimpleCommunicator,
    /// When the call in progress began, milliseconds since the start; 0: none.
    waiting_since: Arc<AtomicU64>,
    begun: Instant,
}

thread_local! {
    /// Ends MPI when it is dropped. It outlives the team: a rank that fails must end the job, and to end MPI is to wait for all.
    static UNIVERSE: RefCell<Option<Universe>> = const { RefCell::new(None) };
}

impl MpiTeam {
    /// Start MPI; `None` where it was started before or does not start.
    pub fn start() -> Option<MpiTeam> {
        let (universe, _) = mpi::initialize_with_threading(Threading::Funneled)?;
        let team =
            MpiTeam { world: universe.world(), waiting_since: Arc::new(AtomicU64::new(0)), begun: Instant::now() };
        UNIVERSE.set(Some(universe));
        let patience = std::env::var("SRM_PATIENCE").ok().and_then(|text| text.parse().ok()).unwrap_or(PATIENCE);
        watch(team.rank(), Duration::from_secs(patience), Arc::clone(&team.waiting_since), team.begun);
        Some(team)
    }

    /// Make a call that waits for other ranks.
    fn waiting<T>(&self, call: impl FnOnce() -> T) -> T {
        self.waiting_since.store(self.begun.elapsed().as_millis() as u64 + 1, Ordering::Relaxed);
        let done = call();
        self.waiting_since.store(0, Ordering::Relaxed);
        done
    }

    /// MPI counts in 32 bits.
    fn length(&self, bytes: &[u8]) -> Result<i32> {
        let reason = || format!("a message of {} bytes is longer than MPI's 2 GiB", bytes.len());
        i32::try_from(bytes.len()).map_err(|_| TrainError::Team { rank: self.rank(), reason: reason() })
    }
}

impl Team for MpiTeam {
    fn rank(&self) -> usize {
        self.world.rank() as usize
    }

    fn size(&self) -> usize {
        self.world.size() as usize
    }

    fn send(&self, to: usize, bytes: &[u8]) -> Result<()> {
        self.length(bytes)?;
        self.waiting(|| self.world.process_at_rank(to as i32).send(bytes));
        Ok(())
    }

    fn receive(&self, from: usize) -> Result<Vec<u8>> {
        Ok(self.waiting(|| self.world.process_at_rank(from as i32).receive_vec::<u8>().0))
    }

    fn broadcast(&self, mut bytes: Vec<u8>) -> Result<Vec<u8>> {
        let (first, mut length) = (self.world.process_at_rank(0), self.length(&bytes)?);
        self.waiting(|| {
            first.broadcast_into(&mut length);
            bytes.resize(length as usize, 0);
            if length > 0 {
                first.broadcast_into(&mut bytes[..]); // of nothing MPI will not hear
            }
        });
        Ok(bytes)
    }

    fn all_gather(&self, bytes: Vec<u8>) -> Result<Vec<Vec<u8>>> {
        let (mine, mut lengths) = (self.length(&bytes)?, vec![0i32; self.size()]);
        self.waiting(|| self.world.all_gather_into(&mine, &mut lengths[..]));
        let total: i64 = lengths.iter().copied().map(i64::from).sum();
        let reason = format!("messages of {total} bytes together are longer than MPI's 2 GiB");
        i32::try_from(total).map_err(|_| TrainError::Team { rank: self.rank(), reason })?;
        let starts: Vec<i32> =
            lengths.iter().scan(0, |sum, &length| Some(std::mem::replace(sum, *sum + length))).collect();
        let mut all = vec![0u8; total as usize];
        self.waiting(|| {
            let mut parts = PartitionMut::new(&mut all[..], &lengths[..], &starts[..]);
            self.world.all_gather_varcount_into(&bytes[..], &mut parts);
        });
        let part = |(&start, &length): (&i32, &i32)| all[start as usize..(start + length) as usize].to_vec();
        Ok(starts.iter().zip(&lengths).map(part).collect())
    }

    fn wait_for_first(&self) -> Result<()> {
        self.world.barrier(); // whatever rank 0 does meanwhile may take its time
        Ok(())
    }
}

/// End this process where a call waits longer than `patience`: MPI itself would wait for ever for a link that was cut.
fn watch(rank: usize, patience: Duration, waiting_since: Arc<AtomicU64>, begun: Instant) {
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_millis(500));
            let since = waiting_since.load(Ordering::Relaxed);
            let waited = begun.elapsed().saturating_sub(Duration::from_millis(since));
            if since > 0 && waited > patience {
                tracing::error!(
                    "rank {rank}: no word from the other ranks for {} s; a rank or the link to it has gone. The last \
                     checkpoint is whole: the same command with --resume goes on from it",
                    waited.as_secs()
                );
                // MPI may only be called by the thread that waits in it: the launcher ends the others
                std::process::exit(1);
            }
        }
    });
}

/// End MPI, once all ranks come here.
pub fn leave() {
    drop(UNIVERSE.take());
}

/// End all ranks at once.
pub fn abort(code: i32) {
    SimpleCommunicator::world().abort(code);
}
