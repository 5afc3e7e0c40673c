//! Take K Langevin steps from z: the update formula and the one loop around it.

use crate::{Noise, Observer, Result};
use srm_config::LangevinConfig;
use srm_energy::Energy;
use std::ops::Range;
use tch::{Kind, Tensor};

/// One Langevin update, eq. (4) of Nijkamp et al. 2019: x + a f'(x) + b u.
///
/// Eq. (4) has a = Δτ/2 and b = √Δτ; the published code has a = 1 and b = 0.01, a tempered form
/// ([`LangevinConfig::temperature`]). `noise` `None` is the noise-free run, b = 0.
///
/// # Shapes
/// `x`, `gradient` and `noise` u: `[b, c, h, w]`.
///
/// # Errors
/// [`crate::LangevinError::Torch`] where the shapes differ.
pub fn langevin_step(x: &Tensor, gradient: &Tensor, noise: Option<&Tensor>, a: f64, b: f64) -> Result<Tensor> {
    let mut next = match a {
        1.0 => x.f_add(gradient)?,
        _ => x.f_add(&gradient.f_mul_scalar(a)?)?,
    };
    if let Some(u) = noise {
        next = next.f_add_(&u.f_mul_scalar(b)?)?;
    }
    Ok(next)
}

/// f' with each image's part shortened to a 2-norm of at most `longest`.
///
/// # Shapes
/// `gradient` and the result: `[b, c, h, w]`.
///
/// # Errors
/// [`crate::LangevinError::Torch`] for another shape.
pub fn clip(gradient: &Tensor, longest: f64) -> Result<Tensor> {
    Ok(gradient.f_mul(&clip_factor(gradient, longest)?.0)?)
}

/// The factor of each image, exactly 1 for a short gradient, and the norms, both `[b, 1, 1, 1]`.
fn clip_factor(gradient: &Tensor, longest: f64) -> Result<(Tensor, Tensor)> {
    let norm = gradient.f_norm_scalaropt_dim(2, [1i64, 2, 3], true)?;
    let factor = norm.f_clamp_min(longest)?.f_reciprocal()?.f_mul_scalar(longest)?;
    Ok((factor.f_where_self(&norm.f_gt(longest)?, &norm.f_ones_like()?)?, norm))
}

/// The transposed derivative of the clip at `gradient`, times `v`: v itself for a short gradient, and the part of v across
/// the gradient, shortened by the same factor, for a clipped one. What a chain's adjoint needs.
///
/// # Shapes
/// `gradient`, `v` and the result: `[b, c, h, w]`.
///
/// # Errors
/// [`crate::LangevinError::Torch`] where the shapes differ.
pub fn clip_transpose(gradient: &Tensor, v: &Tensor, longest: f64) -> Result<Tensor> {
    let (factor, norm) = clip_factor(gradient, longest)?;
    let unit = gradient.f_div(&norm.f_clamp_min(f64::from(f32::MIN_POSITIVE))?)?;
    let along = unit.f_mul(v)?.f_sum_dim_intlist([1i64, 2, 3].as_slice(), true, v.kind())?;
    let across = v.f_sub(&unit.f_mul(&along)?)?.f_mul(&factor)?;
    Ok(across.f_where_self(&norm.f_gt(longest)?, v)?)
}

/// What a finished short run leaves.
#[derive(Debug)]
pub struct Samples {
    /// x_K `[b, c, h, w]`.
    pub x: Tensor,
}

/// How a short run ended.
#[derive(Debug)]
pub enum Outcome {
    /// All K steps gave finite numbers.
    Finished(Samples),
    /// Some image or energy turned NaN or infinite.
    Diverged {
        /// The first step, 0-based, whose energies or result were not finite.
        step: usize,
        /// The last state, not finite everywhere, for evidence.
        x: Tensor,
    },
}

/// M(z, u): `langevin.steps` updates from `z`, seen by `observer`.
///
/// The loop never waits for the device: whether numbers stay finite is counted there and read once at the end.
///
/// # Shapes
/// `z`: `[b, c, h, w]`.
///
/// # Errors
/// What `energy` and `noise` return. Divergence is an [`Outcome`].
pub fn short_run(
    energy: &dyn Energy,
    langevin: &LangevinConfig,
    z: &Tensor,
    noise: &mut dyn Noise,
    observer: &mut dyn Observer,
) -> Result<Outcome> {
    short_run_steps(energy, langevin, z, 0..langevin.steps, noise, observer)
}

/// [`short_run`] over some of its steps, from the state before the first of them.
///
/// # Errors
/// As in [`short_run`].
pub fn short_run_steps(
    energy: &dyn Energy,
    langevin: &LangevinConfig,
    x: &Tensor,
    steps: Range<usize>,
    noise: &mut dyn Noise,
    observer: &mut dyn Observer,
) -> Result<Outcome> {
    let (a, b) = (langevin.gradient_scale(), langevin.noise_std());
    let mut x = x.shallow_clone();
    let mut all_finite_so_far = Tensor::f_ones([], (Kind::Int64, x.device()))?;
    let mut finite_steps = Tensor::f_zeros([], (Kind::Int64, x.device()))?;
    for step in steps.clone() {
        let (f, gradient) = energy.f_and_grad(&x)?;
        observer.step(step, &x, &f, &gradient)?;
        let gradient = match langevin.clip_gradient {
            Some(longest) => clip(&gradient, longest)?,
            None => gradient,
        };
        let u = noise.draw(step, &x)?;
        x = langevin_step(&x, &gradient, u.as_ref(), a, b)?;
        all_finite_so_far = all_finite_so_far.f_mul(&f.f_sum(f.kind())?.f_isfinite()?.f_to_kind(Kind::Int64)?)?;
        finite_steps = finite_steps.f_add(&all_finite_so_far)?;
    }
    observer.end(&x)?;
    let finite_steps = usize::try_from(finite_steps.f_int64_value(&[])?).unwrap_or(0);
    if finite_steps < steps.len() {
        return Ok(Outcome::Diverged { step: steps.start + finite_steps, x });
    }
    match x.f_isfinite()?.f_all()?.f_int64_value(&[])? {
        0 => Ok(Outcome::Diverged { step: steps.end.saturating_sub(1), x }),
        _ => Ok(Outcome::Finished(Samples { x })),
    }
}
