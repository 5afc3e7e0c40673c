//! Say what a short run is: a kernel, its number of steps, and p_0, where chains start.

use crate::noise::{keyed, seed_device};
use crate::{ChainKey, Kernel, Result};
use srm_config::{Init, LangevinConfig};
use srm_random::{Purpose, normal, uniform};
use tch::{Device, Kind, Tensor};

/// p_0, the law of a chain's start z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// Uniform on [-1, 1] in every coordinate, the paper's choice.
    #[default]
    Uniform,
    /// N(0, I).
    Gaussian,
}

impl From<Init> for Start {
    /// Chains of a training that starts at data or at a bank of samples have, outside it, uniform noise to start from.
    fn from(init: Init) -> Self {
        match init {
            Init::Gaussian => Start::Gaussian,
            Init::Uniform | Init::Data | Init::Persistent(_) => Start::Uniform,
        }
    }
}

/// Short-run Langevin dynamics: K steps of a kernel from z ~ p_0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dynamics {
    /// One step.
    pub kernel: Kernel,
    /// K, at least 1; 100 in the paper.
    pub steps: usize,
    /// p_0.
    pub start: Start,
}

impl From<&LangevinConfig> for Dynamics {
    fn from(config: &LangevinConfig) -> Self {
        Self { kernel: config.into(), steps: config.steps, start: config.init.into() }
    }
}

/// z ~ p_0 for the chains `ids`.
///
/// # Shapes
/// `shape` of a sample: `[c, h, w]`, `[d]`, …; z: `[ids, …]`, f32, on `device`.
///
/// # Errors
/// [`crate::LangevinError::Torch`].
pub fn start(p_0: Start, key: &ChainKey, ids: &[u64], shape: &[i64], device: Device) -> Result<Tensor> {
    let all: Vec<i64> = std::iter::once(ids.len() as i64).chain(shape.iter().copied()).collect();
    if device != Device::Cpu {
        seed_device(&key.key(Purpose::ChainStart, ids.first().copied().unwrap_or(0), 0));
        return Ok(match p_0 {
            Start::Uniform => Tensor::f_rand(&all, (Kind::Float, device))?.f_mul_scalar(2)?.f_sub_scalar(1)?,
            Start::Gaussian => Tensor::f_randn(&all, (Kind::Float, device))?,
        });
    }
    keyed(&mut Vec::new(), ids, &all, |id, sample| {
        let key = key.key(Purpose::ChainStart, id, 0);
        match p_0 {
            Start::Uniform => uniform(&key, -1.0, 1.0, sample),
            Start::Gaussian => normal(&key, sample),
        }
    })
}
