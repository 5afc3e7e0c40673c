//! Draw the noise of the generator's chains, the same for each of its runs.

use srm_langevin::{ChainKey, Dynamics, KeyedNoise, NoNoise, Noise, Result};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tch::{Device, Tensor};

/// The noise u of the chains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainNoise {
    /// None: M(z) is deterministic in z alone.
    Off,
    /// The noise of this seed: M(z, u) with u fixed by the noise id of a chain.
    Fixed(u64),
}

/// Makes the noise of a block's chains: with the seed and the ids of `srm sample` the generator draws the images that it draws on the
/// CPU.
#[derive(Clone)]
pub(crate) struct NoiseSource {
    noise: ChainNoise,
    on_gpu: Arc<Mutex<OnGpu>>,
}

impl From<ChainNoise> for NoiseSource {
    fn from(noise: ChainNoise) -> Self {
        Self { noise, on_gpu: Arc::default() }
    }
}

impl NoiseSource {
    /// The noise of chains with these noise ids.
    pub(crate) fn of(&self, ids: Vec<u64>) -> Box<dyn Noise> {
        match self.noise {
            ChainNoise::Off => Box::new(NoNoise),
            ChainNoise::Fixed(seed) => {
                let drawn = KeyedNoise::shared(ChainKey { seed, attempt: 0, update: 0 }, ids.clone());
                Box::new(Kept { drawn, ids, on_gpu: Arc::clone(&self.on_gpu) })
            }
        }
    }
}

/// Noise that the CPU has drawn and a GPU keeps, since an iteration asks for that of the one before: by noise ids, step and shape.
#[derive(Default)]
struct OnGpu {
    kept: HashMap<(Vec<u64>, usize, Vec<i64>), Tensor>,
    numbers: usize,
}

/// The most numbers that are kept, 1 GiB.
const MOST: usize = 1 << 28;

struct Kept {
    drawn: KeyedNoise,
    ids: Vec<u64>,
    on_gpu: Arc<Mutex<OnGpu>>,
}

impl Noise for Kept {
    fn draw(&mut self, step: usize, x: &Tensor) -> Result<Option<Tensor>> {
        if x.device() == Device::Cpu {
            return self.drawn.draw(step, x);
        }
        let mut on_gpu = self.on_gpu.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (self.ids.clone(), step, x.size());
        if let Some(u) = on_gpu.kept.get(&key) {
            return Ok(Some(u.shallow_clone()));
        }
        let drawn = self.drawn.draw(step, x)?;
        if let Some(u) = drawn.as_ref().filter(|u| on_gpu.numbers + u.numel() <= MOST) {
            on_gpu.numbers += u.numel();
            on_gpu.kept.insert(key, u.shallow_clone());
        }
        Ok(drawn)
    }
}

/// The noise of a block's chains, and what is put onto them where they go to a finer grid.
pub(crate) struct Guided {
    noise: Box<dyn Noise>,
    /// By the first step on the grid.
    starts: Vec<(usize, Tensor)>,
}

impl Guided {
    /// `starts`: z, and one for each of the next grids.
    pub(crate) fn new(noise: &NoiseSource, dynamics: &Dynamics, starts: &[Tensor], ids: Vec<u64>) -> Self {
        let rises = dynamics.course.rises.iter().map(|rise| rise.step);
        let starts = rises.zip(&starts[1..]).map(|(step, start)| (step, start.shallow_clone())).collect();
        Self { noise: noise.of(ids), starts }
    }
}

impl Noise for Guided {
    fn draw(&mut self, step: usize, x: &Tensor) -> Result<Option<Tensor>> {
        self.noise.draw(step, x)
    }

    fn rise(&mut self, step: usize, _x: &Tensor) -> Result<Option<Tensor>> {
        Ok(self.starts.iter().find(|(first, _)| *first == step).map(|(_, start)| start.shallow_clone()))
    }
}
