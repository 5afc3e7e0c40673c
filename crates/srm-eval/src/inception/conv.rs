//! Read the weights of a convolution and apply it together with its batch norm and ReLU.

use crate::{EvalError, Result};
use std::collections::HashMap;
use tch::{Device, Kind, Tensor};

/// What keeps batch norm's divisor from zero (torchvision `models/inception.py`, `BasicConv2d`).
const EPS: f64 = 0.001;

/// The tensors of a weights file by name, and where the network is to live.
pub(super) struct Source<'a> {
    tensors: HashMap<&'a str, &'a Tensor>,
    device: Device,
}

impl<'a> Source<'a> {
    pub(super) fn new(tensors: &'a [(String, Tensor)], device: Device) -> Self {
        Self { tensors: tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect(), device }
    }

    /// A tensor as it lies in the file.
    fn find(&self, name: &str, expected: &[i64]) -> Result<&'a Tensor> {
        let tensor = self.tensors.get(name).ok_or_else(|| EvalError::MissingTensor {
            name: name.to_owned(),
            remedy: "give the file that pytorch-fid publishes, pt_inception-2015-12-05-6726825d.pth".to_owned(),
        })?;
        match tensor.size() {
            got if got == expected => Ok(tensor),
            got => Err(EvalError::TensorShape { name: name.to_owned(), expected: expected.to_vec(), got }),
        }
    }

    /// A tensor that the network uses as it is: on the device, sharing nothing with the caller's.
    pub(super) fn f32(&self, name: &str, expected: &[i64]) -> Result<Tensor> {
        let tensor = self.find(name, expected)?;
        Ok(tensor.f_detach()?.f_to_device(self.device)?.f_to_kind(Kind::Float)?.f_detach_copy()?)
    }

    /// A tensor to calculate with: on the CPU, since not every device has f64.
    fn f64(&self, name: &str, expected: &[i64]) -> Result<Tensor> {
        Ok(self.find(name, expected)?.f_detach()?.f_to_device(Device::Cpu)?.f_to_kind(Kind::Double)?)
    }
}

/// The form of a convolution.
pub(super) struct Step {
    width: i64,
    kernel: [i64; 2],
    stride: i64,
    padding: [i64; 2],
}

impl Step {
    /// To `width` channels by a kernel of (height, width), the image keeping its size.
    pub(super) fn same(width: i64, kernel: [i64; 2]) -> Self {
        Self { width, kernel, stride: 1, padding: kernel.map(|side| side / 2) }
    }

    /// The same without padding: the image loses kernel - 1 pixels.
    pub(super) fn unpadded(width: i64, kernel: [i64; 2]) -> Self {
        Self { padding: [0, 0], ..Self::same(width, kernel) }
    }

    /// 3 × 3 at every second place, without padding.
    pub(super) fn halving(width: i64) -> Self {
        Self { stride: 2, ..Self::unpadded(width, [3, 3]) }
    }

    /// Its output channels.
    pub(super) fn width(&self) -> i64 {
        self.width
    }
}

/// relu(γ (W x − μ) / √(σ² + ε) + β), computed as relu(W' x + b').
///
/// Batch norm is folded into the weights because it then costs nothing: by itself it reads and writes the output of
/// each of the 94 convolutions once more. The fold is done in f64 and rounded once, as exact as weights in f32 can be.
pub(super) struct Conv {
    weight: Tensor,
    bias: Tensor,
    stride: i64,
    padding: [i64; 2],
}

impl Conv {
    /// The convolution whose tensors are called `name.conv.weight` and `name.bn.…`.
    pub(super) fn new(source: &Source, name: &str, inputs: i64, step: &Step) -> Result<Self> {
        let [height, width] = step.kernel;
        let weight = source.f64(&format!("{name}.conv.weight"), &[step.width, inputs, height, width])?;
        let norm = |part: &str| source.f64(&format!("{name}.bn.{part}"), &[step.width]);
        let deviation = norm("running_var")?.f_add_scalar(EPS)?.f_sqrt()?;
        let scale = norm("weight")?.f_div(&deviation)?;
        let bias = norm("bias")?.f_sub(&norm("running_mean")?.f_mul(&scale)?)?;
        let weight = weight.f_mul(&scale.f_reshape([-1, 1, 1, 1])?)?;
        let ready = |tensor: Tensor| tensor.f_to_kind(Kind::Float)?.f_to_device(source.device);
        Ok(Self {
            weight: in_layout(&ready(weight)?, source.device)?,
            bias: ready(bias)?,
            stride: step.stride,
            padding: step.padding,
        })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let stride = [self.stride; 2];
        let mut sum = x.f_conv2d(&self.weight, Some(&self.bias), stride, self.padding, [1, 1], 1)?;
        Ok(sum.f_relu_()?)
    }
}

/// The same tensor in the order that the device's convolutions like: channels last on a CPU, where this network then
/// needs about two thirds of the time (batch of 8, 2 threads, libtorch 2.11). The layers after the first keep it.
pub(super) fn in_layout(x: &Tensor, device: Device) -> Result<Tensor> {
    match device {
        Device::Cpu => Ok(x.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_permute([0, 3, 1, 2])?),
        _ => Ok(x.f_contiguous()?),
    }
}
