//! Save and load a net's weights with the config that they were trained under.
//!
//! One metadata key, `srm`, holds canonical JSON with sorted keys and neither time, path nor host, and the tensors lie in
//! plain NCHW order: equal weights are equal files.

mod archive;
mod file;
mod ladder;
mod layers;
mod names;
mod net;
mod number;
mod parameter;

use crate::convnet::DATA_RANGE;
use crate::{ConvNet, EnergyError, Ladder, Result, StateDict, Trainable};
use archive::{Archive, summary};
use file::{read, write_whole};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Value as Json, json};
use srm_config::{EnergyConfig, LangevinConfig};
use std::collections::HashMap;
use std::path::Path;
use tch::{Device, Kind, Tensor};

pub(crate) use archive::{Entry, Value};
pub(crate) use number::{Number, float_tensor};

/// The metadata key of our files.
const KEY: &str = "srm";
/// What a weights file holds.
pub struct Weights {
    /// The net, f32; of a ladder those of all its grids, of one that still grows those that have joined.
    pub net: Ladder<ConvNet>,
    /// Grids that the file holds: more than the net's where the finest have not joined.
    pub grids: usize,
    /// The chain that it was trained with; `None` where the file does not say, as no `.pth` does.
    pub langevin: Option<LangevinConfig>,
}

/// Write a net to a safetensors file, with what it says of itself ([`Trainable::describe`]) and the chain it was trained with, under a temporary name first, so that no half file stands under `path`.
///
/// # Errors
/// [`EnergyError::Io`], [`EnergyError::Torch`], [`EnergyError::DamagedFile`] where the tensors cannot be serialised.
pub fn save_weights(path: &Path, net: &impl Trainable, langevin: Option<&LangevinConfig>) -> Result<()> {
    write_weights(path, &net.named_parameters(), net.describe(), langevin)
}

/// [`save_weights`] of a net that is not at hand: its weights, and what it said of itself.
///
/// # Errors
/// As there.
pub fn write_weights(
    path: &Path,
    weights: &StateDict,
    description: Json,
    langevin: Option<&LangevinConfig>,
) -> Result<()> {
    let mut tensors = Vec::new();
    for (name, tensor) in weights {
        let shape: Vec<usize> = tensor.size().iter().map(|&n| n as usize).collect();
        let flat =
            tensor.f_detach()?.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?.f_contiguous()?.f_reshape([-1])?;
        let mut values = vec![0.0f32; flat.numel()];
        flat.f_copy_data(&mut values, flat.numel())?;
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        tensors.push((name, shape, bytes));
    }
    let damaged = |source: safetensors::SafeTensorError| EnergyError::DamagedFile {
        path: path.to_owned(),
        reason: format!("its tensors cannot be written: {source}"),
    };
    let views = tensors
        .iter()
        .map(|(name, shape, bytes)| Ok((name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes)?)))
        .collect::<std::result::Result<Vec<_>, safetensors::SafeTensorError>>()
        .map_err(damaged)?;
    let metadata = HashMap::from([(KEY.to_owned(), metadata(description, langevin))]);
    write_whole(path, &safetensors::serialize(views, Some(metadata)).map_err(damaged)?)
}

/// What the file of a net of the user's own says of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Description {
    /// What the net said of itself, the content of its section `net` or `energy`; null where the file says nothing.
    pub net: Json,
    /// The chain that it was trained with, where the file says so.
    pub langevin: Option<LangevinConfig>,
}

/// Read a file that [`save_weights`] has written of a net like `net` into that net, in place.
///
/// # Errors
/// All name the file: [`EnergyError::Io`], [`EnergyError::DamagedFile`], [`EnergyError::OtherFile`], [`EnergyError::Metadata`],
/// [`EnergyError::InFile`] around a weight that is missing or of another shape; the net is unchanged then.
pub fn load_weights_into(path: &Path, net: &impl Trainable) -> Result<Description> {
    let bytes = read(path)?;
    let mut archive = Archive::open(path, &bytes)?;
    let in_file = |source| EnergyError::InFile { path: path.to_owned(), source: Box::new(source) };
    let unreadable = |reason| EnergyError::Metadata { path: path.to_owned(), reason };
    let tree = archive.metadata.as_deref().map(sections).transpose().map_err(unreadable)?.unwrap_or_default();
    let description = Description {
        net: tree.get("net").or(tree.get("energy")).cloned().unwrap_or_default(),
        langevin: langevin_of(&tree).map_err(unreadable)?,
    };
    let parameters = net.named_parameters();
    let mut found = Vec::with_capacity(parameters.len());
    for (name, parameter) in &parameters {
        let Some(index) = archive.entries.iter().position(|entry| entry.name == *name) else {
            let held = summary(&archive.entries);
            return Err(EnergyError::NoTensor { path: path.to_owned(), name: name.clone(), found: held });
        };
        let value = archive.float(index)?;
        let (expected, got) = (parameter.size(), value.size());
        if expected != got {
            return Err(in_file(EnergyError::ParameterShape { name: name.clone(), expected, got }));
        }
        found.push(value);
    }
    tch::no_grad(|| {
        parameters.into_iter().zip(found).try_for_each(|((_, mut own), value)| own.f_copy_(&value).map(drop))
    })?;
    Ok(description)
}

