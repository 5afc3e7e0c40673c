//! Use the K-step short run as a generator M(z, u): interpolate between its latent codes, and find the code of an image.
//!
//! - [`ShortRun`] maps start noise z to images, chain block by chain block on worker threads; [`ShortRun::vjp`] multiplies
//!   its Jacobian's transpose by a vector, by the adjoint and never by autograd through the chain.
//! - [`mix`] and [`ShortRun::interpolate`] walk between two codes: z_ρ = ρ z₁ + √(1−ρ²) z₂.
//! - [`ShortRun::reconstruct`] descends ‖x − M(z)‖² in z, on the observed pixels alone where a mask is given.
//!
//! Everything works on any [`srm_energy::Energy`].

#![deny(missing_docs)]

mod adjoint;
mod error;
mod generator;
mod interpolate;
mod reconstruct;
mod step_size;

pub use error::LatentError;
pub use generator::{Noise, ShortRun, ShortRunOptions};
pub use interpolate::{Row, mix, rhos};
pub use reconstruct::{Latent, Method, Progress, ReconstructOptions, Reconstruction};

/// The result of everything here.
pub type Result<T> = std::result::Result<T, LatentError>;

#[cfg(test)]
mod tests;
