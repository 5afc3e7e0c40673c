//! Find and load the weights that --weights names, with the Langevin settings to run them by.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use srm_config::{ColourStart, EnergyConfig, Init, LangevinConfig};
use srm_data::sha256_of_file;
use srm_energy::{ConvNet, Trainable, Weights, load_bytes, load_weights_at};
use srm_files::hex;
use srm_run::{
    Checkpoint,
    layout::{BEST, CHECKPOINTS, LATEST, WEIGHTS},
    newest_weights,
};
use tch::Device;

use super::{Net, choice::Choice, shipped};
use crate::session::Machine;

/// Load a weights file with the Langevin settings to run it by. A config, where given, sets them and must describe the same net;
/// steps win over both.
///
/// # Errors
/// The file is damaged, it belongs to another net, or nothing says how to run its chains.
pub fn load(file: &Path, choice: &Choice, machine: Machine) -> Result<(Net, LangevinConfig)> {
    let (net, mut langevin) = load_as_trained(file, choice, machine.device)?;
    if matches!(langevin.init, Init::Colours(ColourStart::Unmeasured(_))) {
        bail!(
            "{} has chains that start at the colours of its training images, and nothing says what those are; give the config.json of \
             its run folder as --config",
            file.display()
        );
    }
    if let Some(steps) = choice.steps {
        langevin = langevin.with_steps(steps).with_context(|| {
            let coarser = langevin.steps - langevin.grids.last().map_or(0, |last| last.steps);
            format!("--steps {steps} ends before the finest grid: the coarser ones have {coarser}; give more steps than that")
        })?;
    }
    if choice.quiet_tail > 0 {
        langevin = langevin.with_quiet_tail(choice.quiet_tail);
    }
    if let Some(psi) = choice.truncation {
        langevin = langevin.with_truncation(psi).with_context(|| {
            format!(
                "--truncation {psi}: the chains of {} do not start at a law of the data (init \"colours\"), and noise has no typical \
                 part; leave it out",
                file.display()
            )
        })?;
    }
    Ok((net.in_precision(machine.precision)?, langevin))
}

fn load_as_trained(file: &Path, choice: &Choice, device: Device) -> Result<(Net, LangevinConfig)> {
    let weights = read(file, choice.key.as_deref(), device)?;
    let Some(config) = &choice.config else {
        let Some(langevin) = weights.langevin else {
            bail!(
                "{} carries no Langevin settings (a .pth file never does); name the config it was trained with, for example \
                 --config configs/cifar10.json for the published script's",
                file.display()
            );
        };
        return Ok((weights.net, langevin));
    };
    let (found, asked) = (weights.net.configs(), config.langevin.nets(&config.energy));
    let has_metadata = weights.langevin.is_some();
    let same_shapes = found.len() == asked.len()
        && found.iter().zip(&asked).all(|(found, asked)| {
            let shape = |energy: &EnergyConfig| (energy.size, energy.channels, energy.features);
            shape(found) == shape(asked) && (!has_metadata || found.activation == asked.activation)
        });
    if !same_shapes {
        bail!(
            "{} holds a net of {}, the config asks for {}; take the config it was trained with, or leave --config out",
            file.display(),
            shapes(&found),
            shapes(&asked)
        );
    }
    // a .pth says nothing of its activation: the config does
    let net = match &asked[..] {
        [asked] if found[0].activation != asked.activation => {
            ConvNet::from_tensors(asked, &weights.net.named_parameters(), device)?.into()
        }
        _ => weights.net,
    };
    Ok((net, config.langevin.clone()))
}

/// The net in weights that [`locate`] has found.
///
/// # Errors
/// The file cannot be read, is damaged, or holds several nets and no key chooses.
pub fn read(file: &Path, key: Option<&str>, device: Device) -> Result<Weights> {
    let weights = match shipped::named(file) {
        Some(shipped) => load_bytes(file, shipped.bytes, key, device),
        None => load_weights_at(file, key, device),
    };
    weights.context("cannot load the weights")
}

/// SHA-256 of weights that [`locate`] has found.
///
/// # Errors
/// The file cannot be read.
pub fn sha256(file: &Path) -> Result<String> {
    match shipped::named(file) {
        Some(shipped) => Ok(hex(&Sha256::digest(shipped.bytes))),
        None => Ok(sha256_of_file(file)?),
    }
}

