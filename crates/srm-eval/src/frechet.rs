//! Measure the Fréchet distance between two Gaussians.

use crate::{EvalError, Moments, Result};
use tch::{Kind, Tensor};

/// |μ₁ − μ₂|² + tr(Σ₁ + Σ₂ − 2 (Σ₁^½ Σ₂ Σ₁^½)^½): Dowson and Landau 1982; the FID of Heusel et al. 2017 (arXiv 1706.08500) where
/// the features are Inception's.
///
/// All in f64, with square roots by symmetric eigen-decomposition, which serves covariances of any rank: eigenvalues below
/// d · ε · the largest are rounding, and count as the zeros that they stand for.
///
/// # Errors
/// [`EvalError::Dimension`].
pub fn frechet_distance(a: &Moments, b: &Moments) -> Result<f64> {
    if a.dimension() != b.dimension() {
        return Err(EvalError::Dimension { expected: a.dimension(), got: b.dimension() });
    }
    let means = a.mean.f_sub(&b.mean)?.f_square()?.f_sum(Kind::Double)?.f_double_value(&[])?;
    let root = square_root(&a.covariance)?;
    let inner = root.f_mm(&b.covariance)?.f_mm(&root)?;
    let inner = inner.f_add(&inner.f_tr()?)?.f_mul_scalar(0.5)?; // symmetric but for rounding
    let trace_of_root = positive_part(&inner.f_linalg_eigvalsh("L")?)?.f_sqrt()?.f_sum(Kind::Double)?;
    let traces = a.covariance.f_trace()?.f_add(&b.covariance.f_trace()?)?;
    let distance = means + traces.f_double_value(&[])? - 2.0 * trace_of_root.f_double_value(&[])?;
    // Equal Gaussians give a rounding error of either sign.
    Ok(distance.max(0.0))
}

fn square_root(symmetric: &Tensor) -> Result<Tensor> {
    let (values, vectors) = symmetric.f_linalg_eigh("L")?;
    let roots = positive_part(&values)?.f_sqrt()?;
    Ok(vectors.f_mul(&roots)?.f_mm(&vectors.f_tr()?)?)
}

/// The eigenvalues with those that are zero but for rounding set to zero.
fn positive_part(values: &Tensor) -> Result<Tensor> {
    let largest = values.f_abs()?.f_max()?.f_double_value(&[])?;
    let least = largest * f64::EPSILON * values.numel() as f64;
    Ok(values.f_where_self(&values.f_gt(least)?, &values.f_zeros_like()?)?)
}
