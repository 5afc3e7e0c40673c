//! Say what a training run needs to know besides its net and its data.

use serde_json::{Value, json};
use srm_config::{CheckpointConfig, ColourStart, Config, EvaluateConfig, Init, LogConfig, TrainConfig, WatchConfig};
use srm_energy::libtorch;
use srm_langevin::{Course, Dynamics, Kernel, Start};
use srm_run::{About, DataFile, Description, Environment};

/// The settings of a run. [`Settings::new`] has defaults for all that it does not ask for; a [`Config`] has them all.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The short run.
    pub dynamics: Dynamics,
    /// Where training's chains start: at p_0 (`Uniform`, `Gaussian`: what `dynamics` says), at the data, or at a bank of samples.
    pub init: Init,
    /// Of a ladder the updates after which each grid joins, coarse to fine, the first 0 (`growth`); empty: all learn from the first
    /// update on.
    pub grow: Vec<u64>,
    /// Mirror every second sample along its last axis, chosen at random.
    pub flip: bool,
    /// Algorithm 1.
    pub train: TrainConfig,
    /// How often events are told.
    pub log: LogConfig,
    /// How often the state is stored.
    pub checkpoint: CheckpointConfig,
    /// Scores during training.
    pub evaluate: EvaluateConfig,
    /// What counts as trouble, and what is done about it.
    pub watch: WatchConfig,
}

impl Settings {
    /// Algorithm 1 as the paper has it: `updates` updates of `batch` samples and chains each, ADAM at `learning_rate`.
    ///
    /// The watch takes samples for images, which span [-1, 1]: for data of another size set `watch.std_limit` and
    /// `watch.travel_limit`, or switch them off by 0.
    pub fn new(dynamics: impl Into<Dynamics>, updates: u64, batch: usize, learning_rate: f64) -> Self {
        let dynamics = dynamics.into();
        Self {
            init: match &dynamics.start {
                Start::Uniform => Init::Uniform,
                Start::Gaussian => Init::Gaussian,
                Start::Zeros => Init::Zeros,
                Start::Colours(law) => Init::Colours(ColourStart::Law(law.clone())),
            },
            dynamics,
            grow: Vec::new(),
            flip: false,
            train: TrainConfig::new(updates, batch, learning_rate),
            log: LogConfig::default(),
            checkpoint: CheckpointConfig::default(),
            evaluate: EvaluateConfig::default(),
            watch: WatchConfig::default(),
        }
    }

    /// What the folder of a run with these settings is told, where `description` says what the run is.
    pub(crate) fn about(&self, description: Value) -> About {
        let srm = env!("CARGO_PKG_VERSION").to_owned();
        About {
            description: Description::Own { said: description, settings: self.to_json() },
            log: self.log.clone(),
            checkpoint: self.checkpoint.clone(),
            scored: self.evaluate.every.is_some(),
            environment: Environment { srm, libtorch: libtorch::version(), ranks: 1, ..Environment::default() },
            data: DataFile::default(),
        }
    }

    /// The settings as a checkpoint keeps them: what a run that goes on is compared with.
    fn to_json(&self) -> Value {
        let Self { dynamics, init, grow, flip, train, log, checkpoint, evaluate, watch } = self;
        let Dynamics { kernel, steps, start, course } = dynamics;
        let Kernel { gradient_scale, noise_std, clip } = kernel;
        let start = match start {
            Start::Uniform => json!("uniform"),
            Start::Gaussian => json!("gaussian"),
            Start::Zeros => json!("zeros"),
            Start::Colours(law) => json!({ "colours": ColourStart::Law(law.clone()) }),
        };
        let mut dynamics = json!({
            "gradient_scale": gradient_scale, "noise_std": noise_std, "clip": clip, "steps": steps, "start": start
        });
        if *course != Course::default() {
            let rises: Vec<_> = course.rises.iter().map(|rise| (rise.step, rise.factor)).collect();
            dynamics["course"] =
                json!({ "gradient_scale": course.gradient_scale, "noise_std": course.noise_std, "rises": rises });
        }
        if !grow.is_empty() {
            dynamics["grow"] = json!(grow);
        }
        json!({
            "dynamics": dynamics,
            "init": init, "flip": flip, "train": train, "log": log, "checkpoint": checkpoint, "evaluate": evaluate,
            "watch": watch,
        })
    }

    /// How many grids take part in update `t`.
    pub(crate) fn joined(&self, t: u64) -> usize {
        let grids = self.dynamics.grid_count();
        let late = self.grow.iter().filter(|&&from| from >= t).count();
        grids.saturating_sub(late).max(1)
    }

    /// What no run can be made with; a [`Config`] has been checked for it.
    pub(crate) fn problem(&self) -> Option<String> {
        let batch = self.train.batch;
        let grids = self.dynamics.grid_count();
        match &self.init {
            _ if !self.grow.is_empty() && (self.grow.len() != grids || self.grow[0] != 0 || !self.grow.is_sorted()) => {
                Some(format!(
                    "grids that join after updates {:?}; give one a grid, from 0, none before a coarser",
                    self.grow
                ))
            }
            _ if batch == 0 => Some("a batch of 0 samples; take 1 or more".to_owned()),
            _ if self.dynamics.steps == 0 => Some("chains of 0 steps; take 1 or more".to_owned()),
            _ if self.log.every == 0 || self.log.samples_every == 0 || self.checkpoint.every == 0 => {
                Some("something is due every 0 updates; take 1 or more".to_owned())
            }
            Init::Colours(ColourStart::Unmeasured(_)) => Some(
                "chains from colours that nobody has measured; give init their law (srm_config::Colours::of)"
                    .to_owned(),
            ),
            Init::Data | Init::Persistent(_) if !self.dynamics.course.rises.is_empty() => {
                Some("chains of a ladder start from noise on its coarsest grid, not at data or in a bank".to_owned())
            }
            Init::Persistent(bank) if bank.size < batch => {
                Some(format!("a bank of {} is smaller than a batch of {batch}", bank.size))
            }
            _ => None,
        }
    }
}

impl From<&Config> for Settings {
    fn from(config: &Config) -> Self {
        let Config { data, langevin, train, log, checkpoint, evaluate, watch, .. } = config.clone();
        let (dynamics, init) = (Dynamics::from(&langevin), langevin.init.clone());
        let grow = langevin.grids.iter().map(|grid| grid.from).collect();
        Self { dynamics, init, grow, flip: data.flip, train, log, checkpoint, evaluate, watch }
    }
}
