//! Compare two sets of features row by row: kernel distance, precision and recall.

use crate::{EvalError, Result, Rows};
use serde::Serialize;
use srm_random::{Key, Purpose, permutation};
use tch::{Kind, Tensor};

/// Rows whose distances to all others are held at a time.
const CHUNK: usize = 512;

/// The kernel distance over random subsets.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct KernelDistance {
    /// Mean of the subsets' unbiased estimates; may be below zero for equal distributions.
    pub mean: f64,
    /// Their standard deviation.
    pub std: f64,
    /// Images per subset.
    pub subset: usize,
    /// Subsets.
    pub subsets: usize,
}

/// Squared maximum mean discrepancy with k(x, y) = (x·y/d + 1)³, unbiased, over `subsets` random subsets of at most `subset` images:
/// Bińkowski et al. 2018 (arXiv 1801.01401), the KID where the features are Inception's.
///
/// # Errors
/// [`EvalError::TooFewImages`], [`EvalError::Dimension`].
pub fn kernel_distance(a: &Rows, b: &Rows, subset: usize, subsets: usize, seed: u64) -> Result<KernelDistance> {
    same_dimension(a, b)?;
    let size = subset.min(a.len()).min(b.len());
    if size < 2 || subsets == 0 {
        return Err(EvalError::TooFewImages { what: "the kernel distance", needed: 2, got: size });
    }
    let mut estimates = Vec::with_capacity(subsets);
    for i in 0..subsets as u64 {
        let pick = |rows: &Rows, id: u64| {
            let key = Key { id: 2 * i + id, ..Key::new(seed, Purpose::DataOrder) };
            rows.pick(&permutation(&key, rows.len())[..size])
        };
        estimates.push(discrepancy(&pick(a, 0)?, &pick(b, 1)?)?);
    }
    let n = subsets as f64;
    let mean = estimates.iter().sum::<f64>() / n;
    let variance = estimates.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
    Ok(KernelDistance { mean, std: variance.sqrt(), subset: size, subsets })
}

/// Unbiased squared discrepancy of x `[n, d]` and y `[n, d]`.
fn discrepancy(x: &Tensor, y: &Tensor) -> Result<f64> {
    let (x, y) = (x.f_to_kind(Kind::Double)?, y.f_to_kind(Kind::Double)?);
    let (n, d) = (x.size()[0] as f64, x.size()[1] as f64);
    let kernel = |a: &Tensor, b: &Tensor| -> Result<Tensor> {
        Ok(a.f_mm(&b.f_tr()?)?.f_div_scalar(d)?.f_add_scalar(1)?.f_pow_tensor_scalar(3)?)
    };
    let total = |k: &Tensor| -> Result<f64> { Ok(k.f_sum(Kind::Double)?.f_double_value(&[])?) };
    let others = |k: &Tensor| -> Result<f64> { Ok((total(k)? - k.f_trace()?.f_double_value(&[])?) / (n * (n - 1.0))) };
    Ok(others(&kernel(&x, &x)?)? + others(&kernel(&y, &y)?)? - 2.0 * total(&kernel(&x, &y)?)? / (n * n))
}

/// Shares of images that lie within the other set.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PrecisionRecall {
    /// Share of the samples within the real images' manifold.
    pub precision: f64,
    /// Share of the real images within the samples' manifold.
    pub recall: f64,
    /// Neighbours that make the manifold.
    pub neighbours: usize,
}

/// Improved precision and recall, Kynkäänniemi et al. 2019 (arXiv 1904.06991): a set's manifold is the union of balls about its
/// images that reach to the `neighbours`-th nearest other one.
///
/// # Errors
/// [`EvalError::TooFewImages`], [`EvalError::Dimension`].
pub fn precision_recall(real: &Rows, samples: &Rows, neighbours: usize) -> Result<PrecisionRecall> {
    same_dimension(real, samples)?;
    let least = real.len().min(samples.len());
    if least <= neighbours {
        return Err(EvalError::TooFewImages { what: "precision and recall", needed: neighbours + 1, got: least });
    }
    let share = |points: &Rows, manifold: &Rows| -> Result<f64> {
        let radii = radii(manifold, neighbours)?;
        let mut inside = 0.0;
        for first in (0..points.len()).step_by(CHUNK) {
            let chunk = points.read(first, CHUNK.min(points.len() - first))?;
            let within = distances(&chunk, manifold)?.f_le_tensor(&radii)?.f_any_dim(1, false)?;
            inside += within.f_sum(Kind::Double)?.f_double_value(&[])?;
        }
        Ok(inside / points.len() as f64)
    };
    Ok(PrecisionRecall { precision: share(samples, real)?, recall: share(real, samples)?, neighbours })
}

/// Distance of each row to its `neighbours`-th nearest other row, `[n]`.
fn radii(rows: &Rows, neighbours: usize) -> Result<Tensor> {
    let mut radii = Vec::new();
    for first in (0..rows.len()).step_by(CHUNK) {
        let chunk = rows.read(first, CHUNK.min(rows.len() - first))?;
        // The nearest of all is the row itself.
        radii.push(distances(&chunk, rows)?.f_kthvalue(neighbours as i64 + 1, 1, false)?.0);
    }
    Ok(Tensor::f_cat(&radii, 0)?)
}

/// Distances of the rows of `x` `[b, d]` to all rows, `[b, n]`.
fn distances(x: &Tensor, rows: &Rows) -> Result<Tensor> {
    let mut parts = Vec::new();
    for first in (0..rows.len()).step_by(8 * CHUNK) {
        let chunk = rows.read(first, (8 * CHUNK).min(rows.len() - first))?;
        parts.push(Tensor::f_cdist(x, &chunk, 2.0, None)?);
    }
    Ok(Tensor::f_cat(&parts, 1)?)
}

fn same_dimension(a: &Rows, b: &Rows) -> Result<()> {
    match a.dimension() == b.dimension() {
        true => Ok(()),
        false => Err(EvalError::Dimension { expected: a.dimension(), got: b.dimension() }),
    }
}
