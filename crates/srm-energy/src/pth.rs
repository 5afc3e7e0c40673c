//! Read the tensors of a PyTorch state_dict file (`.pth`, `.pt`) without running any of its code.
//!
//! `torch.save` writes a pickle program beside raw storages, in a zip (since PyTorch 1.6) or in the older stream of five
//! pickles. [`pickle`] runs the few opcodes that such a file needs and knows a fixed list of classes; every other global
//! is refused by name. [`container`] finds program and storages, [`state_dict`] picks the one dict of tensors and copies
//! each out of its storage. Every length is checked against the file before memory is taken.

mod container;
mod pickle;
mod state_dict;

use crate::{EnergyError, Result};
use std::path::Path;
use tch::Tensor;

/// Why a file is not read.
#[derive(Debug)]
enum Problem {
    Damaged(String),
    Refused(String),
    NoStateDict(String),
    Tensor(EnergyError),
}

type Read<T> = std::result::Result<T, Problem>;

fn damaged<T>(reason: impl Into<String>) -> Read<T> {
    Err(Problem::Damaged(reason.into()))
}

/// Whether these bytes can only be a `.pth` file: a zip or a pickle. A safetensors file has `{` as its ninth byte, which
/// is neither a zip's compression method nor in the magic number of PyTorch's older format.
pub(crate) fn is_pth(bytes: &[u8]) -> bool {
    bytes.get(8) != Some(&b'{') && (bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(&[0x80]))
}

/// The state_dict in these bytes, names as in the file, values f32.
///
/// # Errors
/// [`EnergyError::DamagedFile`], [`EnergyError::RefusedGlobal`], [`EnergyError::NoStateDict`], [`EnergyError::InFile`].
pub(crate) fn read_pth(path: &Path, bytes: &[u8]) -> Result<Vec<(String, Tensor)>> {
    let tensors = container::open(bytes).and_then(|mut file| state_dict::tensors(&mut file, bytes.len()));
    let path = path.to_owned();
    tensors.map_err(|problem| match problem {
        Problem::Damaged(reason) => EnergyError::DamagedFile { path, reason },
        Problem::Refused(global) => EnergyError::RefusedGlobal { path, global },
        Problem::NoStateDict(found) => EnergyError::NoStateDict { path, found },
        Problem::Tensor(source) => EnergyError::InFile { path, source: Box::new(source) },
    })
}

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod tests;
