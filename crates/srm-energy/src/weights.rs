//! Save and load a net's weights with the config that they were trained under.
//!
//! One metadata key, `srm`, holds canonical JSON with sorted keys and neither time, path nor host, and the tensors lie in
//! plain NCHW order: equal weights are equal files.

mod file;
mod state;

use crate::pth::{is_pth, read_pth};
use crate::{ConvNet, EnergyError, Result, Trainable};
use file::{read, write_whole};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use srm_config::{EnergyConfig, LangevinConfig};
use std::collections::HashMap;
use std::path::Path;
use tch::{Device, Kind, Tensor};

pub(crate) use state::{Number, float_tensor, layer_of, published_name};

/// The metadata key of our files.
const KEY: &str = "srm";
/// Range of the images that the nets are made for.
const DATA_RANGE: [f64; 2] = [-1.0, 1.0];

/// Tensors with their published names.
type Named = Vec<(String, Tensor)>;

/// What a weights file holds.
pub struct Weights {
    /// The net, f32.
    pub net: ConvNet,
    /// The chain that it was trained with; `None` where the file does not say, as no `.pth` does.
    pub langevin: Option<LangevinConfig>,
}

/// Write the net to a safetensors file, under a temporary name first, so that no half file stands under `path`.
///
/// # Errors
/// [`EnergyError::Io`], [`EnergyError::Torch`], [`EnergyError::DamagedFile`] where the tensors cannot be serialised.
pub fn save_weights(path: &Path, net: &ConvNet, langevin: Option<&LangevinConfig>) -> Result<()> {
    let mut tensors = Vec::new();
    for (name, tensor) in net.named_parameters() {
        let shape: Vec<usize> = tensor.size().iter().map(|&n| n as usize).collect();
        let flat =
            tensor.f_detach()?.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?.f_contiguous()?.f_reshape([-1])?;
        let mut values = vec![0.0f32; flat.numel()];
        flat.f_copy_data(&mut values, flat.numel())?;
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        tensors.push((name, shape, bytes));
    }
    let damaged = |source: safetensors::SafeTensorError| damaged(path, source);
    let views = tensors
        .iter()
        .map(|(name, shape, bytes)| Ok((name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes)?)))
        .collect::<std::result::Result<Vec<_>, safetensors::SafeTensorError>>()
        .map_err(damaged)?;
    let metadata = HashMap::from([(KEY.to_owned(), metadata(net.config(), langevin))]);
    write_whole(path, &safetensors::serialize(views, Some(metadata)).map_err(damaged)?)
}

/// Read a net from a file, recognised by its content: safetensors, or a PyTorch state_dict (`.pth`, `.pt`) in the zip or
/// the older format, alone or in a dict with other things; no code of the file runs.
///
/// A file without our metadata is a plain state_dict: the shape of the net is read off its tensors, the activation is
/// assumed to be the published one, LeakyReLU 0.2 (enijkamp/short_run, train_cifar10_minimal.py). Tensors of f16, bf16
/// and f64 become f32.
///
/// # Errors
/// All name the file: [`EnergyError::Io`], [`EnergyError::DamagedFile`], [`EnergyError::Metadata`],
/// [`EnergyError::RefusedGlobal`], [`EnergyError::NoStateDict`], [`EnergyError::InFile`] around a tensor that is missing,
/// too many, of another shape or kind.
pub fn load_weights(path: &Path, device: Device) -> Result<Weights> {
    let (tensors, metadata) = read_any(path)?;
    let in_file = |source| in_file(path, source);
    let (energy, langevin) = match metadata {
        Some(text) => {
            parse_metadata(&text).map_err(|reason| EnergyError::Metadata { path: path.to_owned(), reason })?
        }
        None => (state::infer_config(&tensors).map_err(in_file)?, None),
    };
    state::refuse_extra(&energy, &tensors).map_err(in_file)?;
    let net = ConvNet::from_tensors(&energy, &tensors, device).map_err(in_file)?;
    Ok(Weights { net, langevin })
}

