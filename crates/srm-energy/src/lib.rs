//! Give each sample a negative energy f(x), with its derivatives and its weights files.
//!
//! One sign everywhere, the paper's: f is the NEGATIVE energy, p(x) ∝ exp f(x), so high f means likely, and Langevin
//! dynamics climbs f. Nobody in the workspace flips it.
//!
//! - [`Energy`] is all that a chain asks for: batch in, batch out, sample i never affects output j. [`Curved`] adds the
//!   second derivative for the adjoint, [`Replicate`] what worker threads need, [`Trainable`] the derivative in the weights.
//!   These traits are the only place that knows how derivatives are made.
//! - [`Autograd`] makes all of them of any net that libtorch can differentiate, from a function of its weights or a module.
//! - [`ConvNet`] is the net of the paper, the fast case: closed-form derivatives, layer by layer, on kernels of our own.
//! - [`Ladder`] holds the nets of several grids, coarse to fine, as one energy over images of all their sizes.
//! - [`Quadratic`] and [`GaussianMixture`] have exact formulas, so that every crate above tests against the truth.
//! - [`check::contract`] says which rule an energy of your own breaks.
//! - [`save_weights`], [`load_weights`], [`load_weights_into`] and [`read_state_dict`] move weights in and out.
//! - [`libtorch`] says which libtorch runs, and opens its CUDA half; [`cuda`] records steps on a GPU.
//!
//! Letters: b samples in a batch, c channels, h and w height and width, n base features.
//!
//! ```
//! use srm_config::{Activation, EnergyConfig};
//! use srm_energy::{ConvNet, Energy, check};
//! use tch::{Device, Kind, Tensor};
//!
//! let config = EnergyConfig::new(32, 3, 8, Activation::LeakyRelu(0.2));
//! let net = ConvNet::new(&config, 1, Device::Cpu)?;
//! let x = Tensor::rand([4, 3, 32, 32], (Kind::Float, Device::Cpu)) * 2 - 1;
//! let (f, slope) = net.f_and_grad(&x)?;
//! assert_eq!((f.size(), slope.size()), (vec![4], vec![4, 3, 32, 32]));
//! check::replica(&net, &x)?;
//! # Ok::<(), srm_energy::EnergyError>(())
//! ```
//!
//! # Speed
//!
//! The kernels are Rust, and a project's own dev profile compiles them without optimisation, dozens of times slower; the
//! program then warns (`tracing`). Put into its `Cargo.toml`:
//!
//! ```toml
//! [profile.dev.package."*"]
//! debug = false
//! [profile.dev.package.srm-energy]
//! opt-level = 3
//! debug-assertions = false
//! overflow-checks = false
//! [profile.dev.package.srm-random]
//! opt-level = 3
//! [profile.dev.package.rand_chacha]
//! opt-level = 3
//! [profile.dev.package.ppv-lite86]
//! opt-level = 3
//! ```

#![deny(missing_docs)]

mod activation;
mod analytic;
mod autograd;
pub mod check;
mod convnet;
#[cfg_attr(any(not(target_arch = "x86_64"), srm_portable), allow(dead_code, unused_imports))]
mod cpu;
pub mod cuda;
mod energy;
mod error;
mod fast_path;
mod ladder;
pub mod libtorch;
mod pass;
mod precision;
mod pth;
mod weights;

pub use analytic::{GaussianMixture, Quadratic};
pub use autograd::{Autograd, Parameters, fresh_weights};
pub use convnet::ConvNet;
pub use cpu::{cpu_multiplier_rate, force_cpu_kernels};
pub use energy::{Curved, Energy, Replicate, Trainable, copies};
pub use error::EnergyError;
pub use ladder::{Ladder, grid_prefix};
pub use pass::layer_shapes;
pub use precision::Precision;
pub use pth::is_torch_script;
pub use weights::{
    Description, Weights, load_bytes, load_weights, load_weights_at, load_weights_into, read_state_dict, read_tensors,
    save_weights, write_weights,
};

use tch::Tensor;

/// What computes an f32 net of so many features on this CPU: `avx512`, `avx2`, or `libtorch` where the
/// processor has neither or [`force_cpu_kernels`] has asked for it.
pub fn cpu_kernels(features: usize) -> &'static str {
    cpu::Kernels::best_for(features).map_or("libtorch", |kernels| kernels.name)
}

/// The result of everything here.
pub type Result<T> = std::result::Result<T, EnergyError>;

/// Tensors with their names.
pub type StateDict = Vec<(String, Tensor)>;

#[cfg(test)]
mod autograd_tests;
#[cfg(test)]
mod golden_tests;
#[cfg(test)]
mod tests;
