//! Stream images into a `.npy` of u8 `[n, h, w, c]` from many threads, under a temporary name until it is complete.

use crate::DataError;
use srm_files::WholeFile;
use std::{
    fs,
    io::ErrorKind,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

/// Bytes before the first pixel: the header is padded to this length, so that the count can change at the end.
const HEADER: usize = 128;

/// A file being written. Dropped before [`Output::finish`], it is removed.
///
/// Writes go to fixed offsets (pwrite) rather than through a memory map: a full disk is then an error with the file's
/// name and not a SIGBUS, at the same speed.
#[derive(Debug)]
pub(crate) struct Output {
    whole: WholeFile,
    path: PathBuf,
    shape: [usize; 4],
}

impl Output {
    /// Begin the file `path` with room for `[n, h, w, c]`; the folder is made where it is missing.
    pub(crate) fn create(path: &Path, shape: [usize; 4]) -> Result<Self, DataError> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(DataError::io("make the folder", folder))?;
        let whole = WholeFile::create(path).map_err(|error| match error.kind() {
            ErrorKind::ResourceBusy => DataError::Busy { path: path.to_owned() },
            _ => DataError::io("write", path)(error),
        })?;
        let output = Self { whole, path: path.to_owned(), shape };
        output.resize(shape[0])?;
        Ok(output)
    }

    fn image_bytes(&self) -> usize {
        self.shape[1..].iter().product()
    }

    fn offset(&self, index: usize) -> u64 {
        (HEADER + index * self.image_bytes()) as u64
    }

    /// Write image `index`, u8 `[h, w, c]`.
    pub(crate) fn write(&self, index: usize, pixels: &[u8]) -> Result<(), DataError> {
        debug_assert_eq!(pixels.len(), self.image_bytes());
        self.whole.file().write_all_at(pixels, self.offset(index)).map_err(DataError::io("write", &self.path))
    }

    /// Close the gaps at the ascending indices `missing`, write the header, call `before`, and give the file its name.
    pub(crate) fn finish(
        self,
        missing: &[usize],
        before: impl FnOnce() -> Result<(), DataError>,
    ) -> Result<(), DataError> {
        let mut image = vec![0; self.image_bytes()];
        let mut gaps = missing.iter().copied().peekable();
        let first = missing.first().copied().unwrap_or(self.shape[0]);
        let mut target = first;
        for index in first..self.shape[0] {
            if gaps.next_if_eq(&index).is_none() {
                let read = self.whole.file().read_exact_at(&mut image, self.offset(index));
                read.map_err(DataError::io("read", &self.path))?;
                self.write(target, &image)?;
                target += 1;
            }
        }
        self.resize(target)?;
        let header = header([target, self.shape[1], self.shape[2], self.shape[3]]);
        self.whole.file().write_all_at(&header, 0).map_err(DataError::io("write", &self.path))?;
        before()?;
        self.whole.finish().map_err(DataError::io("write", &self.path))
    }

    fn resize(&self, count: usize) -> Result<(), DataError> {
        self.whole.file().set_len(self.offset(count)).map_err(DataError::io("write", &self.path))
    }
}

/// Header of the `.npy` format 1.0 (numpy.lib.format): magic, version, length, a Python dict, spaces, line feed.
fn header([n, h, w, c]: [usize; 4]) -> [u8; HEADER] {
    let dict = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({n}, {h}, {w}, {c}), }}");
    let mut header = [b' '; HEADER];
    header[..10].copy_from_slice(b"\x93NUMPY\x01\x00\x76\x00"); // 118 = 128 - 10
    header[10..10 + dict.len()].copy_from_slice(dict.as_bytes());
    header[HEADER - 1] = b'\n';
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ImageSet;

    #[test]
    fn gaps_are_closed_and_the_file_appears_when_complete() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/x.npy");
        let output = Output::create(&path, [6, 1, 2, 3]).unwrap();
        for index in [4, 0, 3, 5] {
            output.write(index, &[index as u8; 6]).unwrap();
        }
        assert!(!path.exists());
        output.finish(&[1, 2], || Ok(())).unwrap();
        let set = ImageSet::open(&path).unwrap();
        assert_eq!((set.len(), set.height(), set.width(), set.channels()), (4, 1, 2, 3));
        assert_eq!([0, 1, 2, 3].map(|i| set.image(i)[5]), [0, 3, 4, 5]);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn an_unfinished_file_is_removed_and_two_writers_do_not_mix() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.npy");
        fs::write(folder.path().join(".x.npy.part"), [7; 999]).unwrap(); // left by a killed run
        let output = Output::create(&path, [1, 1, 1, 1]).unwrap();
        let busy = Output::create(&path, [1, 1, 1, 1]).unwrap_err();
        assert!(matches!(busy, DataError::Busy { .. }), "{busy}");
        drop(output);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_place_that_cannot_be_written_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let message = |path: &Path| Output::create(path, [1, 1, 1, 1]).unwrap_err().to_string();
        fs::write(folder.path().join("file"), "").unwrap();
        let path = folder.path().join("file/x.npy");
        assert!(message(&path).contains("make the folder") && message(&path).contains("file"), "{}", message(&path));
        assert!(message(folder.path()).contains("directory"), "{}", message(folder.path()));
    }
}
