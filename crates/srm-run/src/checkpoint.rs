//! Write checkpoints that are whole or not there, and find those that nothing has damaged.
//!
//! A checkpoint is written to a temporary folder, flushed to the disk and renamed. What a tensor is, this crate does
//! not know: whoever writes one is handed the temporary folder.

use crate::keep::remove_if_there;
use crate::layout::{BEST, CHECKPOINTS, CONFIG, EMA, OPTIMIZER, STATE, SUMS, WEIGHTS, checkpoint as name};
use crate::{Environment, Result, RunError, RunState};
use rustix::fs::{CWD, RenameFlags};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use srm_files::write_whole;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The layout of `state.json`.
const FORMAT: u32 = 1;
const TEMPORARY: &str = ".writing";
/// Prefix of a checkpoint that is being replaced.
pub(crate) const REPLACED: &str = ".replaced-";

/// What `state.json` holds: every scalar of a checkpoint.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StateFile {
    format: u32,
    /// The scalars that the next update reads.
    #[serde(flatten)]
    pub state: RunState,
    /// Whether it was this checkpoint's turn, so that a rollback may go to it, or an interrupt or a best score wrote
    /// it.
    pub regular: bool,
    /// Whether the watch took the run for healthy.
    pub calm: bool,
    /// Bytes of each log at this moment.
    pub logs: BTreeMap<String, u64>,
    /// Which data the run has seen.
    pub data: DataFile,
    /// What it was computed on.
    pub environment: Environment,
    /// The settings it was written under, or another program's description.
    pub config: Value,
    /// The settings beside that description; null where they are in `config`, and of runs before they were kept.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub settings: Value,
}

impl StateFile {
    /// The file of a state that is neither regular nor calm, before any log.
    pub(crate) fn new(state: RunState, data: DataFile, environment: Environment, config: Value) -> Self {
        let (logs, settings) = (BTreeMap::new(), Value::Null);
        Self { format: FORMAT, state, regular: false, calm: false, logs, data, environment, config, settings }
    }
}

/// Which data a run has seen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DataFile {
    /// The file of images; empty where the data is an array in memory.
    pub images: PathBuf,
    /// A short name of the content; empty where it is not known.
    pub fingerprint: String,
}

/// The folder of a checkpoint, damaged or not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Checkpoint(PathBuf);

/// Checkpoints that are not whole, each with what is wrong.
pub type Damaged = Vec<(Checkpoint, String)>;

impl Checkpoint {
    /// The checkpoint in a folder, which need not be there.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The checkpoint that a weights file lies in, with links followed; `None` of any other file.
    ///
    /// # Errors
    /// [`RunError::Io`] where the file is not there.
    pub fn of_weights(file: &Path) -> Result<Option<Self>> {
        let file = file.canonicalize().map_err(RunError::io(file))?;
        Ok(file.parent().filter(|folder| folder.join(STATE).is_file()).map(Self::new))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The update that its name says; `None` of the best, whose state knows it.
    pub fn update(&self) -> Option<u64> {
        self.0.file_name()?.to_str()?.parse().ok()
    }

    /// The weights to draw samples with: the averaged ones where there are some.
    pub fn weights(&self) -> PathBuf {
        let averaged = self.0.join(EMA);
        if averaged.is_file() { averaged } else { self.0.join(WEIGHTS) }
    }

    /// The settings of the run that it lies in, where there are some.
    pub fn config(&self) -> Option<PathBuf> {
        let config = self.0.parent()?.parent()?.join(CONFIG);
        config.is_file().then_some(config)
    }

    /// What is wrong with it; `None` where it is whole.
    ///
    /// # Errors
    /// [`RunError::Io`] where a file is there and cannot be read: that says nothing about the checkpoint.
    pub fn damage(&self) -> Result<Option<String>> {
        let sums = self.0.join(SUMS);
        if !sums.is_file() {
            return Ok(Some(format!("{SUMS} is missing")));
        }
        let sums = String::from_utf8_lossy(&fs::read(&sums).map_err(RunError::io(&sums))?).into_owned();
        let mut listed = Vec::new();
        for line in sums.lines() {
            let Some((expected, name)) = line.split_once("  ") else {
                return Ok(Some(format!("{SUMS} is cut off")));
            };
            let file = self.0.join(name);
            if !file.is_file() {
                return Ok(Some(format!("{name} is missing")));
            }
            if checksum(&file)? != expected {
                return Ok(Some(format!("{name} does not match its checksum")));
            }
            listed.push(name.to_owned());
        }
        let there = files(&self.0)?;
        let complete = there.iter().all(|name| listed.contains(name))
            && [OPTIMIZER, STATE, WEIGHTS].iter().all(|name| listed.iter().any(|one| one == name));
        Ok((!complete).then(|| format!("{SUMS} is cut off")))
    }

    /// Its scalars.
    ///
    /// # Errors
    /// [`RunError::StateFile`] where they make no sense, [`RunError::Io`] where they cannot be read.
    pub fn state(&self) -> Result<StateFile> {
        let path = self.0.join(STATE);
        let text = fs::read_to_string(&path).map_err(RunError::io(&path))?;
        let unreadable =
            |error: serde_json::Error| RunError::StateFile { path: path.clone(), reason: error.to_string() };
        let file: StateFile = serde_json::from_str(&text).map_err(unreadable)?;
        let problem = match file.format {
            FORMAT => file.state.problem(),
            other => Some(format!("it has format {other}, this program reads {FORMAT}")),
        };
        match problem {
            None => Ok(file),
            Some(reason) => Err(RunError::StateFile { path, reason }),
        }
    }
}

/// The numbered checkpoints in a folder with their updates, oldest first, damaged or not; none where there is no
/// folder.
///
/// # Errors
/// [`RunError::Io`] where the folder cannot be read.
pub fn checkpoints(folder: &Path) -> Result<Vec<(u64, Checkpoint)>> {
    let mut found = Vec::new();
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        entries => entries.map_err(RunError::io(folder))?,
    };
    for entry in entries {
        let checkpoint = Checkpoint(entry.map_err(RunError::io(folder))?.path());
        if let (Some(update), true) = (checkpoint.update(), checkpoint.0.is_dir()) {
            found.push((update, checkpoint));
        }
    }
    found.sort();
    Ok(found)
}