/// [`load_weights_at`] of a file with one net.
///
/// # Errors
/// As there.
pub fn load_weights(path: &Path, device: Device) -> Result<Weights> {
    load_weights_at(path, None, device)
}

/// Read a net from a file, recognised by its content: safetensors, or what torch.save writes (`.pth`, `.pt`, `.ckpt`,
/// `.bin`) in the zip or the older format; no code of the file runs.
///
/// The net is a run of layers `N.weight`, `N.bias` of the right shapes, wherever it stands: in dicts, lists and modules
/// beside others, under whatever prefix (`module.`, `_orig_mod.`, `ebm.`). `key` chooses where several stand: a dotted name
/// as the error lists them, or the beginning of one. A parameter under PyTorch's spectral norm, weight norm or pruning is
/// what an evaluation in PyTorch would use: W/σ, g v/‖v‖, W · mask. Values of classes that are not read are passed over,
/// unless they stand among the layers.
///
/// A file without our metadata does not say its activation, which is assumed to be the published one, LeakyReLU 0.2
/// (enijkamp/short_run, train_cifar10_minimal.py). Tensors of f16, bf16 and f64 become f32.
///
/// # Errors
/// All name the file: [`EnergyError::Io`], [`EnergyError::DamagedFile`], [`EnergyError::OtherFile`],
/// [`EnergyError::Metadata`], [`EnergyError::SeveralNets`], [`EnergyError::NoKey`], [`EnergyError::InFile`] around a tensor
/// that is missing, too many, of another shape or kind.
pub fn load_weights_at(path: &Path, key: Option<&str>, device: Device) -> Result<Weights> {
    load_bytes(path, &read(path)?, key, device)
}

/// [`load_weights_at`] of bytes that are at hand; errors name them `path`.
///
/// # Errors
/// As there, but for [`EnergyError::Io`].
pub fn load_bytes(path: &Path, bytes: &[u8], key: Option<&str>, device: Device) -> Result<Weights> {
    let mut archive = Archive::open(path, bytes)?;
    let unreadable = |reason| EnergyError::Metadata { path: path.to_owned(), reason };
    let tree = archive.metadata.as_deref().map(sections).transpose().map_err(unreadable)?;
    if let Some(net) = tree.as_ref().filter(|tree| tree.get("energy").is_none()).and_then(|tree| tree.get("net")) {
        return Err(EnergyError::OwnNet { path: path.to_owned(), net: net.to_string() });
    }
    let config = tree.as_ref().map(convnet_of).transpose().map_err(unreadable)?;
    let langevin = tree.as_ref().map(langevin_of).transpose().map_err(unreadable)?.flatten();
    if let (Some(energy), Some(chain)) = (&config, &langevin) {
        if let Some(misfit) = chain.misfit(energy) {
            return Err(unreadable(format!("contradicts itself: {misfit}")));
        }
        if chain.grids.len() > 1 {
            if let Some(key) = key {
                let nets = "a ladder, whose nets belong together: leave --key out".to_owned();
                return Err(EnergyError::NoKey { path: path.to_owned(), key: key.to_owned(), nets });
            }
            let net = ladder::read_ladder(&mut archive, &chain.nets(energy), device)?;
            // of a run that grows still, what has learned
            let joined = tree.as_ref().and_then(|tree| tree.get("joined")?.as_u64());
            let grids = net.grids();
            let joined = joined.map_or(grids, |joined| joined as usize);
            return Ok(Weights { net: net.first_grids(joined), grids, langevin: Some(chain.first_grids(joined)) });
        }
    }
    let (energy, tensors) = net::read_net(&mut archive, key, config.as_ref())?;
    Ok(Weights { net: ConvNet::from_tensors(&energy, &tensors, device)?.into(), grids: 1, langevin })
}

