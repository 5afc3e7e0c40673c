//! Run K-step Langevin dynamics from noise: the kernel, its noise, its observers, and chains in blocks on threads.
//!
//! The update formula stands in [`langevin_step`], the loop in [`short_run`]; training, sampling and evaluation all
//! call it. [`Sampler`] cuts many chains into fixed blocks and runs them on long-lived threads. Randomness is always an
//! argument ([`Noise`]), and statistics live in an [`Observer`], never inside the loop.
//!
//! A chain that blows up is data, not an error: [`Outcome::Diverged`].

#![deny(missing_docs)]

mod error;
mod noise;
mod observer;
mod pool;
mod sampler;
mod short_run;
mod stop;

pub use error::LangevinError;
pub use noise::{ChainKey, KeyedNoise, NoNoise, Noise, RecordedNoise, start};
pub use observer::{GradientNorm, Observer, Path};
pub use pool::Pool;
pub use sampler::{Chains, DEFAULT_CPU_BLOCK, Sampler, SamplerOptions};
pub use short_run::{Outcome, Samples, clip, clip_transpose, langevin_step, short_run, short_run_steps};
pub use stop::Stop;

/// The result of everything here.
pub type Result<T> = std::result::Result<T, LangevinError>;

#[cfg(test)]
mod tests;
