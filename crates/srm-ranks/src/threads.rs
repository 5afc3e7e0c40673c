//! Give every thread of a process a rank: what tests need, and the shortest way to see how ranks talk.

use crate::{Ranks, RanksError, Reason, Result};
use std::sync::{Mutex, PoisonError, mpsc};

/// A rank that is a thread: a channel from every rank to every other, itself included.
pub struct ThreadRank {
    rank: usize,
    to: Vec<mpsc::Sender<Vec<u8>>>,
    from: Vec<Mutex<mpsc::Receiver<Vec<u8>>>>,
}

/// The ranks of a job of so many threads, one for each to take along.
pub fn threads(size: usize) -> Vec<ThreadRank> {
    let mut ranks: Vec<ThreadRank> =
        (0..size).map(|rank| ThreadRank { rank, to: Vec::new(), from: Vec::new() }).collect();
    for receiver in 0..size {
        for sender in 0..size {
            let (to, from) = mpsc::channel();
            ranks[sender].to.push(to);
            ranks[receiver].from.push(Mutex::new(from));
        }
    }
    ranks
}

impl ThreadRank {
    fn gone(&self, other: usize) -> RanksError {
        RanksError::Talk { rank: self.rank, reason: Reason::Gone { other } }
    }
}

impl Ranks for ThreadRank {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.to.len()
    }

    fn send(&self, to: usize, bytes: &[u8]) -> Result<()> {
        self.to[to].send(bytes.to_vec()).map_err(|_| self.gone(to))
    }

    fn receive(&self, from: usize) -> Result<Vec<u8>> {
        let channel = self.from[from].lock().unwrap_or_else(PoisonError::into_inner);
        channel.recv().map_err(|_| self.gone(from))
    }

    fn broadcast(&self, bytes: Vec<u8>) -> Result<Vec<u8>> {
        if self.rank > 0 {
            return self.receive(0);
        }
        (1..self.size()).try_for_each(|to| self.send(to, &bytes))?;
        Ok(bytes)
    }

    fn all_gather(&self, bytes: Vec<u8>) -> Result<Vec<Vec<u8>>> {
        (0..self.size()).try_for_each(|to| self.send(to, &bytes))?;
        (0..self.size()).map(|from| self.receive(from)).collect()
    }
}