/// The newest whole checkpoint in a folder that `accept` takes, with its scalars, and those that were newer but
/// damaged.
///
/// # Errors
/// [`RunError::Io`] where a file cannot be read.
pub fn newest(
    folder: &Path,
    accept: impl Fn(u64, &StateFile) -> bool,
) -> Result<(Option<(Checkpoint, StateFile)>, Damaged)> {
    let mut damaged = Vec::new();
    for (update, checkpoint) in checkpoints(folder)?.into_iter().rev() {
        match checkpoint.damage()? {
            Some(reason) => damaged.push((checkpoint, reason)),
            None => match checkpoint.state() {
                Ok(state) if accept(update, &state) => return Ok((Some((checkpoint, state)), damaged)),
                Ok(_) => {}
                Err(RunError::StateFile { reason, .. }) => damaged.push((checkpoint, reason)),
                Err(error) => return Err(error),
            },
        }
    }
    Ok((None, damaged))
}

/// The newest checkpoint of a run folder, or in a folder of checkpoints, whose weights can be used: one that is whole,
/// or one without sums, from a version of this program that wrote none. Damaged ones are passed over with a warning.
///
/// # Errors
/// [`RunError::Io`] where a file cannot be read.
pub fn newest_weights(folder: &Path) -> Result<Option<Checkpoint>> {
    let inside = folder.join(CHECKPOINTS);
    for (_, checkpoint) in checkpoints(if inside.is_dir() { &inside } else { folder })?.into_iter().rev() {
        match checkpoint.damage()? {
            Some(reason) if checkpoint.0.join(SUMS).exists() => passed_over(&checkpoint, &reason),
            _ if checkpoint.0.join(WEIGHTS).is_file() => return Ok(Some(checkpoint)),
            _ => {}
        }
    }
    Ok(None)
}

/// Say that a damaged checkpoint is not used.
pub(crate) fn passed_over(checkpoint: &Checkpoint, reason: &str) {
    tracing::warn!("{} is damaged ({reason}): passed over", checkpoint.0.display());
}

/// Write a checkpoint below `folder`: the best one where `best`, else that of the state's update. `tensors` writes its
/// files into the folder that it is given.
pub(crate) fn write<E: From<RunError>>(
    folder: &Path,
    best: bool,
    file: &StateFile,
    tensors: impl FnOnce(&Path) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    let temporary = folder.join(TEMPORARY);
    remove_if_there(&temporary)?;
    fs::create_dir_all(&temporary).map_err(RunError::io(&temporary))?;
    tensors(&temporary)?;
    let text = serde_json::to_string_pretty(file).map_err(RunError::io(&temporary))?;
    write_text(&temporary.join(STATE), &format!("{text}\n"))?;
    let mut sums = String::new();
    for name in files(&temporary)? {
        sums += &format!("{}  {name}\n", checksum(&temporary.join(&name))?);
    }
    write_text(&temporary.join(SUMS), &sums)?;
    flush_folder(&temporary)?;
    let replaced =
        put_in_place(&temporary, &folder.join(if best { BEST.to_owned() } else { name(file.state.update) }))?;
    flush_folder(folder)?;
    Ok(remove_if_there(&replaced)?)
}

/// Delete what a write that failed or was killed has begun.
pub(crate) fn remove_begun(folder: &Path) -> Result<()> {
    remove_if_there(&folder.join(TEMPORARY))
}

/// Give a folder its name; where the folder is then that had the name before, which need not be there. The two change places
/// at once, so that the name never leads nowhere; where the file system cannot do that, one goes before the other comes, and is
/// `.replaced-NAME` meanwhile.
///
/// # Errors
/// [`RunError::Io`].
pub fn put_in_place(temporary: &Path, path: &Path) -> Result<PathBuf> {
    if rustix::fs::renameat_with(CWD, temporary, CWD, path, RenameFlags::EXCHANGE).is_ok() {
        return Ok(temporary.to_owned());
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let replaced = path.with_file_name(format!("{REPLACED}{name}"));
    if path.exists() {
        remove_if_there(&replaced)?;
        fs::rename(path, &replaced).map_err(RunError::io(&replaced))?;
    }
    fs::rename(temporary, path).map_err(RunError::io(path))?;
    Ok(replaced)
}

/// Write a text whole.
pub(crate) fn write_text(path: &Path, text: &str) -> Result<()> {
    write_whole(path, |file| file.write_all(text.as_bytes())).map_err(RunError::io(path))
}

/// Names of the files of a checkpoint but its sums, sorted.
fn files(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(RunError::io(folder))? {
        let name = entry.map_err(RunError::io(folder))?.file_name().to_string_lossy().into_owned();
        if name != SUMS {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn checksum(path: &Path) -> Result<String> {
    srm_files::sha256(path).map_err(RunError::io(path))
}

/// Wait until the disk knows the names in a folder.
fn flush_folder(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(RunError::io(folder))
}
