//! Gather what is known of the weights that are exported: their run, settings, data and scores.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use srm_config::Config;
use srm_data::Manifest;
use srm_energy::{Trainable, read_tensors, save_weights};
use srm_files::write_whole;
use srm_run::{
    Checkpoint, Run,
    layout::{CONFIG, EMA},
};
use tch::Device;

use super::{MODEL, data_set::DataSet, scores::Scores};
use crate::{
    flags::ExportFlags,
    images::places::Places,
    model::{Choice, Model, shipped, weights},
    session::failure,
};

/// Names of weights files that say nothing; the folder's says more.
const SILENT: [&str; 6] = ["model", "weights", "ema", "pytorch_model", "diffusion_pytorch_model", "last"];

/// What is exported, besides the net itself.
pub struct Source {
    /// The run's name, or that of the file.
    pub name: String,
    /// Whether a run was trained here, or a file alone is known.
    pub is_run: bool,
    /// The update that the weights are of.
    pub update: Option<u64>,
    /// Whether they are averages.
    pub averaged: bool,
    /// The settings, with the weights' own net and chain.
    pub settings: Option<Config>,
    /// The training images.
    pub data: DataSet,
    /// How many of them the run used, where that is known.
    pub images: Option<usize>,
    /// Scores of these weights.
    pub scores: Option<Scores>,
    /// The file as it is, where it can be handed on; else the net is written anew.
    bytes: Option<Vec<u8>>,
    /// What whoever exports should know.
    pub warnings: Vec<String>,
}

impl Source {
    /// What is known of the model's file.
    ///
    /// # Errors
    /// It cannot be read; a ladder whose finest grid has not joined.
    pub fn of(flags: &ExportFlags, choice: &Choice, model: &Model) -> Result<Source> {
        let shipped = shipped::named(&model.file);
        let checkpoint = if shipped.is_some() { None } else { Checkpoint::of_weights(&model.file)? };
        let run_config = checkpoint.as_ref().and_then(Checkpoint::config);
        let run = run_config.as_ref().and_then(|config| config.parent()).map(Run::open).transpose()?;
        let mut warnings = Vec::new();
        // a folder that was exported before; the settings of other programs' folders are none of ours
        let is_ours = |config: &PathBuf| model.file.ends_with(MODEL) && Config::load(config, &[]).is_ok();
        let beside = || Some(model.file.with_file_name(CONFIG)).filter(is_ours);
        let place = flags.config.clone().or(run_config).or_else(beside);
        let shipped = shipped.filter(|_| flags.config.is_none());
        let settings = match shipped {
            Some(shipped) => Some(shipped.config()?),
            None => settings(choice, place.as_deref(), model, &mut warnings),
        };
        let (data, images) = match (&settings, shipped) {
            (Some(config), Some(_)) => (DataSet::of(&config.data.images, None), config.data.count),
            _ => training_images(settings.as_ref(), place.as_deref()),
        };
        let scores = run.as_ref().and_then(|run| scores(run, &model.file, &mut warnings));
        Ok(Source {
            name: run.as_ref().map_or_else(|| name_of(&model.file), Run::name),
            is_run: run.is_some(),
            update: checkpoint
                .and_then(|checkpoint| checkpoint.update().or_else(|| Some(checkpoint.state().ok()?.state.update)))
                .or_else(|| Some(shipped?.update)),
            averaged: run.is_some() && model.file.ends_with(EMA)
                || shipped.and(settings.as_ref()).is_some_and(|config| config.train.ema.is_some()),
            settings,
            data,
            images,
            scores,
            bytes: as_they_are(flags, model)?,
            warnings,
        })
    }

    /// A run `x` of 6,000 updates with averaged weights.
    #[cfg(test)]
    pub fn for_tests(settings: Config, data: DataSet) -> Source {
        Source {
            name: "x".to_owned(),
            is_run: true,
            update: Some(6000),
            averaged: true,
            settings: Some(settings),
            data,
            images: None,
            scores: None,
            bytes: None,
            warnings: Vec::new(),
        }
    }

