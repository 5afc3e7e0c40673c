//! Say in which numbers a net computes, and keep its weights in them.

use crate::Result;
use crate::activation::is_piecewise_linear;
use crate::cuda::{self, Recordings};
use crate::pass::{Layer, Pass};
use std::cell::RefCell;
use tch::{Device, Kind, Tensor};

/// The numbers inside the net. Its images, f, f' and weights are f32 in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// Products and sums in f32. On a GPU whoever opens CUDA must also switch its libraries' TF32 off.
    #[default]
    F32,
    /// On a GPU, products of numbers cut to 10 bits, summed in f32: what PyTorch does by default. On the CPU the same as f32.
    Tf32,
    /// Activations and a copy of the weights of 8 bits for f and f', sums in f32; the weights' gradient stays in f32 numbers.
    Bf16,
}

impl Precision {
    /// As a command line has it.
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::Tf32 => "tf32",
            Precision::Bf16 => "bf16",
        }
    }
}

impl std::str::FromStr for Precision {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let all = [Precision::F32, Precision::Tf32, Precision::Bf16];
        let found = all.into_iter().find(|precision| precision.name() == text);
        found.ok_or_else(|| "must be f32, tf32 or bf16".to_owned())
    }
}

/// Channels that a tensor core takes at a time, of bf16 numbers.
const CHANNELS: i64 = 8;

/// In which numbers a net computes, and what it keeps for them.
#[derive(Default)]
pub(crate) struct Numbers {
    pub(crate) precision: Precision,
    lowered: Lowered,
    recordings: Recordings,
}

impl Numbers {
    pub(crate) fn new(precision: Precision) -> Self {
        Self { precision, ..Self::default() }
    }

    /// Channels last is what libtorch likes on the CPU, and on a GPU for its tensor cores.
    pub(crate) fn channels_last(&self, device: Device) -> bool {
        !device.is_cuda() || self.precision != Precision::F32
    }

    /// Call `compute` with the layers of `pass` in these numbers and x in theirs, for f and f'; of images with more channels than x
    /// has, the first are those of x.
    pub(crate) fn with_pass<T>(
        &self,
        pass: Pass,
        x: &Tensor,
        compute: impl FnOnce(&Pass, &Tensor) -> Result<T>,
    ) -> Result<T> {
        let on_gpu = x.device().is_cuda();
        let pass = Pass { fused: on_gpu && cuda::switches().fuse && is_piecewise_linear(pass.activation), ..pass };
        if self.precision != Precision::Bf16 {
            return compute(&pass, &in_layout(x, self.channels_last(x.device()))?);
        }
        let padded = on_gpu && cuda::switches().pad && !x.requires_grad();
        self.lowered.with(pass.layers, padded, |layers| {
            let x = match x.requires_grad() {
                true => in_layout(x, true)?.f_to_kind(Kind::BFloat16)?, // in two passes, which autograd can follow
                false => with_channels(x, if padded { CHANNELS } else { 0 })?,
            };
            compute(&Pass { layers, ..pass }, &x)
        })
    }

    /// As [`crate::Energy::recordings`].
    pub(crate) fn recordings(&self, layers: &[Layer], device: Device) -> Result<Option<&Recordings>> {
        if !device.is_cuda() || !cuda::records() {
            return Ok(None);
        }
        if self.precision == Precision::Bf16 {
            self.lowered.with(layers, cuda::switches().pad, |_| Ok(()))?;
        }
        Ok(Some(&self.recordings))
    }
}

/// A bf16 copy of the weights, made anew where it lies when one of them changes: what was recorded reads it there.
#[derive(Default)]
struct Lowered(RefCell<(Vec<i64>, Vec<Layer>)>);

impl Lowered {
    /// Call `use_them` with the copy of `layers`, the first of which takes [`CHANNELS`] where it is `padded`.
    fn with<T>(&self, layers: &[Layer], padded: bool, use_them: impl FnOnce(&[Layer]) -> Result<T>) -> Result<T> {
        let versions = versions(layers)?;
        let mut kept = self.0.borrow_mut();
        if kept.0 != versions {
            if kept.1.is_empty() {
                let mut lowered = layers.iter().map(lower).collect::<Result<Vec<_>>>()?;
                if padded {
                    lowered[0].weight = with_channels(&lowered[0].weight, CHANNELS)?;
                }
                kept.1 = lowered;
            } else {
                for (low, layer) in kept.1.iter().zip(layers) {
                    let channels = layer.weight.size()[1];
                    low.weight.f_narrow(1, 0, channels)?.f_copy_(&layer.weight.f_detach()?)?;
                    low.bias.shallow_clone().f_copy_(&layer.bias.f_detach()?)?;
                }
            }
            kept.0 = versions;
        }
        use_them(&kept.1)
    }
}

fn lower(layer: &Layer) -> Result<Layer> {
    Ok(Layer {
        torus: layer.torus,
        weight: layer.weight.f_detach()?.f_to_kind(Kind::BFloat16)?,
        bias: layer.bias.f_detach()?.f_to_kind(Kind::BFloat16)?,
        ..*layer
    })
}

/// The tensor `[b, c, h, w]` in bf16, channels last, with zeros behind its own channels up to so many.
fn with_channels(x: &Tensor, channels: i64) -> Result<Tensor> {
    let [b, c, h, w] = x.size()[..] else { unreachable!("images and weights have four axes") };
    let (shape, options) = ([b, h, w, c.max(channels)], (Kind::BFloat16, x.device()));
    let wide = if channels > c { Tensor::f_zeros(shape, options)? } else { Tensor::f_empty(shape, options)? };
    let wide = wide.f_permute([0, 3, 1, 2])?;
    wide.f_narrow(1, 0, c)?.f_copy_(x)?;
    Ok(wide)
}

/// The tensor `[b, c, h, w]` with its channels last in memory, or in the order of its indices.
pub(crate) fn in_layout(x: &Tensor, channels_last: bool) -> Result<Tensor> {
    if channels_last {
        return Ok(x.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_permute([0, 3, 1, 2])?);
    }
    Ok(x.f_contiguous()?)
}

/// libtorch's counters of changes in place, of every weight and bias.
pub(crate) fn versions(layers: &[Layer]) -> Result<Vec<i64>> {
    layers.iter().flat_map(|layer| [&layer.weight, &layer.bias]).map(|t| Ok(t.f_internal_version()?)).collect()
}
