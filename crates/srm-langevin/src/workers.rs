//! Cut rows into blocks, spread the blocks over the worker threads, and put the results together: for everybody.
//!
//! The block is the unit of cache, memory, threads and ranks. Every block of chains has the full size, the last one is padded and
//! cut, so that chain i has the same bits whatever the number of chains and threads.

use crate::{LangevinError, Pool, Result, Stop};
use srm_energy::Replicate;
use tch::{Device, Kind, Tensor};

/// Chains per block on the CPU: a block's activations then fit the second-level cache for 32 px nets.
pub const DEFAULT_CPU_BLOCK: usize = 8;

/// How rows are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    /// Worker threads, at least 1. Does not change any bit.
    pub threads: usize,
    /// Rows per block, at least 1. Changes rounding.
    pub block: usize,
}

/// Rows that one worker computes at a time.
#[derive(Debug)]
pub struct Block {
    /// The rows' ids, padding included.
    pub ids: Vec<u64>,
    /// What goes along: of each tensor the rows of this block, `[block, …]`.
    pub with: Vec<Tensor>,
}

/// Worker threads with a replica of one energy each, and the size of the blocks that they work on.
pub struct Workers<E> {
    pool: Pool<E>,
    block: usize,
    device: Device,
}

impl<E: Replicate> Workers<E> {
    /// Workers for `energy`; on a GPU one drives the device.
    pub fn new(energy: &E, spread: Spread) -> Self {
        let device = energy.device();
        let threads = if device == Device::Cpu { spread.threads } else { 1 };
        Self { pool: Pool::new(energy, threads), block: spread.block.max(1), device }
    }

    /// Give up work in hand when `stop` is asked for: [`LangevinError::Stopped`].
    pub fn stop_when(&mut self, stop: Stop) {
        self.pool.stop_when(stop);
    }

    /// The threads, for work that is no batch of rows.
    pub fn pool(&self) -> &Pool<E> {
        &self.pool
    }

    /// Rows per block.
    pub fn block(&self) -> usize {
        self.block
    }

    /// Where tensors must live.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Do `task` on full blocks of the rows `ids`, with the rows of each tensor of `with` beside them; past the end the last row
    /// repeats. Results come in the blocks' order; [`Workers::join`] cuts the padding.
    ///
    /// # Shapes
    /// `with`: `[ids, …]` each.
    ///
    /// # Errors
    /// [`LangevinError::Shape`] where there are more or fewer rows than ids, and what `task` returns.
    pub fn full_blocks<R: Send + 'static>(
        &self,
        ids: &[u64],
        with: &[&Tensor],
        task: impl Fn(&E, Block) -> Result<R> + Send + Sync + 'static,
    ) -> Result<Vec<R>> {
        for tensor in with {
            let (rows, got) = (ids.len() as i64, tensor.size());
            if got.first() != Some(&rows) {
                let expected = std::iter::once(rows).chain(got.iter().skip(1).copied()).collect();
                return Err(LangevinError::Shape { what: "what goes along with the chains", expected, got });
            }
        }
        let cut = |first: usize| {
            let rows: Vec<i64> = (first..first + self.block).map(|row| row.min(ids.len() - 1) as i64).collect();
            let mut block = Block { ids: rows.iter().map(|&row| ids[row as usize]).collect(), with: Vec::new() };
            if !with.is_empty() {
                let picked = Tensor::f_from_slice(&rows)?.f_to_device(self.device)?;
                let pick = |tensor: &&Tensor| Ok(tensor.f_index_select(0, &picked)?);
                block.with = with.iter().map(pick).collect::<Result<_>>()?;
            }
            Ok(block)
        };
        let blocks = (0..ids.len()).step_by(self.block).map(cut).collect::<Result<_>>();
        let done = blocks.and_then(|blocks| self.pool.map(blocks, task));
        done.map_err(|error| error.in_blocks(ids.len(), self.block))
    }

    /// Do `task` on blocks of a batch's rows, the last as short as it comes: for sums and means over rows, which padding would
    /// falsify.
    ///
    /// # Shapes
    /// `x`: `[n, …]`; a block: `[block, …]` or less.
    ///
    /// # Errors
    /// What `task` returns.
    pub fn parts<R: Send + 'static>(
        &self,
        x: &Tensor,
        task: impl Fn(&E, Tensor) -> Result<R> + Send + Sync + 'static,
    ) -> Result<Vec<R>> {
        let done = self.pool.map(x.f_split(self.block as i64, 0)?, task);
        done.map_err(|error| error.in_blocks(x.size()[0] as usize, self.block))
    }

    /// Results of full blocks as one batch of `count` rows, without the padding; of no blocks, the empty batch of a shape.
    ///
    /// # Shapes
    /// A result: `[block, …]`; `shape`: that of a row; out: `[count, …]`.
    ///
    /// # Errors
    /// [`LangevinError::Torch`].
    pub fn join(&self, blocks: &[Tensor], count: usize, shape: &[i64]) -> Result<Tensor> {
        if blocks.is_empty() {
            let empty: Vec<i64> = std::iter::once(0).chain(shape.iter().copied()).collect();
            return Ok(Tensor::f_zeros(empty, (Kind::Float, self.device))?);
        }
        Ok(Tensor::f_cat(blocks, 0)?.f_narrow(0, 0, count as i64)?)
    }
}
