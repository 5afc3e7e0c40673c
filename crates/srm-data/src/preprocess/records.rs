//! Read files of raw images of one size: CIFAR-10's binary version and IDX (MNIST, Fashion-MNIST), compressed or not.

use crate::{
    DataError,
    preprocess::{decode::Picture, listing::file_name},
};
use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};
use std::{fs, io::Read, path::Path, sync::Arc};

/// First bytes of an IDX file of u8 images: type 8 (unsigned byte), three axes. See yann.lecun.com/exdb/mnist.
pub(crate) const IDX_IMAGES: [u8; 4] = [0, 0, 8, 3];
/// First bytes of a .gz (RFC 1952).
pub(crate) const GZIP: [u8; 2] = [0x1F, 0x8B];
/// A label, then 32 × 32 red, green and blue values. See www.cs.toronto.edu/~kriz/cifar.html, "binary version".
const CIFAR_RECORD: usize = 1 + 3 * CIFAR_SIDE * CIFAR_SIDE;
const CIFAR_SIDE: usize = 32;
/// Bytes of raw images that are read into memory: five times the largest set in this form, EMNIST.
const LARGEST: u64 = 3 << 30;

/// The images of one file.
#[derive(Clone, Debug)]
pub(crate) struct Records {
    name: String,
    bytes: Arc<Vec<u8>>,
    /// SHA-256 of the file as it lies there.
    digest: [u8; 32],
    layout: Layout,
    len: usize,
}

#[derive(Clone, Copy, Debug)]
enum Layout {
    Cifar,
    Idx { height: usize, width: usize },
}

/// Whether a file of this name is one of CIFAR-10's six.
pub(crate) fn is_cifar(name: &str) -> bool {
    let file = file_name(name);
    file.ends_with(".bin") && (file.starts_with("data_batch_") || file.starts_with("test_batch"))
}

/// Whether a file of this name holds IDX images.
pub(crate) fn is_idx(name: &str) -> bool {
    let file = file_name(name);
    ["idx3-ubyte", "idx3-ubyte.gz"].iter().any(|ending| file.ends_with(ending))
}

/// The part that holds image `index` of all, and its index there.
pub(crate) fn locate(parts: &[Records], mut index: usize) -> (&Records, usize) {
    for part in parts {
        if index < part.len {
            return (part, index);
        }
        index -= part.len;
    }
    panic!("image {index} after the last")
}

