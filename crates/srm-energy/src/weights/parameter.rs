//! Compute a weight from the tensors that PyTorch stores in its place, as an evaluation there does.

use super::names::Parts;
use crate::Result;
use tch::Tensor;

/// How a parameter is stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Form {
    /// As itself. Beside it may stand `orig` and `u` of a spectral norm of PyTorch before 1.0, which kept the quotient too.
    Plain,
    /// W / σ with σ = uᵀ W v, W as `[out, in·k·k]` (torch/nn/utils/spectral_norm.py, parametrizations.py).
    Spectral,
    /// g · v / ‖v‖, the norm over all axes but the one along which g runs (torch/nn/utils/weight_norm.py).
    Norm,
    /// W · mask (torch/nn/utils/prune.py).
    Pruned,
}

impl Form {
    /// The form whose parts these are.
    pub(super) fn of(parts: &Parts) -> Option<Self> {
        let names: Vec<&str> = parts.keys().copied().collect();
        match names[..] {
            [""] | ["", "orig", "u"] => Some(Form::Plain),
            ["orig", "u", "v"] => Some(Form::Spectral),
            ["g", "v"] => Some(Form::Norm),
            ["mask", "orig"] => Some(Form::Pruned),
            _ => None,
        }
    }

    /// The part that has the parameter's shape.
    pub(super) fn shaped(self) -> &'static str {
        match self {
            Form::Plain => "",
            Form::Spectral | Form::Pruned => "orig",
            Form::Norm => "v",
        }
    }

    /// The shape that a part must have where the parameter has the other; `got` where its own is one of several.
    pub(super) fn shape_of(self, part: &str, got: &[usize], parameter: &[usize]) -> Vec<usize> {
        match (self, part) {
            (Form::Spectral, "u") => vec![parameter[0]],
            (Form::Spectral, "v") => vec![parameter[1..].iter().product()],
            (Form::Norm, "g") if norm_axis(got, parameter).is_some() => got.to_vec(),
            (Form::Norm, "g") => (0..parameter.len()).map(|axis| if axis == 0 { parameter[0] } else { 1 }).collect(),
            (Form::Plain, part) if !part.is_empty() => got.to_vec(), // not read
            _ => parameter.to_vec(),
        }
    }

    /// The parameter's values, and σ where they were divided by one; `part` reads the tensor of a part.
    ///
    /// # Errors
    /// Those of `part`, [`crate::EnergyError::Torch`].
    pub(super) fn values(self, mut part: impl FnMut(&str) -> Result<Tensor>) -> Result<(Tensor, Option<f64>)> {
        let whole = part(self.shaped())?;
        match self {
            Form::Plain => Ok((whole, None)),
            Form::Pruned => Ok((whole.f_mul(&part("mask")?)?, None)),
            Form::Spectral => {
                let sigma = part("u")?.f_dot(&whole.f_flatten(1, -1)?.f_mv(&part("v")?)?)?;
                Ok((whole.f_div(&sigma)?, Some(f64::try_from(&sigma)?)))
            }
            Form::Norm => {
                let g = part("g")?;
                let sides = |tensor: &Tensor| tensor.size().iter().map(|&side| side as usize).collect::<Vec<_>>();
                let axis = norm_axis(&sides(&g), &sides(&whole)).expect("the shape of g was checked");
                Ok((Tensor::f_internal_weight_norm(&whole, &g, axis)?, None))
            }
        }
    }
}

/// The axis over which a weight norm's length g does not run, -1 where it is that of the whole parameter.
fn norm_axis(g: &[usize], parameter: &[usize]) -> Option<i64> {
    if g.is_empty() {
        return Some(-1);
    }
    let alone = |axis: usize| (0..g.len()).all(|other| g[other] == if other == axis { parameter[other] } else { 1 });
    let axis = (g.len() == parameter.len()).then(|| (0..g.len()).find(|&axis| alone(axis)))?;
    axis.map(|axis| axis as i64)
}
