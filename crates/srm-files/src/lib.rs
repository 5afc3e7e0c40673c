//! Write any file whole or not at all, say what a file is that came where something else was expected, and take its checksum.
//!
//! - [`write_whole`] and [`WholeFile`] leave no half file under a name, whatever fails; [`remove_leftovers`] tidies up after
//!   writers that were killed.
//! - [`identify()`] and [`identify_bytes`] tell a file by its content, and [`Kind`] says the line that helps.
//!
//! ```
//! use srm_files::{Kind, identify_bytes};
//!
//! assert_eq!(identify_bytes(b"\x93NUMPY\x01\0"), Some(Kind::Npy));
//! assert!(Kind::LfsPointer.to_string().contains("git lfs pull"));
//! ```

#![deny(missing_docs)]

mod identify;
mod whole;

use sha2::{Digest, Sha256};
use std::{fs::File, io::Read, path::Path};

pub use identify::{BEGINNING, Kind, identify, identify_bytes, identify_name};
pub use whole::{WholeFile, remove_leftovers, write_whole};

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// SHA-256 of a file in hexadecimal digits.
///
/// # Errors
/// It cannot be read.
pub fn sha256(path: &Path) -> std::io::Result<String> {
    let (mut file, mut hasher, mut buffer) = (File::open(path)?, Sha256::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(&hasher.finalize())),
            bytes => hasher.update(&buffer[..bytes]),
        }
    }
}
