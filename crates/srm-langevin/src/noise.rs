//! Draw the noise of a chain's steps: keyed, recorded or off.

use crate::{LangevinError, Result};
use srm_random::{Key, Purpose, hash, normal};
use tch::{Device, Tensor};

/// Where the Gaussian noise u_k of a run comes from.
pub trait Noise {
    /// u of `step` (0-based) in the shape of `x`, N(0, 1); `None` for a run without noise.
    ///
    /// # Errors
    /// [`LangevinError::NoiseRanOut`] for recorded noise that is too short.
    fn draw(&mut self, step: usize, x: &Tensor) -> Result<Option<Tensor>>;

    /// Whether from now on each draw in the shape of `x` is a `randn_like` of the device's generator and nothing else, so that a
    /// recorded step can make it.
    ///
    /// # Errors
    /// As in [`Noise::draw`].
    fn is_of_device(&mut self, x: &Tensor) -> Result<bool> {
        let _ = x;
        Ok(false)
    }

    /// What is put onto a ladder's chain where it has gone to a finer grid before `step`, in the shape of its state `x` there;
    /// in training nothing.
    ///
    /// # Errors
    /// [`LangevinError::Torch`].
    fn rise(&mut self, step: usize, x: &Tensor) -> Result<Option<Tensor>> {
        let _ = (step, x);
        Ok(None)
    }
}

/// The deterministic run.
pub struct NoNoise;

impl Noise for NoNoise {
    fn draw(&mut self, _step: usize, _x: &Tensor) -> Result<Option<Tensor>> {
        Ok(None)
    }
}

/// Noise that was recorded elsewhere: one tensor per step.
pub struct RecordedNoise(pub Vec<Tensor>);

impl Noise for RecordedNoise {
    fn draw(&mut self, step: usize, _x: &Tensor) -> Result<Option<Tensor>> {
        let u = self.0.get(step).ok_or(LangevinError::NoiseRanOut { recorded: self.0.len(), step })?;
        Ok(Some(u.shallow_clone()))
    }
}

/// What a set of chains shares in its random keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainKey {
    /// The user's seed.
    pub seed: u64,
    /// Grows with each rollback after a divergence.
    pub attempt: u32,
    /// Training update, from 1; 0 for `srm sample` and the grids, which are therefore the same pictures.
    pub update: u64,
}

impl ChainKey {
    pub(crate) fn key(&self, purpose: Purpose, id: u64, step: u64) -> Key {
        Key { seed: self.seed, purpose, attempt: self.attempt, update: self.update, id, step }
    }
}

/// Noise keyed by (seed, attempt, update, noise id, step).
///
/// On the CPU each image has its own stream, whatever the block. On a GPU the device draws: the block's generator is
/// seeded once, from the key of its first id, so the noise repeats on the same device model, libtorch and block size.
pub struct KeyedNoise {
    key: ChainKey,
    ids: Vec<u64>,
    buffer: Vec<f32>,
    on_device: bool,
    device_is_seeded: bool,
}

impl KeyedNoise {
    /// Noise for samples with the given noise ids, one id per sample; an id may serve many samples.
    pub fn new(key: ChainKey, ids: Vec<u64>) -> Self {
        Self { key, ids, buffer: Vec::new(), on_device: true, device_is_seeded: false }
    }

    /// The same, drawn on the CPU whatever the device, so that samples with one id share their noise on a GPU too.
    pub fn shared(key: ChainKey, ids: Vec<u64>) -> Self {
        Self { on_device: false, ..Self::new(key, ids) }
    }
}

impl Noise for KeyedNoise {
    fn draw(&mut self, step: usize, x: &Tensor) -> Result<Option<Tensor>> {
        if self.is_of_device(x)? {
            return Ok(Some(x.f_randn_like()?));
        }
        let key = self.key;
        let draw = |id, sample: &mut [f32]| normal(&key.key(Purpose::ChainStep, id, step as u64), sample);
        Ok(Some(keyed(&mut self.buffer, &self.ids, &x.size(), draw)?.f_to_kind(x.kind())?.f_to_device(x.device())?))
    }

    fn is_of_device(&mut self, x: &Tensor) -> Result<bool> {
        let device_draws = self.on_device && x.device() != Device::Cpu;
        if device_draws && !std::mem::replace(&mut self.device_is_seeded, true) {
            seed_device(&self.key.key(Purpose::ChainStep, self.ids[0], 0));
        }
        Ok(device_draws)
    }
}

/// f32 numbers on the CPU in `shape`, `[ids, …]`, by way of `buffer`: `draw(id, …)` fills the part of each id.
pub(crate) fn keyed(
    buffer: &mut Vec<f32>,
    ids: &[u64],
    shape: &[i64],
    draw: impl Fn(u64, &mut [f32]),
) -> Result<Tensor> {
    buffer.resize(shape.iter().product::<i64>() as usize, 0.0);
    let size = (buffer.len() / ids.len().max(1)).max(1);
    for (id, sample) in ids.iter().zip(buffer.chunks_mut(size)) {
        draw(*id, sample);
    }
    Ok(Tensor::f_from_slice(buffer)?.f_reshape(shape)?)
}

pub(crate) fn seed_device(key: &Key) {
    tch::manual_seed(hash(key) as i64);
}
