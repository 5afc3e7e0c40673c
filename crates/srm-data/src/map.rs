//! Map files into memory, read-only.

use crate::DataError;
use memmap2::Mmap;
use std::{fs::File, path::Path, sync::Arc};

/// A mapped file that many threads read.
#[derive(Clone, Debug)]
pub(crate) struct Map(Arc<Mmap>);

impl Map {
    pub(crate) fn open(path: &Path) -> Result<Self, DataError> {
        let file = File::open(path).map_err(DataError::io("read", path))?;
        Self::of(&file, path)
    }

    /// Map an open file; `path` is named where that fails.
    #[allow(unsafe_code)]
    pub(crate) fn of(file: &File, path: &Path) -> Result<Self, DataError> {
        // SAFETY: the map is read-only; our own writers replace files by rename and never change one in place, and a
        // nameless file is mapped when it is written. A user who truncates the file during a run gets SIGBUS, as with
        // any memory map.
        unsafe { Mmap::map(file) }.map(|map| Self(Arc::new(map))).map_err(DataError::io("map", path))
    }
}

impl AsRef<[u8]> for Map {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}
