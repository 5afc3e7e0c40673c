//! Compute the inception score from class logits.

use crate::{EvalError, Result, Rows};
use serde::Serialize;
use tch::{Kind, Tensor};

/// Parts of the published score (Salimans et al. 2016).
pub const SPLITS: usize = 10;

/// Mean and standard deviation of the score over the splits.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct InceptionScore {
    /// Mean over the splits, at least 1.
    pub mean: f64,
    /// Standard deviation over the splits (1/n).
    pub std: f64,
}

/// exp E_x KL(p(y|x) ‖ p(y)) for each of `splits` equal parts of the images, in their order: Salimans et al. 2016 (arXiv 1606.03498).
///
/// # Errors
/// [`EvalError::TooFewImages`] for fewer images than splits.
pub fn inception_score(logits: &Rows, splits: usize) -> Result<InceptionScore> {
    let n = logits.len();
    if splits == 0 || n < splits {
        return Err(EvalError::TooFewImages { what: "the inception score", needed: splits.max(1), got: n });
    }
    let score = |split: usize| -> Result<f64> {
        let (first, last) = (split * n / splits, (split + 1) * n / splits);
        let log_p = logits.read(first, last - first)?.f_to_kind(Kind::Double)?.f_log_softmax(1, Kind::Double)?;
        let log_marginal = log_p.f_logsumexp([0i64].as_slice(), true)?.f_sub_scalar(((last - first) as f64).ln())?;
        let divergence = log_p.f_exp()?.f_mul(&log_p.f_sub(&log_marginal)?)?;
        let mean: Tensor = divergence.f_sum(Kind::Double)?.f_div_scalar((last - first) as f64)?;
        Ok(mean.f_double_value(&[])?.exp())
    };
    let scores = (0..splits).map(score).collect::<Result<Vec<f64>>>()?;
    let mean = scores.iter().sum::<f64>() / splits as f64;
    let variance = scores.iter().map(|score| (score - mean).powi(2)).sum::<f64>() / splits as f64;
    Ok(InceptionScore { mean, std: variance.sqrt() })
}
