//! Read an image set straight from the disk's pages: u8 `.npy` `[n, h, w, c]`, memory-mapped.

use crate::{DataError, Kind, identify, map::Map, npy_header::NpyHeader};
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
    /// Open a `.npy` of u8 `[n, h, w, c]` in C order, c being 1, 3 or 4.
    ///
    /// # Errors
    /// [`DataError::Io`] where it cannot be read, [`DataError::NotAnImageSet`] for another kind of file, type, order or
    /// shape, with the line that helps, or for a file that is cut off.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let wrong = |got: String| DataError::NotAnImageSet { path: path.to_owned(), got };
        if let Some(kind) = identify(path).filter(|kind| *kind != Kind::Npy) {
            return Err(wrong(kind.to_string()));
        }
        let map = Map::open(path)?;
        let bytes = map.as_ref();
        let damaged = || wrong("no .npy file, or one whose header is damaged".to_owned());
        let header = NpyHeader::read(bytes).ok_or_else(damaged)?;
        let numbers = bytes.get(header.offset..).unwrap_or_default();
        if let Some(fault) = header.fault(path, numbers) {
            return Err(wrong(fault));
        }
        let shape: [usize; 4] = header.shape[..].try_into().map_err(|_| damaged())?;
        let claimed = shape.iter().try_fold(1_usize, |product, axis| product.checked_mul(*axis));
        match claimed {
            Some(0) => Err(wrong(format!("shape {shape:?}, which holds no pixel"))),
            Some(claimed) if claimed == numbers.len() => {
                Ok(Self { path: path.to_owned(), offset: header.offset, map, len: shape[0], shape })
            }
            Some(claimed) if claimed < numbers.len() => Err(wrong(format!(
                "shape {shape:?} and {} bytes more than that: it is damaged, or several arrays in one file",
                numbers.len() - claimed
            ))),
            claimed => {
                let missing =
                    claimed.map_or("more than there can be".to_owned(), |all| (all - numbers.len()).to_string());
                Err(wrong(format!("shape {shape:?} in a file that is cut off: {missing} bytes are missing")))
            }
        }
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
        assert!(message(&path).contains("<f4 [1, 2, 2, 1]; in Python: numpy.save("), "{}", message(&path));
        ndarray_npy::write_npy(&path, &Array2::<u8>::zeros((4, 2))).unwrap();
        assert!(message(&path).contains("u8 [4, 2]"), "{}", message(&path));
        ndarray_npy::write_npy(&path, &Array4::<u8>::zeros((0, 2, 2, 1))).unwrap();
        assert!(message(&path).contains("no pixel"), "{}", message(&path));
        ndarray_npy::write_npy(&path, &Array4::<u8>::zeros((9, 9, 9, 3))).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 5]).unwrap();
        assert!(message(&path).contains("cut off: 5 bytes"), "{}", message(&path));
        std::fs::write(&path, "<html>").unwrap();
        assert!(message(&path).contains("a web page saved as a file"), "{}", message(&path));
        std::fs::write(&path, [&bytes[..], b"12"].concat()).unwrap();
        assert!(message(&path).contains("2 bytes more"), "{}", message(&path));
        std::fs::write(&path, &bytes[..60]).unwrap();
        assert!(message(&path).contains("header is damaged"), "{}", message(&path));
        std::fs::write(&path, "").unwrap();
        assert!(message(&path).contains("0 bytes"), "{}", message(&path));
        assert!(message(folder.path()).contains("a folder: `cargo xtask preprocess"), "{}", message(folder.path()));
    }

    #[test]
    fn a_shape_beyond_all_bounds_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.npy");
        for shape in ["(18446744073709551615, 9, 9, 3)", "(4294967296, 4294967296, 9, 3)", "(99999999, 64, 64, 3)"] {
            let dict = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}\n");
            let header = [b"\x93NUMPY\x01\0", &(dict.len() as u16).to_le_bytes()[..], dict.as_bytes(), b"12"].concat();
            std::fs::write(&path, header).unwrap();
            let message = ImageSet::open(&path).unwrap_err().to_string();
            assert!(message.contains("cut off"), "{message}");
        }
    }
}
