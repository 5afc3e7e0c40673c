//! Gather mean and covariance of features from any number of images in bounded memory.

use crate::{EvalError, Result};
use tch::{Device, Kind, Tensor};

/// Mean and covariance of features, f64.
#[derive(Debug)]
pub struct Moments {
    /// μ `[d]`
    pub mean: Tensor,
    /// Σ `[d, d]`, with 1/(n − 1) as numpy's `cov` has it.
    pub covariance: Tensor,
    /// Images; `None` where a file does not say.
    pub count: Option<usize>,
}

/// Sums over features that come batch by batch: d² + d numbers, whatever the number of images.
pub struct MomentSums {
    /// Mean of the first batch. Sums of distances from it do not cancel as sums of raw squares would.
    origin: Option<Tensor>,
    sum: Tensor,
    squares: Tensor,
    count: usize,
}

impl MomentSums {
    /// No images yet.
    pub fn new(dimension: usize) -> Self {
        let (d, options) = (dimension as i64, (Kind::Double, Device::Cpu));
        Self { origin: None, sum: Tensor::zeros([d], options), squares: Tensor::zeros([d, d], options), count: 0 }
    }

    /// Add features `[b, d]`.
    ///
    /// # Errors
    /// [`EvalError::Dimension`], [`EvalError::NotFinite`].
    pub fn add(&mut self, features: &Tensor) -> Result<()> {
        let x = features.f_to_device(Device::Cpu)?.f_to_kind(Kind::Double)?;
        let (expected, got) = (self.sum.size()[0] as usize, x.size().get(1).copied().unwrap_or(0) as usize);
        if expected != got {
            return Err(EvalError::Dimension { expected, got });
        }
        let finite = x.f_isfinite()?.f_all_dim(1, false)?;
        if finite.f_all()?.f_int64_value(&[])? == 0 {
            let row = finite.f_to_kind(Kind::Int64)?.f_argmin(0, false)?.f_int64_value(&[])?;
            let hint = "look at that image, and at the feature network's input range";
            return Err(EvalError::NotFinite { image: self.count + row as usize, hint });
        }
        let origin = match &self.origin {
            Some(origin) => origin.shallow_clone(),
            None => x.f_mean_dim([0i64].as_slice(), false, Kind::Double)?,
        };
        let moved = x.f_sub(&origin)?;
        self.sum = self.sum.f_add(&moved.f_sum_dim_intlist([0i64].as_slice(), false, Kind::Double)?)?;
        self.squares = self.squares.f_add(&moved.f_tr()?.f_mm(&moved)?)?;
        self.count += x.size()[0] as usize;
        self.origin = Some(origin);
        Ok(())
    }

    /// Mean and covariance.
    ///
    /// # Errors
    /// [`EvalError::TooFewImages`] for fewer than two.
    pub fn finish(&self) -> Result<Moments> {
        let (Some(origin), true) = (&self.origin, self.count >= 2) else {
            return Err(EvalError::TooFewImages { what: "a covariance", needed: 2, got: self.count });
        };
        let n = self.count as f64;
        let mean = self.sum.f_div_scalar(n)?;
        let outer = mean.f_outer(&self.sum)?;
        let covariance = self.squares.f_sub(&outer)?.f_div_scalar(n - 1.0)?;
        Ok(Moments { mean: mean.f_add(origin)?, covariance, count: Some(self.count) })
    }
}

impl Moments {
    /// d.
    pub fn dimension(&self) -> usize {
        self.mean.size()[0] as usize
    }

    /// The same tensors once more.
    pub fn shallow_clone(&self) -> Self {
        Self { mean: self.mean.shallow_clone(), covariance: self.covariance.shallow_clone(), count: self.count }
    }
}
