//! Run K-step Langevin dynamics from noise: the kernel, its noise, its observers, and chains in blocks on threads.
//!
//! - [`Kernel::step`] is the update formula, [`short_run`] the loop around it; training, sampling, latent tools and evaluation
//!   all call them. Randomness is always an argument ([`Noise`]), and statistics live in an [`Observer`], never inside the loop.
//! - [`Sampler`] runs many chains of [`Dynamics`], kernel, K and p_0, on worker threads.
//! - [`Workers`] is the one executor: it cuts rows into fixed blocks, spreads them, and joins what comes back.
//!
//! A chain that blows up is data, not an error: [`Outcome::Diverged`].
//!
//! ```
//! use srm_energy::Quadratic;
//! use srm_langevin::{ChainKey, Kernel, KeyedNoise, Outcome, Start, short_run, start};
//! use tch::{Device, Kind, Tensor};
//!
//! // f(x) = −‖x − m‖²/2 over points of the plane: chains of plain Langevin dynamics become N(m, I)
//! let energy = Quadratic::new(Tensor::from_slice(&[1.0f32, -1.0]), 1.0);
//! let key = ChainKey { seed: 1, attempt: 0, update: 0 };
//! let ids: Vec<u64> = (0..500).collect();
//! let z = start(&Start::Uniform, &key, &ids, &[2], Device::Cpu)?;
//! let outcome = short_run(&energy, &Kernel::eq4(0.1).steps(100), &z, &mut KeyedNoise::new(key, ids), &mut ())?;
//! let Outcome::Finished(samples) = outcome else { panic!("it blew up") };
//! let mean = samples.x.mean_dim([0i64].as_slice(), false, Kind::Double);
//! assert!((mean.double_value(&[0]) - 1.0).abs() < 0.2 && (mean.double_value(&[1]) + 1.0).abs() < 0.2);
//! # Ok::<(), srm_langevin::LangevinError>(())
//! ```

#![deny(missing_docs)]

mod dynamics;
mod error;
mod grids;
mod kernel;
mod known;
mod noise;
mod observer;
mod pool;
mod recorded;
mod sampler;
mod short_run;
mod stop;
mod workers;

pub use dynamics::{Course, Dynamics, Rise, Start, start};
pub use error::LangevinError;
pub use grids::{averaged, block_sums, up_sampled, up_to};
pub use kernel::Kernel;
pub use known::Known;
pub use noise::{ChainKey, KeyedNoise, NoNoise, Noise, RecordedNoise};
pub use observer::{Climb, GradientNorm, Observer, Path};
pub use pool::Pool;
pub use sampler::{Chains, OnGrid, Sampler};
pub use short_run::{Outcome, Samples, per_sample, sample_axes, short_run, short_run_steps};
pub use stop::Stop;
pub use workers::{Block, DEFAULT_CPU_BLOCK, Spread, Workers};

/// The result of everything here.
pub type Result<T> = std::result::Result<T, LangevinError>;

#[cfg(test)]
mod ladder_tests;
#[cfg(test)]
mod tests;
