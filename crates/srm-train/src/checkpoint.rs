//! Write checkpoints that are whole or not there, and read back only those that nothing has damaged.
//!
//! ```text
//! 000100/weights.safetensors      the net, a weights file like any other
//!        optimizer.safetensors    ADAM's moments; the tensors of the spectral norm
//!        ema.safetensors          the averaged net, where train.ema is on; bank.safetensors likewise
//!        state.json               every scalar that the next update reads, lengths of the logs, config, environment
//!        SHA256SUMS               of the files above; `sha256sum -c SHA256SUMS` checks them too
//! best/                           like the others: the state that was scored best
//! latest                          the name of the newest
//! ```
//!
//! A checkpoint is written to a temporary folder, flushed to the disk and renamed.

use crate::{Environment, Result, Snapshot, State, TrainError, tensor_file};
use rustix::fs::{CWD, RenameFlags};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use srm_config::{CheckpointConfig, Config};
use srm_energy::{StateDict, read_tensors, write_weights};
use srm_files::write_whole;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// The layout of `state.json`.
const FORMAT: u32 = 1;
const BEST: &str = "best";
const TEMPORARY: &str = ".writing";
/// Prefixes of a checkpoint that is being replaced, and of one that is being deleted.
const REPLACED: &str = ".replaced-";
const DISCARDED: &str = ".discarded-";
const SUMS: &str = "SHA256SUMS";

/// What `state.json` holds.
#[derive(Serialize, Deserialize)]
pub(crate) struct StateFile {
    format: u32,
    #[serde(flatten)]
    pub(crate) state: State,
    /// Whether it was this checkpoint's turn, or an interrupt wrote it.
    pub(crate) regular: bool,
    /// Whether the watch took the run for healthy.
    pub(crate) calm: bool,
    /// Bytes of each log at this moment.
    pub(crate) logs: BTreeMap<String, u64>,
    pub(crate) data: DataFile,
    pub(crate) environment: Environment,
    /// The settings it was written under.
    pub(crate) config: serde_json::Value,
}

/// Which images the run has seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct DataFile {
    images: PathBuf,
    pub(crate) fingerprint: String,
}

/// What a checkpoint says besides the run's state.
pub(crate) struct About<'a> {
    pub(crate) config: &'a Config,
    pub(crate) environment: &'a Environment,
    /// That of the images.
    pub(crate) fingerprint: &'a str,
    /// Bytes of each log at this moment.
    pub(crate) logs: BTreeMap<String, u64>,
}

/// What a checkpoint is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A rollback may go to it.
    Regular,
    /// An interrupt's; the next run begins with it.
    Interrupt,
    /// The best score's, in a folder of its own that nothing but a better one replaces.
    Best,
}

/// Write a state below `folder` and return the checkpoint's path.
pub(crate) fn write(folder: &Path, snapshot: &Snapshot, about: About<'_>, kind: Kind) -> Result<PathBuf> {
    let (config, temporary) = (about.config, folder.join(TEMPORARY));
    remove_if_there(&temporary)?;
    fs::create_dir_all(&temporary).map_err(TrainError::io(&temporary))?;
    let langevin = Some(&config.langevin);
    let write_net =
        |name: &str, weights: &StateDict| write_weights(&temporary.join(name), weights, snapshot.net.clone(), langevin);
    write_net("weights.safetensors", &snapshot.weights)?;
    tensor_file::save(&temporary.join("optimizer.safetensors"), &snapshot.optimizer)?;
    if let Some(ema) = &snapshot.ema {
        write_net("ema.safetensors", ema)?;
    }
    if let Some(bank) = &snapshot.bank {
        tensor_file::save(&temporary.join("bank.safetensors"), &[("images".to_owned(), bank.shallow_clone())])?;
    }
    let file = StateFile {
        format: FORMAT,
        state: snapshot.state.clone(),
        regular: kind == Kind::Regular,
        calm: snapshot.calm,
        logs: about.logs,
        data: DataFile { images: config.data.images.clone(), fingerprint: about.fingerprint.to_owned() },
        environment: about.environment.clone(),
        config: serde_json::to_value(config).map_err(|error| TrainError::io(&temporary)(error.into()))?,
    };
    let text = serde_json::to_string_pretty(&file).map_err(|error| TrainError::io(&temporary)(error.into()))?;
    tensor_file::write_flushed(&temporary.join("state.json"), format!("{text}\n").as_bytes())?;
    let mut sums = String::new();
    for name in files(&temporary)? {
        sums += &format!("{}  {name}\n", checksum(&temporary.join(&name))?);
    }
    tensor_file::write_flushed(&temporary.join(SUMS), sums.as_bytes())?;
    flush_folder(&temporary)?;
    let name = if kind == Kind::Best { BEST.to_owned() } else { name(snapshot.state.update) };
    let path = folder.join(&name);
    let replaced = put_in_place(&temporary, &path)?;
    flush_folder(folder)?;
    remove_if_there(&replaced)?;
    Ok(path)
}

