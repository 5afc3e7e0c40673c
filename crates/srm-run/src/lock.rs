//! Keep two processes out of one run folder.

use crate::{Result, RunError, layout};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// A run folder that belongs to this process.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    /// Make the folder if it is not there, and lock it.
    ///
    /// # Errors
    /// [`RunError::InUse`] where another process holds it, [`RunError::Io`] where it cannot be made or written to.
    pub fn take(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).map_err(RunError::io(folder))?;
        let path = folder.join(layout::LOCK);
        let opened = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path);
        let mut file = opened.map_err(RunError::io(&path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // only for the message
                let _ = file.read_to_string(&mut holder);
                return Err(RunError::InUse { path: folder.to_owned(), holder: holder.trim().to_owned() });
            }
            Err(TryLockError::Error(source)) => return Err(RunError::io(&path)(source)),
        }
        // the number is for people alone: a disk without room for it is no reason to stop
        let _ = file.set_len(0).and_then(|()| write!(file, "process {}", std::process::id()));
        Ok(Self { path: folder.to_owned(), _file: file })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.path
    }
}
