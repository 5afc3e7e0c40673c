//! Correct the Langevin step by Metropolis's test, so that chains keep exp(f/T) whatever the step size.
//!
//! The proposal is the step that training uses, N(x + a f'(x), b² I), and T = b²/(2a) is the temperature at which it is plain
//! Langevin dynamics (Roberts and Tweedie 1996; Besag 1994). As in blackjax's `mala`, the state caches f and f', and what a
//! person wants to know of a step comes apart from it.

use crate::{EvalError, Result};
use srm_energy::Energy;
use srm_langevin::{ChainKey, Kernel, per_sample};
use srm_random::{Key, Purpose, uniform};
use tch::{Device, Kind, Tensor};

/// What the next step needs.
#[derive(Debug)]
pub struct MetropolisState {
    /// `[b, …]`
    pub x: Tensor,
    /// f(x) `[b]`
    pub f: Tensor,
    /// f'(x), before any clip.
    pub gradient: Tensor,
}

/// What a person wants to know of a step.
#[derive(Debug)]
pub struct MetropolisInfo {
    /// Whether each chain took its proposal, bool `[b]`.
    pub accepted: Tensor,
    /// log of the ratio that the test compares with 1, f64 `[b]`; the proposal is taken with probability min(1, ratio).
    pub log_ratio: Tensor,
}

/// The kernel: step sizes and temperature.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metropolis {
    kernel: Kernel,
}

impl Metropolis {
    /// The kernel whose proposals are the steps of `kernel`.
    ///
    /// # Errors
    /// [`EvalError::NoTemperature`] for steps without noise.
    pub fn new(kernel: Kernel) -> Result<Self> {
        match kernel.noise_std > 0.0 {
            true => Ok(Self { kernel }),
            false => Err(EvalError::NoTemperature),
        }
    }

    /// T of the target exp(f/T).
    pub fn temperature(&self) -> f64 {
        self.kernel.temperature()
    }

    /// The state at `x`.
    ///
    /// # Errors
    /// What the energy returns.
    pub fn init(&self, energy: &dyn Energy, x: &Tensor) -> srm_langevin::Result<MetropolisState> {
        let (f, gradient) = energy.f_and_grad(x)?;
        Ok(MetropolisState { x: x.shallow_clone(), f, gradient })
    }

    /// Propose y = x + a f'(x) + b u and take it where log(uniform) is below the log ratio.
    ///
    /// With T = b²/(2a) and the drift g the two Gaussian densities and f/T gather in
    /// log ratio = (f(y) − f(x) − (y − x)·(g(x) + g(y))/2 − (a/4)(‖g(y)‖² − ‖g(x)‖²)) / T,
    /// the error of the trapezoidal rule and a remainder: no large numbers cancel but those inside f. All of it is f64 except f
    /// and f' themselves: a rounding of f by 1e-6 moves the log ratio by 1e-6/T, which is 0.02 for the published steps. A
    /// proposal whose f is not finite is refused, so that a chain that begins finite stays finite.
    ///
    /// # Shapes
    /// `u`: as x, N(0, 1); `log_uniform`: f64 `[b]`.
    ///
    /// # Errors
    /// What the energy returns.
    pub fn step(
        &self,
        energy: &dyn Energy,
        state: &MetropolisState,
        u: &Tensor,
        log_uniform: &Tensor,
    ) -> srm_langevin::Result<(MetropolisState, MetropolisInfo)> {
        let MetropolisState { x, f, gradient } = state;
        let drift = self.kernel.drift(gradient)?; // any drift keeps the target, a clipped one too
        let proposal = self.kernel.step(x, &drift, Some(u))?;
        let (proposed_f, proposed_gradient) = energy.f_and_grad(&proposal)?;
        let wide = |tensor: &Tensor| tensor.f_flatten(1, -1)?.f_to_kind(Kind::Double);
        let (here, there) = (wide(&drift)?, wide(&self.kernel.drift(&proposed_gradient)?)?);
        let (sum, difference) = (here.f_add(&there)?, there.f_sub(&here)?);
        let way = wide(&proposal)?.f_sub(&wide(x)?)?;
        // ‖g(y)‖² − ‖g(x)‖² = (g(y) − g(x))·(g(y) + g(x))
        let weight = way.f_mul_scalar(0.5)?.f_add(&difference.f_mul_scalar(self.kernel.gradient_scale / 4.0)?)?;
        let trapezium = weight.f_mul(&sum)?.f_sum_dim_intlist([1i64].as_slice(), false, Kind::Double)?;
        let climb = proposed_f.f_to_kind(Kind::Double)?.f_sub(&f.f_to_kind(Kind::Double)?)?;
        let log_ratio = climb.f_sub(&trapezium)?.f_div_scalar(self.temperature())?;
        let accepted = log_uniform.f_lt_tensor(&log_ratio)?.f_logical_and(&log_ratio.f_isfinite()?)?;
        let images = per_sample(&accepted, x)?;
        let next = MetropolisState {
            x: proposal.f_where_self(&images, x)?,
            f: proposed_f.f_where_self(&accepted, f)?,
            gradient: proposed_gradient.f_where_self(&images, gradient)?,
        };
        Ok((next, MetropolisInfo { accepted, log_ratio }))
    }
}

/// log of a uniform number in (0, 1] for each chain's test at a step, keyed by chain and step. Its 24 bits reach down to
/// −16.6: a proposal less likely than 6e-8 is never taken.
///
/// # Shapes
/// f64 `[ids]`, on `device`.
///
/// # Errors
/// [`srm_langevin::LangevinError::Torch`].
pub fn log_uniform(key: &ChainKey, ids: &[u64], step: usize, device: Device) -> srm_langevin::Result<Tensor> {
    let draw = |&id: &u64| {
        let mut value = [0.0f32];
        let ChainKey { seed, attempt, update } = *key;
        let key = Key { seed, purpose: Purpose::ChainAccept, attempt, update, id, step: step as u64 };
        uniform(&key, 0.0, 1.0, &mut value);
        (1.0 - f64::from(value[0])).ln()
    };
    let values: Vec<f64> = ids.iter().map(draw).collect();
    Ok(Tensor::f_from_slice(&values)?.f_to_device(device)?)
}