/// Read the tensors of a weights file, of any format that [`load_weights`] knows and of any net.
///
/// Values are f32 on the CPU. Names are the published ones, `f.0.weight`, …: a leading `module.` is dropped and
/// `0.weight` becomes `f.0.weight`; names of other nets stay. Sorted by layer.
///
/// # Errors
/// As [`load_weights`], without those of the net.
pub fn read_state_dict(path: &Path) -> Result<Vec<(String, Tensor)>> {
    Ok(read_any(path)?.0)
}

/// The tensors of a file of any format, with the text of our metadata if it has one.
fn read_any(path: &Path) -> Result<(Named, Option<String>)> {
    let bytes = read(path)?;
    match is_pth(&bytes) {
        true => Ok((state::published_names(read_pth(path, &bytes)?), None)),
        false => read_safetensors(path, &bytes),
    }
}

/// The tensors of a safetensors file under the published names, with the text of our metadata if it has one.
fn read_safetensors(path: &Path, bytes: &[u8]) -> Result<(Named, Option<String>)> {
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|source| damaged(path, source))?;
    let text = header.metadata().as_ref().and_then(|map| map.get(KEY).cloned());
    let archive = SafeTensors::deserialize(bytes).map_err(|source| damaged(path, source))?;
    let mut tensors = Vec::new();
    for (name, view) in archive.iter().filter(|(name, _)| !is_counter(name)) {
        let tensor = float_tensor(name, number(view.dtype()), view.shape(), view.data());
        tensors.push((name.to_owned(), tensor.map_err(|source| in_file(path, source))?));
    }
    Ok((state::published_names(tensors), text))
}

/// Whether this is batch normalisation's count of batches: an integer beside the weights that no evaluation uses.
pub(crate) fn is_counter(name: &str) -> bool {
    name.ends_with(".num_batches_tracked")
}

fn number(kind: Dtype) -> Number {
    match kind {
        Dtype::F32 => Number::F32,
        Dtype::F64 => Number::F64,
        Dtype::F16 => Number::F16,
        Dtype::BF16 => Number::BF16,
        Dtype::I64 => Number::Other("i64", 8),
        Dtype::I32 => Number::Other("i32", 4),
        Dtype::U8 => Number::Other("u8", 1),
        Dtype::BOOL => Number::Other("bool", 1),
        _ => Number::Other("another kind of number", 0),
    }
}

fn in_file(path: &Path, source: EnergyError) -> EnergyError {
    EnergyError::InFile { path: path.to_owned(), source: Box::new(source) }
}

fn damaged(path: &Path, source: safetensors::SafeTensorError) -> EnergyError {
    EnergyError::DamagedFile {
        path: path.to_owned(),
        reason: format!("neither a whole safetensors nor a .pth file: {source}"),
    }
}

/// Our metadata as one line of JSON with sorted keys.
fn metadata(energy: &EnergyConfig, langevin: Option<&LangevinConfig>) -> String {
    let mut tree = serde_json::json!({ "data_range": DATA_RANGE, "energy": energy });
    if let Some(langevin) = langevin {
        tree["langevin"] = serde_json::json!(langevin);
    }
    tree.sort_all_objects();
    tree.to_string()
}

fn parse_metadata(text: &str) -> std::result::Result<(EnergyConfig, Option<LangevinConfig>), String> {
    let tree: Value = serde_json::from_str(text).map_err(|problem| format!("is no JSON: {problem}"))?;
    let section = |name: &str| tree.get(name).filter(|value| !value.is_null()).cloned();
    let energy = section("energy").ok_or("has no `energy`")?;
    let energy = serde_json::from_value(energy).map_err(|problem| format!("has a wrong `energy`: {problem}"))?;
    let langevin = section("langevin").map(serde_json::from_value).transpose();
    let langevin = langevin.map_err(|problem| format!("has a wrong `langevin`: {problem}"))?;
    match section("data_range") {
        Some(range) if range != serde_json::json!(DATA_RANGE) && range != serde_json::json!([-1, 1]) => {
            Err(format!("says data_range {range}, this program knows only [-1, 1]"))
        }
        _ => Ok((energy, langevin)),
    }
}

#[cfg(test)]
mod tests;
