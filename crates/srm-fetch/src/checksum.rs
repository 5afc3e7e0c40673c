//! Compute and compare the checksums of files.

use crate::FetchError;
use md5::Md5;
use sha2::{Digest, Sha256};
use srm_files::hex;
use std::{
    fmt,
    fs::File,
    io::{self, Read},
    path::Path,
};

/// The checksum that a file must have, in lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// MD5, as the publishers of data sets give it.
    Md5(String),
    /// SHA-256.
    Sha256(String),
}

impl Checksum {
    /// An MD5 from its digits.
    pub fn md5(digits: &str) -> Self {
        Self::Md5(digits.to_owned())
    }

    /// A SHA-256 from its digits.
    pub fn sha256(digits: &str) -> Self {
        Self::Sha256(digits.to_owned())
    }

    /// The checksum of the same kind that `reader` really has.
    ///
    /// # Errors
    /// What the reader returns.
    pub fn of_reader(&self, reader: impl Read) -> io::Result<Self> {
        Ok(match self {
            Self::Md5(_) => Self::Md5(digest(Md5::new(), reader)?),
            Self::Sha256(_) => Self::Sha256(digest(Sha256::new(), reader)?),
        })
    }

    /// The checksum of the same kind that the file at `path` really has.
    ///
    /// # Errors
    /// [`FetchError::Read`].
    pub fn of_file(&self, path: &Path) -> Result<Self, FetchError> {
        let found = File::open(path).and_then(|file| self.of_reader(file));
        found.map_err(|source| FetchError::Read { path: path.to_owned(), source })
    }

    /// Whether the file at `path` has this checksum.
    ///
    /// # Errors
    /// [`FetchError::Read`].
    pub fn matches(&self, path: &Path) -> Result<bool, FetchError> {
        Ok(self.of_file(path)? == *self)
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Md5(digits) => write!(formatter, "MD5 {digits}"),
            Self::Sha256(digits) => write!(formatter, "SHA-256 {digits}"),
        }
    }
}

/// The digest of what `hasher` has had already and of all that `reader` gives, in hexadecimal digits.
pub(crate) fn digest<D: Digest>(mut hasher: D, mut reader: impl Read) -> io::Result<String> {
    let mut buffer = vec![0; 1 << 20];
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(hex(&hasher.finalize())),
            count => hasher.update(&buffer[..count]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_checksums() {
        // RFC 1321 and FIPS 180-2: the message "abc".
        let md5 = Checksum::md5("900150983cd24fb0d6963f7d28e17f72");
        let sha256 = Checksum::sha256("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        for checksum in [md5, sha256] {
            assert_eq!(checksum.of_reader(&b"abc"[..]).unwrap(), checksum);
            assert_ne!(checksum.of_reader(&b"abd"[..]).unwrap(), checksum);
        }
    }
}
