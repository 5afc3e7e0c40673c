//! Give samples the form of a file: images a grid, anything else an array.

use crate::{Result, to_bytes};
use ndarray::{Array4, ArrayD};
use srm_data::{write_grid, write_npy};
use std::path::Path;
use tch::{Device, Kind, Tensor};

/// Images per row in a sample grid.
const GRID_COLUMNS: usize = 8;
/// Pixels between the images of a grid.
const GRID_PADDING: usize = 2;

/// Samples that a file is to hold.
pub(super) enum Shown {
    /// Those that a PNG can hold, u8 `[n, h, w, c]`.
    Images(Array4<u8>),
    /// Points, and whatever else.
    Rows(ArrayD<f32>),
}

impl Shown {
    /// Samples `[n, …]`; images where they have one, three or four channels, `[n, c, h, w]`.
    pub(super) fn of(x: &Tensor) -> Result<Self> {
        if let [_, 1 | 3 | 4, _, _] = x.size()[..] {
            return Ok(Shown::Images(to_bytes(x)?));
        }
        let flat = x.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?.f_contiguous()?.f_view([-1i64])?;
        let shape: Vec<usize> = x.size().iter().map(|&side| side as usize).collect();
        let rows =
            ArrayD::from_shape_vec(shape, Vec::try_from(flat)?).expect("a tensor has as many numbers as its shape");
        Ok(Shown::Rows(rows))
    }

    /// The ending of the file's name.
    pub(super) fn ending(&self) -> &'static str {
        match self {
            Shown::Images(_) => "png",
            Shown::Rows(_) => "npy",
        }
    }

    pub(super) fn write(&self, path: &Path) -> Result<()> {
        match self {
            Shown::Images(images) => write_grid(path, &images.view(), GRID_COLUMNS, GRID_PADDING)?,
            Shown::Rows(rows) => write_npy(path, &rows.view())?,
        }
        Ok(())
    }
}
