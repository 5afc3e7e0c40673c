//! Use the K-step short run as a generator M(z, u): interpolate between its latent codes, and find the code of an image.
//!
//! - [`ShortRun`] maps start noise z to images, chain block by chain block on worker threads; [`ShortRun::vjp`] multiplies
//!   its Jacobian's transpose by a vector, by the adjoint and never by autograd through the chain.
//! - [`mix`] and [`ShortRun::interpolate`] walk between two codes: z_ρ = ρ z₁ + √(1−ρ²) z₂.
//! - [`ShortRun::reconstruct`] descends ‖x − M(z)‖² in z, on the observed pixels alone where a mask is given.
//!
//! Everything works on any energy that is [`srm_energy::Curved`] and [`srm_energy::Replicate`].
//!
//! ```
//! use srm_energy::Quadratic;
//! use srm_langevin::{Dynamics, Kernel, Spread, Start};
//! use srm_latent::{ChainNoise, ShortRun, ShortRunOptions, mix};
//! use tch::Tensor;
//!
//! let energy = Quadratic::new(Tensor::from(0.5f32), 1.0);
//! let dynamics = Dynamics::new(Kernel::eq4(0.1), 10, Start::Gaussian);
//! let spread = Spread { threads: 2, block: 4 };
//! let run = ShortRun::new(&energy, dynamics, ShortRunOptions { noise: ChainNoise::Off, spread, keep_every: 1 });
//! // M(z) halfway between two codes of the plane, and the derivative of M there, transposed, times z
//! let codes = run.start(1, &[0, 1], &[2])?;
//! let z = mix(&codes.narrow(0, 0, 1), &codes.narrow(0, 1, 1), 0.7)?;
//! let (x, pulled) = run.vjp(&z, &z, &[0])?;
//! assert_eq!((x.size(), pulled.size()), (vec![1, 2], vec![1, 2]));
//! # Ok::<(), srm_latent::LatentError>(())
//! ```

#![deny(missing_docs)]

mod adjoint;
mod code;
mod error;
mod generator;
mod interpolate;
mod noise;
mod reconstruct;
mod step_size;

pub use error::LatentError;
pub use generator::{ShortRun, ShortRunOptions};
pub use interpolate::{Interpolation, mix, rhos};
pub use noise::ChainNoise;
pub use reconstruct::{Latent, Method, Progress, ReconstructOptions, Reconstruction};

/// The result of everything here.
pub type Result<T> = std::result::Result<T, LatentError>;

#[cfg(test)]
mod ladder_tests;
#[cfg(test)]
mod tests;