/// Read the tensors of the one network in a file that has a tensor of the name `known`, whatever stands before that name;
/// the formats are those of [`load_weights_at`].
///
/// Values are f32 on the CPU, under the names that follow what stands before `known`, sorted by them; counters, as batch
/// normalisation has them, are left out.
///
/// # Errors
/// All name the file: [`EnergyError::Io`], [`EnergyError::DamagedFile`], [`EnergyError::OtherFile`],
/// [`EnergyError::NoTensor`], [`EnergyError::SeveralTensors`], [`EnergyError::InFile`] around a tensor of another kind.
pub fn read_state_dict(path: &Path, known: &str) -> Result<Vec<(String, Tensor)>> {
    let bytes = read(path)?;
    let mut archive = Archive::open(path, &bytes)?;
    let is_prefix = |prefix: &&str| prefix.is_empty() || prefix.ends_with('.');
    let prefixes = archive.entries.iter().filter_map(|entry| entry.name.strip_suffix(known)).filter(is_prefix);
    let prefixes: Vec<String> = prefixes.map(str::to_owned).collect();
    let path = path.to_owned();
    let prefix = match &prefixes[..] {
        [prefix] => prefix,
        [] => {
            let (name, found) = (known.to_owned(), summary(&archive.entries));
            return Err(EnergyError::NoTensor { path, name, found });
        }
        _ => return Err(EnergyError::SeveralTensors { path, name: known.to_owned(), found: prefixes.join(", ") }),
    };
    named(&mut archive, prefix)
}

/// All tensors of a file of weights as they are named there, f32 on the CPU, sorted by name; the formats are those of
/// [`load_weights_at`].
///
/// # Errors
/// All name the file: [`EnergyError::Io`], [`EnergyError::DamagedFile`], [`EnergyError::OtherFile`], [`EnergyError::InFile`] around
/// a tensor of another kind.
pub fn read_tensors(path: &Path) -> Result<StateDict> {
    let bytes = read(path)?;
    let mut archive = Archive::open(path, &bytes)?;
    named(&mut archive, "")
}

/// The tensors of a file whose names begin with `prefix`, by what follows it, sorted; counters are left out.
fn named(archive: &mut Archive<'_>, prefix: &str) -> Result<StateDict> {
    let mut named = StateDict::new();
    for index in 0..archive.entries.len() {
        let entry = &archive.entries[index];
        let Some(name) = entry.name.strip_prefix(prefix).filter(|_| !entry.is_counter()) else { continue };
        let name = name.to_owned();
        named.push((name, archive.float(index)?));
    }
    named.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(named)
}

/// Our metadata as one line of JSON with sorted keys.
fn metadata(net: Json, langevin: Option<&LangevinConfig>) -> String {
    // what is no section by itself is the net's own
    let mut tree = if net.get("energy").or(net.get("net")).is_some() { net } else { json!({ "net": net }) };
    if let Some(langevin) = langevin {
        tree["langevin"] = json!(langevin);
    }
    tree.sort_all_objects();
    tree.to_string()
}

/// The sections of our metadata.
fn sections(text: &str) -> std::result::Result<Json, String> {
    serde_json::from_str(text).map_err(|problem| format!("is no JSON: {problem}"))
}

fn langevin_of(tree: &Json) -> std::result::Result<Option<LangevinConfig>, String> {
    let langevin = tree.get("langevin").filter(|value| !value.is_null()).cloned();
    langevin.map(serde_json::from_value).transpose().map_err(|problem| format!("has a wrong `langevin`: {problem}"))
}

fn convnet_of(tree: &Json) -> std::result::Result<EnergyConfig, String> {
    let section = |name: &str| tree.get(name).filter(|value| !value.is_null()).cloned();
    let energy = section("energy").ok_or("has no `energy`")?;
    let energy = serde_json::from_value(energy).map_err(|problem| format!("has a wrong `energy`: {problem}"))?;
    match section("data_range") {
        Some(range) if range != json!(DATA_RANGE) && range != json!([-1, 1]) => {
            Err(format!("says data_range {range}, this program knows only [-1, 1]"))
        }
        _ => Ok(energy),
    }
}

#[cfg(test)]
mod foreign_net_tests;
#[cfg(test)]
mod ladder_tests;
#[cfg(test)]
mod tests;
