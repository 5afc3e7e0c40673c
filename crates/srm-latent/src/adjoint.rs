//! Differentiate a short run in its start by the adjoint.
//!
//! With x_{k+1} = x_k + a f'(x_k) + b u_k and λ_K given, λ_k = λ_{k+1} + a ∇²f(x_k) λ_{k+1} and the derivative in z is
//! λ_0; where a ladder's chain has gone to a finer grid by repeating pixels, λ goes back by their sums, and what it is there is
//! the derivative in the grid's own start. Only images x_k are
//! kept, every `keep_every`-th of them, the others are computed again; each Hessian-vector product needs the activations of one
//! step alone, so memory does not grow with K × activations.

use crate::Result;
use srm_energy::Curved;
use srm_langevin::{Dynamics, Noise, Observer, Outcome, Path, Samples, block_sums, short_run, short_run_steps};
use tch::Tensor;

/// The end of a run and a vector pulled back to its starts.
pub(crate) struct Pulled {
    /// x_K.
    pub(crate) x: Tensor,
    /// λ at the first step on each grid, coarse to fine: λ_0 first.
    pub(crate) lambdas: Vec<Tensor>,
}

/// Run from `z` and pull `cotangent(x_K)` back to z.
///
/// For nets without curvature ∇²f = 0 almost everywhere and λ_0 = λ_K: no image is kept and nothing is computed backward.
///
/// # Errors
/// What the energy and the noise return, and [`crate::LatentError::Diverged`].
pub(crate) fn pull_back(
    energy: &dyn Curved,
    dynamics: &Dynamics,
    z: &Tensor,
    noise: &mut dyn Noise,
    keep_every: usize,
    cotangent: impl FnOnce(&Tensor) -> Result<Tensor>,
) -> Result<Pulled> {
    if !energy.has_curvature() {
        let x = finished(short_run(energy, dynamics, z, noise, &mut ())?)?;
        let lambdas = pulled_down(&cotangent(&x)?, dynamics)?;
        return Ok(Pulled { x, lambdas });
    }
    let (steps, keep_every) = (dynamics.steps, keep_every.max(1));
    let mut kept = Path::new(keep_every);
    let x = finished(short_run(energy, dynamics, z, noise, &mut kept)?)?;
    let (mut lambda, mut lambdas) = (cotangent(&x)?, Vec::new());
    let firsts = (0..steps).step_by(keep_every).zip(kept.states()).collect::<Vec<_>>();
    for (first, start) in firsts.into_iter().rev() {
        let part = first..(first + keep_every).min(steps);
        let mut segment = Path::new(1);
        if part.len() > 1 {
            // the last state of the segment is the start of the next one: its step need not be made again
            let again = part.start..part.end - 1;
            let _ = finished(short_run_steps(energy, dynamics, again, start, noise, &mut segment)?)?;
        } else {
            segment.end(start)?;
        }
        for (step, x_k) in part.zip(segment.states()).rev() {
            let kernel = dynamics.kernel_at(step);
            let turned = match kernel.clip {
                Some(_) => kernel.drift_transpose(&energy.f_and_grad(x_k)?.1, &lambda)?,
                None => lambda.shallow_clone(),
            };
            let bent = energy.hvp(x_k, &turned)?;
            lambda = lambda.f_add(&bent.f_mul_scalar(kernel.gradient_scale)?)?;
            if let Some(factor) = dynamics.rise_at(step) {
                let coarser = block_sums(&lambda, factor)?;
                lambdas.push(std::mem::replace(&mut lambda, coarser));
            }
        }
    }
    lambdas.push(lambda);
    lambdas.reverse();
    Ok(Pulled { x, lambdas })
}

/// λ on each grid, coarse to fine, of a chain whose steps leave it as it is.
pub(crate) fn pulled_down(lambda: &Tensor, dynamics: &Dynamics) -> Result<Vec<Tensor>> {
    let on = |grid| match dynamics.growth_from(grid) {
        1 => Ok(lambda.shallow_clone()),
        growth => Ok(block_sums(lambda, growth)?),
    };
    (0..dynamics.grid_count()).map(on).collect()
}

pub(crate) fn finished(outcome: Outcome) -> Result<Tensor> {
    match outcome {
        Outcome::Finished(Samples { x }) => Ok(x),
        Outcome::Diverged { step, .. } => Err(crate::LatentError::Diverged { step }),
    }
}