    /// Whether the weights are written anew, as those of PyTorch's files are.
    pub fn is_converted(&self) -> bool {
        self.bytes.is_none()
    }

    /// Write the weights.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_weights(&self, path: &Path, model: &Model) -> Result<()> {
        match &self.bytes {
            Some(bytes) => Ok(write_whole(path, |file| std::io::Write::write_all(file, bytes))?),
            None => Ok(save_weights(path, &model.net, Some(&model.langevin))?),
        }
    }
}

/// The bytes of a file that holds just this net under our names, with this chain; `None` of any other.
fn as_they_are(flags: &ExportFlags, model: &Model) -> Result<Option<Vec<u8>>> {
    let file = &model.file;
    let weights = weights::read(file, flags.key.as_deref(), Device::Cpu)?;
    if weights.grids > weights.net.grids() {
        bail!(
            "{} is of a ladder that still grows: its grids up to {} px have joined, the finest have learned nothing \
             yet; go on with `srm train --resume --run RUN`, or give a later checkpoint",
            file.display(),
            weights.net.config().size
        );
    }
    let own = weights.langevin.as_ref() == Some(&model.langevin) && weights.net.configs() == model.net.configs();
    if let Some(shipped) = shipped::named(file) {
        return Ok(own.then(|| shipped.bytes.to_vec()));
    }
    let mut names: Vec<String> = model.net.named_parameters().into_iter().map(|(name, _)| name).collect();
    names.sort();
    if !own || read_tensors(file)?.into_iter().map(|(name, _)| name).ne(names) {
        return Ok(None);
    }
    Ok(Some(fs::read(file).with_context(|| format!("cannot read {}", file.display()))?))
}

/// The settings that `place` holds, or were read from there already, where they are of this net.
fn settings(choice: &Choice, place: Option<&Path>, model: &Model, warnings: &mut Vec<String>) -> Option<Config> {
    let place = place?;
    let config = match &choice.config {
        Some(config) => config.clone(),
        None => match Config::load(place, &[]) {
            Ok(config) => config,
            Err(error) => {
                warnings.push(format!("{} is passed over: {error}", place.display()));
                return None;
            }
        },
    };
    if config.langevin.nets(&config.energy) != model.net.configs() {
        warnings.push(format!(
            "{} is passed over: it describes another net than {}",
            place.display(),
            model.file.display()
        ));
        return None;
    }
    // the weights' own chain: that of the settings may be newer
    Some(Config { energy: model.net.config().clone(), langevin: model.langevin.clone(), ..config })
}

/// The training images by their file, and how many were used.
fn training_images(settings: Option<&Config>, place: Option<&Path>) -> (DataSet, Option<usize>) {
    let (Some(config), Some(place)) = (settings, place) else { return (DataSet::Unknown, None) };
    let typed = &config.data.images;
    let found = Places::of(place).find(typed).map_or_else(|| typed.clone(), |(found, _)| found);
    let manifest = Manifest::of(&found);
    let data = DataSet::of(typed, manifest.as_ref().map(|manifest| &*manifest.source.name));
    let held = manifest.map(|manifest| manifest.count);
    let images = match (config.data.count, held) {
        (Some(asked), Some(held)) => Some(asked.min(held)),
        (asked, held) => asked.or(held),
    };
    (data, images)
}

fn scores(run: &Run, file: &Path, warnings: &mut Vec<String>) -> Option<Scores> {
    let found = match run.evaluation() {
        Ok(None) => return None,
        Ok(Some(report)) => {
            let sha256 = srm_files::sha256(file).map_err(|error| error.to_string());
            sha256.and_then(|sha256| Scores::of(report, &sha256))
        }
        Err(error) => Err(failure::text(&error.into())),
    };
    found.map_err(|problem| warnings.push(problem)).ok()
}

/// A name for weights without a run.
fn name_of(file: &Path) -> String {
    let whole: PathBuf = file.canonicalize().unwrap_or_else(|_| file.to_owned());
    let stem = whole.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let folder = whole.parent().and_then(Path::file_name).map(|folder| folder.to_string_lossy().into_owned());
    if SILENT.contains(&&*stem) { folder.unwrap_or(stem) } else { stem }
}
