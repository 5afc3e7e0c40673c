//! Read a file whole, and write one whole or not at all.

use crate::{EnergyError, Result};
use std::fs;
use std::io::Write;
use std::path::Path;

/// All bytes of the file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|source| EnergyError::Io { path: path.to_owned(), source })
}

/// Write the file whole or not at all.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    srm_files::write_whole(path, |file| file.write_all(bytes))
        .map_err(|source| EnergyError::Io { path: path.to_owned(), source })
}
