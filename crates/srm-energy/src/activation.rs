//! Apply the activation and its first two derivatives to whole tensors.

use crate::Result;
use srm_config::Activation;
use std::f64::consts::{FRAC_1_SQRT_2, PI};
use tch::Tensor;

/// PyTorch's softplus turns linear above this.
const SOFTPLUS_THRESHOLD: f64 = 20.0;

/// Whether φ'' is zero almost everywhere.
pub(crate) fn is_piecewise_linear(activation: Activation) -> bool {
    matches!(activation, Activation::LeakyRelu(_) | Activation::Relu)
}

/// φ(a).
pub(crate) fn apply(activation: Activation, a: &Tensor) -> Result<Tensor> {
    Ok(match activation {
        // a·φ'(a) is φ(a) for a function that is linear on both sides of 0; tch has no slope argument elsewhere.
        Activation::LeakyRelu(slope) => a.f_leaky_relu_backward(a, slope, false)?,
        Activation::Relu => a.f_relu()?,
        Activation::Silu => a.f_silu()?,
        Activation::Softplus => a.f_softplus()?,
        Activation::Gelu => a.f_gelu("none")?,
    })
}

/// g · φ'(a).
pub(crate) fn times_first(activation: Activation, g: &Tensor, a: &Tensor) -> Result<Tensor> {
    Ok(match activation {
        Activation::LeakyRelu(slope) => a.f_leaky_relu_backward(g, slope, false)?,
        Activation::Relu => a.f_threshold_backward(g, 0)?,
        // libtorch names the receiver `self` and the gradient first in C++; in tch the receiver is a.
        Activation::Silu => a.f_silu_backward(g)?,
        Activation::Softplus => a.f_softplus_backward(g, 1.0, SOFTPLUS_THRESHOLD)?,
        Activation::Gelu => a.f_gelu_backward(g, "none")?,
    })
}

/// g · φ''(a) for the smooth activations; `None` where it is zero almost everywhere.
pub(crate) fn times_second(activation: Activation, g: &Tensor, a: &Tensor) -> Result<Option<Tensor>> {
    let mut second = match activation {
        Activation::LeakyRelu(_) | Activation::Relu => return Ok(None),
        // in place where a tensor is ours alone: memory traffic is what this costs
        Activation::Silu => {
            let mut s = a.f_sigmoid()?;
            let mut slope = s.f_neg()?.f_add_scalar_(1)?.f_mul_(&s)?; // σ' = σ(1 − σ)
            let bend = s.f_mul_scalar_(-2)?.f_add_scalar_(1)?.f_mul_(a)?.f_add_scalar_(2)?; // 2 + a(1 − 2σ)
            slope.f_mul_(&bend)?
        }
        Activation::Softplus => {
            let s = a.f_sigmoid()?;
            let mut curve = s.f_neg()?.f_add_scalar_(1)?.f_mul_(&s)?;
            curve.f_mul_(&a.f_le(SOFTPLUS_THRESHOLD)?.f_to_kind(a.kind())?)?
        }
        Activation::Gelu => {
            let square = a.f_square()?;
            // φ(a)(2 − a²) with the normal density φ = √(1/2)/√π · exp(−a²/2)
            let density = square.f_mul_scalar(-0.5)?.f_exp()?.f_mul_scalar(FRAC_1_SQRT_2 / PI.sqrt())?;
            density.f_mul(&square.f_neg()?.f_add_scalar(2)?)?
        }
    };
    Ok(Some(second.f_mul_(g)?))
}
