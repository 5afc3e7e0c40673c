//! Read an image set straight from the disk's pages: u8 `.npy` `[n, h, w, c]`, memory-mapped.

use crate::{DataError, map::Map};
use ndarray::ArrayView4;
use ndarray_npy::{ViewNpyError, ViewNpyExt};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// Images in a memory-mapped file: opening 200,000 of them copies nothing.
#[derive(Debug)]
pub struct ImageSet {
    path: PathBuf,
    map: Map,
    /// First byte of image 0 in the map.
    offset: usize,
    /// n, h, w, c of the file.
    shape: [usize; 4],
    /// Images in use; at most n.
    len: usize,
}

impl ImageSet {
    /// Open a `.npy` of u8 `[n, h, w, c]` in C order.
    ///
    /// # Errors
    /// [`DataError::Io`] where it cannot be read, [`DataError::NotAnImageSet`] for another dtype or shape, or a file
    /// that is cut off.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let map = Map::open(path)?;
        let wrong = |got: String| DataError::NotAnImageSet { path: path.to_owned(), got };
        let (offset, shape) = {
            let view = ArrayView4::<u8>::view_npy(map.as_ref()).map_err(|error| wrong(describe(&error)))?;
            if !view.is_standard_layout() {
                return Err(wrong("an array in Fortran order".into()));
            }
            let (n, h, w, c) = view.dim();
            (view.as_ptr() as usize - map.as_ref().as_ptr() as usize, [n, h, w, c])
        };
        if shape.contains(&0) {
            return Err(wrong(format!("shape {shape:?}, which holds no pixel")));
        }
        Ok(Self { path: path.to_owned(), map, offset, len: shape[0], shape })
    }

    /// Images in use.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Never true for a set that opened.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Pixels from top to bottom.
    pub fn height(&self) -> usize {
        self.shape[1]
    }

    /// Pixels from left to right.
    pub fn width(&self) -> usize {
        self.shape[2]
    }

    /// 1 grey, 3 RGB.
    pub fn channels(&self) -> usize {
        self.shape[3]
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Image i as u8 `[h, w, c]`, i in `0..len()`.
    ///
    /// # Panics
    /// Where i is out of range, as a slice does.
    pub fn image(&self, i: usize) -> &[u8] {
        assert!(i < self.len, "image {i} of {}", self.len);
        let bytes = self.shape[1] * self.shape[2] * self.shape[3];
        &self.map.as_ref()[self.offset + i * bytes..][..bytes]
    }

    /// Use only the first `count` images, at least one.
    pub fn truncate(&mut self, count: usize) {
        self.len = self.len.min(count.max(1));
    }

    /// A short name of the content: SHA-256 over shape, count in use and 64 images spread over the set, 16 hex digits.
    pub fn fingerprint(&self) -> String {
        let mut hasher = Sha256::new();
        hasher.update(format!("{:?} {}", self.shape, self.len));
        for i in 0..self.len.min(64) {
            hasher.update(self.image(i * self.len / self.len.min(64)));
        }
        crate::hex(&hasher.finalize()[..8])
    }
}

fn describe(error: &ViewNpyError) -> String {
    match error {
        ViewNpyError::WrongDescriptor(descriptor) => format!("dtype {descriptor}"),
        ViewNpyError::WrongNdim(_, ndim) => format!("{ndim} axes"),
        ViewNpyError::MissingBytes(missing) => format!("a file that is cut off: {missing} bytes are missing"),
        other => format!("no .npy file: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write_npy;
    use ndarray::{Array2, Array4};

    #[test]
    fn reads_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.npy");
        let array = Array4::from_shape_fn((5, 2, 3, 1), |(n, h, w, _)| (n * 10 + h * 3 + w) as u8);
        write_npy(&path, &array.view()).unwrap();
        let mut set = ImageSet::open(&path).unwrap();
        assert_eq!((set.len(), set.height(), set.width(), set.channels()), (5, 2, 3, 1));
        assert_eq!(set.image(4), [40, 41, 42, 43, 44, 45]);
        let whole = set.fingerprint();
        set.truncate(3);
        assert_eq!(set.len(), 3);
        assert_ne!(set.fingerprint(), whole);
    }

    #[test]
    fn other_files_are_refused_with_what_they_hold() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.npy");
        let message = |path: &Path| ImageSet::open(path).unwrap_err().to_string();
        assert!(message(&path).contains("x.npy"));
        ndarray_npy::write_npy(&path, &Array4::<f32>::zeros((1, 2, 2, 1))).unwrap();
        assert!(message(&path).contains("dtype '<f4'"), "{}", message(&path));
        ndarray_npy::write_npy(&path, &Array2::<u8>::zeros((4, 2))).unwrap();
        assert!(message(&path).contains("2 axes"), "{}", message(&path));
        ndarray_npy::write_npy(&path, &Array4::<u8>::zeros((0, 2, 2, 1))).unwrap();
        assert!(message(&path).contains("no pixel"), "{}", message(&path));
        ndarray_npy::write_npy(&path, &Array4::<u8>::zeros((9, 9, 9, 3))).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 5]).unwrap();
        assert!(message(&path).contains("cut off: 5 bytes"), "{}", message(&path));
        std::fs::write(&path, "<html>").unwrap();
        assert!(message(&path).contains("no .npy file"), "{}", message(&path));
        std::fs::write(&path, "").unwrap();
        assert!(!message(&path).is_empty());
    }
}
