//! Run `srm diagnose moments`: choose the experiment, and open what both of those on a net need.

mod frozen;
mod toy;
mod trained;

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use srm_config::Config;
use srm_data::ImageSet;
use srm_energy::ConvNet;
use srm_langevin::Sampler;
use srm_run::{Checkpoint, layout::STATE};

use crate::{
    flags::MomentsFlags,
    images::open_file,
    model::Model,
    session::{Failure, Machine, Session, Shown, interrupt, usage, write_whole},
};

/// σ of the paper's experiments, where nothing says otherwise.
const PAPERS_SIGMA: f64 = 0.03;
/// Images below which the comparison is mostly noise.
const FEW: u32 = 2000;
/// Blocks of images between two looks at Ctrl-C.
const BLOCKS: usize = 8;

/// Does the work; the JSON object and the text.
type Experiment = fn(&MomentsFlags, &Session) -> Result<(Value, String)>;

/// Compare moments of samples and data, and write numbers, charts and grids into the folder.
///
/// # Errors
/// Bad usage, images or weights that cannot be used, chains that blow up, outputs that cannot be written.
pub fn run(flags: &MomentsFlags, session: &Session) -> Result<()> {
    let (name, experiment): (_, Experiment) = match (flags.toy, flags.frozen) {
        (true, _) => ("figure1.json", toy::run),
        (_, true) => ("frozen.json", frozen::run),
        _ => ("moments.json", trained::run),
    };
    let report = flags.out.join(name);
    session.prepare([&*report])?;
    session.watch_interrupts()?;
    let (object, text) = experiment(flags, session)?;
    write_whole(&report, &format!("{object:#}\n"))?;
    session.output().result(&object, &text)
}

/// The observed images, of the count that the comparison asks for.
pub fn observed(flags: &MomentsFlags) -> Result<ImageSet> {
    let path = flags.data.as_deref().context("clap asks for --data")?;
    let images = open_file(path)?;
    if images.len() < flags.count as usize {
        return Err(usage(format!(
            "--count {}: {} holds {} images; lower --count or give a larger set",
            flags.count,
            path.display(),
            images.len()
        )));
    }
    Ok(images)
}

/// A net under the eye: its weights, its chains, and how training changed the images it saw.
pub struct Subject {
    pub model: Model,
    pub sampler: Sampler<ConvNet>,
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
    pub fn open(
        flags: &MomentsFlags,
        path: &Path,
        images: &ImageSet,
        machine: Machine,
        session: &Session,
    ) -> Result<Subject> {
        let choice = flags.model.choice()?;
        let model = Model::load(path, &choice, machine, session)?;
        model.require(images, &images.path().display().to_string())?;
        let trained = checkpoint(&model.file)?;
        let update = trained.as_ref().map(|(update, ..)| *update);
        let given = choice.config.as_ref();
        let (sigma, sigma_from) = match (flags.data_noise, &trained, given) {
            (Some(sigma), ..) => (sigma, "--data-noise"),
            (None, Some((update, run, extra)), _) => {
                (run.train.data_noise.at(*update) + extra, "the run at this update")
            }
            (None, None, Some(config)) => (config.train.data_noise.at(config.train.updates), "the end of --config"),
            (None, None, None) => (PAPERS_SIGMA, "the paper's"),
        };
        let flip = flags.flip || trained.as_ref().map(|(_, run, _)| run).or(given).is_some_and(|c| c.data.flip);
        let sampler = model.sampler();
        Ok(Subject { model, sampler, update, sigma, sigma_from, flip })
    }

    /// What moves the numbers, as JSON.
    pub fn about(&self) -> Value {
        json!({
            "weights": Shown(&self.model.file), "update": self.update, "steps": self.model.langevin.steps,
            "data_noise": self.sigma, "data_noise_from": self.sigma_from, "flip": self.flip,
        })
    }
}

/// The update, the run's config and the noise that rollbacks added, of a weights file that lies in a run folder.
fn checkpoint(weights: &Path) -> Result<Option<(u64, Config, f64)>> {
    let Some(checkpoint) = Checkpoint::of_weights(weights)? else { return Ok(None) };
    let Some(config) = checkpoint.config() else { return Ok(None) };
    // two numbers, which checkpoints of all versions have
    let path = checkpoint.path().join(STATE);
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let state: Value = serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display()))?;
    let Some(update) = state["update"].as_u64() else { return Ok(None) };
    Ok(Some((update, Config::load(&config, &[])?, state["extra_noise"].as_f64().unwrap_or(0.0))))
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

/// What a person should know before the numbers.
pub fn warnings(flags: &MomentsFlags) -> Vec<String> {
    let few = flags.count < FEW;
    let text = || format!("{} images: sampling noise hides errors below the floor; take {FEW} or more", flags.count);
    let warnings: Vec<String> = few.then(text).into_iter().collect();
    for warning in &warnings {
        tracing::warn!("{warning}");
    }
    warnings
}