impl Records {
    /// Open an IDX file or one batch of CIFAR-10; what is compressed is unpacked in memory.
    pub(crate) fn open(path: &Path) -> Result<Self, DataError> {
        let file = fs::File::open(path).map_err(DataError::io("read", path))?;
        let mut bytes = read_at_most(path, file)?.map_err(DataError::io("read", path))?;
        let digest = Sha256::digest(&bytes).into();
        if bytes.starts_with(&GZIP) {
            let broken = |error| damaged(path, &format!("a .gz that is damaged or cut off ({error})"));
            bytes = read_at_most(path, MultiGzDecoder::new(&bytes[..]))?.map_err(broken)?;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self::new(path, name, bytes, digest)
    }

    /// One batch of CIFAR-10 in an archive.
    pub(crate) fn of_entry(archive: &Path, name: &str, entry: impl Read) -> Result<Self, DataError> {
        let broken = |error| damaged(archive, &format!("an archive that is damaged or cut off ({error})"));
        let bytes = read_at_most(archive, entry)?.map_err(broken)?;
        let digest = Sha256::digest(&bytes).into();
        Self::new(archive, file_name(name).to_owned(), bytes, digest)
    }

    fn new(path: &Path, name: String, bytes: Vec<u8>, digest: [u8; 32]) -> Result<Self, DataError> {
        let (layout, len) = if is_cifar(&name) {
            if bytes.is_empty() || !bytes.len().is_multiple_of(CIFAR_RECORD) {
                let got =
                    format!("{name} of {} bytes, no multiple of {CIFAR_RECORD}: damaged, or not CIFAR-10", bytes.len());
                return Err(damaged(path, &got));
            }
            (Layout::Cifar, bytes.len() / CIFAR_RECORD)
        } else {
            idx_layout(path, &bytes)?
        };
        Ok(Self { name, bytes: Arc::new(bytes), digest, layout, len })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn digest(&self) -> [u8; 32] {
        self.digest
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn truncate(&mut self, count: usize) {
        self.len = self.len.min(count);
    }

    /// Image `index`, below `len()`.
    pub(crate) fn picture(&self, index: usize) -> Picture {
        match self.layout {
            Layout::Cifar => {
                let planar = &self.bytes[index * CIFAR_RECORD + 1..][..CIFAR_RECORD - 1];
                let plane = CIFAR_SIDE * CIFAR_SIDE;
                let pixels = (0..plane).flat_map(|i| [planar[i], planar[plane + i], planar[2 * plane + i]]).collect();
                Picture { width: CIFAR_SIDE, height: CIFAR_SIDE, channels: 3, pixels, lost: None }
            }
            Layout::Idx { height, width } => {
                let pixels = self.bytes[16 + index * height * width..][..height * width].to_vec();
                Picture { width, height, channels: 1, pixels, lost: None }
            }
        }
    }
}

fn idx_layout(path: &Path, bytes: &[u8]) -> Result<(Layout, usize), DataError> {
    let number = |i: usize| {
        let four = bytes.get(4 * i..4 * i + 4).and_then(|four| four.try_into().ok());
        four.map_or(0, |four| u32::from_be_bytes(four) as usize)
    };
    if !bytes.starts_with(&IDX_IMAGES) || bytes.len() < 16 {
        return Err(damaged(path, "no IDX file of images (its first bytes are not 0 0 8 3)"));
    }
    let (count, height, width) = (number(1), number(2), number(3));
    let expected =
        count.checked_mul(height).and_then(|rows| rows.checked_mul(width)).and_then(|pixels| pixels.checked_add(16));
    if expected != Some(bytes.len()) || expected == Some(16) {
        let got = format!("an IDX file of {} bytes whose header says {count} images of {width}×{height}", bytes.len());
        return Err(damaged(path, &got));
    }
    Ok((Layout::Idx { height, width }, count))
}

/// All bytes, or an error of ours beyond the largest file that is read, as a bomb has it.
fn read_at_most(path: &Path, file: impl Read) -> Result<std::io::Result<Vec<u8>>, DataError> {
    let mut bytes = Vec::new();
    let read = file.take(LARGEST + 1).read_to_end(&mut bytes);
    if bytes.len() as u64 > LARGEST {
        return Err(damaged(path, &format!("raw images of more than {LARGEST} bytes, larger than what is read")));
    }
    Ok(read.map(|_| bytes))
}

fn damaged(path: &Path, got: &str) -> DataError {
    DataError::NotASource { path: path.to_owned(), got: got.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        map::Map,
        preprocess::archive::{TarContent, list_tar},
    };
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    fn pack(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn idx() -> Vec<u8> {
        [&[0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3][..], &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]].concat()
    }

    #[test]
    fn idx_files_open_packed_or_not_and_say_what_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train-images-idx3-ubyte.gz");
        for bytes in [idx(), pack(&idx())] {
            fs::write(&path, bytes).unwrap();
            let records = Records::open(&path).unwrap();
            let picture = Picture { width: 3, height: 2, channels: 1, pixels: vec![7, 8, 9, 10, 11, 12], lost: None };
            assert_eq!((records.len(), records.picture(1)), (2, picture));
        }
        let packed = pack(&idx());
        for (bytes, expected) in [
            (&idx()[..20], "says 2 images of 3×2"),
            (&packed[..packed.len() - 6], "cut off"),
            (&[0, 0, 8, 1, 0, 0, 0, 0], "no IDX file"),
        ] {
            fs::write(&path, bytes).unwrap();
            let message = Records::open(&path).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn cifar_opens_from_its_archive_or_as_files() {
        let folder = tempfile::tempdir().unwrap();
        let record: Vec<u8> =
            (0..CIFAR_RECORD).map(|i| if i == 0 { 9 } else { ((i - 1) / 1024 * 50 + i % 7) as u8 }).collect();
        let mut tar = tar::Builder::new(Vec::new());
        for (name, count) in [("cifar/test_batch.bin", 1), ("cifar/data_batch_1.bin", 2), ("cifar/readme.html", 1)] {
            let bytes = record.repeat(count);
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, name, &bytes[..]).unwrap();
        }
        let path = folder.path().join("cifar-10-binary.tar.gz");
        fs::write(&path, pack(&tar.into_inner().unwrap())).unwrap();
        let map = Map::open(&path).unwrap();
        let TarContent::Cifar(parts) = list_tar(&path, map, folder.path()).unwrap() else { panic!("no CIFAR-10") };
        let names: Vec<_> = parts.iter().map(|part| (part.name(), part.len())).collect();
        assert_eq!(names, [("data_batch_1.bin", 2), ("test_batch.bin", 1)]);
        let (part, index) = locate(&parts, 2);
        let picture = part.picture(index);
        assert_eq!(picture.pixels[..3], [record[1], record[1025], record[2049]]);

        let path = folder.path().join("data_batch_1.bin");
        fs::write(&path, &record[1..]).unwrap();
        assert!(Records::open(&path).unwrap_err().to_string().contains("3072 bytes"));
    }
}
