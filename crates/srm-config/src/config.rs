//! Gather the sections of a run into one checked tree.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::{ConfigError, EnergyConfig, LangevinConfig, RawConfig, Schedule, fields::Fields, format};

/// Everything a training run needs to know; every value lies in its documented range.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Config {
    /// What it is, where its constants are from, device, minutes, what it reaches (or: not run). Lines are separated by
    /// `\n`; in JSON a list of strings, or one string.
    #[serde(serialize_with = "about_lines")]
    pub about: String,
    /// The observed images.
    pub data: DataConfig,
    /// The net f.
    pub energy: EnergyConfig,
    /// The Langevin chain.
    pub langevin: LangevinConfig,
    /// Algorithm 1.
    pub train: TrainConfig,
    /// What is logged, and how often.
    pub log: LogConfig,
    /// What is kept, and how often.
    pub checkpoint: CheckpointConfig,
}

/// The observed images.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DataConfig {
    /// A `.npy` file, u8 `[n, h, w, c]`, relative to the working folder, or `synthetic:blobs`, a set that the program makes.
    pub images: PathBuf,
    /// Use only the first so many images, >= 1; `None`: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<usize>,
    /// Mirror every second image, chosen at random.
    pub flip: bool,
}

/// Algorithm 1 and its ADAM.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrainConfig {
    /// Updates of the weights, >= 1.
    pub updates: u64,
    /// Images and chains m in one update, >= 1.
    pub batch: usize,
    /// ADAM's rate by update.
    pub learning_rate: Schedule,
    /// Std σ of the noise put on observed images, in pixel units, by update; 0.03 in the paper.
    pub data_noise: Schedule,
    /// Seed of every random draw.
    pub seed: u64,
    /// ADAM's β₁ and β₂, each in [0, 1).
    pub betas: [f64; 2],
    /// ADAM's ε > 0.
    pub epsilon: f64,
}

/// What is logged.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LogConfig {
    /// Updates between two lines of metrics, >= 1.
    pub every: u64,
    /// Updates between two sample grids, >= 1.
    pub samples_every: u64,
}

/// What is kept.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CheckpointConfig {
    /// Updates between two checkpoints, >= 1.
    pub every: u64,
    /// Newest checkpoints kept, >= 1.
    pub keep_last: usize,
}

impl Config {
    /// Read a JSON file and apply overrides `a.b=JSON` in order (a bare word is a string, `null` removes the key).
    ///
    /// # Errors
    /// The file cannot be read, is no JSON, or holds problems: then all of them.
    pub fn load(path: impl AsRef<Path>, overrides: &[String]) -> Result<Config, ConfigError> {
        let path = path.as_ref();
        let text = fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        RawConfig::parse(&text, &path.display().to_string())?.with_overrides(overrides).check()
    }

    /// Read JSON text and apply overrides, as [`Config::load`] does.
    ///
    /// # Errors
    /// The text is no JSON or holds problems: then all of them.
    pub fn from_json(text: &str, overrides: &[String]) -> Result<Config, ConfigError> {
        RawConfig::parse(text, "the config")?.with_overrides(overrides).check()
    }

    /// The resolved config, defaults included, as canonical JSON that ends with a line feed. Loads back to an equal `Config`.
    pub fn to_json(&self) -> String {
        let tree = serde_json::to_value(self).expect("a config is made of numbers, strings and lists only");
        format::pretty(&tree)
    }

    pub(crate) fn read(fields: &mut Fields<'_>) -> Option<Config> {
        let about = fields.read("about", Some(String::new()), "must be a string or a list of strings", about_text);
        let data = fields.section("data", DataConfig::read);
        let energy = fields.section("energy", EnergyConfig::read);
        let langevin = fields.section("langevin", LangevinConfig::read);
        let train = fields.section("train", TrainConfig::read);
        let log = fields.section_or_default("log", LogConfig::read);
        let checkpoint = fields.section_or_default("checkpoint", CheckpointConfig::read);
        Some(Config {
            about: about?,
            data: data?,
            energy: energy?,
            langevin: langevin?,
            train: train?,
            log: log?,
            checkpoint: checkpoint?,
        })
    }
}

impl DataConfig {
    fn read(fields: &mut Fields<'_>) -> Option<DataConfig> {
        let images = fields.read("images", None, "must be the path of a .npy file, u8 [n, h, w, c]", |value| {
            value.as_str().filter(|path| !path.trim().is_empty()).map(PathBuf::from)
        });
        let count = fields.optional_count("count");
        let flip = fields.read("flip", Some(false), "must be true or false", Value::as_bool);
        Some(DataConfig { images: images?, count: count?, flip: flip? })
    }
}

impl TrainConfig {
    fn read(fields: &mut Fields<'_>) -> Option<TrainConfig> {
        let updates = fields.count("updates", None);
        let batch = fields.count("batch", None);
        let learning_rate = fields.read("learning_rate", None, Schedule::RULE, Schedule::from_value);
        // arXiv 1904.09770, section 4: sigma = 0.03
        let data_noise =
            fields.read("data_noise", Some(Schedule::constant(0.03)), Schedule::RULE, Schedule::from_value);
        let seed = fields.read("seed", Some(1), "must be a whole number from 0 to 2^64 - 1", crate::fields::whole);
        // ADAM's usual constants (arXiv 1412.6980, section 2); the published code keeps them
        let betas = fields.read("betas", Some([0.9, 0.999]), "must be two numbers, each in [0, 1)", |value| {
            match value.as_array()?.as_slice() {
                [first, second] => Some([first.as_f64()?, second.as_f64()?]),
                _ => None,
            }
            .filter(|betas| betas.iter().all(|beta| (0.0..1.0).contains(beta)))
        });
        let epsilon = fields.read("epsilon", Some(1e-8), "must be a finite number > 0", |value| {
            value.as_f64().filter(|&epsilon| epsilon > 0.0 && epsilon.is_finite())
        });
        Some(TrainConfig {
            updates: updates? as u64,
            batch: batch?,
            learning_rate: learning_rate?,
            data_noise: data_noise?,
            seed: seed?,
            betas: betas?,
            epsilon: epsilon?,
        })
    }
}

impl LogConfig {
    fn read(fields: &mut Fields<'_>) -> Option<LogConfig> {
        let every = fields.count("every", Some(50));
        let samples_every = fields.count("samples_every", Some(500));
        Some(LogConfig { every: every? as u64, samples_every: samples_every? as u64 })
    }
}

impl CheckpointConfig {
    fn read(fields: &mut Fields<'_>) -> Option<CheckpointConfig> {
        let every = fields.count("every", Some(1000));
        let keep_last = fields.count("keep_last", Some(3));
        Some(CheckpointConfig { every: every? as u64, keep_last: keep_last? })
    }
}

fn about_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(lines) => {
            lines.iter().map(Value::as_str).collect::<Option<Vec<_>>>().map(|lines| lines.join("\n"))
        }
        _ => None,
    }
}

fn about_lines<S: Serializer>(about: &str, serializer: S) -> Result<S::Ok, S::Error> {
    if about.contains('\n') { serializer.collect_seq(about.split('\n')) } else { serializer.serialize_str(about) }
}
