//! Let the ranks make the parts of some work in turn, for the one that writes.

use crate::{Ranks, RanksError};
use std::{iter::Cycle, ops::Range};
use tch::Tensor;

/// Parts of some work, a tensor each, that the ranks make in turn: each rank goes through all of them, in one order.
pub struct Turns<'a> {
    ranks: &'a dyn Ranks,
    owners: Cycle<Range<usize>>,
}

impl dyn Ranks + '_ {
    /// Whether this rank is the one that writes: files, results, and what a person reads.
    pub fn writes(&self) -> bool {
        self.rank() == 0
    }

    /// Begin some work in parts.
    pub fn turns(&self) -> Turns<'_> {
        Turns { ranks: self, owners: (0..self.size()).cycle() }
    }
}

impl Turns<'_> {
    /// The next part, at the rank that writes: by `make` where it is its turn, else as another has made it, flat: f32 `[n]`.
    ///
    /// # Errors
    /// What `make` returns; [`RanksError::Talk`], [`RanksError::Torch`].
    pub fn take<E: From<RanksError>>(&mut self, make: impl FnOnce() -> Result<Tensor, E>) -> Result<Tensor, E> {
        match self.owners.next() {
            Some(owner) if owner != self.ranks.rank() => Ok(self.ranks.receive_tensor(owner)?),
            _ => make(),
        }
    }

    /// The next part, at another rank: made and sent where it is its turn.
    ///
    /// # Errors
    /// As [`Turns::take`].
    pub fn give<E: From<RanksError>>(&mut self, make: impl FnOnce() -> Result<Tensor, E>) -> Result<(), E> {
        match self.owners.next() {
            Some(owner) if owner == self.ranks.rank() => Ok(self.ranks.send_tensor(0, &make()?)?),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::threads;

    #[test]
    fn the_rank_that_writes_has_all_parts_in_their_order() {
        let parts = |ranks: &dyn Ranks| {
            let mut turns = ranks.turns();
            let made = |part: i64| Ok::<_, RanksError>(Tensor::from_slice(&[part as f32, ranks.rank() as f32]));
            match ranks.writes() {
                true => (0..5).map(|part| Vec::try_from(turns.take(|| made(part)).unwrap()).unwrap()).collect(),
                false => (0..5).flat_map(|part| turns.give(|| made(part)).err().map(|_| Vec::new())).collect(),
            }
        };
        let all: Vec<Vec<Vec<f32>>> = std::thread::scope(|scope| {
            let running: Vec<_> = threads(2).into_iter().map(|rank| scope.spawn(move || parts(&rank))).collect();
            running.into_iter().map(|rank| rank.join().unwrap()).collect()
        });
        assert_eq!(all[0], [[0.0, 0.0], [1.0, 1.0], [2.0, 0.0], [3.0, 1.0], [4.0, 0.0]]);
        assert_eq!(all[1].len(), 0);
    }
}
