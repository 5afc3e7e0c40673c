//! Go from grid to grid: up by repeating pixels, down by averaging them.

use crate::Result;
use tch::{Kind, Tensor};

/// Each pixel `factor` × `factor` times: nearest up-sampling.
///
/// # Shapes
/// `x`: `[…, h, w]`; out: `[…, factor·h, factor·w]`.
///
/// # Errors
/// [`crate::LangevinError::Torch`].
pub fn up_sampled(x: &Tensor, factor: i64) -> Result<Tensor> {
    Ok(x.f_repeat_interleave_self_int(factor, -1, None)?.f_repeat_interleave_self_int(factor, -2, None)?)
}

/// The sum over each block of `factor` × `factor` pixels, the transpose of [`up_sampled`].
///
/// # Shapes
/// `x`: `[…, factor·h, factor·w]`; out: `[…, h, w]`.
///
/// # Errors
/// [`crate::LangevinError::Torch`], where the sides are no multiples too.
pub fn block_sums(x: &Tensor, factor: i64) -> Result<Tensor> {
    let size = x.size();
    let (sides, before) = size.split_last_chunk::<2>().map_or((&[1, 1], &size[..]), |(before, sides)| (sides, before));
    let split = [before, &[sides[0] / factor, factor, sides[1] / factor, factor]].concat();
    Ok(x.f_reshape(split)?.f_sum_dim_intlist([-3, -1].as_slice(), false, None::<Kind>)?)
}

/// The mean of each block of `factor` × `factor` pixels: an image on a coarser grid.
///
/// # Shapes
/// As in [`block_sums`].
///
/// # Errors
/// As in [`block_sums`].
pub fn averaged(x: &Tensor, factor: i64) -> Result<Tensor> {
    match factor {
        1 => Ok(x.shallow_clone()),
        factor => Ok(block_sums(x, factor)?.f_div_scalar((factor * factor) as f64)?),
    }
}

/// `x` in the size of a finer grid, by nearest up-sampling; as it is where it has that size.
///
/// # Shapes
/// `x`: `[…, h, w]`; `shape`: that of a sample on the finer grid, whose sides are multiples, each of its own.
///
/// # Errors
/// [`crate::LangevinError::Torch`].
pub fn up_to(x: &Tensor, shape: &[i64]) -> Result<Tensor> {
    let size = x.size();
    let mut finer = x.shallow_clone();
    for (axis, (&from, &to)) in (1..=2).zip(size.iter().rev().zip(shape.iter().rev())) {
        if from > 0 && to > from {
            finer = finer.f_repeat_interleave_self_int(to / from, -axis, None)?;
        }
    }
    Ok(finer)
}
