//! Keep a run on disk: config, metrics, sample grids and checkpoints.
//!
//! ```text
//! config.json   metrics.jsonl   samples/x_000100.png   checkpoints/000100/{weights,optimizer}.safetensors, state.json
//! ```
//!
//! A checkpoint is written to a temporary folder and renamed, so a folder under its final name is complete.

use crate::{Result, Sink, StepRecord, TrainError, Trainer};
use ndarray::Array4;
use safetensors::tensor::{Dtype, TensorView};
use srm_config::Config;
use srm_energy::save_weights;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use tch::{Device, Tensor};

/// Images a row in a sample grid.
const GRID_COLUMNS: usize = 8;
/// Pixels between the images of a grid.
const GRID_PADDING: usize = 2;

/// The folder of one run.
pub struct RunFolder {
    path: PathBuf,
    metrics: File,
    keep_last: usize,
}

impl RunFolder {
    /// Make the folder and write the resolved config into it.
    ///
    /// # Errors
    /// [`TrainError::Io`].
    pub fn create(path: &Path, config: &Config) -> Result<Self> {
        for folder in ["samples", "checkpoints"] {
            let folder = path.join(folder);
            fs::create_dir_all(&folder).map_err(at(&folder))?;
        }
        let config_path = path.join("config.json");
        fs::write(&config_path, config.to_json()).map_err(at(&config_path))?;
        let metrics_path = path.join("metrics.jsonl");
        let metrics = File::create(&metrics_path).map_err(at(&metrics_path))?;
        Ok(Self { path: path.to_owned(), metrics, keep_last: config.checkpoint.keep_last })
    }

    /// The newest complete checkpoint in a run folder: `checkpoints/NNNNNN` with the largest number.
    ///
    /// # Errors
    /// [`TrainError::Io`] where the folder cannot be read.
    pub fn newest_checkpoint(run: &Path) -> Result<Option<PathBuf>> {
        Ok(checkpoints(&run.join("checkpoints"))?.pop().map(|(_, path)| path))
    }

    fn prune(&self) -> Result<()> {
        let mut all = checkpoints(&self.path.join("checkpoints"))?;
        all.truncate(all.len().saturating_sub(self.keep_last.max(1)));
        for (_, path) in all {
            fs::remove_dir_all(&path).map_err(at(&path))?;
        }
        Ok(())
    }
}

impl Sink for RunFolder {
    fn record(&mut self, record: &StepRecord) -> Result<()> {
        let line = serde_json::to_string(record).map_err(io::Error::from).map(|line| line + "\n");
        let written = line.and_then(|line| self.metrics.write_all(line.as_bytes()));
        written.map_err(at(&self.path.join("metrics.jsonl")))
    }

    fn samples(&mut self, update: u64, images: &Array4<u8>) -> Result<()> {
        let path = self.path.join("samples").join(format!("x_{update:06}.png"));
        Ok(srm_data::write_grid(&path, &images.view(), GRID_COLUMNS, GRID_PADDING)?)
    }

    fn checkpoint(&mut self, trainer: &Trainer) -> Result<()> {
        let folder = self.path.join("checkpoints");
        let (last, temporary) = (folder.join(format!("{:06}", trainer.updates_done())), folder.join(".writing"));
        if temporary.exists() {
            fs::remove_dir_all(&temporary).map_err(at(&temporary))?;
        }
        fs::create_dir_all(&temporary).map_err(at(&temporary))?;
        save_weights(&temporary.join("weights.safetensors"), trainer.net(), Some(&trainer.config().langevin))?;
        save_tensors(&temporary.join("optimizer.safetensors"), &trainer.adam().moments())?;
        let state = serde_json::json!({
            "update": trainer.updates_done(),
            "images_seen": trainer.updates_done() * trainer.config().train.batch as u64,
            "optimizer_step": trainer.adam().step(),
            "srm": env!("CARGO_PKG_VERSION"),
        });
        let state_path = temporary.join("state.json");
        fs::write(&state_path, format!("{state:#}\n")).map_err(at(&state_path))?;
        if last.exists() {
            fs::remove_dir_all(&last).map_err(at(&last))?;
        }
        fs::rename(&temporary, &last).map_err(at(&last))?;
        self.prune()
    }
}

/// The checkpoint folders with their updates, oldest first.
fn checkpoints(folder: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(at(folder))? {
        let path = entry.map_err(at(folder))?.path();
        let update = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
        if let (Some(update), true) = (update, path.join("weights.safetensors").is_file()) {
            found.push((update, path));
        }
    }
    found.sort();
    Ok(found)
}

/// f32 tensors under their names; sorted, so that equal moments are equal files.
fn save_tensors(path: &Path, tensors: &[(String, Tensor)]) -> Result<()> {
    let mut bytes = Vec::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        let flat = tensor.f_to_device(Device::Cpu)?.f_contiguous()?.f_view([-1i64])?;
        let values = Vec::<f32>::try_from(flat)?;
        let shape: Vec<usize> = tensor.size().iter().map(|&side| side as usize).collect();
        bytes.push((name, shape, values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>()));
    }
    bytes.sort();
    let moments = |source| TrainError::Moments { path: path.to_owned(), source };
    let mut views = Vec::with_capacity(bytes.len());
    for (name, shape, data) in &bytes {
        views.push((name.as_str(), TensorView::new(Dtype::F32, shape.clone(), data).map_err(moments)?));
    }
    let file = safetensors::serialize(views, None).map_err(moments)?;
    fs::write(path, file).map_err(at(path))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> TrainError {
    let path = path.to_owned();
    move |source| TrainError::Io { path, source }
}
