//! Say how ranks talk, and which part of the work is whose.

use crate::{RanksError, Reason, Result};
use ndarray::Array4;
use std::{ops::Range, rc::Rc};

/// How the ranks of a job talk. What can be done with them stands in `impl dyn Ranks`.
pub trait Ranks {
    /// This rank, from 0.
    fn rank(&self) -> usize;

    /// Ranks there are, at least 1.
    fn size(&self) -> usize;

    /// Send bytes to another rank, which receives them.
    ///
    /// # Errors
    /// [`RanksError::Talk`].
    fn send(&self, to: usize, bytes: &[u8]) -> Result<()>;

    /// Wait for the bytes that a rank sends to this one.
    ///
    /// # Errors
    /// [`RanksError::Talk`].
    fn receive(&self, from: usize) -> Result<Vec<u8>>;

    /// The bytes of rank 0, at every rank; the others' are not looked at.
    ///
    /// # Errors
    /// [`RanksError::Talk`].
    fn broadcast(&self, bytes: Vec<u8>) -> Result<Vec<u8>>;

    /// The bytes of all ranks in their order, at every rank.
    ///
    /// # Errors
    /// [`RanksError::Talk`].
    fn all_gather(&self, bytes: Vec<u8>) -> Result<Vec<Vec<u8>>>;
}

/// The job of one process.
pub struct SingleProcess;

impl Ranks for SingleProcess {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn send(&self, to: usize, _bytes: &[u8]) -> Result<()> {
        Err(RanksError::Talk { rank: 0, reason: Reason::NoSuchRank { other: to } })
    }

    fn receive(&self, from: usize) -> Result<Vec<u8>> {
        Err(RanksError::Talk { rank: 0, reason: Reason::NoSuchRank { other: from } })
    }

    fn broadcast(&self, bytes: Vec<u8>) -> Result<Vec<u8>> {
        Ok(bytes)
    }

    fn all_gather(&self, bytes: Vec<u8>) -> Result<Vec<Vec<u8>>> {
        Ok(vec![bytes])
    }
}

/// Ranks that several parts of a program hold.
impl<R: Ranks + ?Sized> Ranks for Rc<R> {
    fn rank(&self) -> usize {
        (**self).rank()
    }

    fn size(&self) -> usize {
        (**self).size()
    }

    fn send(&self, to: usize, bytes: &[u8]) -> Result<()> {
        (**self).send(to, bytes)
    }

    fn receive(&self, from: usize) -> Result<Vec<u8>> {
        (**self).receive(from)
    }

    fn broadcast(&self, bytes: Vec<u8>) -> Result<Vec<u8>> {
        (**self).broadcast(bytes)
    }

    fn all_gather(&self, bytes: Vec<u8>) -> Result<Vec<Vec<u8>>> {
        (**self).all_gather(bytes)
    }
}

impl dyn Ranks + '_ {
    /// The blocks that are this rank's, of so many: neighbours, so that they are few whole nodes of the tree. Rank 0, whose
    /// progress is shown, never has fewer than another.
    fn own_blocks(&self, blocks: usize) -> Range<usize> {
        let (rank, size) = (self.rank(), self.size());
        (rank * blocks).div_ceil(size)..((rank + 1) * blocks).div_ceil(size)
    }

    /// The rows that are this rank's, of `count` in blocks of `block`: whole blocks, but for the last row's.
    ///
    /// # Panics
    /// Where `block` is 0.
    pub fn own_rows(&self, count: usize, block: usize) -> Range<usize> {
        assert!(block > 0, "rows in blocks of 0; take 1 or more");
        let blocks = self.own_blocks(count.div_ceil(block));
        (blocks.start * block).min(count)..(blocks.end * block).min(count)
    }

    /// Whether any rank says yes.
    ///
    /// # Errors
    /// [`RanksError::Talk`].
    pub fn any(&self, yes: bool) -> Result<bool> {
        Ok(match self.size() {
            1 => yes,
            _ => self.all_gather(vec![u8::from(yes)])?.iter().any(|one| one == &[1]),
        })
    }

    /// The images of all ranks in their order, at every rank.
    ///
    /// # Shapes
    /// u8 `[n, h, w, c]`; every rank has its own n, 0 too.
    ///
    /// # Errors
    /// [`RanksError::Talk`].
    pub fn gather_images(&self, mine: Array4<u8>) -> Result<Array4<u8>> {
        if self.size() == 1 {
            return Ok(mine);
        }
        let (_, height, width, channels) = mine.dim();
        // by rank 0, in messages of any length: images of all ranks may be more than MPI gathers at once
        let mut all: Vec<u8> = mine.as_standard_layout().iter().copied().collect();
        match self.rank() {
            0 => (1..self.size()).try_for_each(|rank| self.receive(rank).map(|bytes| all.extend(bytes)))?,
            _ => self.send(0, &std::mem::take(&mut all))?,
        }
        let all = self.broadcast(all)?;
        let count = all.len() / (height * width * channels).max(1);
        let refused =
            |_| RanksError::Talk { rank: self.rank(), reason: Reason::ImageShapes { height, width, channels } };
        Array4::from_shape_vec((count, height, width, channels), all).map_err(refused)
    }

    /// The numbers of all ranks in their order, at every rank.
    ///
    /// # Errors
    /// [`RanksError::Talk`].
    pub fn gather_numbers(&self, mine: &[f64]) -> Result<Vec<Vec<f64>>> {
        let bytes = mine.iter().flat_map(|number| number.to_le_bytes()).collect();
        let numbers = |bytes: Vec<u8>| bytes.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect();
        Ok(self.all_gather(bytes)?.into_iter().map(numbers).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::threads;

    #[test]
    fn every_row_is_one_ranks_and_rank_0_never_has_the_least() {
        for (size, count, block) in [(1, 10, 4), (2, 10, 4), (3, 14, 4), (5, 14, 4), (3, 0, 4)] {
            let rows: Vec<Range<usize>> =
                threads(size).iter().map(|rank| (rank as &dyn Ranks).own_rows(count, block)).collect();
            assert_eq!(rows.iter().cloned().flatten().collect::<Vec<_>>(), (0..count).collect::<Vec<_>>());
            assert!(rows.iter().all(|rows| rows.start % block == 0 || rows.is_empty()), "{rows:?}");
            let blocks = |rows: &Range<usize>| rows.len().div_ceil(block);
            assert!(rows.iter().all(|other| blocks(other) <= blocks(&rows[0])), "{rows:?}");
        }
    }

    #[test]
    #[should_panic(expected = "rows in blocks of 0; take 1 or more")]
    fn blocks_of_no_rows_are_a_mistake_of_the_program() {
        (&SingleProcess as &dyn Ranks).own_rows(10, 0);
    }

    #[test]
    fn images_of_another_size_are_refused() {
        let images = |rank: &dyn Ranks| rank.gather_images(Array4::zeros((1, 2, 2 + rank.rank(), 1)));
        let errors: Vec<String> = std::thread::scope(|scope| {
            let ranks = threads(2).into_iter();
            let running: Vec<_> =
                ranks.map(|rank| scope.spawn(move || images(&rank).unwrap_err().to_string())).collect();
            running.into_iter().map(|rank| rank.join().unwrap()).collect()
        });
        assert_eq!(errors[0], "rank 0: the ranks' images are not all 2×2×1");
    }
}
