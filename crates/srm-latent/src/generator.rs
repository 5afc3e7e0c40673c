//! Hold the short run as a map from start noise to images, and run it block by block on worker threads.

use crate::adjoint::{finished, pull_back};
use crate::noise::{ChainNoise, Guided, NoiseSource};
use crate::{LatentError, Result};
use srm_energy::{Curved, Replicate};
use srm_langevin::{self as langevin, Block, ChainKey, Dynamics, Path, Spread, Workers, short_run, start, up_to};
use tch::{Device, Tensor};

/// How the generator runs.
#[derive(Clone, Copy, Debug)]
pub struct ShortRunOptions {
    /// The chains' noise.
    pub noise: ChainNoise,
    /// Threads and chains per block.
    pub spread: Spread,
    /// Of the states of a chain the adjoint keeps every `keep_every`-th, at least 1, and computes the others again.
    pub keep_every: usize,
}

/// The generator M(z, u) of an energy and its Langevin dynamics.
pub struct ShortRun<E> {
    workers: Workers<E>,
    dynamics: Dynamics,
    noise: NoiseSource,
    keep_every: usize,
    has_curvature: bool,
}

impl<E: Curved + Replicate> ShortRun<E> {
    /// The generator of `energy`.
    pub fn new(energy: &E, dynamics: impl Into<Dynamics>, options: ShortRunOptions) -> Self {
        let (workers, has_curvature) = (Workers::new(energy, options.spread), energy.has_curvature());
        let (noise, keep_every) = (NoiseSource::from(options.noise), options.keep_every);
        Self { workers, dynamics: dynamics.into(), noise, keep_every, has_curvature }
    }

    /// Give up runs in hand when `stop` is asked for: [`srm_langevin::LangevinError::Stopped`].
    pub fn stop_when(&mut self, stop: langevin::Stop) {
        self.workers.stop_when(stop);
    }

    /// Where tensors must live.
    pub fn device(&self) -> Device {
        self.workers.device()
    }

    /// Whether the generator's derivative is anything but the identity.
    pub fn has_curvature(&self) -> bool {
        self.has_curvature
    }

    /// The Langevin dynamics.
    pub fn dynamics(&self) -> &Dynamics {
        &self.dynamics
    }

    /// Start noise z ~ p_0: that of `srm sample --seed SEED` for the chains `ids`.
    ///
    /// # Shapes
    /// `shape` of a sample: images `[c, h, w]`; z: `[ids, …]`, of a ladder on its coarsest grid.
    ///
    /// # Errors
    /// [`LatentError::Langevin`].
    pub fn start(&self, seed: u64, ids: &[u64], shape: &[i64]) -> Result<Tensor> {
        let key = ChainKey { seed, attempt: 0, update: 0 };
        Ok(start(&self.dynamics.start, &key, ids, &self.dynamics.start_shape(shape), self.device())?)
    }

    /// M(z, u).
    ///
    /// # Shapes
    /// `z` and M(z, u): `[n, …]`, each on its grid; `ids`: n noise ids, where rows that share an id share their noise.
    ///
    /// # Errors
    /// [`LatentError::Diverged`], [`LatentError::Shape`].
    pub fn generate(&self, z: &Tensor, ids: &[u64]) -> Result<Tensor> {
        self.generate_from(&[z], ids)
    }

    /// [`ShortRun::generate`] from z and, on as many of the finer grids as there are more `starts`, what is put onto the chain
    /// where it gets there.
    ///
    /// # Shapes
    /// `starts`: coarse to fine, `[n, …]`, each on its grid.
    pub(crate) fn generate_from(&self, starts: &[&Tensor], ids: &[u64]) -> Result<Tensor> {
        let (dynamics, noise) = (self.dynamics.clone(), self.noise.clone());
        let done = self.full_blocks(starts, ids, &[], move |energy, starts, block| {
            let mut noise = Guided::new(&noise, &dynamics, starts, block.ids);
            Ok(finished(short_run(energy, &dynamics, &starts[0], &mut noise, &mut ())?))
        })?;
        self.join(&done, starts[0])
    }

    /// [`ShortRun::generate`], each block of chains seen by an observer of its own, `observe(first row of the block)`. Observers
    /// see full blocks, padding included.
    ///
    /// # Shapes
    /// As in [`ShortRun::generate`].
    ///
    /// # Errors
    /// As in [`ShortRun::generate`].
    pub fn watched<O: langevin::Observer>(
        &self,
        z: &Tensor,
        ids: &[u64],
        observe: impl Fn(usize) -> O + Send + Sync + 'static,
    ) -> Result<Tensor> {
        let (dynamics, noise, noise_ids) = (self.dynamics.clone(), self.noise.clone(), ids.to_vec());
        let rows: Vec<u64> = (0..ids.len() as u64).collect();
        let done = self.full_blocks(&[z], &rows, &[], move |energy, starts, block| {
            let ids = block.ids.iter().map(|&row| noise_ids[row as usize]).collect();
            let mut observer = observe(block.ids[0] as usize);
            Ok(finished(short_run(energy, &dynamics, &starts[0], &mut *noise.of(ids), &mut observer)?))
        })?;
        self.join(&done, z)
    }

