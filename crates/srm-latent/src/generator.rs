//! Hold the short run as a map from start noise to images, and run it block by block on worker threads.

use crate::adjoint::{finished, pull_back};
use crate::{LatentError, Result};
use srm_config::LangevinConfig;
use srm_energy::Energy;
use srm_langevin::{self as langevin, ChainKey, NoNoise, Path, Pool, SamplerOptions, short_run, start};
use srm_random::{Key, Purpose, normal};
use tch::{Device, Tensor};

/// The noise u of the chains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noise {
    /// None: M(z) is deterministic in z alone.
    Off,
    /// The noise of this seed: M(z, u) with u fixed by the noise id of a chain.
    Fixed(u64),
}

/// How the generator runs.
#[derive(Clone, Copy, Debug)]
pub struct ShortRunOptions {
    /// The chains' noise.
    pub noise: Noise,
    /// Threads and chains a block.
    pub spread: SamplerOptions,
    /// Of the states of a chain the adjoint keeps every so-manieth, at least 1, and computes the others again.
    pub keep_every: usize,
}

/// The generator M(z, u) of an energy and its Langevin settings.
pub struct ShortRun<E> {
    pool: Pool<E>,
    config: LangevinConfig,
    options: ShortRunOptions,
    device: Device,
    has_curvature: bool,
}

/// Rows of one block: start noise and noise ids, with a vector a row where one is wanted.
struct Block {
    z: Tensor,
    ids: Vec<u64>,
    with: Vec<Tensor>,
}

