//! Turn raw tensors of a file into f32 tensors under the published names, and read the shape of the net off them.

use crate::{EnergyError, Result, layer_shapes};
use half::{bf16, f16};
use srm_config::{Activation, EnergyConfig};
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

/// `module.f.0.weight` and `0.weight` become `f.0.weight`; the order is that of the layers, then of the names.
pub(crate) fn published_names(tensors: Vec<(String, Tensor)>) -> Vec<(String, Tensor)> {
    let mut named: Vec<_> = tensors.into_iter().map(|(name, tensor)| (published_name(&name), tensor)).collect();
    named.sort_by_key(|(name, _)| (layer_of(name).unwrap_or(usize::MAX), !name.ends_with(".weight"), name.clone()));
    named
}

pub(crate) fn published_name(name: &str) -> String {
    let bare = name.strip_prefix("module.").unwrap_or(name);
    match bare.split_once('.') {
        Some((index, _)) if index.parse::<usize>().is_ok() => format!("f.{bare}"),
        _ => bare.to_owned(),
    }
}

/// N of `f.N.weight` and `f.N.bias`.
pub(crate) fn layer_of(name: &str) -> Option<usize> {
    let (index, kind) = name.strip_prefix("f.")?.split_once('.')?;
    matches!(kind, "weight" | "bias").then(|| index.parse().ok())?
}

/// The config whose net has these tensors; activation: the published one.
///
/// # Errors
/// [`EnergyError::UnknownNet`], [`EnergyError::MissingTensor`].
pub(crate) fn infer_config(tensors: &[(String, Tensor)]) -> Result<EnergyConfig> {
    let layers = tensors.iter().filter(|(name, _)| layer_of(name).is_some() && name.ends_with(".weight")).count();
    let size = match layers {
        5 => 32,
        6 => 64,
        7 => 128,
        _ => return Err(EnergyError::UnknownNet { layers }),
    };
    let (_, first) = tensors.iter().find(|(name, _)| name == "f.0.weight").ok_or(EnergyError::MissingTensor {
        name: "f.0.weight".to_owned(),
        size,
        expected: 2 * layers,
        last: 2 * (layers - 1),
    })?;
    match first.size()[..] {
        [features @ 1..=1024, channels @ 1..=4, 3, 3] => Ok(EnergyConfig {
            size,
            channels: channels as usize,
            features: features as usize,
            activation: Activation::LeakyRelu(0.2),
        }),
        _ => Err(EnergyError::UnknownNet { layers }),
    }
}

/// # Errors
/// [`EnergyError::ExtraTensor`] where the file has a tensor that the net has not, or one twice.
pub(crate) fn refuse_extra(config: &EnergyConfig, tensors: &[(String, Tensor)]) -> Result<()> {
    let layers = layer_shapes(config).len();
    let belongs = |name: &str| layer_of(name).is_some_and(|n| n % 2 == 0 && n / 2 < layers);
    let twice = |(i, (name, _)): (usize, &(String, Tensor))| tensors[..i].iter().any(|(other, _)| other == name);
    let extra = tensors.iter().enumerate().find(|&(i, pair)| !belongs(&pair.0) || twice((i, pair)));
    match extra {
        None => Ok(()),
        Some((_, (name, _))) => Err(EnergyError::ExtraTensor {
            name: name.clone(),
            size: config.size,
            expected: 2 * layers,
            last: 2 * (layers - 1),
        }),
    }
}
