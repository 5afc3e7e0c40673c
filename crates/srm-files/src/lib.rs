//! Write any file whole or not at all, and say what a file is that came where something else was expected.
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

pub use identify::{BEGINNING, Kind, identify, identify_bytes, identify_name};
pub use whole::{WholeFile, remove_leftovers, write_whole};

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
