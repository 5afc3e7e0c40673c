//! Take K Langevin steps from z: the one loop.

use crate::grids::up_sampled;
use crate::{Dynamics, Kernel, LangevinError, Noise, Observer, Result};
use srm_energy::Energy;
use std::ops::Range;
use tch::{Device, Kind, Tensor};

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
/// The loop never waits for the device: whether numbers stay finite is noted there and read once at the end.
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
    let mut tally = Tally::default();
    let mut step = steps.start;
    while step < steps.end {
        let alike = dynamics.alike(step..steps.end);
        step = alike.end;
        let stretch = Stretch { energy, kernel: dynamics.kernel_at(alike.start), steps: alike };
        x = match stretch.recorded(&x, noise, &mut tally, observer)? {
            Some(x) => x,
            None => stretch.run(x, noise, &mut tally, observer)?,
        };
        if let Some(factor) = dynamics.rise_at(step) {
            observer.rise(step, &x)?;
            x = up_sampled(&x, factor)?;
            if let Some(start) = noise.rise(step, &x)? {
                x = x.f_add(&start)?;
            }
        }
    }
    observer.end(&x)?;
    let finite_steps = tally.finite_steps()?;
    if finite_steps < steps.len() {
        return Ok(Outcome::Diverged { step: steps.start + finite_steps, x });
    }
    match x.f_isfinite()?.f_all()?.f_int64_value(&[])? {
        0 => Ok(Outcome::Diverged { step: steps.end.saturating_sub(1), x }),
        _ => Ok(Outcome::Finished(Samples { x })),
    }
}

/// Steps on one grid by one kernel.
pub(crate) struct Stretch<'a> {
    pub(crate) energy: &'a dyn Energy,
    pub(crate) kernel: Kernel,
    pub(crate) steps: Range<usize>,
}

impl Stretch<'_> {
    /// The state after them.
    fn run(
        &self,
        mut x: Tensor,
        noise: &mut dyn Noise,
        tally: &mut Tally,
        observer: &mut dyn Observer,
    ) -> Result<Tensor> {
        for step in self.steps.clone() {
            let (f, gradient) = self.energy.f_and_grad(&x)?;
            observer.step(step, &x, &f, &gradient)?;
            let u = if self.kernel.noise_std > 0.0 { noise.draw(step, &x)? } else { None };
            x = self.kernel.step(&x, &self.kernel.drift(&gradient)?, u.as_ref())?;
            tally.see(&f)?;
        }
        Ok(x)
    }
}

/// The sums of f of the steps, which stay on the device until the end.
#[derive(Default)]
pub(crate) struct Tally(Vec<Tensor>);

impl Tally {
    pub(crate) fn see(&mut self, f: &Tensor) -> Result<()> {
        self.0.push(f.f_sum(f.kind())?);
        Ok(())
    }

    /// The number of steps before the first whose energies were not finite.
    fn finite_steps(&self) -> Result<usize> {
        if self.0.is_empty() {
            return Ok(0);
        }
        let sums = Tensor::f_stack(&self.0, 0)?.f_to_device(Device::Cpu)?.f_to_kind(Kind::Double)?;
        let sums = Vec::<f64>::try_from(sums)?;
        Ok(sums.iter().position(|sum| !sum.is_finite()).unwrap_or(sums.len()))
    }
}
