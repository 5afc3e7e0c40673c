//! Keep a block of chains' numbers and pictures at chosen steps, on the device, without ever waiting for it.

use crate::chains::Plan;
use srm_langevin::{Observer, Result, sample_axes, up_to};
use std::sync::Arc;
use tch::{Device, Kind, Tensor};

/// Numbers of a chain at a step: f, ‖f'‖₂, mean and std of its pixels, max |x|, rms distance from z (of a ladder up-sampled),
/// proposals accepted so far.
pub(crate) const NUMBERS: i64 = 7;

/// Watches one block of b chains.
pub struct ChainLog {
    plan: Arc<Plan>,
    /// z; the first state seen where none was given.
    pub(crate) z: Option<Tensor>,
    /// Steps and their `[b, 7]`.
    pub(crate) numbers: Vec<(usize, Tensor)>,
    /// Steps and their x.
    pub(crate) pictures: Vec<(usize, Tensor)>,
    /// Steps whose x and f were finite, of each chain, i64 `[b]`: the step at which a chain blew up, if it did.
    pub(crate) finite_steps: Tensor,
    /// The largest |x| at any step while the chain was finite, `[b]`.
    pub(crate) largest: Tensor,
    /// Proposals accepted so far, f64 `[b]`; 0 for chains that take every one.
    pub(crate) accepted: Tensor,
    /// Steps seen.
    pub(crate) steps: usize,
    /// The shape of a picture, to which a ladder's coarse states are up-sampled; empty: each as it is.
    pub(crate) picture: Vec<i64>,
}

impl ChainLog {
    /// A log of `b` chains that has seen nothing.
    pub fn new(plan: Arc<Plan>, b: usize, device: Device) -> Self {
        let zeros = |kind| Tensor::zeros([b as i64], (kind, device));
        let (finite_steps, largest, accepted) = (zeros(Kind::Int64), zeros(Kind::Float), zeros(Kind::Double));
        Self {
            plan,
            z: None,
            numbers: vec![],
            pictures: vec![],
            finite_steps,
            largest,
            accepted,
            steps: 0,
            picture: vec![],
        }
    }

    /// The pictures kept: steps and x `[b, c, h, w]`.
    pub fn pictures(&self) -> &[(usize, Tensor)] {
        &self.pictures
    }

    /// Go on by another plan: what was kept outside it is dropped.
    pub(crate) fn follow(&mut self, plan: Arc<Plan>) {
        self.numbers.retain(|(step, _)| plan.numbers_at(*step));
        self.pictures.retain(|(step, _)| plan.picture_at(*step));
        self.plan = plan;
    }

    /// Count the chains that took their proposal, bool `[b]`.
    pub(crate) fn accept(&mut self, taken: &Tensor) -> Result<()> {
        self.accepted = self.accepted.f_add(&taken.f_to_kind(Kind::Double)?)?;
        Ok(())
    }

    /// Keep what the plan asks for at a step, once.
    pub(crate) fn keep(&mut self, step: usize, x: &Tensor, f: &Tensor, gradient: &Tensor) -> Result<()> {
        let is_new = |kept: &[(usize, Tensor)]| kept.last().is_none_or(|(last, _)| *last < step);
        if self.plan.numbers_at(step) && is_new(&self.numbers) {
            let z = self.z.get_or_insert_with(|| x.shallow_clone());
            let pixels = &sample_axes(x)[..];
            let columns = [
                f.f_to_kind(Kind::Float)?,
                gradient.f_norm_scalaropt_dim(2, pixels, false)?,
                x.f_mean_dim(pixels, false, Kind::Float)?,
                x.f_std_dim(pixels, false, false)?,
                x.f_abs()?.f_amax(pixels, false)?,
                x.f_sub(&up_to(z, &x.size())?)?.f_square()?.f_mean_dim(pixels, false, Kind::Float)?.f_sqrt()?,
                self.accepted.f_to_kind(Kind::Float)?,
            ];
            self.numbers.push((step, Tensor::f_stack(&columns, 1)?));
        }
        if self.plan.picture_at(step) && is_new(&self.pictures) {
            self.pictures.push((step, up_to(x, &self.picture)?.f_detach_copy()?));
        }
        Ok(())
    }
}

impl Observer for ChainLog {
    fn step(&mut self, step: usize, x: &Tensor, f: &Tensor, gradient: &Tensor) -> Result<()> {
        if self.z.is_none() {
            self.z = Some(x.f_detach_copy()?);
        }
        let largest = x.f_abs()?.f_amax(sample_axes(x), false)?;
        let finite = largest.f_isfinite()?.f_logical_and(&f.f_isfinite()?)?;
        // a chain that was not finite once is lost, whatever its numbers say later
        let finite = finite.f_logical_and(&self.finite_steps.f_eq(self.steps as i64)?)?;
        self.largest = self.largest.f_maximum(&largest)?.f_where_self(&finite, &self.largest)?;
        self.finite_steps = self.finite_steps.f_add(&finite.f_to_kind(Kind::Int64)?)?;
        self.steps += 1;
        self.keep(step, x, f, gradient)
    }
}