    /// The states x_k of the chains at every `every`-th step: z first, M(z, u) last.
    ///
    /// # Shapes
    /// As in [`ShortRun::generate`]; each state `[n, …]`, those on coarser grids up-sampled to the size of M(z, u).
    ///
    /// # Errors
    /// As in [`ShortRun::generate`].
    pub fn path(&self, z: &Tensor, ids: &[u64], every: usize) -> Result<Vec<Tensor>> {
        let (dynamics, noise) = (self.dynamics.clone(), self.noise.clone());
        let done = self.full_blocks(&[z], ids, &[], move |energy, starts, block| {
            let mut path = Path::new(every);
            let outcome = short_run(energy, &dynamics, &starts[0], &mut *noise.of(block.ids), &mut path)?;
            Ok(finished(outcome).map(|_| path.states().iter().map(Tensor::shallow_clone).collect::<Vec<_>>()))
        })?;
        let states = done.first().map_or(0, Vec::len);
        let state = |k: usize| done.iter().map(|block| block[k].shallow_clone()).collect::<Vec<_>>();
        let shape = self.image_shape(z);
        (0..states).map(|k| Ok(up_to(&self.join(&state(k), z)?, &shape)?)).collect()
    }

    /// M(z, u) and (∂M/∂z)ᵀ v.
    ///
    /// # Shapes
    /// `z` and the second result: `[n, …]` on the coarsest grid; `v` and M(z, u): on the finest; `ids`: n.
    ///
    /// # Errors
    /// As in [`ShortRun::generate`].
    pub fn vjp(&self, z: &Tensor, v: &Tensor, ids: &[u64]) -> Result<(Tensor, Tensor)> {
        let (x, mut pulled) = self.pull_back(&[z], ids, &[v], |_, with| Ok(with[0].shallow_clone()))?;
        Ok((x, pulled.swap_remove(0)))
    }

    /// M(z, u), and c pulled back to each of `starts`, where c = `cotangent(M(z, u), with)` for each block; `with` are rows
    /// that go along.
    ///
    /// # Shapes
    /// `starts`, and what is pulled back: as in [`ShortRun::generate_from`].
    pub(crate) fn pull_back(
        &self,
        starts: &[&Tensor],
        ids: &[u64],
        with: &[&Tensor],
        cotangent: impl Fn(&Tensor, &[Tensor]) -> Result<Tensor> + Send + Sync + 'static,
    ) -> Result<(Tensor, Vec<Tensor>)> {
        let (dynamics, noise, keep_every) = (self.dynamics.clone(), self.noise.clone(), self.keep_every);
        let done = self.full_blocks(starts, ids, with, move |energy, starts, block| {
            let mut noise = Guided::new(&noise, &dynamics, starts, block.ids);
            let cotangent = |x: &Tensor| cotangent(x, &block.with);
            Ok(pull_back(energy, &dynamics, &starts[0], &mut noise, keep_every, cotangent))
        })?;
        let (x, lambdas): (Vec<_>, Vec<_>) = done.into_iter().map(|pulled| (pulled.x, pulled.lambdas)).unzip();
        let on = |grid: usize| {
            if lambdas.is_empty() {
                return Ok(starts[grid].f_zeros_like()?); // a rank without images
            }
            let blocks: Vec<Tensor> = lambdas.iter().map(|block| block[grid].shallow_clone()).collect();
            self.join(&blocks, starts[0])
        };
        Ok((self.join(&x, starts[0])?, (0..starts.len()).map(on).collect::<Result<_>>()?))
    }

    /// Do `task` on full blocks of the starts, with the rows of `with` beside them.
    fn full_blocks<R: Send + 'static>(
        &self,
        starts: &[&Tensor],
        ids: &[u64],
        with: &[&Tensor],
        task: impl Fn(&E, &[Tensor], Block) -> langevin::Result<Result<R>> + Send + Sync + 'static,
    ) -> Result<Vec<R>> {
        let z = starts[0];
        let expected = self.image_shape(z);
        if let Some(problem) = self.dynamics.problem(&expected[1.min(z.dim())..]) {
            return Err(langevin::LangevinError::Dynamics { problem }.into());
        }
        let rows = z.size().first().copied().unwrap_or(0);
        if rows != ids.len() as i64 {
            let (expected, got) = (vec![rows], vec![ids.len() as i64]);
            return Err(LatentError::Shape { what: "the noise ids", expected, got });
        }
        for other in with {
            if other.size() != expected {
                return Err(LatentError::Shape { what: "the vector", expected, got: other.size() });
            }
        }
        let (all, count) = ([starts, with].concat(), starts.len());
        let done = self.workers.full_blocks(ids, &all, move |energy, mut block| {
            let starts: Vec<Tensor> = block.with.drain(..count).collect();
            task(energy, &starts, block)
        })?;
        done.into_iter().collect()
    }

    /// The shape of M(z, u) for a batch z.
    fn image_shape(&self, z: &Tensor) -> Vec<i64> {
        let mut shape = z.size();
        if self.dynamics.growth() > 1 {
            shape.iter_mut().skip(1).rev().take(2).for_each(|side| *side *= self.dynamics.growth());
        }
        shape
    }

    /// The blocks of the chains of z as one batch, each row of the shape that the blocks have.
    fn join(&self, blocks: &[Tensor], z: &Tensor) -> Result<Tensor> {
        let size = blocks.first().map_or_else(|| self.image_shape(z), Tensor::size);
        Ok(self.workers.join(blocks, z.size()[0] as usize, &size[1..])?)
    }
}
