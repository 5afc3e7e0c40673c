//! Name what can go wrong with a run folder.

use std::io;
use std::path::{Path, PathBuf};

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// There is no such folder.
    #[error(
        "the run folder {} {}; give the folder of a run of `srm train`",
        path.display(), if *exists { "is a file" } else { "does not exist" }
    )]
    NoFolder {
        /// What was given.
        path: PathBuf,
        /// Whether there is something else of that name.
        exists: bool,
    },
    /// The folder is not that of a run.
    #[error(
        "{} is no run folder: it holds no config.json, metrics.jsonl or history.jsonl; give the folder of a run of \
         `srm train`, for example runs/demo", path.display()
    )]
    NoRun {
        /// What was given.
        path: PathBuf,
    },
    /// A run cannot go on with other settings.
    #[error("{change} cannot change in a run that goes on: {why}")]
    CannotChange {
        /// The setting, before and after.
        change: String,
        /// Why not, and what can be done.
        why: &'static str,
    },
    /// No checkpoint is whole.
    #[error(
        "none of the checkpoints in {} is whole, the newest because {reason}; copy the folder back from where it came, \
         or begin anew with --overwrite", path.display()
    )]
    AllDamaged {
        /// The folder.
        path: PathBuf,
        /// What is wrong with the newest.
        reason: String,
    },
    /// `state.json` makes no sense.
    #[error(
        "{}: {reason}; resume with the version of srm that wrote it, or start anew with --overwrite",
        path.display()
    )]
    StateFile {
        /// The file.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// Another process works in the run folder.
    #[error(
        "the run folder {} is in use by {}; wait for its end, or choose another with --run DIR",
        path.display(), if holder.is_empty() { "another process" } else { holder }
    )]
    InUse {
        /// The folder.
        path: PathBuf,
        /// Who, as far as is known.
        holder: String,
    },
    /// A folder holds the run of another program, or files of no run at all.
    #[error(
        "{} holds {what}, which this run would write over; give it a folder of its own, or delete what is there",
        path.display()
    )]
    NotOurs {
        /// The folder.
        path: PathBuf,
        /// What it holds.
        what: &'static str,
    },
    /// A file cannot be read or written.
    #[error("{}: {source}; check that the folder exists, is writable and has space", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl RunError {
    /// Whether a file could not be written or read, as on a full disk: something that may pass.
    pub fn is_write_failure(&self) -> bool {
        matches!(self, RunError::Io { .. })
    }

    /// For `map_err`: the system's error, or one that a file's form has, with the file that it is about.
    pub fn io<E: Into<io::Error>>(path: &Path) -> impl FnOnce(E) -> RunError {
        let path = path.to_owned();
        move |error| RunError::Io { path, source: error.into() }
    }
}
