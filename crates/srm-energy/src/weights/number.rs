//! Turn the bytes of a tensor into f32.

use crate::{EnergyError, Result};
use half::{bf16, f16};
use tch::Tensor;

/// Kind of the numbers in a file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Number {
    F32,
    F64,
    F16,
    BF16,
    /// Name and bytes of a kind that weights cannot have.
    Other(&'static str, usize),
}

impl Number {
    /// Bytes of one number.
    pub(crate) fn width(self) -> usize {
        match self {
            Number::F32 => 4,
            Number::F64 => 8,
            Number::F16 | Number::BF16 => 2,
            Number::Other(_, width) => width,
        }
    }
}

/// A tensor of f32 from little-endian bytes in row-major order.
///
/// # Errors
/// [`EnergyError::TensorKind`] for [`Number::Other`], [`EnergyError::Torch`].
pub(crate) fn float_tensor(name: &str, number: Number, shape: &[usize], bytes: &[u8]) -> Result<Tensor> {
    let values: Vec<f32> = match number {
        Number::F32 => bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        Number::F64 => bytes.as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b) as f32).collect(),
        Number::F16 => bytes.as_chunks::<2>().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect(),
        Number::BF16 => bytes.as_chunks::<2>().0.iter().map(|b| bf16::from_le_bytes(*b).to_f32()).collect(),
        Number::Other(got, _) => return Err(EnergyError::TensorKind { name: name.to_owned(), got: got.to_owned() }),
    };
    let shape: Vec<i64> = shape.iter().map(|&n| n as i64).collect();
    Ok(Tensor::f_from_slice(&values)?.f_reshape(&shape)?)
}
