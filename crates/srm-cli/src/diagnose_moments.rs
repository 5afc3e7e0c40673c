//! Run `srm diagnose moments`: choose the experiment, and open what both of those on a net need.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use srm_config::Config;
use srm_data::ImageSet;
use srm_energy::ConvNet;
use srm_eval::EvalError;
use srm_langevin::{Sampler, Spread};

use crate::{
    arguments::MomentsArguments,
    diagnose_moments_frozen, diagnose_moments_toy, diagnose_moments_trained,
    failure::{Failure, usage},
    images::{open_file, prepare_output, write_whole},
    interrupt,
    machine::Machine,
    output::Output,
    shown::Shown,
    weights::{self, Loaded},
};

/// σ of the paper's experiments, where nothing says otherwise.
const PAPERS_SIGMA: f64 = 0.03;
/// Images below which the comparison is mostly noise.
const FEW: u32 = 2000;
/// Blocks of images between two looks at Ctrl-C.
const BLOCKS: usize = 8;

/// Does the work; the JSON object and the text.
type Experiment = fn(&MomentsArguments, &Output) -> Result<(Value, String)>;

/// Compare moments of samples and data, and write numbers, charts and grids into the folder.
///
/// # Errors
/// Bad usage, images or weights that cannot be used, chains that blow up, outputs that cannot be written.
pub fn run(arguments: &MomentsArguments, output: &Output) -> Result<()> {
    let (name, experiment): (_, Experiment) = match (arguments.toy, arguments.frozen) {
        (true, _) => ("figure1.json", diagnose_moments_toy::run),
        (_, true) => ("frozen.json", diagnose_moments_frozen::run),
        _ => ("moments.json", diagnose_moments_trained::run),
    };
    let report = arguments.out.join(name);
    prepare_output(&report)?;
    interrupt::watch(output.clone())?;
    let (object, text) = experiment(arguments, output)?;
    write_whole(&report, &format!("{object:#}\n"))?;
    output.result(&object, &text)
}

/// The observed images, of the count that the comparison asks for.
pub fn observed(arguments: &MomentsArguments) -> Result<ImageSet> {
    let path = arguments.data.as_deref().context("clap asks for --data")?;
    let images = open_file(path)?;
    if images.len() < arguments.count as usize {
        return Err(usage(format!(
            "--count {}: {} holds {} images; lower --count or give a larger set",
            arguments.count,
            path.display(),
            images.len()
        )));
    }
    Ok(images)
}

/// A net under the eye: its weights, its chains, and how training changed the images it saw.
pub struct Subject {
    pub loaded: Loaded,
    pub sampler: Sampler<ConvNet>,
    pub spread: Spread,
    /// The update of a checkpoint.
    pub update: Option<u64>,
    pub sigma: f64,
    sigma_from: &'static str,
    pub flip: bool,
}

impl Subject {
    /// Load weights that `images` fit.
    ///
    /// # Errors
    /// As for every command that takes --weights; images of another shape.
    pub fn open(arguments: &MomentsArguments, path: &Path, images: &ImageSet, machine: &Machine) -> Result<Subject> {
        let given = arguments.config.as_deref().map(|path| Config::load(path, &[])).transpose()?;
        let loaded = weights::load(path, &arguments.key, given.as_ref(), arguments.steps, machine)?;
        let energy = loaded.net.config();
        let (size, channels) = (energy.size, energy.channels);
        let shape = [images.height(), images.width(), images.channels()];
        if shape != [size, size, channels] {
            bail!(
                "{}: its images are {}×{}×{}, the net's are {size}×{size}×{channels}; give the set it was trained on",
                images.path().display(),
                shape[0],
                shape[1],
                shape[2]
            );
        }
        let trained = checkpoint(&loaded.file)?;
        let update = trained.as_ref().map(|(update, ..)| *update);
        let (sigma, sigma_from) = match (arguments.data_noise, &trained, &given) {
            (Some(sigma), ..) => (sigma, "--data-noise"),
            (None, Some((update, run, extra)), _) => {
                (run.train.data_noise.at(*update) + extra, "the run at this update")
            }
            (None, None, Some(config)) => (config.train.data_noise.at(config.train.updates), "the end of --config"),
            (None, None, None) => (PAPERS_SIGMA, "the paper's"),
        };
        let flip =
            arguments.flip || trained.as_ref().map(|(_, run, _)| run).or(given.as_ref()).is_some_and(|c| c.data.flip);
        let block = machine.block(None, &loaded.langevin);
        let spread = Spread { threads: machine.threads, block };
        let mut sampler = Sampler::new(&loaded.net, &loaded.langevin, &loaded.net.image(), spread);
        sampler.stop_when(interrupt::stop());
        Ok(Subject { loaded, sampler, spread, update, sigma, sigma_from, flip })
    }

    /// Where the net computes.
    pub fn device(&self) -> tch::Device {
        use srm_energy::Replicate;
        self.loaded.net.device()
    }

    /// What moves the numbers, as JSON.
    pub fn about(&self) -> Value {
        json!({
            "weights": Shown(&self.loaded.file), "update": self.update, "steps": self.loaded.langevin.steps,
            "data_noise": self.sigma, "data_noise_from": self.sigma_from, "flip": self.flip,
        })
    }
}

/// The update, the run's config and the noise that rollbacks added, of a weights file that lies in a run folder.
fn checkpoint(weights: &Path) -> Result<Option<(u64, Config, f64)>> {
    let Some(folder) = weights.canonicalize()?.parent().map(Path::to_owned) else { return Ok(None) };
    let state = folder.join("state.json");
    let config = folder.join("../../config.json");
    if !state.is_file() || !config.is_file() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(&state).with_context(|| format!("cannot read {}", state.display()))?;
    let state: Value = serde_json::from_str(&text).with_context(|| format!("{} is damaged", state.display()))?;
    let extra = state["extra_noise"].as_f64().unwrap_or(0.0);
    let Some(update) = state["update"].as_u64() else { return Ok(None) };
    Ok(Some((update, Config::load(&config, &[])?, extra)))
}

/// Do `work` on `count` images, a few blocks (first, how many) at a time, so that Ctrl-C is heard in between.
pub fn in_parts(count: usize, block: usize, mut work: impl FnMut(usize, usize) -> Result<()>) -> Result<()> {
    let part = BLOCKS * block;
    for first in (0..count).step_by(part) {
        work(first, part.min(count - first))?;
        stop_if_asked()?;
    }
    Ok(())
}

/// End where somebody pressed Ctrl-C.
pub fn stop_if_asked() -> Result<()> {
    match interrupt::asked() {
        true => Err(Failure::Interrupted("interrupted; no numbers were written".to_owned()).into()),
        false => Ok(()),
    }
}

/// Chains that blew up have an exit code of their own.
pub fn with_exit_code(error: EvalError) -> anyhow::Error {
    match error {
        EvalError::ChainsDiverged { .. } | EvalError::MomentsRanAway { .. } => {
            Failure::Diverged(error.to_string()).into()
        }
        other => other.into(),
    }
}

/// What a person should know before the numbers.
pub fn warnings(arguments: &MomentsArguments) -> Vec<String> {
    let few = arguments.count < FEW;
    let text =
        || format!("{} images: sampling noise hides errors below the floor; take {FEW} or more", arguments.count);
    let warnings: Vec<String> = few.then(text).into_iter().collect();
    for warning in &warnings {
        tracing::warn!("{warning}");
    }
    warnings
}
