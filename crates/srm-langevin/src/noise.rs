//! Draw the start of chains and the noise of their steps, keyed, recorded or off.

use crate::{LangevinError, Result};
use srm_config::Init;
use srm_random::{Key, Purpose, hash, normal, uniform};
use tch::{Device, Kind, Tensor};

/// Where the Gaussian noise u_k of a run comes from.
pub trait Noise {
    /// u of `step` (0-based) in the shape of `x`, N(0, 1); `None` for a run without noise.
    ///
    /// # Errors
    /// [`LangevinError::NoiseRanOut`] for recorded noise that is too short.
    fn draw(&mut self, step: usize, x: &Tensor) -> Result<Option<Tensor>>;
}

/// The deterministic run.
pub struct NoNoise;

impl Noise for NoNoise {
    fn draw(&mut self, _step: usize, _x: &Tensor) -> Result<Option<Tensor>> {
        Ok(None)
    }
}

/// Noise that was recorded elsewhere: one tensor a step.
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
    fn key(&self, purpose: Purpose, id: u64, step: u64) -> Key {
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
    device_is_seeded: bool,
}

impl KeyedNoise {
    /// Noise for images with the given noise ids, one id an image; an id may serve many images.
    pub fn new(key: ChainKey, ids: Vec<u64>) -> Self {
        Self { key, ids, buffer: Vec::new(), device_is_seeded: false }
    }
}

impl Noise for KeyedNoise {
    fn draw(&mut self, step: usize, x: &Tensor) -> Result<Option<Tensor>> {
        if x.device() != Device::Cpu {
            if !std::mem::replace(&mut self.device_is_seeded, true) {
                seed_device(&self.key.key(Purpose::ChainStep, self.ids[0], 0));
            }
            return Ok(Some(x.f_randn_like()?));
        }
        self.buffer.resize(x.numel(), 0.0);
        let pixels = x.numel() / self.ids.len().max(1);
        for (id, image) in self.ids.iter().zip(self.buffer.chunks_mut(pixels.max(1))) {
            normal(&self.key.key(Purpose::ChainStep, *id, step as u64), image);
        }
        Ok(Some(Tensor::f_from_slice(&self.buffer)?.f_reshape(x.size())?.f_to_kind(x.kind())?))
    }
}

/// z ~ p_0 for the chains `ids`: uniform on [-1, 1] or N(0, I). Where chains start at data or at a bank of samples, p_0 is
/// what they start from without one: uniform.
///
/// # Shapes
/// `image`: `[c, h, w]`; z: `[ids, c, h, w]`, f32, on `device`.
///
/// # Errors
/// [`LangevinError::Torch`].
pub fn start(init: Init, key: &ChainKey, ids: &[u64], image: [i64; 3], device: Device) -> Result<Tensor> {
    let shape = [ids.len() as i64, image[0], image[1], image[2]];
    if device != Device::Cpu {
        seed_device(&key.key(Purpose::ChainStart, ids.first().copied().unwrap_or(0), 0));
        return Ok(match init {
            Init::Uniform | Init::Data | Init::Persistent(_) => {
                Tensor::f_rand(shape, (Kind::Float, device))?.f_mul_scalar(2)?.f_sub_scalar(1)?
            }
            Init::Gaussian => Tensor::f_randn(shape, (Kind::Float, device))?,
        });
    }
    let pixels = image.iter().product::<i64>() as usize;
    let mut values = vec![0.0; pixels * ids.len()];
    for (id, image) in ids.iter().zip(values.chunks_mut(pixels.max(1))) {
        let key = key.key(Purpose::ChainStart, *id, 0);
        match init {
            Init::Uniform | Init::Data | Init::Persistent(_) => uniform(&key, -1.0, 1.0, image),
            Init::Gaussian => normal(&key, image),
        }
    }
    Ok(Tensor::f_from_slice(&values)?.f_reshape(shape)?)
}

fn seed_device(key: &Key) {
    tch::manual_seed(hash(key) as i64);
}
