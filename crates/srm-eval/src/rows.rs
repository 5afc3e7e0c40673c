//! Keep features on disk, so that scores that need all of them do not need the memory for it.

use crate::{EvalError, Result};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::{fs::File, io::BufWriter, path::PathBuf};
use tch::Tensor;

/// f32 rows `[n, d]` in a file without a name, gone with the value.
pub struct Rows {
    file: BufWriter<File>,
    dimension: usize,
    count: usize,
}

impl Rows {
    /// No rows yet, in the system's folder for temporary files.
    ///
    /// # Errors
    /// [`EvalError::File`].
    pub fn new(dimension: usize) -> Result<Self> {
        let file = tempfile::tempfile().map_err(|error| EvalError::File {
            path: std::env::temp_dir(),
            reason: format!("cannot hold the features: {error}; name a folder with room by TMPDIR"),
        })?;
        Ok(Self { file: BufWriter::new(file), dimension, count: 0 })
    }

    /// Rows so far.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Numbers per row.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// Add rows `[b, d]`.
    ///
    /// # Errors
    /// [`EvalError::File`] on a full disk.
    pub fn add(&mut self, rows: &Tensor) -> Result<()> {
        let got = rows.size().get(1).copied().unwrap_or(0) as usize;
        if got != self.dimension {
            return Err(EvalError::Dimension { expected: self.dimension, got });
        }
        let values: Vec<f32> = Vec::try_from(rows.f_to_device(tch::Device::Cpu)?.f_contiguous()?.f_view([-1])?)?;
        for value in &values {
            self.file.write_all(&value.to_le_bytes()).map_err(|error| lost("write", &error))?;
        }
        self.count += rows.size()[0] as usize;
        Ok(())
    }

    /// Write what is buffered; reads see it then.
    ///
    /// # Errors
    /// [`EvalError::File`] on a full disk.
    pub fn finish(&mut self) -> Result<()> {
        self.file.flush().map_err(|error| lost("write", &error))
    }

    /// Rows `first` to `first + count − 1`, f32 `[count, d]`.
    ///
    /// # Errors
    /// [`EvalError::File`].
    pub fn read(&self, first: usize, count: usize) -> Result<Tensor> {
        let mut bytes = vec![0u8; 4 * self.dimension * count];
        let at = (4 * self.dimension * first) as u64;
        self.file.get_ref().read_exact_at(&mut bytes, at).map_err(|error| lost("read", &error))?;
        let values: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        Ok(Tensor::f_from_slice(&values)?.f_reshape([count as i64, self.dimension as i64])?)
    }

    /// The rows of these indices.
    ///
    /// # Errors
    /// [`EvalError::File`].
    pub fn pick(&self, indices: &[usize]) -> Result<Tensor> {
        let rows = indices.iter().map(|&i| self.read(i, 1)).collect::<Result<Vec<_>>>()?;
        Ok(Tensor::f_cat(&rows, 0)?)
    }
}

fn lost(what: &str, error: &std::io::Error) -> EvalError {
    EvalError::File {
        path: PathBuf::from("the file of features"),
        reason: format!("cannot {what}: {error}; name a folder with room by TMPDIR"),
    }
}
