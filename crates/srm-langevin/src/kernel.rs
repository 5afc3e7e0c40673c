//! Move a chain by one Langevin step: the update formula.

use crate::{Dynamics, Result, Start, sample_axes};
use tch::Tensor;

/// The Langevin kernel x ← x + a f'(x) + b u with u ~ N(0, I), eq. (4) of Nijkamp et al. 2019.
///
/// Eq. (4) has a = Δτ/2 and b = √Δτ ([`Kernel::eq4`]); the published code has a = 1 and b = 0.01 ([`Kernel::default`]), a
/// tempered form: eq. (4) with f/T as the true negative energy, T = b²/(2a).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kernel {
    /// a > 0.
    pub gradient_scale: f64,
    /// b ≥ 0, in units of x: pixels span [-1, 1].
    pub noise_std: f64,
    /// The longest f'(x) of a sample, as 2-norm; longer ones are shortened to it.
    pub clip: Option<f64>,
}

impl Default for Kernel {
    /// a = 1, b = 0.01, no clip: the published code's (enijkamp/short_run, train_cifar10_minimal.py).
    fn default() -> Self {
        Self { gradient_scale: 1.0, noise_std: 0.01, clip: None }
    }
}

impl Kernel {
    /// Plain Langevin dynamics of step size Δτ: a = Δτ/2, b = √Δτ, T = 1.
    pub fn eq4(delta_tau: f64) -> Self {
        Self { gradient_scale: delta_tau / 2.0, noise_std: delta_tau.sqrt(), clip: None }
    }

    /// A run of `steps` such steps from uniform noise.
    pub fn steps(self, steps: usize) -> Dynamics {
        Dynamics::new(self, steps, Start::Uniform)
    }

    /// T = b²/(2a): an endless chain of small steps would have the density exp(f/T).
    pub fn temperature(&self) -> f64 {
        self.noise_std.powi(2) / (2.0 * self.gradient_scale)
    }

    /// One update: x + a g + b u. Without noise u it is the noise-free run, b = 0.
    ///
    /// # Shapes
    /// `x`, the drift g ([`Kernel::drift`]) and u: the same, `[b, …]`.
    ///
    /// # Errors
    /// [`crate::LangevinError::Torch`] where the shapes differ.
    pub fn step(&self, x: &Tensor, drift: &Tensor, u: Option<&Tensor>) -> Result<Tensor> {
        let mut next = match self.gradient_scale {
            1.0 => x.f_add(drift)?,
            a => x.f_add(&drift.f_mul_scalar(a)?)?,
        };
        if let Some(u) = u {
            next = next.f_add_(&u.f_mul_scalar(self.noise_std)?)?;
        }
        Ok(next)
    }

    /// The drift g that a step takes of f'(x): f' itself, or with a clip each sample's part shortened to it.
    ///
    /// # Shapes
    /// f' and g: `[b, …]`.
    ///
    /// # Errors
    /// [`crate::LangevinError::Torch`].
    pub fn drift(&self, gradient: &Tensor) -> Result<Tensor> {
        match self.clip {
            None => Ok(gradient.shallow_clone()),
            Some(longest) => Ok(gradient.f_mul(&clip_factor(gradient, longest)?.0)?),
        }
    }

    /// The transposed derivative of the drift at f', times `v`, which a chain's adjoint needs: v itself for a short f', and for a
    /// clipped one the part of v across f', shortened by the same factor.
    ///
    /// # Shapes
    /// f', `v` and the result: the same, `[b, …]`.
    ///
    /// # Errors
    /// [`crate::LangevinError::Torch`] where the shapes differ.
    pub fn drift_transpose(&self, gradient: &Tensor, v: &Tensor) -> Result<Tensor> {
        let Some(longest) = self.clip else { return Ok(v.shallow_clone()) };
        let (factor, norm) = clip_factor(gradient, longest)?;
        let unit = gradient.f_div(&norm.f_clamp_min(f64::from(f32::MIN_POSITIVE))?)?;
        let along = unit.f_mul(v)?.f_sum_dim_intlist(sample_axes(v).as_slice(), true, v.kind())?;
        let across = v.f_sub(&unit.f_mul(&along)?)?.f_mul(&factor)?;
        Ok(across.f_where_self(&norm.f_gt(longest)?, v)?)
    }
}

/// The factor of each sample, exactly 1 for a short gradient, and the norms, both `[b, 1, …]`.
fn clip_factor(gradient: &Tensor, longest: f64) -> Result<(Tensor, Tensor)> {
    let norm = gradient.f_norm_scalaropt_dim(2, sample_axes(gradient), true)?;
    let factor = norm.f_clamp_min(longest)?.f_reciprocal()?.f_mul_scalar(longest)?;
    Ok((factor.f_where_self(&norm.f_gt(longest)?, &norm.f_ones_like()?)?, norm))
}
