//! Give each image a negative energy f(x), with its derivatives and its weights files.
//!
//! One sign everywhere, the paper's: f is the NEGATIVE energy, p(x) ∝ exp f(x), so high f means likely, and Langevin
//! dynamics climbs f. Nobody in the workspace flips it.
//!
//! - [`Energy`] is the contract: batch in, batch out, sample i never affects output j. It is the only place that knows
//!   how derivatives in x are made, and nothing in it uses autograd.
//! - [`ConvNet`] is the net of the paper with closed-form derivatives, layer by layer; [`Trainable`] adds the
//!   derivative in the weights.
//! - [`Quadratic`] and [`GaussianMixture`] have exact formulas, so that every crate above tests against the truth.
//! - [`save_weights`], [`load_weights`] and [`read_state_dict`] move weights in and out.
//!
//! Letters: b images in a batch, c channels, h and w height and width, n base features.

#![deny(missing_docs)]

mod activation;
mod analytic;
mod convnet;
mod cpu;
mod error;
mod fast_path;
pub mod libtorch;
mod pass;
mod precision;
mod pth;
mod weights;

pub use analytic::{GaussianMixture, Quadratic};
pub use convnet::{ConvNet, layer_shapes};
pub use error::EnergyError;
pub use precision::Precision;
pub use pth::is_torch_script;
pub use weights::{Weights, load_weights, load_weights_at, read_state_dict, save_weights};

use tch::{Device, Tensor};

/// What computes an f32 LeakyReLU or ReLU net of so many features on this CPU: `avx512`, `avx2`, or `libtorch` where the
/// processor has neither.
pub fn cpu_kernels(features: usize) -> &'static str {
    cpu::Kernels::best_for(features).map_or("libtorch", |kernels| kernels.name)
}

/// The result of everything here.
pub type Result<T> = std::result::Result<T, EnergyError>;

/// A negative energy f over images, with its derivatives in the image.
///
/// # Shapes
/// `x` and `v`: `[b, c, h, w]`; f: `[b]`; the gradient and the Hessian-vector product: the shape of `x`.
///
/// # Errors
/// [`EnergyError::ImageShape`] where `x` does not fit, [`EnergyError::Torch`] where libtorch fails.
pub trait Energy: Send {
    /// f(x): one number an image.
    fn f(&self, x: &Tensor) -> Result<Tensor>;

    /// f(x) and f'(x) = ∇ₓ f(x).
    fn f_and_grad(&self, x: &Tensor) -> Result<(Tensor, Tensor)>;

    /// ∇²f(x) v, each image by itself. Almost everywhere zero for piecewise linear nets.
    fn hvp(&self, x: &Tensor, v: &Tensor) -> Result<Tensor>;

    /// Whether ∇²f is anything but zero almost everywhere. Where it is not, a chain's derivative in its start is the identity.
    fn has_curvature(&self) -> bool {
        true
    }

    /// The same energy for another thread: it shares the weights' storage and carries no autograd history.
    fn replica(&self) -> Self
    where
        Self: Sized;

    /// Where `x` must live.
    fn device(&self) -> Device;
}

/// An energy whose weights θ can be learned.
pub trait Trainable: Energy {
    /// f(x) and ∇θ Σᵢ cᵢ f(xᵢ), by autograd through one evaluation (never through a chain).
    ///
    /// # Shapes
    /// `x`: `[b, c, h, w]`; `coefficients` cᵢ: `[b]`; the gradients: one tensor a parameter, in the order and shapes of
    /// [`Trainable::named_parameters`].
    ///
    /// # Errors
    /// As in [`Energy`].
    fn f_and_parameter_grad(&self, x: &Tensor, coefficients: &Tensor) -> Result<(Tensor, Vec<Tensor>)>;

    /// The parameters with their names (`f.0.weight`, `f.0.bias`, `f.2.weight`, …); the tensors share storage with the
    /// net, so an update in place is seen by every replica.
    fn named_parameters(&self) -> Vec<(String, Tensor)>;
}

#[cfg(test)]
mod golden_tests;
#[cfg(test)]
mod tests;
