//! Find and load the weights that --weights names, with the Langevin settings to run them by.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use srm_config::{Config, EnergyConfig, LangevinConfig};
use srm_energy::{ConvNet, load_weights};
use srm_train::RunFolder;
use tch::Device;

use crate::machine::Machine;

/// A net and how to run its chains.
pub struct Loaded {
    /// The file it came from.
    pub file: PathBuf,
    pub net: ConvNet,
    pub langevin: LangevinConfig,
}

/// Load a weights file or a run folder's newest checkpoint. A config, where given, sets the Langevin settings and must
/// describe the same net; `steps` wins over both.
///
/// # Errors
/// There is no such file, it is damaged, it belongs to another net, or nothing says how to run its chains.
pub fn load(path: &Path, config: Option<&Config>, steps: Option<u32>, machine: &Machine) -> Result<Loaded> {
    let mut loaded = load_as_trained(path, config, machine.device)?;
    if let Some(steps) = steps {
        loaded.langevin.steps = steps as usize;
    }
    Ok(Loaded { net: loaded.net.in_precision(machine.precision)?, ..loaded })
}

fn load_as_trained(path: &Path, config: Option<&Config>, device: Device) -> Result<Loaded> {
    let file = locate(path)?;
    let weights = load_weights(&file, device).context("cannot load the weights")?;
    let Some(config) = config else {
        let Some(langevin) = weights.langevin else {
            bail!(
                "{} carries no Langevin settings (a .pth file never does); name the config it was trained with, for example \
                 --config configs/cifar10.json for the published script's",
                file.display()
            );
        };
        return Ok(Loaded { file, net: weights.net, langevin });
    };
    let found = weights.net.config().clone();
    let has_metadata = weights.langevin.is_some();
    let asked = &config.energy;
    let same_shape = (found.size, found.channels, found.features) == (asked.size, asked.channels, asked.features);
    if !same_shape || (has_metadata && found.activation != asked.activation) {
        bail!(
            "{} holds a net of {}, the config asks for {}; take the config it was trained with, or leave --config out",
            file.display(),
            shape(&found),
            shape(asked)
        );
    }
    // a .pth says nothing of its activation: the config does
    let net = match found.activation == asked.activation {
        true => weights.net,
        false => {
            use srm_energy::Trainable;
            ConvNet::from_tensors(asked, &weights.net.named_parameters(), device)?
        }
    };
    Ok(Loaded { file, net, langevin: config.langevin.clone() })
}

fn shape(energy: &EnergyConfig) -> String {
    format!(
        "{} px, {} channels, {} features, {}",
        energy.size,
        energy.channels,
        energy.features,
        serde_json::json!(energy.activation)
    )
}

/// The weights that --weights names, to look at one after the other: those of a run folder's checkpoints in order, or, of any
/// other path and of the newest alone, the path itself.
///
/// # Errors
/// The folder cannot be read.
pub fn checkpoints(path: &Path, newest: bool) -> Result<Vec<PathBuf>> {
    let checkpoints = path.join("checkpoints");
    if newest || !checkpoints.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&checkpoints)? {
        let checkpoint = entry?.path();
        // the best is one of the others, or was
        if checkpoint.join("weights.safetensors").is_file() && !checkpoint.ends_with("best") {
            found.push(checkpoint);
        }
    }
    found.sort();
    match found.is_empty() {
        true => Ok(vec![path.to_owned()]), // loading it says what is missing
        false => Ok(found.iter().map(|checkpoint| RunFolder::weights_of(checkpoint)).collect()),
    }
}

/// The weights file of a path: itself, a checkpoint's, or the newest checkpoint's of a run folder; of a checkpoint the
/// averaged weights where it has some.
///
/// # Errors
/// There is none.
pub fn locate(path: &Path) -> Result<PathBuf> {
    if path.is_file() {
        return Ok(path.to_owned());
    }
    if !path.is_dir() {
        bail!("the weights {} do not exist; give a .safetensors or .pth file, or a run folder", path.display());
    }
    if path.join("weights.safetensors").is_file() {
        return Ok(RunFolder::weights_of(path));
    }
    let newest = if path.join("checkpoints").is_dir() { RunFolder::newest_checkpoint(path)? } else { None };
    match newest {
        Some(checkpoint) => Ok(RunFolder::weights_of(&checkpoint)),
        None => bail!(
            "{} holds no checkpoint; give a run folder of `srm train` that has written one, or a weights file",
            path.display()
        ),
    }
}
