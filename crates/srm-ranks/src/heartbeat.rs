//! Notice when another rank, or the link to it, goes: MPI itself would wait for it for ever.
//!
//! A thread of every rank but 0 sends rank 0 a word each second, and rank 0 one to each of them, however long the work or the
//! wait of the main threads. They talk on a communicator of their own. Time counts by the thread's own rounds, not by the
//! clock: a job that was stopped as a whole and goes on takes nobody for gone.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use mpi::request::{Request, StaticScope};
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, Destination, Source};

/// Between two looks for words: those that come late go through several rounds of MPI's own, which a look drives.
const ROUND: Duration = Duration::from_millis(100);
/// Rounds between two words.
const ROUNDS_PER_WORD: u32 = 10;
/// Between two looks while the ranks part, which nobody should have to wait for.
const PARTING_ROUND: Duration = Duration::from_millis(1);

static ALIVE: u8 = 0;
/// The last word: nothing comes after it.
static GOOD_BYE: u8 = 1;

/// The thread that tells the other ranks of this one, and listens for them.
pub struct Heartbeat {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Heartbeat {
    /// Start it on all ranks at the same point, where MPI grants calls from several threads. Where a rank is silent for
    /// `patience`, this process ends.
    pub fn start(patience: Duration) -> Heartbeat {
        let ((stop, stopped), (begun, beginning)) = (channel(), channel());
        let thread = std::thread::spawn(move || {
            // all ranks take part in it, so the main thread stays out of MPI until it is done
            let world = SimpleCommunicator::world().duplicate();
            begun.send(()).ok();
            Watch::new(&world, patience).run(&stopped);
        });
        if beginning.recv_timeout(patience).is_err() {
            give_up(SimpleCommunicator::world().rank(), "the other ranks", patience);
        }
        Heartbeat { stop, thread }
    }

    /// End it, at a point that all ranks have reached.
    pub fn end(self) {
        self.stop.send(()).ok();
        self.thread.join().ok(); // it does not panic
    }
}

/// A rank that this one listens for.
struct Peer {
    rank: i32,
    silent: Duration,
    /// The word that is on its way to it.
    sent: Option<Request<'static, u8>>,
    told_good_bye: bool,
    said_good_bye: bool,
}

impl Peer {
    /// Send it a word, without waiting; not while an earlier one is on its way.
    fn tell(&mut self, world: &SimpleCommunicator, word: &'static u8) -> bool {
        let free = self.arrived();
        if free {
            self.sent = Some(world.process_at_rank(self.rank).immediate_send(StaticScope, word));
        }
        free
    }

    /// Whether no word to it is on its way.
    fn arrived(&mut self) -> bool {
        self.sent = self.sent.take().and_then(|sent| sent.test().err());
        self.sent.is_none()
    }
}

struct Watch<'a> {
    world: &'a SimpleCommunicator,
    patience: Duration,
    peers: Vec<Peer>,
}

impl Watch<'_> {
    fn new(world: &SimpleCommunicator, patience: Duration) -> Watch<'_> {
        let ranks = if world.rank() == 0 { 1..world.size() } else { 0..1 };
        let peer = |rank| Peer { rank, silent: Duration::ZERO, sent: None, told_good_bye: false, said_good_bye: false };
        Watch { world, patience, peers: ranks.map(peer).collect() }
    }

    /// Talk until this rank is to stop, and part.
    fn run(mut self, stopped: &Receiver<()>) {
        for round in 0u32.. {
            if round % ROUNDS_PER_WORD == 0 {
                for peer in &mut self.peers {
                    peer.tell(self.world, &ALIVE);
                }
            }
            self.listen(ROUND);
            if stopped.recv_timeout(ROUND) != Err(RecvTimeoutError::Timeout) {
                break;
            }
        }
        // MPI ends well where nothing sent is unread: each says good-bye last, and listens up to the others' good-bye
        while !self.parted() {
            std::thread::sleep(PARTING_ROUND);
            self.listen(PARTING_ROUND);
        }
    }

    /// Say good-bye to all; whether all have heard it and said it.
    fn parted(&mut self) -> bool {
        let mut parted = true;
        for peer in &mut self.peers {
            peer.told_good_bye = peer.told_good_bye || peer.tell(self.world, &GOOD_BYE);
            parted &= peer.told_good_bye && peer.arrived() && peer.said_good_bye;
        }
        parted
    }

    /// Take what words have come since the last time, `round` ago; end the process where a rank is silent for too long.
    fn listen(&mut self, round: Duration) {
        for peer in &mut self.peers {
            let process = self.world.process_at_rank(peer.rank);
            peer.silent += round;
            while process.immediate_probe().is_some() {
                peer.said_good_bye |= process.receive::<u8>().0 == GOOD_BYE;
                peer.silent = Duration::ZERO;
            }
            // who has said good-bye has nothing more to say
            if peer.silent > self.patience && !peer.said_good_bye {
                give_up(self.world.rank(), &format!("rank {}", peer.rank), self.patience);
            }
        }
    }
}

/// Say so and end this process: the launcher ends the others, or they miss this one.
fn give_up(rank: i32, silent: &str, patience: Duration) -> ! {
    let seconds = patience.as_secs();
    tracing::error!(
        "rank {rank}: no word from {silent} for {seconds} s; that rank or the link to it has gone. A training run \
         goes on from its last checkpoint by --resume; other commands begin anew"
    );
    // not std's: what C and C++ do at exit would meet the main thread in the midst of its work
    signal_hook::low_level::exit(1)
}
