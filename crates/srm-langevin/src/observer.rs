//! Watch a short run without being part of it.

use crate::{Result, sample_axes};
use tch::Tensor;

/// Sees the states of a run. Every method defaults to nothing, and `()` is the observer that costs nothing. On a GPU the next step may
/// write its own into the tensors of this one: who wants to keep one keeps a copy.
pub trait Observer {
    /// Before update `step` (0-based): the state x_k `[b, …]`, f(x_k) `[b]` and f'(x_k).
    ///
    /// # Errors
    /// [`crate::LangevinError::Torch`].
    fn step(&mut self, step: usize, x: &Tensor, f: &Tensor, gradient: &Tensor) -> Result<()> {
        let _ = (step, x, f, gradient);
        Ok(())
    }

    /// Where a ladder's chain goes to a finer grid before update `step`: its state at the end of the coarser one.
    ///
    /// # Errors
    /// [`crate::LangevinError::Torch`].
    fn rise(&mut self, step: usize, x: &Tensor) -> Result<()> {
        let _ = (step, x);
        Ok(())
    }

    /// After the last update: x_K.
    ///
    /// # Errors
    /// [`crate::LangevinError::Torch`].
    fn end(&mut self, x: &Tensor) -> Result<()> {
        let _ = x;
        Ok(())
    }
}

impl Observer for () {}

/// r: the mean over the chain of ‖f'(x_k)‖₂ per sample (Nijkamp et al., "Anatomy of MCMC-based ML Learning", AAAI 2020).
#[derive(Default)]
pub struct GradientNorm {
    sum: Option<Tensor>,
    steps: usize,
}

impl GradientNorm {
    /// r of each sample, `[b]`; `None` before the first step.
    ///
    /// # Errors
    /// [`crate::LangevinError::Torch`].
    pub fn mean(&self) -> Result<Option<Tensor>> {
        self.sum.as_ref().map(|sum| Ok(sum.f_div_scalar(self.steps as f64)?)).transpose()
    }
}

impl Observer for GradientNorm {
    fn step(&mut self, _step: usize, _x: &Tensor, _f: &Tensor, gradient: &Tensor) -> Result<()> {
        let norm = gradient.f_norm_scalaropt_dim(2, sample_axes(gradient), false)?;
        self.sum = Some(match &self.sum {
            Some(sum) => sum.f_add(&norm)?,
            None => norm,
        });
        self.steps += 1;
        Ok(())
    }
}

/// Keeps what a chain leaves on each of its grids, coarse to fine: its last state there and r.
#[derive(Default)]
pub struct Climb {
    ends: Vec<Tensor>,
    norms: Vec<GradientNorm>,
}

impl Climb {
    /// The last state on each grid, `[b, …]`, and r of each sample there, `[b]`.
    ///
    /// # Errors
    /// [`crate::LangevinError::Torch`].
    pub fn grids(&self) -> Result<Vec<(&Tensor, Tensor)>> {
        let norms = self.norms.iter().map(GradientNorm::mean).collect::<Result<Vec<_>>>()?;
        Ok(self.ends.iter().zip(norms.into_iter().flatten()).collect())
    }
}

impl Observer for Climb {
    fn step(&mut self, step: usize, x: &Tensor, f: &Tensor, gradient: &Tensor) -> Result<()> {
        self.norms.resize_with(self.ends.len() + 1, GradientNorm::default);
        self.norms[self.ends.len()].step(step, x, f, gradient)
    }

    fn rise(&mut self, _step: usize, x: &Tensor) -> Result<()> {
        self.end(x)
    }

    fn end(&mut self, x: &Tensor) -> Result<()> {
        self.ends.push(x.shallow_clone());
        Ok(())
    }
}

/// Keeps x_k at every `every`-th step, the start z and the end x_K; of a ladder's chain each in its grid's size.
pub struct Path {
    every: usize,
    states: Vec<Tensor>,
}

impl Path {
    /// Keep every `every`-th state; 0 counts as 1.
    pub fn new(every: usize) -> Self {
        Self { every: every.max(1), states: Vec::new() }
    }

    /// The states kept, z first, x_K last; each `[b, …]`.
    pub fn states(&self) -> &[Tensor] {
        &self.states
    }
}

impl Observer for Path {
    fn step(&mut self, step: usize, x: &Tensor, _f: &Tensor, _gradient: &Tensor) -> Result<()> {
        if step.is_multiple_of(self.every) {
            self.states.push(x.f_detach_copy()?);
        }
        Ok(())
    }

    fn end(&mut self, x: &Tensor) -> Result<()> {
        self.states.push(x.shallow_clone());
        Ok(())
    }
}