impl<E: Energy + 'static> ShortRun<E> {
    /// The generator of `energy`; on a GPU one worker drives the device.
    pub fn new(energy: &E, config: &LangevinConfig, options: ShortRunOptions) -> Self {
        let device = energy.device();
        let threads = if device == Device::Cpu { options.spread.threads } else { 1 };
        let has_curvature = energy.has_curvature();
        Self { pool: Pool::new(energy, threads), config: config.clone(), options, device, has_curvature }
    }

    /// Give up runs in hand when `stop` is asked for: [`srm_langevin::LangevinError::Stopped`].
    pub fn stop_when(&mut self, stop: langevin::Stop) {
        self.pool.stop_when(stop);
    }

    /// Where tensors must live.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Whether the generator's derivative is anything but the identity.
    pub fn has_curvature(&self) -> bool {
        self.has_curvature
    }

    /// The Langevin settings.
    pub fn config(&self) -> &LangevinConfig {
        &self.config
    }

    /// Start noise z ~ p_0: that of `srm sample --seed SEED` for the chains `ids`.
    ///
    /// # Shapes
    /// `image`: `[c, h, w]`; z: `[ids, c, h, w]`.
    ///
    /// # Errors
    /// [`LatentError::Langevin`].
    pub fn start(&self, seed: u64, ids: &[u64], image: [i64; 3]) -> Result<Tensor> {
        Ok(start(self.config.init, &ChainKey { seed, attempt: 0, update: 0 }, ids, image, self.device)?)
    }

    /// M(z, u).
    ///
    /// # Shapes
    /// `z` and M(z, u): `[n, c, h, w]`; `ids`: n noise ids, where rows that share an id share their noise.
    ///
    /// # Errors
    /// [`LatentError::Diverged`], [`LatentError::Shape`].
    pub fn generate(&self, z: &Tensor, ids: &[u64]) -> Result<Tensor> {
        let (config, options) = (self.config.clone(), self.options);
        let blocks = self.blocks(z, ids, &[])?;
        let done = self.pool.map(blocks, move |energy, block| {
            Ok(finished(short_run(energy, &config, &block.z, &mut *noise(options.noise, block.ids), &mut ())?))
        })?;
        self.join(done.into_iter().collect::<Result<Vec<_>>>()?, z)
    }

    /// The states x_k of the chains at every `every`-th step: z first, M(z, u) last.
    ///
    /// # Shapes
    /// As in [`ShortRun::generate`]; each state `[n, c, h, w]`.
    ///
    /// # Errors
    /// As in [`ShortRun::generate`].
    pub fn path(&self, z: &Tensor, ids: &[u64], every: usize) -> Result<Vec<Tensor>> {
        let (config, options) = (self.config.clone(), self.options);
        let done = self.pool.map(self.blocks(z, ids, &[])?, move |energy, block| {
            let mut path = Path::new(every);
            let outcome = short_run(energy, &config, &block.z, &mut *noise(options.noise, block.ids), &mut path)?;
            Ok(finished(outcome).map(|_| path.states().iter().map(Tensor::shallow_clone).collect::<Vec<_>>()))
        })?;
        let done = done.into_iter().collect::<Result<Vec<_>>>()?;
        let states = done.first().map_or(0, Vec::len);
        (0..states).map(|k| self.join(done.iter().map(|block| block[k].shallow_clone()).collect(), z)).collect()
    }

    /// M(z, u) and (∂M/∂z)ᵀ v.
    ///
    /// # Shapes
    /// `z`, `v` and both results: `[n, c, h, w]`; `ids`: n.
    ///
    /// # Errors
    /// As in [`ShortRun::generate`].
    pub fn vjp(&self, z: &Tensor, v: &Tensor, ids: &[u64]) -> Result<(Tensor, Tensor)> {
        self.pull_back(z, ids, &[v], |_, with| Ok(with[0].shallow_clone()))
    }

    /// M(z, u) and (∂M/∂z)ᵀ c, where c = `cotangent(M(z, u), with)` for each block; `with` are rows that go along with z.
    pub(crate) fn pull_back(
        &self,
        z: &Tensor,
        ids: &[u64],
        with: &[&Tensor],
        cotangent: impl Fn(&Tensor, &[Tensor]) -> Result<Tensor> + Send + Sync + 'static,
    ) -> Result<(Tensor, Tensor)> {
        let (config, options) = (self.config.clone(), self.options);
        let done = self.pool.map(self.blocks(z, ids, with)?, move |energy, block| {
            let mut noise = noise(options.noise, block.ids);
            let with = block.with;
            Ok(pull_back(energy, &config, &block.z, &mut *noise, options.keep_every, |x| cotangent(x, &with)))
        })?;
        let done = done.into_iter().collect::<Result<Vec<_>>>()?;
        let x = self.join(done.iter().map(|pulled| pulled.x.shallow_clone()).collect(), z)?;
        Ok((x, self.join(done.into_iter().map(|pulled| pulled.lambda).collect(), z)?))
    }

    /// Cut rows into full blocks; past the end the last row repeats, so that a row's bits do not depend on their number.
    fn blocks(&self, z: &Tensor, ids: &[u64], with: &[&Tensor]) -> Result<Vec<Block>> {
        let rows = z.size().first().copied().unwrap_or(0);
        if rows != ids.len() as i64 {
            return Err(LatentError::Shape {
                what: "the noise ids",
                expected: vec![rows],
                got: vec![ids.len() as i64],
            });
        }
        for other in with {
            if other.size() != z.size() {
                return Err(LatentError::Shape { what: "the vector", expected: z.size(), got: other.size() });
            }
        }
        let block = self.options.spread.block.max(1) as i64;
        let cut = |first: i64| {
            let indices: Vec<i64> = (first..first + block).map(|row| row.min(rows - 1)).collect();
            let picked = Tensor::f_from_slice(&indices)?.f_to_device(self.device)?;
            let pick = |tensor: &Tensor| Ok(tensor.f_index_select(0, &picked)?);
            Ok(Block {
                z: pick(z)?,
                ids: indices.iter().map(|&row| ids[row as usize]).collect(),
                with: with.iter().map(|&tensor| pick(tensor)).collect::<Result<Vec<_>>>()?,
            })
        };
        (0..rows).step_by(block as usize).map(cut).collect()
    }

    fn join(&self, blocks: Vec<Tensor>, like: &Tensor) -> Result<Tensor> {
        match blocks.is_empty() {
            true => Ok(like.f_zeros_like()?),
            false => Ok(Tensor::f_cat(&blocks, 0)?.f_narrow(0, 0, like.size()[0])?),
        }
    }
}

/// The noise source of a block.
fn noise(noise: Noise, ids: Vec<u64>) -> Box<dyn langevin::Noise> {
    match noise {
        Noise::Off => Box::new(NoNoise),
        Noise::Fixed(seed) => Box::new(SharedNoise { seed, ids }),
    }
}

/// Keyed noise drawn on the CPU whatever the device, so that chains with one id share it on a GPU too.
struct SharedNoise {
    seed: u64,
    ids: Vec<u64>,
}

impl langevin::Noise for SharedNoise {
    fn draw(&mut self, step: usize, x: &Tensor) -> langevin::Result<Option<Tensor>> {
        let pixels = (x.numel() / self.ids.len().max(1)).max(1);
        let mut values = vec![0.0f32; x.numel()];
        for (id, image) in self.ids.iter().zip(values.chunks_mut(pixels)) {
            // the key of `srm sample`: with its seed and ids the generator draws the same images
            let key = Key { id: *id, step: step as u64, ..Key::new(self.seed, Purpose::ChainStep) };
            normal(&key, image);
        }
        let u = Tensor::f_from_slice(&values)?.f_reshape(x.size())?;
        Ok(Some(u.f_to_kind(x.kind())?.f_to_device(x.device())?))
    }
}
