//! Open what both experiments on a net need: the observed images, and the net with what training did to them.

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::Value;
use srm_config::Config;
use srm_data::ImageSet;
use srm_energy::ConvNet;
use srm_eval::moment_matching::Observed;
use srm_langevin::Sampler;
use srm_run::{Checkpoint, layout::STATE};

use crate::{
    flags::MomentsFlags,
    images::open_file,
    model::{Choice, Model},
    session::{Failure, Machine, Session, interrupt, shown, usage},
};

/// σ of the paper's experiments, where nothing says otherwise.
const PAPERS_SIGMA: f64 = 0.03;
/// Images below which the comparison is mostly noise.
const FEW: u32 = 2000;
/// Blocks of images between two looks at Ctrl-C.
const BLOCKS: usize = 8;

/// An experiment on a net that has begun.
pub struct Experiment<'a> {
    pub flags: &'a MomentsFlags,
    pub session: &'a Session,
    pub images: ImageSet,
    pub begun: Instant,
    /// What a person should know before the numbers.
    pub warnings: Vec<String>,
    choice: Choice,
    machine: Machine,
}

impl<'a> Experiment<'a> {
    /// Open images and machine.
    ///
    /// # Errors
    /// Images that cannot be used or are too few, a device that is not there.
    pub fn open(flags: &'a MomentsFlags, choice: Choice, session: &'a Session) -> Result<Self> {
        let images = observed(flags)?;
        let machine = flags.common.model.compute.open()?;
        tch::set_num_threads(1); // the workers do the work
        let begun = Instant::now();
        Ok(Self { flags, session, images, begun, warnings: warnings(flags), choice, machine })
    }

    /// Load weights that the images fit.
    ///
    /// # Errors
    /// As for every command that takes --weights; images of another shape.
    pub fn subject(&self, path: &Path) -> Result<Subject> {
        let model = Model::load(path, &self.choice, self.machine, self.session)?;
        let net = model.only_net("diagnose moments")?;
        model.require(&self.images)?;
        let trained = checkpoint(&model.file)?;
        let given = self.choice.config.as_ref();
        let (data_noise, data_noise_from) = match (self.flags.data_noise, &trained, given) {
            (Some(sigma), ..) => (sigma, "--data-noise"),
            (None, Some((update, run, extra)), _) => {
                (run.train.data_noise.at(*update) + extra, "the run at this update")
            }
            (None, None, Some(config)) => (config.train.data_noise.at(config.train.updates), "the end of --config"),
            (None, None, None) => (PAPERS_SIGMA, "the paper's"),
        };
        let run = trained.as_ref().map(|(_, run, _)| run).or(given);
        let about = About {
            weights: model.file.clone(),
            update: trained.as_ref().map(|(update, ..)| *update),
            steps: model.langevin.steps,
            data_noise,
            data_noise_from,
            flip: self.flags.flip || run.is_some_and(|run| run.data.flip),
        };
        let sampler = model.sampler_of(net);
        Ok(Subject { sampler, model, about })
    }

    /// The images as training showed them to the subject.
    pub fn observed(&self, Subject { about, .. }: &Subject) -> Observed<'_> {
        Observed::new(&self.images, self.flags.common.seed, about.data_noise, about.flip)
    }
}

/// A net under the eye: its weights, its chains, and how training changed the images it saw.
pub struct Subject {
    pub model: Model,
    pub sampler: Sampler<ConvNet>,
    pub about: About,
}

/// What moves the numbers of a net.
#[derive(Serialize)]
pub struct About {
    #[serde(serialize_with = "shown::path")]
    pub weights: PathBuf,
    /// The update of a checkpoint.
    pub update: Option<u64>,
    pub steps: usize,
    /// σ
    pub data_noise: f64,
    data_noise_from: &'static str,
    flip: bool,
}

/// The observed images, of the count that the comparison asks for.
fn observed(flags: &MomentsFlags) -> Result<ImageSet> {
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

fn warnings(flags: &MomentsFlags) -> Vec<String> {
    let few = flags.count < FEW;
    let text = || format!("{} images: sampling noise hides errors below the floor; take {FEW} or more", flags.count);
    let warnings: Vec<String> = few.then(text).into_iter().collect();
    for warning in &warnings {
        tracing::warn!("{warning}");
    }
    warnings
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
