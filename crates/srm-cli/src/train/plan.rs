//! Resolve what `srm train` was asked for: settings, device, blocks and run folder.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use srm_config::{Change, ColourStart, Config, Init, RawConfig};
use srm_run::layout::CONFIG;
use tch::Device;

use crate::{
    flags::TrainFlags,
    images::places,
    session::{Machine, memory, usage},
};

/// What `srm train` will do.
pub struct Plan {
    /// Where the settings come from: a config file, or the run folder's own.
    pub source: PathBuf,
    /// The settings, the block resolved.
    pub config: Config,
    /// The run folder.
    pub folder: PathBuf,
    pub machine: Machine,
    pub block: usize,
}

impl Plan {
    /// Resolve the flags for so many ranks. A run that is resumed keeps its own settings, and `--set` changes them.
    ///
    /// # Errors
    /// Bad config, a device that is not there, a change that no run can go on with.
    pub fn resolve(flags: &TrainFlags, ranks: usize) -> Result<Plan> {
        let named = flags.config.as_deref().map(|path| Config::load(path, &flags.overrides)).transpose()?;
        let machine = flags.compute.open()?;
        let device = machine.device;
        let source = match &flags.config {
            Some(path) => path.clone(),
            None => default_config(device),
        };
        let folder = flags.run.clone().unwrap_or_else(|| default_folder(&source));
        let settings = folder.join(CONFIG);
        let earlier = match flags.resume && settings.is_file() {
            true => Some(Config::load(&settings, &[])?),
            false => None,
        };
        let (source, mut config) = match (&earlier, named) {
            (Some(earlier), named) => resumed(&folder, earlier, named, flags)?,
            (None, Some(config)) => (source, config),
            (None, None) => load_default(source, device, &flags.overrides)?,
        };
        if let Some(block) =
            config.langevin.block.as_mut().filter(|block| earlier.is_none() && **block > config.train.batch)
        {
            tracing::info!("langevin.block {block} is cut to the batch of {}", config.train.batch);
            *block = config.train.batch; // a block is always computed whole
        }
        // A block for every thread of every rank, as long as the batch has enough chains.
        let block = *config
            .langevin
            .block
            .get_or_insert(machine.default_block().min(config.train.batch.div_ceil(machine.threads * ranks)));
        places::resolve(&mut config, &source, &folder)?;
        refuse(&earlier.map(|earlier| earlier.changes(&config)).unwrap_or_default())?;
        Ok(Plan { source, config, folder, machine, block })
    }

    /// The plan of a rank that is given the settings by another, which alone keeps the run.
    ///
    /// # Errors
    /// A device that is not there.
    pub fn following(settings: &str, flags: &TrainFlags) -> Result<Plan> {
        let config = Config::from_json(settings, &[])?;
        let machine = flags.compute.open()?;
        let block = config.langevin.block.context("the block is resolved")?;
        Ok(Plan { source: PathBuf::new(), config, folder: PathBuf::new(), machine, block })
    }

    /// Bytes that a process of this run needs at least, besides the observed images.
    pub fn memory(&self) -> f64 {
        memory::of_training(&self.config, self.machine.threads, self.block)
    }

    /// Refuse a run that this machine cannot hold. A GPU says so by itself.
    ///
    /// # Errors
    /// It needs more memory than there is.
    pub fn fits(&self) -> Result<()> {
        if self.machine.device.is_cuda() {
            return Ok(());
        }
        let config = &self.config;
        let what = format!(
            "a net of energy.features {}, train.batch {} in blocks of {}",
            config.energy.features, config.train.batch, self.block
        );
        memory::check(
            self.memory(),
            what,
            "lower energy.features, train.batch or langevin.block, or take fewer --threads",
        )
    }
}

/// The settings of the run in the folder with this command's overrides; a config file that says something else is named.
fn resumed(folder: &Path, earlier: &Config, named: Option<Config>, flags: &TrainFlags) -> Result<(PathBuf, Config)> {
    let source = folder.join(CONFIG);
    let raw = RawConfig::parse(earlier.to_json().as_bytes(), &source.display().to_string())?;
    let config = raw.with_overrides(&flags.overrides).check()?;
    if let (Some(path), Some(mut named)) = (&flags.config, named) {
        named.langevin.block = config.langevin.block;
        if let (Init::Colours(ColourStart::Unmeasured(size)), Init::Colours(own)) =
            (&named.langevin.init, &config.langevin.init)
            && *size == own.size()
        {
            named.langevin.init = config.langevin.init.clone(); // measured when the run began
        }
        places::resolve(&mut named, path, folder)?;
        let other: Vec<String> = config.changes(&named).into_iter().map(|change| change.path).collect();
        if !other.is_empty() {
            tracing::warn!(
                "resuming with the settings in {}; {} has another {}: --set changes a setting",
                source.display(),
                path.display(),
                other.join(", ")
            );
        }
    }
    Ok((source, config))
}

fn refuse(changes: &[Change]) -> Result<()> {
    let refused: Vec<String> = changes
        .iter()
        .filter_map(|change| Some(format!("{change} cannot change in a run that goes on: {}", change.refusal()?)))
        .collect();
    if refused.is_empty() { Ok(()) } else { Err(usage(refused.join("; "))) }
}

/// The config of `srm train` with nothing else: what the machine can carry.
fn default_config(device: Device) -> PathBuf {
    if device.is_cuda() { "configs/celeba64.json" } else { "configs/grids32-cpu.json" }.into()
}

fn load_default(path: PathBuf, device: Device, overrides: &[String]) -> Result<(PathBuf, Config)> {
    let why = if device.is_cuda() { "CUDA is there" } else { "computing on the CPU" };
    let path = places::shipped(&path).map_err(|tried| {
        let (name, tried) = (path.display(), places::listed(&tried));
        usage(format!(
            "{name} is not here (looked for {tried}); run srm in the repository's folder, or give --config FILE"
        ))
    })?;
    tracing::info!("no --config: taking {} ({why})", path.display());
    let config = Config::load(&path, overrides)?;
    Ok((path, config))
}

fn default_folder(config: &Path) -> PathBuf {
    Path::new("runs").join(config.file_stem().unwrap_or("run".as_ref()))
}