/// Give a checkpoint its name; where the folder is then that had the name before. The two change places at once, so that
/// the name never leads nowhere; where the file system cannot do that, one goes before the other comes.
fn put_in_place(temporary: &Path, path: &Path) -> Result<PathBuf> {
    if rustix::fs::renameat_with(CWD, temporary, CWD, path, RenameFlags::EXCHANGE).is_ok() {
        return Ok(temporary.to_owned());
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let replaced = path.with_file_name(format!("{REPLACED}{name}"));
    if path.exists() {
        remove_if_there(&replaced)?;
        fs::rename(path, &replaced).map_err(TrainError::io(&replaced))?;
    }
    fs::rename(temporary, path).map_err(TrainError::io(path))?;
    Ok(replaced)
}

/// Bring the folder in order after a write, a replacement or a removal that was killed half-way.
pub(crate) fn clean_up(folder: &Path) -> Result<()> {
    remove_if_there(&folder.join(TEMPORARY))?;
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let hidden = entry.file_name().to_string_lossy().into_owned();
        if let Some(name) = hidden.strip_prefix(REPLACED) {
            let place = folder.join(name);
            match place.exists() {
                true => remove_if_there(&entry.path())?,
                false => fs::rename(entry.path(), &place).map_err(TrainError::io(&place))?,
            }
        } else if hidden.starts_with(DISCARDED) {
            remove_if_there(&entry.path())?;
        }
    }
    Ok(())
}

/// The checkpoint folders with their updates, oldest first, damaged or not.
pub(crate) fn list(folder: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        entries => entries.map_err(TrainError::io(folder))?,
    };
    for entry in entries {
        let path = entry.map_err(TrainError::io(folder))?.path();
        let update = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
        if let (Some(update), true) = (update, path.is_dir()) {
            found.push((update, path));
        }
    }
    found.sort();
    Ok(found)
}

/// What is wrong with a checkpoint; `None` where it is whole.
///
/// # Errors
/// [`TrainError::Io`] where a file is there and cannot be read: that says nothing about the checkpoint.
pub(crate) fn damage(path: &Path) -> Result<Option<String>> {
    let sums = path.join(SUMS);
    if !sums.is_file() {
        return Ok(Some(format!("{SUMS} is missing")));
    }
    let sums = String::from_utf8_lossy(&fs::read(&sums).map_err(TrainError::io(&sums))?).into_owned();
    let mut listed = Vec::new();
    for line in sums.lines() {
        let Some((expected, name)) = line.split_once("  ") else { return Ok(Some(format!("{SUMS} is cut off"))) };
        let file = path.join(name);
        if !file.is_file() {
            return Ok(Some(format!("{name} is missing")));
        }
        if checksum(&file)? != expected {
            return Ok(Some(format!("{name} does not match its checksum")));
        }
        listed.push(name.to_owned());
    }
    let there = files(path)?;
    let essential = ["optimizer.safetensors", "state.json", "weights.safetensors"];
    let complete = there.iter().all(|name| listed.contains(name))
        && essential.iter().all(|name| listed.iter().any(|one| one == name));
    Ok((!complete).then(|| format!("{SUMS} is cut off")))
}

/// Read a checkpoint that is whole.
pub(crate) fn read(path: &Path) -> Result<(Snapshot, StateFile)> {
    let state = read_state(path)?;
    let bank = path.join("bank.safetensors");
    let bank = if bank.is_file() { tensor_file::load(&bank)?.pop().map(|(_, images)| images) } else { None };
    let ema = path.join("ema.safetensors");
    let saved = Snapshot {
        state: state.state.clone(),
        weights: read_tensors(&path.join("weights.safetensors"))?,
        net: serde_json::Value::Null,
        optimizer: tensor_file::load(&path.join("optimizer.safetensors"))?,
        ema: if ema.is_file() { Some(read_tensors(&ema)?) } else { None },
        bank,
        calm: state.calm,
        regular: state.regular,
    };
    Ok((saved, state))
}

fn read_state(path: &Path) -> Result<StateFile> {
    let path = path.join("state.json");
    let text = fs::read_to_string(&path).map_err(TrainError::io(&path))?;
    let unreadable = |error: serde_json::Error| TrainError::StateFile { path: path.clone(), reason: error.to_string() };
    let file: StateFile = serde_json::from_str(&text).map_err(unreadable)?;
    let problem = match file.format {
        FORMAT => file.state.problem(),
        other => Some(format!("it has format {other}, this program reads {FORMAT}")),
    };
    match problem {
        None => Ok(file),
        Some(reason) => Err(TrainError::StateFile { path, reason }),
    }
}

/// Checkpoints that are not whole, each with what is wrong.
pub(crate) type Damaged = Vec<(PathBuf, String)>;