/// The nets of a ladder, coarse to fine, or the only net.
fn shapes(nets: &[EnergyConfig]) -> String {
    nets.iter().map(shape).collect::<Vec<_>>().join(" and ")
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
    if newest || !path.is_dir() || path.join(WEIGHTS).is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(checkpoint_folder(path))? {
        let checkpoint = entry?.path();
        // the best is one of the others, or was; `latest` may be a link to one
        let is_name = |name| checkpoint.ends_with(name);
        if checkpoint.join(WEIGHTS).is_file() && !is_name(BEST) && !is_name(LATEST) {
            found.push(Checkpoint::new(checkpoint));
        }
    }
    found.sort();
    match found.is_empty() {
        true => Ok(vec![path.to_owned()]), // loading it says what is missing
        false => Ok(found.iter().map(Checkpoint::weights).collect()),
    }
}

/// Weights that a folder of a model hub may have besides [`srm_fetch::NAMES`] (huggingface_hub, `constants.py`).
const PICKLE: &str = "pytorch_model.bin";
/// Endings that weights files have.
const ENDINGS: [&str; 5] = ["safetensors", "pth", "pt", "ckpt", "bin"];

/// The weights file of a path, or the name of weights that come with the program. Of a file: itself, or what run folders' `latest` points to. Of a folder: a checkpoint's, the
/// newest checkpoint's of a run folder or of its folder `checkpoints`, that of a model hub's folder, or the only one in it. Of
/// a checkpoint of ours the averaged weights where it has some.
///
/// # Errors
/// There is none, or several.
pub fn locate(path: &Path) -> Result<PathBuf> {
    if path.is_file() {
        return Ok(pointed_at(path).unwrap_or_else(|| path.to_owned()));
    }
    let is_shipped = shipped::named(path).is_some();
    if !path.is_dir() {
        if is_shipped {
            return Ok(path.to_owned());
        }
        bail!(
            "the weights {} do not exist; give a .safetensors or .pth file, a run folder, a folder with such a file, hf:owner/name, \
             an https:// address, or the name of weights that come with srm ({})",
            path.display(),
            shipped::names()
        );
    }
    if path.join(WEIGHTS).is_file() {
        return Ok(Checkpoint::new(path).weights());
    }
    if let Some(checkpoint) = newest_weights(path)? {
        return Ok(checkpoint.weights());
    }
    if let Some(file) =
        srm_fetch::NAMES.into_iter().chain([PICKLE]).map(|name| path.join(name)).find(|file| file.is_file())
    {
        return Ok(file);
    }
    match &weights_files(&checkpoint_folder(path))?[..] {
        [file] => Ok(file.clone()),
        [] if is_shipped => Ok(path.to_owned()),
        [] => bail!(
            "{} holds no checkpoint and no weights file; give a run folder of `srm train` that has written one, or a \
             .safetensors or .pth file",
            path.display()
        ),
        several => {
            let names: Vec<_> = several.iter().take(8).map(|file| file.display().to_string()).collect();
            bail!("{} holds several weights files; give one of them: {}", path.display(), names.join(", "))
        }
    }
}

/// [`locate`], of a run folder the checkpoint of an update where one is asked for.
///
/// # Errors
/// As there; there is no run folder, or no checkpoint of that update: those there are.
pub fn locate_at(path: &Path, update: Option<u64>) -> Result<PathBuf> {
    let Some(update) = update else { return locate(path) };
    let found = match path.is_dir() {
        true => srm_run::checkpoints(&checkpoint_folder(path))?,
        false => Vec::new(),
    };
    if let Some((_, checkpoint)) = found.iter().find(|(own, _)| *own == update) {
        return Ok(checkpoint.weights());
    }
    let there: Vec<_> = found.iter().map(|(own, _)| own.to_string()).collect();
    match there.is_empty() {
        true => bail!("--update {update}: {} is no run folder with checkpoints", path.display()),
        false => bail!("{} has no checkpoint of update {update}; it has those of {}", path.display(), there.join(", ")),
    }
}

/// Where the checkpoints of a run folder lie; of any other folder, itself.
fn checkpoint_folder(path: &Path) -> PathBuf {
    let inside = path.join(CHECKPOINTS);
    if inside.is_dir() { inside } else { path.to_owned() }
}

/// The weights of the checkpoint that a file `latest` names.
fn pointed_at(file: &Path) -> Option<PathBuf> {
    if !file.ends_with(LATEST) || file.metadata().ok()?.len() > 64 {
        return None;
    }
    let name = std::fs::read_to_string(file).ok()?;
    let checkpoint = file.parent()?.join(name.trim());
    checkpoint.join(WEIGHTS).is_file().then(|| Checkpoint::new(checkpoint).weights())
}

/// The files in a folder whose endings are those of weights, in order.
fn weights_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let file = entry?.path();
        let ending = file.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        if file.is_file() && ENDINGS.contains(&ending) {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}
