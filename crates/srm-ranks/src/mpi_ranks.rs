//! Let the ranks of a run talk by MPI.

use std::cell::RefCell;
use std::time::Duration;

use crate::heartbeat::Heartbeat;
use crate::{Ranks, RanksError, Reason, Result};
use mpi::Threading;
use mpi::datatype::PartitionMut;
use mpi::environment::Universe;
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, CommunicatorCollectives, Destination, Root, Source};

/// Seconds without a word from a rank after which it, or the link to it, is given up; `SRM_PATIENCE` changes it.
const PATIENCE: u64 = 45;
/// Bytes of a message at most: MPI counts in 32 bits.
const PIECE: usize = 1 << 30;
/// Below this a word that is late by chance would end a run.
const LEAST_PATIENCE: u64 = 3;

/// The ranks of `MPI_COMM_WORLD`. All calls come from the thread that has started it, and wait for as long as it takes.
pub struct MpiRanks {
    world: SimpleCommunicator,
}

/// What runs from the start of MPI to its end.
struct Session {
    heartbeat: Option<Heartbeat>,
    left: bool,
    /// Ends MPI when it is dropped.
    _universe: Universe,
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.left {
            abort(1); // a panic: the others wait for this rank, and to end MPI would be to wait for them
        }
    }
}

thread_local! {
    /// It outlives the ranks: a rank that fails must end the job, and to end MPI is to wait for all.
    static SESSION: RefCell<Option<Session>> = const { RefCell::new(None) };
}

impl MpiRanks {
    /// Start MPI; `None` where it was started before or does not start.
    pub fn start() -> Option<MpiRanks> {
        let (universe, granted) = mpi::initialize_with_threading(Threading::Multiple)?;
        let ranks = MpiRanks { world: universe.world() };
        let patience = std::env::var("SRM_PATIENCE").ok().and_then(|text| text.parse().ok()).unwrap_or(PATIENCE);
        let heartbeat = if granted == Threading::Multiple {
            Some(Heartbeat::start(Duration::from_secs(patience.max(LEAST_PATIENCE))))
        } else {
            if ranks.rank() == 0 {
                tracing::warn!(
                    "this MPI grants threads only as {granted:?}, not as Multiple: where a link is cut, the ranks will wait for \
                     ever; build MPI with threads, or look after the job"
                );
            }
            None
        };
        SESSION.set(Some(Session { heartbeat, left: false, _universe: universe }));
        Some(ranks)
    }

    /// MPI counts in 32 bits.
    fn length(&self, bytes: &[u8]) -> Result<i32> {
        let reason = Reason::TooLong { bytes: bytes.len() };
        i32::try_from(bytes.len()).map_err(|_| RanksError::Talk { rank: self.rank(), reason })
    }
}

impl Ranks for MpiRanks {
    fn rank(&self) -> usize {
        self.world.rank() as usize
    }

    fn size(&self) -> usize {
        self.world.size() as usize
    }

    fn send(&self, to: usize, bytes: &[u8]) -> Result<()> {
        let process = self.world.process_at_rank(to as i32);
        process.send(&(bytes.len() as u64));
        bytes.chunks(PIECE).for_each(|piece| process.send(piece));
        Ok(())
    }

    fn receive(&self, from: usize) -> Result<Vec<u8>> {
        let process = self.world.process_at_rank(from as i32);
        let mut bytes = vec![0u8; process.receive::<u64>().0 as usize];
        bytes.chunks_mut(PIECE).for_each(|piece| {
            process.receive_into(piece);
        });
        Ok(bytes)
    }

    fn broadcast(&self, mut bytes: Vec<u8>) -> Result<Vec<u8>> {
        let (first, mut length) = (self.world.process_at_rank(0), bytes.len() as u64);
        first.broadcast_into(&mut length);
        bytes.resize(length as usize, 0);
        bytes.chunks_mut(PIECE).for_each(|piece| first.broadcast_into(piece));
        Ok(bytes)
    }

    fn all_gather(&self, bytes: Vec<u8>) -> Result<Vec<Vec<u8>>> {
        let (mine, mut lengths) = (self.length(&bytes)?, vec![0i32; self.size()]);
        self.world.all_gather_into(&mine, &mut lengths[..]);
        let total: i64 = lengths.iter().copied().map(i64::from).sum();
        let reason = Reason::TooLongTogether { bytes: total };
        i32::try_from(total).map_err(|_| RanksError::Talk { rank: self.rank(), reason })?;
        let starts: Vec<i32> =
            lengths.iter().scan(0, |sum, &length| Some(std::mem::replace(sum, *sum + length))).collect();
        let mut all = vec![0u8; total as usize];
        let mut parts = PartitionMut::new(&mut all[..], &lengths[..], &starts[..]);
        self.world.all_gather_varcount_into(&bytes[..], &mut parts);
        let part = |(&start, &length): (&i32, &i32)| all[start as usize..(start + length) as usize].to_vec();
        Ok(starts.iter().zip(&lengths).map(part).collect())
    }
}

/// Name and version of the MPI library.
pub fn library() -> Option<String> {
    // some libraries go on with their packager and build, after a comma or on further lines
    let text = mpi::environment::library_version().ok()?;
    text.split([',', '\n', '\0']).next().map(|name| name.trim().to_owned())
}

/// End MPI, once all ranks come here.
pub fn leave() {
    if let Some(mut session) = SESSION.take() {
        SimpleCommunicator::world().barrier(); // up to here they miss a rank that goes
        if let Some(heartbeat) = session.heartbeat.take() {
            heartbeat.end();
        }
        session.left = true;
    }
}

/// End all ranks at once.
pub fn abort(code: i32) {
    SimpleCommunicator::world().abort(code);
}
