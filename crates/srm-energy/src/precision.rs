//! Say in which numbers a net computes, and keep its weights in them.

use crate::Result;
use crate::pass::Layer;
use std::cell::RefCell;
use tch::Kind;

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

/// A bf16 copy of the weights, made anew when one of them changes.
#[derive(Default)]
pub(crate) struct Bf16Weights(RefCell<(Vec<i64>, Vec<Layer>)>);

impl Bf16Weights {
    /// Call `use_them` with the copy of `layers`.
    pub(crate) fn with<T>(&self, layers: &[Layer], use_them: impl FnOnce(&[Layer]) -> Result<T>) -> Result<T> {
        let versions = versions(layers)?;
        let mut kept = self.0.borrow_mut();
        if kept.0 != versions {
            let lower = |layer: &Layer| -> Result<Layer> {
                Ok(Layer {
                    torus: layer.torus,
                    weight: layer.weight.f_detach()?.f_to_kind(Kind::BFloat16)?,
                    bias: layer.bias.f_detach()?.f_to_kind(Kind::BFloat16)?,
                    ..*layer
                })
            };
            *kept = (versions, layers.iter().map(lower).collect::<Result<_>>()?);
        }
        use_them(&kept.1)
    }
}

/// libtorch's counters of changes in place, of every weight and bias.
pub(crate) fn versions(layers: &[Layer]) -> Result<Vec<i64>> {
    layers.iter().flat_map(|layer| [&layer.weight, &layer.bias]).map(|t| Ok(t.f_internal_version()?)).collect()
}
