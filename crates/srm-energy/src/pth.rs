//! Read the tensors of a PyTorch file (`.pth`, `.pt`, `.ckpt`, `.bin`) without running any of its code.
//!
//! `torch.save` writes a pickle program beside raw storages, in a zip (since PyTorch 1.6) or in the older stream of five
//! pickles. [`pickle`] runs the opcodes that such a file needs and follows a fixed list of classes; what any other class or
//! function would have made is a stranger, known by its name alone. [`container`] finds program and storages,
//! [`state_dict`] lists the tensors by name, [`strided`] copies one out of its storage. Every length is checked against the
//! file before memory is taken.

mod container;
mod pickle;
mod state_dict;
mod strided;

use crate::weights::Entry;
use crate::{EnergyError, Result};
use std::path::Path;
use tch::Tensor;

/// Why a file is not read.
#[derive(Debug)]
enum Problem {
    Damaged(String),
    /// Another kind of file: what it is, and what helps.
    Other(String, &'static str),
    Tensor(EnergyError),
}

type Read<T> = std::result::Result<T, Problem>;

fn damaged<T>(reason: impl Into<String>) -> Read<T> {
    Err(Problem::Damaged(reason.into()))
}

/// Whether these bytes can only be a PyTorch file: a zip or a pickle. A safetensors file has `{` as its ninth byte, which
/// is neither a zip's compression method nor in the magic number of PyTorch's older format.
pub(crate) fn is_pth(bytes: &[u8]) -> bool {
    bytes.get(8) != Some(&b'{') && (bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(&[0x80]))
}

/// Whether these bytes are an archive of `torch.jit.save`: a zip with a program in it.
pub fn is_torch_script(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PK\x03\x04") && container::is_torch_script(bytes)
}

/// An opened PyTorch file.
pub(crate) struct PthFile<'a> {
    path: &'a Path,
    reader: state_dict::Reader<'a>,
}

impl<'a> PthFile<'a> {
    /// The file in these bytes, and what it holds by name: `model.f.0.weight`.
    ///
    /// # Errors
    /// [`EnergyError::DamagedFile`], [`EnergyError::OtherFile`].
    pub(crate) fn open(path: &'a Path, bytes: &'a [u8]) -> Result<(Self, Vec<Entry>)> {
        let opened = container::open(bytes).and_then(|file| state_dict::Reader::new(file, bytes.len()));
        let (reader, entries) = opened.map_err(|problem| named(path, problem))?;
        Ok((Self { path, reader }, entries))
    }

    /// The values of an entry as f32.
    ///
    /// # Errors
    /// [`EnergyError::DamagedFile`], [`EnergyError::InFile`] around [`EnergyError::TensorKind`].
    pub(crate) fn float(&mut self, entry: &Entry) -> Result<Tensor> {
        self.reader.float(entry).map_err(|problem| named(self.path, problem))
    }
}

fn named(path: &Path, problem: Problem) -> EnergyError {
    let path = path.to_owned();
    match problem {
        Problem::Damaged(reason) => EnergyError::DamagedFile { path, reason },
        Problem::Other(what, remedy) => EnergyError::OtherFile { path, what, remedy: remedy.to_owned() },
        Problem::Tensor(source) => EnergyError::InFile { path, source: Box::new(source) },
    }
}

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod stranger_tests;
#[cfg(test)]
mod tests;
