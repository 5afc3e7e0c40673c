//! Ask whether the start decides the image: variance between starts and within them.

use crate::{EvalError, Result};
use serde::Serialize;
use tch::{Kind, Tensor};

/// The two parts of a pixel's variance, averaged over the pixels, each an unbiased estimate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct VarianceComponents {
    /// Variance that comes from the start; may come out below 0 where there is little of it.
    pub between: f64,
    /// Variance that comes from the noise along the way.
    pub within: f64,
    /// between / (between + within), the intraclass correlation: 1 where the start decides the image, 0 where it is forgotten.
    pub intraclass: f64,
}

/// One-way analysis of variance, pixel by pixel (Fisher 1925; Shrout and Fleiss 1979, their ICC(1,1)): within is the mean
/// square within starts, between is (mean square between starts − within)/R.
///
/// # Shapes
/// `images`: `[S, R, …]`, S ≥ 2 starts with R ≥ 2 noises each.
///
/// # Errors
/// [`EvalError::TooFewImages`] for fewer, [`EvalError::Torch`].
pub fn variance_components(images: &Tensor) -> Result<VarianceComponents> {
    let size = images.size();
    let count = |axis: usize| size.get(axis).copied().unwrap_or(0);
    for axis in [0, 1] {
        if count(axis) < 2 {
            let what = ["a variance between starts", "a variance within starts"][axis];
            return Err(EvalError::TooFewImages { what, needed: 2, got: count(axis) as usize });
        }
    }
    let x = images.f_flatten(2, -1)?.f_to_kind(Kind::Double)?; // [S, R, d]
    let of_start = x.f_mean_dim([1i64].as_slice(), false, Kind::Double)?; // [S, d]
    let mean = |variance: Tensor| -> Result<f64> { Ok(variance.f_mean(Kind::Double)?.f_double_value(&[])?) };
    let within = mean(x.f_var_dim([1i64].as_slice(), true, false)?)?;
    let of_means = mean(of_start.f_var_dim([0i64].as_slice(), true, false)?)?;
    let between = of_means - within / count(1) as f64;
    Ok(VarianceComponents { between, within, intraclass: between / (between + within) })
}
