//! Append to a log whose length is known: it can be cut back to where a checkpoint was written.

use crate::{Result, TrainError};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// A file of whole records. What the disk had no room for waits in memory and is written with the next record.
pub(crate) struct LogFile {
    path: PathBuf,
    file: File,
    length: u64,
    waiting: Vec<u8>,
}

impl LogFile {
    /// Open the log and cut it to its first `length` bytes.
    pub(crate) fn open(path: &Path, length: u64) -> Result<Self> {
        let open = || -> io::Result<(File, u64)> {
            let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path)?;
            let length = length.min(file.metadata()?.len());
            file.set_len(length)?;
            Ok((file, length))
        };
        let (file, found) = open().map_err(TrainError::io(path))?;
        if found < length {
            tracing::warn!("{}: {} bytes that the checkpoint knows of are missing", path.display(), length - found);
        }
        Ok(Self { path: path.to_owned(), file, length: found, waiting: Vec::new() })
    }

    /// Open the log as it is.
    pub(crate) fn open_whole(path: &Path) -> Result<Self> {
        Self::open(path, std::fs::metadata(path).map_or(0, |found| found.len()))
    }

    /// Add a record.
    pub(crate) fn append(&mut self, record: &[u8]) -> Result<()> {
        self.waiting.extend(record);
        self.write()
    }

    /// Write what waits and flush everything to the disk.
    pub(crate) fn flush(&mut self) -> Result<()> {
        self.write()?;
        self.file.sync_data().map_err(TrainError::io(&self.path))
    }

    /// The file's name and the bytes of whole records in it.
    pub(crate) fn extent(&self) -> (String, u64) {
        let name = self.path.file_name().map(|name| name.to_string_lossy().into_owned());
        (name.unwrap_or_default(), self.length)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn write(&mut self) -> Result<()> {
        match self.file.write_all_at(&self.waiting, self.length) {
            Ok(()) => {
                self.length += self.waiting.len() as u64;
                self.waiting.clear();
                Ok(())
            }
            Err(error) => {
                // no half record stays; if even that fails, the next record overwrites it
                let _ = self.file.set_len(self.length);
                Err(TrainError::io(&self.path)(error))
            }
        }
    }
}
