//! Run many chains from p_0, or from given images, on the worker threads.

use crate::known::{HeldEnergy, HeldNoise};
use crate::{
    ChainKey, Climb, Dynamics, KeyedNoise, Known, LangevinError, Observer, Outcome, Result, Samples, Spread, Stop,
    Workers, short_run, start,
};
use srm_energy::Replicate;
use std::ops::Range;
use tch::Tensor;

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

    /// How many they are.
    pub fn count(&self) -> usize {
        (self.ids.end - self.ids.start) as usize
    }

    /// Those of them at the places `rows`, counted from 0.
    #[must_use]
    pub fn part(&self, rows: Range<usize>) -> Self {
        let id = |row: usize| self.ids.start + row as u64;
        Self { ids: id(rows.start)..id(rows.end), ..self.clone() }
    }
}

/// What chains leave on one grid.
#[derive(Debug)]
pub struct OnGrid {
    /// Their last states there, `[n, …]`.
    pub x: Tensor,
    /// r of each chain there, `[n]`: the mean over the grid's steps of ‖f'(x)‖₂.
    pub r: Tensor,
}

/// Runs chains of one energy.
pub struct Sampler<E> {
    workers: Workers<E>,
    dynamics: Dynamics,
    shape: Vec<i64>,
    known: Option<Known>,
}

impl<E: Replicate> Sampler<E> {
    /// A sampler of the short runs that `dynamics` says.
    ///
    /// # Shapes
    /// `shape` of a sample: images `[c, h, w]`, points `[d]`; of a ladder on its finest grid.
    pub fn new(energy: &E, dynamics: impl Into<Dynamics>, shape: &[i64], spread: Spread) -> Self {
        Self { workers: Workers::new(energy, spread), dynamics: dynamics.into(), shape: shape.to_vec(), known: None }
    }

    /// Give up chains in hand when `stop` is asked for: [`crate::LangevinError::Stopped`].
    pub fn stop_when(&mut self, stop: Stop) {
        self.workers.stop_when(stop);
    }

    /// Hold still what is known of the samples, on every grid of their chains.
    pub fn hold(&mut self, known: Option<Known>) {
        self.known = known;
    }

    /// The workers, for other work on blocks of samples.
    pub fn workers(&self) -> &Workers<E> {
        &self.workers
    }

    /// The short run.
    pub fn dynamics(&self) -> &Dynamics {
        &self.dynamics
    }

    /// Chains per block.
    pub fn block(&self) -> usize {
        self.workers.block()
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

    /// [`Sampler::run`] from the given samples; `None`: from z ~ p_0.
    ///
    /// # Shapes
    /// `z`: `[n, …]`, one row per chain; of a ladder on its coarsest grid.
    ///
    /// # Errors
    /// As in [`Sampler::run`].
    pub fn run_from<O: Observer + Send + 'static>(
        &self,
        z: Option<&Tensor>,
        chains: &Chains,
        observe: impl Fn(u64) -> O + Send + Sync + 'static,
    ) -> Result<(Outcome, Vec<O>)> {
        let (dynamics, device, key) = (self.dynamics.clone(), self.workers.device(), chains.key);
        if let Some(problem) = dynamics.problem(&self.shape) {
            return Err(LangevinError::Dynamics { problem });
        }
        let shape = dynamics.start_shape(&self.shape);
        let ids: Vec<u64> = chains.ids.clone().collect();
        let with: Vec<&Tensor> = z.into_iter().collect();
        let known = self.known.clone();
        let blocks = self.workers.full_blocks(&ids, &with, move |energy, mut block| {
            let given = block.with.pop();
            let z = given.map_or_else(|| start(&dynamics.start, &key, &block.ids, &shape, device), Ok)?;
            let mut observer = observe(block.ids[0]);
            let mut noise = KeyedNoise::new(key, block.ids);
            let outcome = match &known {
                None => short_run(energy, &dynamics, &z, &mut noise, &mut observer)?,
                Some(known) => {
                    let (energy, mut noise) = (HeldEnergy { energy, known }, HeldNoise { noise, known });
                    match short_run(&energy, &dynamics, &known.put_into(&z)?, &mut noise, &mut observer)? {
                        // to the bit: on the way to a finer grid it was put in its place by an addition
                        Outcome::Finished(Samples { x }) => Outcome::Finished(Samples { x: known.put_into(&x)? }),
                        diverged => diverged,
                    }
                }
            };
            Ok((outcome, observer))
        })?;
        self.join(blocks, ids.len())
    }

    /// [`Sampler::run_from`] with what the chains leave on each grid, coarse to fine; of plain chains on their one.
    ///
    /// # Errors
    /// As in [`Sampler::run`].
    pub fn climb(&self, z: Option<&Tensor>, chains: &Chains) -> Result<(Outcome, Vec<OnGrid>)> {
        let (outcome, blocks) = self.run_from(z, chains, |_| Climb::default())?;
        let blocks = blocks.iter().map(Climb::grids).collect::<Result<Vec<_>>>()?;
        let on_grid = |(grid, shape): (usize, &Vec<i64>)| {
            let (ends, norms): (Vec<_>, Vec<_>) =
                blocks.iter().map(|block| (block[grid].0.shallow_clone(), block[grid].1.shallow_clone())).unzip();
            let x = self.workers.join(&ends, chains.count(), shape)?;
            Ok(OnGrid { x, r: self.workers.join(&norms, chains.count(), &[])? })
        };
        let grids = self.dynamics.shapes(&self.shape).iter().enumerate().map(on_grid).collect::<Result<_>>()?;
        Ok((outcome, grids))
    }

    /// Put the blocks' results together and cut the padding.
    fn join<O>(&self, blocks: Vec<(Outcome, O)>, count: usize) -> Result<(Outcome, Vec<O>)> {
        let (mut samples, mut observers, mut first_bad) = (Vec::new(), Vec::new(), None);
        for (outcome, observer) in blocks {
            observers.push(observer);
            match outcome {
                Outcome::Finished(Samples { x }) => samples.push(x),
                Outcome::Diverged { step, x } => {
                    first_bad = Some(first_bad.map_or(step, |other: usize| other.min(step)));
                    samples.push(x);
                }
            }
        }
        let x = self.workers.join(&samples, count, &self.shape)?;
        let outcome = match first_bad {
            Some(step) => Outcome::Diverged { step, x },
            None => Outcome::Finished(Samples { x }),
        };
        Ok((outcome, observers))
    }
}
