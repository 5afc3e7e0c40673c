//! Say what a training run needs to know besides its net and its data.

use serde_json::{Value, json};
use srm_config::{CheckpointConfig, Config, EvaluateConfig, Init, LogConfig, TrainConfig, WatchConfig};
use srm_energy::libtorch;
use srm_langevin::{Dynamics, Kernel, Start};
use srm_run::{About, DataFile, Description, Environment};

/// The settings of a run. [`Settings::new`] has defaults for all that it does not ask for; a [`Config`] has them all.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The short run.
    pub dynamics: Dynamics,
    /// Where training's chains start: at p_0 (`Uniform`, `Gaussian`: what `dynamics` says), at the data, or at a bank of samples.
    pub init: Init,
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
    pub fn new(dynamics: Dynamics, updates: u64, batch: usize, learning_rate: f64) -> Self {
        Self {
            dynamics,
            init: match dynamics.start {
                Start::Uniform => Init::Uniform,
                Start::Gaussian => Init::Gaussian,
            },
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
        let Self { dynamics: Dynamics { kernel, steps, start }, init, flip, train, log, checkpoint, evaluate, watch } =
            self;
        let Kernel { gradient_scale, noise_std, clip } = kernel;
        let start = match start {
            Start::Uniform => "uniform",
            Start::Gaussian => "gaussian",
        };
        json!({
            "dynamics": {
                "gradient_scale": gradient_scale, "noise_std": noise_std, "clip": clip, "steps": steps, "start": start
            },
            "init": init, "flip": flip, "train": train, "log": log, "checkpoint": checkpoint, "evaluate": evaluate,
            "watch": watch,
        })
    }

    /// What no run can be made with; a [`Config`] has been checked for it.
    pub(crate) fn problem(&self) -> Option<String> {
        let batch = self.train.batch;
        match self.init {
            _ if batch == 0 => Some("a batch of 0 samples; take 1 or more".to_owned()),
            _ if self.dynamics.steps == 0 => Some("chains of 0 steps; take 1 or more".to_owned()),
            _ if self.log.every == 0 || self.log.samples_every == 0 || self.checkpoint.every == 0 => {
                Some("something is due every 0 updates; take 1 or more".to_owned())
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
        let (dynamics, init) = (Dynamics::from(&langevin), langevin.init);
        Self { dynamics, init, flip: data.flip, train, log, checkpoint, evaluate, watch }
    }
}
