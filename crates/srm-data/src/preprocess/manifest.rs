//! Record beside a `.npy` where its images came from and what was done to them.

use crate::{DataError, preprocess::LeftOut};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use srm_files::hex;
use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

/// The content of `X.json` beside `X.npy`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// File name of the images.
    pub images: String,
    /// Images in the file.
    pub count: usize,
    /// Height and width in pixels.
    pub size: usize,
    /// 1 grey or 3 RGB.
    pub channels: usize,
    /// The crop in its text form.
    pub crop: String,
    /// The resize filter; none where nothing is resized by the crop's nature.
    pub filter: Option<String>,
    /// What was laid under transparent pixels.
    pub background: String,
    /// The split, where one was asked for.
    pub split: Option<String>,
    /// Where the images came from.
    pub source: Origin,
    /// Images left out with `--skip-bad`.
    pub refused: Vec<Refused>,
    /// Files of a folder or archive that were not taken, by their ending or the reason.
    #[serde(default)]
    pub left_out: Vec<LeftOut>,
    /// Version of srm.
    pub srm: String,
}

/// Where images came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Name of the file or folder, without its path.
    pub name: String,
    /// zip, tar, folder, picture, CIFAR-10 or IDX.
    pub kind: String,
    /// SHA-256 of the file. Of a folder: SHA-256 over the lines `sha256  name` of its images in use, as `sha256sum`
    /// prints them, sorted by name; an image that cannot be read has no line.
    pub sha256: String,
}

/// An image that could not be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Its name within the source.
    pub name: String,
    /// Why.
    pub reason: String,
}

impl Manifest {
    /// `X.json` for `X.npy`.
    pub fn path_for(images: &Path) -> PathBuf {
        images.with_extension("json")
    }

    /// Read the manifest of `images`; `None` where there is none or it is of another kind.
    pub fn of(images: &Path) -> Option<Self> {
        serde_json::from_str(&fs::read_to_string(Self::path_for(images)).ok()?).ok()
    }
}

/// Delete a manifest, where there is one.
pub(super) fn remove(path: &Path) -> Result<(), DataError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(DataError::io("replace", path)(error)),
        _ => Ok(()),
    }
}

/// SHA-256 of a file in hexadecimal digits.
///
/// # Errors
/// [`DataError::Io`].
pub fn sha256_of_file(path: &Path) -> Result<String, DataError> {
    srm_files::sha256(path).map_err(DataError::io("read", path))
}

/// SHA-256 over the lines that `sha256sum` prints for these files.
pub(crate) fn sha256_of_list<'a>(files: impl Iterator<Item = (&'a str, &'a [u8; 32])>) -> String {
    let mut hasher = Sha256::new();
    for (name, digest) in files {
        hasher.update(format!("{}  {name}\n", hex(digest)));
    }
    hex(&hasher.finalize())
}
