//! Append to a log whose length is known: it can be cut back to where a checkpoint was written.

use crate::{Result, RunError};
use serde::Serialize;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// A file of whole records. What the disk had no room for, the file itself included, waits in memory and is written
/// with the next record.
pub(crate) struct LogFile {
    path: PathBuf,
    /// `None` until the first write, which makes the file or cuts it.
    file: Option<File>,
    length: u64,
    waiting: Vec<u8>,
}

impl LogFile {
    /// The log of which the first `length` bytes count. Nothing is written yet.
    pub(crate) fn new(path: &Path, length: u64) -> Self {
        let found = fs::metadata(path).map_or(0, |found| found.len());
        if found < length {
            tracing::warn!("{}: {} bytes that the checkpoint knows of are missing", path.display(), length - found);
        }
        Self { path: path.to_owned(), file: None, length: length.min(found), waiting: Vec::new() }
    }

    /// The log of lines as it is, without the half line that a kill may have left at its end.
    ///
    /// # Errors
    /// [`RunError::Io`] where it is there and cannot be read.
    pub(crate) fn lines(path: &Path) -> Result<Self> {
        let text = match fs::read(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(RunError::io(path)(error)),
            text => text.unwrap_or_default(),
        };
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        Ok(Self::new(path, whole as u64))
    }

    /// Add a record.
    pub(crate) fn append(&mut self, record: &[u8]) -> Result<()> {
        self.wait(record);
        self.write()
    }

    /// Add a line of JSON.
    pub(crate) fn line(&mut self, what: &impl Serialize) -> Result<()> {
        let line = serde_json::to_string(what).map_err(RunError::io(&self.path))?;
        self.append((line + "\n").as_bytes())
    }

    /// Add a record that may wait for the next write.
    pub(crate) fn wait(&mut self, record: &[u8]) {
        self.waiting.extend(record);
    }

    /// Bytes that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Write what waits and flush everything to the disk.
    pub(crate) fn flush(&mut self) -> Result<()> {
        self.write()?;
        self.open().and_then(|file| file.sync_data()).map_err(RunError::io(&self.path))
    }

    /// The file's name and the bytes of whole records in it.
    pub(crate) fn extent(&self) -> (String, u64) {
        let name = self.path.file_name().map(|name| name.to_string_lossy().into_owned());
        (name.unwrap_or_default(), self.length)
    }

    /// Write what waits.
    pub(crate) fn write(&mut self) -> Result<()> {
        let (length, waiting) = (self.length, std::mem::take(&mut self.waiting));
        let written = self.open().and_then(|file| {
            file.write_all_at(&waiting, length).inspect_err(|_| {
                // no half record stays; if even that fails, the next record overwrites it
                let _ = file.set_len(length);
            })
        });
        match written {
            Ok(()) => self.length += waiting.len() as u64,
            Err(_) => self.waiting = waiting,
        }
        written.map_err(RunError::io(&self.path))
    }

    /// The file, made or cut where this is the first write.
    fn open(&mut self) -> io::Result<&File> {
        let file = match self.file.take() {
            Some(file) => file,
            None => {
                let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&self.path)?;
                file.set_len(self.length)?;
                file
            }
        };
        Ok(self.file.insert(file))
    }
}
