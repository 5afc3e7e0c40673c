//! Read a file whole, and write one whole or not at all.

use crate::{EnergyError, Result};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// All bytes of the file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|source| EnergyError::Io { path: path.to_owned(), source })
}

/// Write through a temporary file in the same folder, then rename.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let failed = |source: io::Error| EnergyError::Io { path: path.to_owned(), source };
    let name = path.file_name().ok_or_else(|| failed(io::Error::new(io::ErrorKind::InvalidInput, "names no file")))?;
    let temporary = path.with_file_name(format!(".{}.{}.part", name.to_string_lossy(), std::process::id()));
    let written = File::create(&temporary).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    });
    written.map_err(|source| {
        // The write has failed already; that the leftover stays too would add nothing.
        let _ = fs::remove_file(&temporary);
        failed(source)
    })
}