/// The newest whole checkpoint that `accept` takes, with those that were newer but damaged, and why.
pub(crate) fn newest(folder: &Path, accept: impl Fn(u64, &StateFile) -> bool) -> Result<(Option<PathBuf>, Damaged)> {
    let mut damaged = Vec::new();
    for (update, path) in list(folder)?.into_iter().rev() {
        match damage(&path)? {
            Some(reason) => damaged.push((path, reason)),
            None => match read_state(&path) {
                Ok(state) if accept(update, &state) => return Ok((Some(path), damaged)),
                Ok(_) => {}
                Err(TrainError::StateFile { reason, .. }) => damaged.push((path, reason)),
                Err(error) => return Err(error),
            },
        }
    }
    Ok((None, damaged))
}

/// The newest checkpoint whose weights can be used: one that is whole, or one without sums, from a version of this program
/// that wrote none. With those that were newer but damaged.
pub(crate) fn newest_weights(folder: &Path) -> Result<(Option<PathBuf>, Damaged)> {
    let mut damaged = Vec::new();
    for (_, path) in list(folder)?.into_iter().rev() {
        match damage(&path)? {
            Some(reason) if path.join(SUMS).exists() => damaged.push((path, reason)),
            _ if path.join("weights.safetensors").is_file() => return Ok((Some(path), damaged)),
            _ => {}
        }
    }
    Ok((None, damaged))
}

/// Delete what the config does not keep. The newest stays, and of the regular ones the last `keep_last`, the last that a
/// rollback may go to, and what falls on `keep_every`.
pub(crate) fn prune(folder: &Path, config: &CheckpointConfig) -> Result<()> {
    let (mut regular_kept, mut calm_kept) = (0, false);
    for (age, (update, path)) in list(folder)?.into_iter().rev().enumerate() {
        let (regular, calm) =
            read_state(&path).map_or((false, false), |file| (file.regular, file.regular && file.calm));
        let keep = age == 0
            || regular && regular_kept < config.keep_last
            || calm && !calm_kept
            || config.keep_every.is_some_and(|every| update.is_multiple_of(every));
        regular_kept += usize::from(regular);
        calm_kept |= calm;
        if !keep {
            discard(&path)?;
        }
    }
    Ok(())
}

/// Delete a checkpoint: under another name first, so that half a checkpoint never stands under its own.
fn discard(path: &Path) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let hidden = path.with_file_name(format!("{DISCARDED}{name}"));
    remove_if_there(&hidden)?;
    fs::rename(path, &hidden).map_err(TrainError::io(path))?;
    remove_if_there(&hidden)
}

/// Delete the checkpoints after `update`; `latest` names the newest that stays before the others go.
pub(crate) fn remove_after(folder: &Path, update: u64) -> Result<()> {
    let (stay, go): (Vec<_>, Vec<_>) = list(folder)?.into_iter().partition(|(found, _)| *found <= update);
    let pointed = point_to(folder, stay.last().map(|(found, _)| *found));
    // on a full disk, too, which this gives room
    go.iter().try_for_each(|(_, path)| discard(path)).and(pointed)
}

/// Put a damaged checkpoint out of the way, without deleting it.
pub(crate) fn set_aside(path: &Path) -> Result<PathBuf> {
    let aside = path.with_extension("damaged");
    remove_if_there(&aside)?;
    fs::rename(path, &aside).map_err(TrainError::io(&aside))?;
    Ok(aside)
}

fn name(update: u64) -> String {
    format!("{update:06}")
}

/// Write the name of the newest checkpoint to `latest`.
pub(crate) fn point_to_latest(folder: &Path) -> Result<()> {
    point_to(folder, list(folder)?.pop().map(|(update, _)| update))
}

/// Write the name of the checkpoint of `update` to `latest`, which goes where there is none.
pub(crate) fn point_to(folder: &Path, update: Option<u64>) -> Result<()> {
    let pointer = folder.join("latest");
    let Some(update) = update else { return remove_if_there(&pointer) };
    write_whole(&pointer, |file| writeln!(file, "{}", name(update))).map_err(TrainError::io(&pointer))
}

/// Names of the files of a checkpoint but its sums, sorted.
fn files(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(TrainError::io(folder))? {
        let name = entry.map_err(TrainError::io(folder))?.file_name().to_string_lossy().into_owned();
        if name != SUMS {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn checksum(path: &Path) -> Result<String> {
    let mut file = File::open(path).map_err(TrainError::io(path))?;
    let (mut hasher, mut buffer) = (Sha256::new(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut buffer).map_err(TrainError::io(path))? {
            0 => break,
            count => hasher.update(&buffer[..count]),
        }
    }
    Ok(srm_files::hex(&hasher.finalize()))
}

/// Wait until the disk knows the names in a folder.
fn flush_folder(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(TrainError::io(folder))
}

/// Delete a file or a folder; where there is none, all is well.
pub(crate) fn remove_if_there(path: &Path) -> Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(TrainError::io(path)(error)),
        _ => Ok(()),
    }
}

/// Tensors by name: the tests compare them.
#[cfg(test)]
pub(crate) fn tensors(path: &Path) -> StateDict {
    tensor_file::load(path).unwrap()
}
