//! Read an image set straight from the disk's pages: u8 `.npy` `[n, h, w, c]`, memory-mapped.

use crate::{DataError, map::Map, npy_header::NpyHeader};
use ndarray::Array4;
use sha2::{Digest, Sha256};
use srm_files::{Kind, identify};
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
            Some(claimed) if claimed == 0 || claimed == numbers.len() => {
                Self::new(path, Pixels::Mapped(map, header.offset), shape)
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

    /// `[h, w, c]` of each image.
    pub fn shape(&self) -> [usize; 3] {
        [self.shape[1], self.shape[2], self.shape[3]]
    }

    /// Refuse images of another shape than a net's `[h, w, c]`.
    ///
    /// # Errors
    /// [`DataError::ImageShape`].
    pub fn require(&self, expected: [usize; 3]) -> Result<(), DataError> {
        match self.shape() == expected {
            true => Ok(()),
            false => Err(DataError::ImageShape { path: self.path.clone(), expected, got: self.shape() }),
        }
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
        srm_files::hex(&hasher.finalize()[..8])
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
        assert!(set.require([2, 3, 1]).is_ok());
        let error = set.require([3, 2, 1]).unwrap_err().to_string();
        assert!(
            error.ends_with(
                "x.npy: its images are 2×3×1, the net's are 3×2×1; give images of that shape, or for a new net change \
                 energy.size and energy.channels"
            ),
            "{error}"
        );
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
