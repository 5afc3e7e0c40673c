//! Give energies with exact formulas, the truth that other crates test against.

use crate::{Curved, Energy, Replicate, Result};
use tch::{Device, Kind, Tensor};

/// f(x) = −‖x − m‖² / (2 s²): a Gaussian with mean m and standard deviation s in every pixel.
pub struct Quadratic {
    mean: Tensor,
    std: f64,
}

impl Quadratic {
    /// `mean`: `[c, h, w]`, or any shape that broadcasts to the batch; `std` > 0 in pixel units.
    pub fn new(mean: Tensor, std: f64) -> Self {
        Self { mean, std }
    }
}

impl Energy for Quadratic {
    fn f(&self, x: &Tensor) -> Result<Tensor> {
        let square = x.f_sub(&self.mean)?.f_square()?.f_flatten(1, -1)?;
        Ok(square.f_sum_dim_intlist([1i64].as_slice(), false, x.kind())?.f_mul_scalar(-0.5 / self.std.powi(2))?)
    }

    fn f_and_grad(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        let grad = x.f_sub(&self.mean)?.f_mul_scalar(-1.0 / self.std.powi(2))?;
        Ok((self.f(x)?, grad))
    }
}

impl Curved for Quadratic {
    fn hvp(&self, _x: &Tensor, v: &Tensor) -> Result<Tensor> {
        Ok(v.f_mul_scalar(-1.0 / self.std.powi(2))?)
    }
}

impl Replicate for Quadratic {
    fn replica(&self) -> Self {
        Self { mean: self.mean.detach(), std: self.std }
    }

    fn device(&self) -> Device {
        self.mean.device()
    }
}

/// f(x) = log Σⱼ wⱼ exp(−‖x − mⱼ‖² / (2 s²)): modes mⱼ with weights wⱼ and one width s.
pub struct GaussianMixture {
    /// `[modes, d]`, images flattened.
    means: Tensor,
    /// `[modes]`
    log_weights: Tensor,
    std: f64,
}

impl GaussianMixture {
    /// `means`: `[modes, c, h, w]`; `weights`: `[modes]`, positive; `std` > 0 in pixel units.
    ///
    /// # Errors
    /// [`crate::EnergyError::Torch`] where the tensors do not fit.
    pub fn new(means: &Tensor, weights: &Tensor, std: f64) -> Result<Self> {
        Ok(Self { means: means.f_flatten(1, -1)?, log_weights: weights.f_log()?, std })
    }

    /// The log of each mode's share at x, not normalised: `[b, modes]`, and x − mⱼ: `[b, modes, d]`.
    fn modes(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        let offset = x.f_flatten(1, -1)?.f_unsqueeze(1)?.f_sub(&self.means)?;
        let square = offset.f_square()?.f_sum_dim_intlist([2i64].as_slice(), false, x.kind())?;
        let log_share = square.f_mul_scalar(-0.5 / self.std.powi(2))?.f_add(&self.log_weights)?;
        Ok((log_share, offset))
    }
}

impl Energy for GaussianMixture {
    fn f(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.modes(x)?.0.f_logsumexp([1i64].as_slice(), false)?)
    }

    fn f_and_grad(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        let (log_share, offset) = self.modes(x)?;
        let share = log_share.f_softmax(1, None::<Kind>)?.f_unsqueeze(2)?; // [b, modes, 1]
        let grad = share.f_mul(&offset)?.f_sum_dim_intlist([1i64].as_slice(), false, x.kind())?;
        let grad = grad.f_mul_scalar(-1.0 / self.std.powi(2))?.f_view_as(x)?;
        Ok((log_share.f_logsumexp([1i64].as_slice(), false)?, grad))
    }
}

impl Curved for GaussianMixture {
    /// With shares p and scores gⱼ = −(x − mⱼ)/s²: ∇²f v = −v/s² + Σ pⱼ gⱼ (gⱼ·v) − ḡ (ḡ·v), ḡ = Σ pⱼ gⱼ.
    fn hvp(&self, x: &Tensor, v: &Tensor) -> Result<Tensor> {
        let (log_share, offset) = self.modes(x)?;
        let share = log_share.f_softmax(1, None::<Kind>)?.f_unsqueeze(2)?;
        let score = offset.f_mul_scalar(-1.0 / self.std.powi(2))?; // [b, modes, d]
        let flat = v.f_flatten(1, -1)?.f_unsqueeze(1)?; // [b, 1, d]
        let along = score.f_mul(&flat)?.f_sum_dim_intlist([2i64].as_slice(), true, x.kind())?; // gⱼ·v
        let spread = share.f_mul(&score)?.f_mul(&along)?.f_sum_dim_intlist([1i64].as_slice(), true, x.kind())?;
        let mean = share.f_mul(&score)?.f_sum_dim_intlist([1i64].as_slice(), true, x.kind())?;
        let mean_along = mean.f_mul(&flat)?.f_sum_dim_intlist([2i64].as_slice(), true, x.kind())?;
        let curved = spread.f_sub(&mean.f_mul(&mean_along)?)?;
        Ok(curved.f_view_as(v)?.f_sub(&v.f_mul_scalar(1.0 / self.std.powi(2))?)?)
    }
}

impl Replicate for GaussianMixture {
    fn replica(&self) -> Self {
        Self { means: self.means.detach(), log_weights: self.log_weights.detach(), std: self.std }
    }

    fn device(&self) -> Device {
        self.means.device()
    }
}
