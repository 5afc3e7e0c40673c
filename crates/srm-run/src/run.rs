//! Read the folder of a run: what `srm report`, `srm diagnose` and other programs share.

use crate::layout::{CHECKPOINTS, CONFIG, DIVERGENCE, EVALUATION, HISTORY, METRICS, SAMPLES, SCORES};
use crate::log::text;
use crate::{
    Checkpoint, Event, Evidence, Log, Metrics, Result, RunError, ScoreRecord, checkpoints, is_run, newest_weights,
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use srm_config::{Config, ConfigError};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// The folder of a run, being read. Nothing is read before it is asked for, and a run may write at the same time.
#[derive(Clone, Debug)]
pub struct Run {
    folder: PathBuf,
}

impl Run {
    /// The run in a folder.
    ///
    /// # Errors
    /// [`RunError::NoFolder`], [`RunError::NoRun`].
    pub fn open(folder: &Path) -> Result<Self> {
        if !folder.is_dir() {
            return Err(RunError::NoFolder { path: folder.to_owned(), exists: folder.exists() });
        }
        if !is_run(folder) && !folder.join(CONFIG).is_file() {
            return Err(RunError::NoRun { path: folder.to_owned() });
        }
        Ok(Self { folder: folder.to_owned() })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The run's name: its folder's.
    pub fn name(&self) -> String {
        let whole = self.folder.canonicalize().unwrap_or_else(|_| self.folder.clone());
        whole.file_name().map_or_else(|| whole.display().to_string(), |name| name.to_string_lossy().into_owned())
    }

    /// The text of `config.json`; `None` where there is none.
    ///
    /// # Errors
    /// [`RunError::Io`].
    pub fn config_text(&self) -> Result<Option<String>> {
        there(text(&self.folder.join(CONFIG)))
    }

    /// The resolved settings; `None` where there is no `config.json`. That of a run of another program's is no config
    /// but what that program says of it.
    ///
    /// # Errors
    /// [`RunError::Io`]; within, what is wrong with the settings.
    pub fn config(&self) -> Result<Option<std::result::Result<Config, ConfigError>>> {
        Ok(self.config_text()?.map(|text| Config::from_json(&text, &[])))
    }

    /// Logged updates and rollbacks; `None` where there is no `metrics.jsonl`.
    ///
    /// # Errors
    /// [`RunError::Io`].
    pub fn metrics(&self) -> Result<Option<Metrics>> {
        there(Metrics::read(&self.folder.join(METRICS)))
    }

    /// Scores made during training; [`Metrics::counts`] says which of them rollbacks took back. `None` where the run
    /// was not scored.
    ///
    /// # Errors
    /// [`RunError::Io`].
    pub fn scores(&self) -> Result<Option<Log<ScoreRecord>>> {
        there(Log::scores(&self.folder.join(SCORES)))
    }

    /// Starts, resumes, rollbacks and ends; `None` where there is no `history.jsonl`. It keeps the rollbacks of which a
    /// resumed run's metrics, cut back to its checkpoint, know no more.
    ///
    /// # Errors
    /// [`RunError::Io`].
    pub fn history(&self) -> Result<Option<Log<Event>>> {
        there(Log::history(&self.folder.join(HISTORY)))
    }

    /// What `srm evaluate` has left.
    ///
    /// # Errors
    /// [`RunError::Io`] where it cannot be read or is no JSON.
    pub fn evaluation(&self) -> Result<Option<Value>> {
        there(json(&self.folder.join(EVALUATION)))
    }

    /// The numbered checkpoints with their updates, oldest first, damaged or not.
    ///
    /// # Errors
    /// [`RunError::Io`].
    pub fn checkpoints(&self) -> Result<Vec<(u64, Checkpoint)>> {
        checkpoints(&self.folder.join(CHECKPOINTS))
    }

    /// The newest checkpoint whose weights can be used; damaged ones are passed over with a warning.
    ///
    /// # Errors
    /// [`RunError::Io`].
    pub fn newest(&self) -> Result<Option<Checkpoint>> {
        newest_weights(&self.folder.join(CHECKPOINTS))
    }

    /// Sample grids, and arrays of samples that are no images, with their updates, first to last.
    pub fn samples(&self) -> Vec<(u64, PathBuf)> {
        let update = |path: &Path| path.file_stem()?.to_str()?.strip_prefix("x_")?.parse().ok();
        let mut found: Vec<(u64, PathBuf)> = files(&self.folder.join(SAMPLES), &["png", "npy"])
            .into_iter()
            .filter_map(|path| Some((update(&path)?, path)))
            .collect();
        found.sort();
        found
    }

    /// Evidence of trouble: the JSON files in `divergence`, in the order of names; in place of one that cannot be read
    /// what is wrong with it.
    pub fn troubles(&self) -> Vec<(PathBuf, Result<Evidence>)> {
        let files = files(&self.folder.join(DIVERGENCE), &["json"]);
        files.into_iter().map(|path| (path.clone(), json(&path))).collect()
    }
}

/// A JSON file.
///
/// # Errors
/// [`RunError::Io`] where it cannot be read, is no JSON, or holds something else.
pub fn json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = fs::read_to_string(path).map_err(RunError::io(path))?;
    serde_json::from_str(&text).map_err(RunError::io(path))
}

/// `None` in place of what is not there.
fn there<T>(read: Result<T>) -> Result<Option<T>> {
    match read {
        Err(RunError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}

/// The visible files of some endings in a folder, in the order of names; none where there is no folder.
fn files(folder: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let is_one = |entry: &fs::DirEntry| {
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        !hidden && entry.file_type().is_ok_and(|kind| kind.is_file())
    };
    let mut found: Vec<PathBuf> = entries.filter(is_one).map(|entry| entry.path()).collect();
    found.retain(|path| path.extension().and_then(OsStr::to_str).is_some_and(|ending| endings.contains(&ending)));
    found.sort();
    found
}
