//! Turn pixels in [-1, 1] into bytes and back.

use crate::Result;
use ndarray::Array4;
use srm_data::to_u8;
use tch::{Device, Kind, Tensor};

/// Pixels in [-1, 1] as bytes.
///
/// # Shapes
/// `x`: `[n, c, h, w]`; out: u8 `[n, h, w, c]`.
///
/// # Errors
/// [`crate::TrainError::Torch`] where `x` has not four axes.
pub fn to_bytes(x: &Tensor) -> Result<Array4<u8>> {
    let (n, c, h, w) = x.size4()?;
    let planar = x.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?.f_contiguous()?.f_view([-1i64])?;
    let values = Vec::<f32>::try_from(planar)?;
    Ok(to_u8(&values, [n, c, h, w].map(|side| side as usize)))
}

/// Bytes as p/127.5 − 1, on the CPU.
///
/// # Shapes
/// `images`: u8 `[n, h, w, c]`; out: `[n, c, h, w]`.
///
/// # Errors
/// [`crate::TrainError::Torch`].
pub fn to_tensor(images: &Array4<u8>) -> Result<Tensor> {
    let (n, h, w, c) = images.dim();
    let values: Vec<f32> = images.iter().map(|&byte| f32::from(byte) / 127.5 - 1.0).collect();
    let tensor = Tensor::f_from_slice(&values)?.f_reshape([n as i64, h as i64, w as i64, c as i64])?;
    Ok(tensor.f_permute([0, 3, 1, 2])?.f_contiguous()?)
}
