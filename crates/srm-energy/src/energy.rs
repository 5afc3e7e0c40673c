//! Say what an energy must be able to do: for a chain, for its adjoint, for worker threads, for training.

use crate::cuda::Recordings;
use crate::{Result, StateDict};
use serde_json::Value as Json;
use tch::{Device, Tensor};

/// A negative energy f, with its derivative in x. All that a chain asks for.
///
/// Sample i never affects output j; [`crate::check`] has a test of that and of the derivatives.
///
/// # Shapes
/// `x`: `[b, …]`, images `[b, c, h, w]`, points `[b, d]` or whatever the energy is over; f: `[b]`; f': the shape of `x`.
///
/// # Errors
/// [`crate::EnergyError::Shape`] or the like where `x` does not fit, [`crate::EnergyError::Torch`] where libtorch fails,
/// [`crate::EnergyError::Other`] for errors of an energy of your own.
pub trait Energy {
    /// f(x) and f'(x) = ∇ₓ f(x).
    fn f_and_grad(&self, x: &Tensor) -> Result<(Tensor, Tensor)>;

    /// f(x): one number per sample.
    fn f(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.f_and_grad(x)?.0)
    }

    /// Where steps of chains like `x` that were recorded on a GPU are kept, with what they read beside x brought up to date; `None`
    /// where [`Energy::f_and_grad`] cannot be recorded, which starts the same kernels on the same tensors each time then.
    fn recordings(&self, x: &Tensor) -> Result<Option<&Recordings>> {
        let _ = x;
        Ok(None)
    }
}

/// An energy with its second derivative, which the adjoint of a chain asks for.
pub trait Curved: Energy {
    /// ∇²f(x) v, each sample by itself.
    ///
    /// # Shapes
    /// `x`, `v` and the product: the same.
    ///
    /// # Errors
    /// As in [`Energy`].
    fn hvp(&self, x: &Tensor, v: &Tensor) -> Result<Tensor>;

    /// Whether ∇²f is anything but zero almost everywhere. Where it is not, as for LeakyReLU nets, a chain's derivative in its
    /// start is the identity, and nobody calls [`Curved::hvp`].
    fn has_curvature(&self) -> bool {
        true
    }
}

/// An energy that several threads can compute at a time.
pub trait Replicate: Energy + Send + Sized + 'static {
    /// The same energy for another thread: it shares the weights' storage and carries no autograd history.
    fn replica(&self) -> Self;

    /// Where `x` must live.
    fn device(&self) -> Device {
        Device::Cpu
    }
}

/// The same tensors with storage of their own and without autograd history.
///
/// # Errors
/// [`crate::EnergyError::Torch`].
pub fn copies(tensors: &StateDict) -> Result<StateDict> {
    tensors.iter().map(|(name, tensor)| Ok((name.clone(), tensor.f_detach()?.f_detach_copy()?))).collect()
}

/// An energy whose weights θ can be learned.
pub trait Trainable: Replicate {
    /// f(x) and ∇θ Σᵢ cᵢ f(xᵢ), through one evaluation, never through a chain. Called where autograd is off.
    ///
    /// # Shapes
    /// `x`: `[b, …]`; `coefficients` cᵢ: `[b]`; the gradients: one tensor per parameter, in the order and shapes of
    /// [`Trainable::named_parameters`].
    ///
    /// # Errors
    /// As in [`Energy`].
    fn f_and_parameter_grad(&self, x: &Tensor, coefficients: &Tensor) -> Result<(Tensor, Vec<Tensor>)>;

    /// The parameters with their names (`f.0.weight`, `f.0.bias`, `f.2.weight`, …); the tensors share storage with the
    /// net, so an update in place is seen by every replica.
    fn named_parameters(&self) -> StateDict;

    /// A copy with weights of its own.
    ///
    /// # Errors
    /// As in [`Energy`].
    fn fork(&self) -> Result<Self>;

    /// How many terms f of a sample of this shape is the sum of. The trainer divides the gradient in θ by it, and the f, gap and r that it
    /// tells, so that one learning rate serves all sizes; chains take f as it is.
    fn places(&self, _shape: &[i64]) -> f64 {
        1.0
    }

    /// What the net is, as JSON: kept in weights files in the section `net`. The library's own nets name their sections.
    fn describe(&self) -> Json {
        Json::Null
    }
}
