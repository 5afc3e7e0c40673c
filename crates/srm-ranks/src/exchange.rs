//! Exchange tensors between ranks: rows, and one sum in the order of the tree over blocks.
//!
//! MPI does not fix the order in which it adds, so the sum is not its: partial sums go up a tree of ranks in log₂ steps, each rank
//! adding by the tree over blocks of [`crate::tree`], and the root comes down again. Bits do not depend on the number of ranks.

use crate::{PartialSum, Ranks, RanksError, Reason, Result};
use tch::{Device, Kind, Tensor};

impl dyn Ranks + '_ {
    /// The sum over all blocks of all ranks, at every rank, in the tree's order.
    ///
    /// # Shapes
    /// One f32 `[parameters]` per block; out: the same, on `device`.
    ///
    /// # Errors
    /// [`RanksError::Talk`] where a block is missing or a message cannot be read, [`RanksError::Torch`].
    pub fn sum(&self, mut mine: PartialSum, device: Device) -> Result<Tensor> {
        let (rank, size) = (self.rank(), self.size());
        let mut step = 1;
        while step < size {
            if rank & step != 0 {
                self.send(rank - step, &to_message(&mine)?)?;
                break;
            }
            if rank + step < size {
                add_message(&mut mine, &self.receive(rank + step)?, rank, device)?;
            }
            step *= 2;
        }
        if rank > 0 {
            return Ok(tensor(&self.broadcast(Vec::new())?)?.f_to_device(device)?);
        }
        let missing = || RanksError::Talk { rank, reason: Reason::MissingBlock };
        let root = mine.into_root().ok_or_else(missing)?;
        if size > 1 {
            let mut bytes = Vec::new();
            append(&mut bytes, &root)?;
            self.broadcast(bytes)?;
        }
        Ok(root)
    }

    /// Rows of all ranks in their order, at every rank.
    ///
    /// # Shapes
    /// f32 `[n, …]`; every rank has its own n, 0 too.
    ///
    /// # Errors
    /// [`RanksError::Talk`], [`RanksError::Torch`].
    pub fn gather_rows(&self, mine: &Tensor) -> Result<Tensor> {
        if self.size() == 1 {
            return Ok(mine.shallow_clone());
        }
        let mut bytes = Vec::new();
        append(&mut bytes, mine)?;
        let all = self.all_gather(bytes)?.iter().map(|bytes| tensor(bytes)).collect::<Result<Vec<_>>>()?;
        let mut shape = mine.size();
        let all = Tensor::f_cat(&all, 0)?;
        shape[0] = all.numel() as i64 / shape[1..].iter().product::<i64>().max(1);
        Ok(all.f_reshape(shape)?.f_to_device(mine.device())?)
    }

    /// Send a tensor's numbers to another rank.
    ///
    /// # Errors
    /// [`RanksError::Talk`], [`RanksError::Torch`].
    pub fn send_tensor(&self, to: usize, tensor: &Tensor) -> Result<()> {
        let mut bytes = Vec::new();
        append(&mut bytes, &tensor.f_to_kind(Kind::Float)?)?;
        self.send(to, &bytes)
    }

    /// The numbers that another rank sends by `send_tensor`, f32 `[n]` on the CPU.
    ///
    /// # Errors
    /// [`RanksError::Talk`], [`RanksError::Torch`].
    pub fn receive_tensor(&self, from: usize) -> Result<Tensor> {
        tensor(&self.receive(from)?)
    }
}

/// Bytes of a node's place: first block and level.
const PLACE: usize = 12;

/// The nodes of a partial sum: their number (4 bytes), their places, their tensors, all of one length.
fn to_message(sum: &PartialSum) -> Result<Vec<u8>> {
    let mut bytes = (sum.nodes().len() as u32).to_le_bytes().to_vec();
    for (first, level) in sum.nodes().keys() {
        bytes.extend(first.to_le_bytes());
        bytes.extend(level.to_le_bytes());
    }
    sum.nodes().values().try_for_each(|terms| append(&mut bytes, terms))?;
    Ok(bytes)
}

fn unreadable(rank: usize) -> RanksError {
    RanksError::Talk { rank, reason: Reason::Unreadable }
}

/// Add the nodes of a message.
fn add_message(sum: &mut PartialSum, bytes: &[u8], rank: usize, device: Device) -> Result<()> {
    let unreadable = || unreadable(rank);
    let (count, rest) = bytes.split_first_chunk::<4>().ok_or_else(unreadable)?;
    let count = u32::from_le_bytes(*count) as usize;
    let (places, terms) = rest.split_at_checked(count * PLACE).ok_or_else(unreadable)?;
    for (place, terms) in places.chunks(PLACE).zip(terms.chunks((terms.len() / count.max(1)).max(1))) {
        let (first, level) = place.split_first_chunk::<8>().ok_or_else(unreadable)?;
        let level = u32::from_le_bytes(level.try_into().map_err(|_| unreadable())?);
        let place = (u64::from_le_bytes(*first), level);
        if !sum.has_place(place) {
            return Err(unreadable());
        }
        sum.add(place, tensor(terms)?.f_to_device(device)?)?;
    }
    Ok(())
}

/// Add a tensor's numbers, f32 in the order of bytes that libtorch's processors share: little-endian.
fn append(bytes: &mut Vec<u8>, tensor: &Tensor) -> Result<()> {
    let flat = tensor.f_to_device(Device::Cpu)?.f_contiguous()?;
    let start = bytes.len();
    bytes.resize(start + 4 * flat.numel(), 0);
    flat.f_copy_data_u8(&mut bytes[start..], flat.numel())?;
    Ok(())
}

/// The numbers as a tensor `[n]` on the CPU.
fn tensor(bytes: &[u8]) -> Result<Tensor> {
    Ok(Tensor::f_from_data_size(bytes, &[bytes.len() as i64 / 4], Kind::Float)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::threads;

    #[test]
    fn a_gradient_of_another_rank_at_no_place_of_the_tree_is_refused() {
        let message = |first: u64, level: u32| {
            [&1u32.to_le_bytes()[..], &first.to_le_bytes(), &level.to_le_bytes(), &2f32.to_le_bytes()].concat()
        };
        let total = |message: Vec<u8>| {
            let ranks = threads(2);
            ranks[1].send(0, &message)?;
            let mut mine = PartialSum::new(2);
            mine.add_block(0, Tensor::from_slice(&[1f32]))?;
            (&ranks[0] as &dyn Ranks).sum(mine, Device::Cpu)
        };
        assert_eq!(total(message(1, 0)).unwrap().double_value(&[0]), 3.0);
        for (first, level) in [(2, 0), (1, 1), (0, 64), (u64::MAX, u32::MAX)] {
            let error = total(message(first, level)).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains("a message of another rank cannot be read"), "{error}");
        }
    }
}
