//! Read an image set straight from the disk's pages: u8 `.npy` `[n, h, w, c]`, memory-mapped.

use crate::{DataError, map::Map};
use ndarray::{Array4, ArrayView4};
use ndarray_npy::{ViewNpyError, ViewNpyExt};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// Where the pixels are.
#[derive(Debug)]
enum Pixels {
    /// In a file, from this byte on.
    Mapped(Map, usize),
    /// In C order.
    Held(Array4<u8>),
}

/// Images in a memory-mapped file, of which opening 200,000 copies nothing; or in memory.
#[derive(Debug)]
pub struct ImageSet {
    path: PathBuf,
    pixels: Pixels,
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
        Self::new(path, Pixels::Mapped(map, offset), shape)
    }

    /// Images in memory, u8 `[n, h, w, c]`; `name` stands for the file's.
    ///
    /// # Errors
    /// [`DataError::NotAnImageSet`] where a side is 0.
    pub fn from_array(name: &Path, images: Array4<u8>) -> Result<Self, DataError> {
        let (n, h, w, c) = images.dim();
        let images = if images.is_standard_layout() { images } else { images.as_standard_layout().into_owned() };
        Self::new(name, Pixels::Held(images), [n, h, w, c])
    }

    fn new(path: &Path, pixels: Pixels, shape: [usize; 4]) -> Result<Self, DataError> {
        if shape.contains(&0) {
            let got = format!("shape {shape:?}, which holds no pixel");
            return Err(DataError::NotAnImageSet { path: path.to_owned(), got });
        }
        Ok(Self { path: path.to_owned(), pixels, len: shape[0], shape })
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

    /// The file, or the name of images in memory.
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
        let all = match &self.pixels {
            Pixels::Mapped(map, offset) => &map.as_ref()[*offset..],
            Pixels::Held(images) => images.as_slice().unwrap_or_default(),
        };
        &all[i * bytes..][..bytes]
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
    fn images_in_memory_are_those_of_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.npy");
        let array = Array4::from_shape_fn((4, 2, 3, 1), |(n, h, w, _)| (n * 10 + h * 3 + w) as u8);
        write_npy(&path, &array.view()).unwrap();
        let file = ImageSet::open(&path).unwrap();
        // the same images in another order of axes in memory
        let turned = array.clone().permuted_axes([3, 0, 2, 1]).as_standard_layout().into_owned();
        for images in [array, turned.permuted_axes([1, 3, 2, 0])] {
            let held = ImageSet::from_array(Path::new("built-in"), images).unwrap();
            assert_eq!((held.len(), held.image(3)), (4, file.image(3)));
            assert_eq!(held.fingerprint(), file.fingerprint());
        }
        let error = ImageSet::from_array(Path::new("built-in"), Array4::zeros((0, 2, 2, 1))).unwrap_err().to_string();
        assert!(error.contains("built-in") && error.contains("no pixel"), "{error}");
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
