//! Write and read named f32 tensors as safetensors: equal tensors are equal files.

use crate::{Result, TrainError};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use srm_energy::StateDict;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use tch::{Device, Kind, Tensor};

/// What stands for the file's name where tensors travel between processes.
const MESSAGE: &str = "message of another rank";

/// Write the tensors, sorted by name, and flush them to the disk.
///
/// # Errors
/// [`TrainError::Io`], [`TrainError::Tensors`], [`TrainError::Torch`].
pub(crate) fn save(path: &Path, tensors: &[(String, Tensor)]) -> Result<()> {
    write_flushed(path, &serialized(path, tensors)?)
}

/// Read the tensors, on the CPU.
///
/// # Errors
/// [`TrainError::Io`], [`TrainError::Tensors`], [`TrainError::Torch`].
pub(crate) fn load(path: &Path) -> Result<StateDict> {
    deserialized(path, &fs::read(path).map_err(TrainError::io(path))?)
}

/// The tensors as bytes, for another process.
///
/// # Errors
/// [`TrainError::Tensors`], [`TrainError::Torch`].
pub(crate) fn to_bytes(tensors: &[(String, Tensor)]) -> Result<Vec<u8>> {
    serialized(Path::new(MESSAGE), tensors)
}

/// The tensors of another process, on the CPU.
///
/// # Errors
/// [`TrainError::Tensors`], [`TrainError::Torch`].
pub(crate) fn from_bytes(bytes: &[u8]) -> Result<StateDict> {
    deserialized(Path::new(MESSAGE), bytes)
}

fn serialized(path: &Path, tensors: &[(String, Tensor)]) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        let shape: Vec<usize> = tensor.size().iter().map(|&side| side as usize).collect();
        bytes.push((name, shape, numbers(tensor)?));
    }
    bytes.sort();
    let failed = |source| TrainError::Tensors { path: path.to_owned(), source };
    let mut views = Vec::with_capacity(bytes.len());
    for (name, shape, data) in &bytes {
        views.push((name.as_str(), TensorView::new(Dtype::F32, shape.clone(), data).map_err(failed)?));
    }
    safetensors::serialize(views, None).map_err(failed)
}

/// The numbers of an f32 tensor in their order, in the order of bytes of every processor libtorch runs on: little-endian.
///
/// # Errors
/// [`TrainError::Torch`].
pub(crate) fn numbers(tensor: &Tensor) -> Result<Vec<u8>> {
    let flat = tensor.f_detach()?.f_to_device(Device::Cpu)?.f_contiguous()?;
    let mut bytes = vec![0u8; 4 * flat.numel()];
    flat.f_copy_data_u8(&mut bytes, flat.numel())?;
    Ok(bytes)
}

fn deserialized(path: &Path, bytes: &[u8]) -> Result<StateDict> {
    let failed = |source| TrainError::Tensors { path: path.to_owned(), source };
    let archive = SafeTensors::deserialize(bytes).map_err(failed)?;
    let mut tensors = Vec::new();
    for (name, view) in archive.iter() {
        if view.dtype() != Dtype::F32 {
            return Err(failed(safetensors::SafeTensorError::TensorInvalidInfo));
        }
        let shape: Vec<i64> = view.shape().iter().map(|&side| side as i64).collect();
        tensors.push((name.to_owned(), Tensor::f_from_data_size(view.data(), &shape, Kind::Float)?));
    }
    Ok(tensors)
}

/// Write a file and wait until the disk has it.
pub(crate) fn write_flushed(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || -> io::Result<()> {
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(TrainError::io(path))
}
