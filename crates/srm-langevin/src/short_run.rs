//! Take K Langevin steps from z: the one loop.

use crate::grids::up_sampled;
use crate::{Dynamics, LangevinError, Noise, Observer, Result};
use srm_energy::Energy;
use std::ops::Range;
use tch::{Kind, Tensor};

/// All axes of a batch but the first: those that norms and sums of a sample go over.
pub fn sample_axes(x: &Tensor) -> Vec<i64> {
    (1..x.dim() as i64).collect()
}

/// One value per sample, in a form that goes along with the samples of `like`.
///
/// # Shapes
/// `values`: `[b]`; `like`: `[b, …]`; out: `[b, 1, …]`, with as many axes.
///
/// # Errors
/// [`LangevinError::Torch`].
pub fn per_sample(values: &Tensor, like: &Tensor) -> Result<Tensor> {
    let mut shape = vec![1; like.dim()];
    shape[0] = values.numel() as i64;
    Ok(values.f_reshape(shape)?)
}

/// What a finished short run leaves.
#[derive(Debug)]
pub struct Samples {
    /// x_K `[b, …]`.
    pub x: Tensor,
}

/// How a short run ended.
#[derive(Debug)]
pub enum Outcome {
    /// All K steps gave finite numbers.
    Finished(Samples),
    /// Some sample or energy turned NaN or infinite.
    Diverged {
        /// The first step, 0-based, whose energies or result were not finite.
        step: usize,
        /// The last state, not finite everywhere, for evidence.
        x: Tensor,
    },
}

/// M(z, u): the K steps of `dynamics` from `z`, seen by `observer`.
///
/// The loop never waits for the device: whether numbers stay finite is counted there and read once at the end.
///
/// # Shapes
/// `z`: `[b, …]`, at least one axis after the first; of a ladder on its coarsest grid.
///
/// # Errors
/// What `energy` and `noise` return. Divergence is an [`Outcome`].
pub fn short_run(
    energy: &dyn Energy,
    dynamics: &Dynamics,
    z: &Tensor,
    noise: &mut dyn Noise,
    observer: &mut dyn Observer,
) -> Result<Outcome> {
    short_run_steps(energy, dynamics, 0..dynamics.steps, z, noise, observer)
}

/// [`short_run`] over some of its steps, from the state before the first of them to that before the next, each on its step's grid.
///
/// # Errors
/// As in [`short_run`].
pub fn short_run_steps(
    energy: &dyn Energy,
    dynamics: &Dynamics,
    steps: Range<usize>,
    x: &Tensor,
    noise: &mut dyn Noise,
    observer: &mut dyn Observer,
) -> Result<Outcome> {
    if x.dim() < 2 {
        return Err(LangevinError::NoRows { got: x.size() });
    }
    let mut x = x.shallow_clone();
    let mut all_finite_so_far = Tensor::f_ones([], (Kind::Int64, x.device()))?;
    let mut finite_steps = Tensor::f_zeros([], (Kind::Int64, x.device()))?;
    for step in steps.clone() {
        let kernel = dynamics.kernel_at(step);
        let (f, gradient) = energy.f_and_grad(&x)?;
        observer.step(step, &x, &f, &gradient)?;
        let u = if kernel.noise_std > 0.0 { noise.draw(step, &x)? } else { None };
        x = kernel.step(&x, &kernel.drift(&gradient)?, u.as_ref())?;
        all_finite_so_far = all_finite_so_far.f_mul(&f.f_sum(f.kind())?.f_isfinite()?.f_to_kind(Kind::Int64)?)?;
        finite_steps = finite_steps.f_add(&all_finite_so_far)?;
        if let Some(factor) = dynamics.rise_at(step + 1) {
            observer.rise(step + 1, &x)?;
            x = up_sampled(&x, factor)?;
            if let Some(start) = noise.rise(step + 1, &x)? {
                x = x.f_add(&start)?;
            }
        }
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
