//! Run many chains in fixed blocks on the worker threads.
//!
//! The block is the unit of cache, memory and threads. Every block has the full size, the last one is padded and cut,
//! so that chain i has the same bits whatever the number of chains and threads.

use crate::{ChainKey, GradientNorm, KeyedNoise, Observer, Outcome, Pool, Result, Samples, Stop, short_run, start};
use srm_config::LangevinConfig;
use srm_energy::Energy;
use std::ops::Range;
use tch::{Device, Tensor};

/// Chains a block on the CPU: a block's activations then fit the second-level cache for 32 px nets.
pub const DEFAULT_CPU_BLOCK: usize = 8;

/// How chains are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SamplerOptions {
    /// Worker threads, at least 1. Does not change any bit.
    pub threads: usize,
    /// Chains a block, at least 1. Changes rounding.
    pub block: usize,
}

/// Which chains to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chains {
    /// Keys of start and noise.
    pub key: ChainKey,
    /// Chain indices, which are also their noise ids.
    pub ids: Range<u64>,
}

impl Chains {
    /// The chains of `srm sample --seed SEED`: images 0 to count − 1, the same whatever `count` is.
    pub fn samples(seed: u64, count: usize) -> Self {
        Self { key: ChainKey { seed, attempt: 0, update: 0 }, ids: 0..count as u64 }
    }
}

/// Runs chains of one energy.
pub struct Sampler<E> {
    pool: Pool<E>,
    langevin: LangevinConfig,
    image: [i64; 3],
    device: Device,
    block: usize,
}

impl<E: Energy + 'static> Sampler<E> {
    /// A sampler for images `[c, h, w]`; on a GPU one worker drives the device.
    pub fn new(energy: &E, langevin: &LangevinConfig, image: [i64; 3], options: SamplerOptions) -> Self {
        let device = energy.device();
        let threads = if device == Device::Cpu { options.threads } else { 1 };
        let pool = Pool::new(energy, threads);
        Self { pool, langevin: langevin.clone(), image, device, block: options.block.max(1) }
    }

    /// Give up chains in hand when `stop` is asked for: [`crate::LangevinError::Stopped`].
    pub fn stop_when(&mut self, stop: Stop) {
        self.pool.stop_when(stop);
    }

    /// The workers, for other work on blocks of images.
    pub fn pool(&self) -> &Pool<E> {
        &self.pool
    }

    /// Chains a block.
    pub fn block(&self) -> usize {
        self.block
    }

    /// Run the chains from z ~ p_0; each block is seen by an observer of its own, `observe(first id of the block)`. The
    /// observers come back in block order and saw full blocks, padding included.
    ///
    /// # Errors
    /// What the energy returns. Divergence is an [`Outcome`].
    pub fn run<O: Observer + Send + 'static>(
        &self,
        chains: &Chains,
        observe: impl Fn(u64) -> O + Send + Sync + 'static,
    ) -> Result<(Outcome, Vec<O>)> {
        self.run_from(None, chains, observe)
    }

    /// [`Sampler::run`] from the given images; `None`: from z ~ p_0.
    ///
    /// # Shapes
    /// `z`: `[n, c, h, w]`, one image a chain.
    ///
    /// # Errors
    /// As in [`Sampler::run`].
    pub fn run_from<O: Observer + Send + 'static>(
        &self,
        z: Option<&Tensor>,
        chains: &Chains,
        observe: impl Fn(u64) -> O + Send + Sync + 'static,
    ) -> Result<(Outcome, Vec<O>)> {
        let (langevin, image, device, block) = (self.langevin.clone(), self.image, self.device, self.block as u64);
        let (key, count) = (chains.key, (chains.ids.end - chains.ids.start) as i64);
        let firsts = chains.ids.clone().step_by(self.block);
        let starts =
            firsts.map(|first| Ok((first, z.map(|z| self.rows(z, (first - chains.ids.start) as i64)).transpose()?)));
        let blocks = self.pool.map(starts.collect::<Result<Vec<_>>>()?, move |energy, (first, z)| {
            let ids: Vec<u64> = (first..first + block).collect();
            let z = z.map_or_else(|| start(langevin.init, &key, &ids, image, device), Ok)?;
            let mut observer = observe(first);
            let outcome = short_run(energy, &langevin, &z, &mut KeyedNoise::new(key, ids), &mut observer)?;
            Ok((outcome, observer))
        })?;
        self.join(blocks, count)
    }

    /// [`Sampler::run_from`] with r of each chain, `[n]`: the mean over the steps of ‖f'(x)‖₂.
    ///
    /// # Errors
    /// As in [`Sampler::run`].
    pub fn run_with_gradient_norms(&self, z: Option<&Tensor>, chains: &Chains) -> Result<(Outcome, Tensor)> {
        let (outcome, norms) = self.run_from(z, chains, |_| GradientNorm::default())?;
        let means = norms.iter().map(GradientNorm::mean).collect::<Result<Option<Vec<Tensor>>>>()?.unwrap_or_default();
        let r = match means.is_empty() {
            true => Tensor::f_zeros([0], (tch::Kind::Float, self.device))?,
            false => Tensor::f_cat(&means, 0)?.f_narrow(0, 0, (chains.ids.end - chains.ids.start) as i64)?,
        };
        Ok((outcome, r))
    }

    /// A full block of rows of `z` from row `first`; past the end the last row repeats.
    fn rows(&self, z: &Tensor, first: i64) -> Result<Tensor> {
        let last = z.size().first().copied().unwrap_or(0) - 1;
        let rows: Vec<i64> = (first..first + self.block as i64).map(|row| row.min(last)).collect();
        Ok(z.f_index_select(0, &Tensor::f_from_slice(&rows)?.f_to_device(z.device())?)?)
    }

    /// Put the blocks' results together and cut the padding.
    fn join<O>(&self, blocks: Vec<(Outcome, O)>, count: i64) -> Result<(Outcome, Vec<O>)> {
        let (mut images, mut observers, mut first_bad) = (Vec::new(), Vec::new(), None);
        for (outcome, observer) in blocks {
            observers.push(observer);
            match outcome {
                Outcome::Finished(Samples { x }) => images.push(x),
                Outcome::Diverged { step, x } => {
                    first_bad = Some(first_bad.map_or(step, |other: usize| other.min(step)));
                    images.push(x);
                }
            }
        }
        let x = match images.is_empty() {
            true => Tensor::f_zeros([0, self.image[0], self.image[1], self.image[2]], (tch::Kind::Float, self.device))?,
            false => Tensor::f_cat(&images, 0)?.f_narrow(0, 0, count)?,
        };
        let outcome = match first_bad {
            Some(step) => Outcome::Diverged { step, x },
            None => Outcome::Finished(Samples { x }),
        };
        Ok((outcome, observers))
    }
}
