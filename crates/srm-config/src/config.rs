//! Gather the sections of a run into one checked tree.

use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::{
    ConfigError, EnergyConfig, EvaluateConfig, Init, LangevinConfig, RawConfig, TrainConfig, WatchConfig,
    fields::{Fields, defaults},
    format,
};

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
    /// Scores during training.
    pub evaluate: EvaluateConfig,
    /// What counts as trouble, and what is done about it.
    pub watch: WatchConfig,
}

/// The observed images.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DataConfig {
    /// A `.npy` file, u8 `[n, h, w, c]`, relative to the working folder, or `synthetic:blobs`, a set that the program makes. With `crop`
    /// also a picture, or a folder or archive of pictures, of any size.
    pub images: PathBuf,
    /// Use only the first so many images, >= 1; `None`: all. With `crop` so many crops; `None`: 1000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<usize>,
    /// Learn from squares of so many pixels, cut out at random places, each from the next image in turn; `None`: from whole images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crop: Option<usize>,
    /// Mirror every second image, chosen at random.
    pub flip: bool,
}

/// What is logged.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LogConfig {
    /// Updates between two lines of metrics, >= 1.
    pub every: u64,
    /// Updates between two sample grids, >= 1.
    pub samples_every: u64,
    /// Write TensorBoard event files too.
    pub tensorboard: bool,
}

/// What is kept.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CheckpointConfig {
    /// Updates between two checkpoints, >= 1.
    pub every: u64,
    /// Newest regular checkpoints kept, >= 1; the newest of all and the last that a rollback may go to stay besides.
    pub keep_last: usize,
    /// Keep for good what is written at multiples of so many updates, >= 1; `None`: only the newest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_every: Option<u64>,
    /// Keep what was scored best in `checkpoints/best`, where `evaluate.every` is on.
    pub keep_best: bool,
    /// What a full disk means.
    pub on_write_error: OnWriteError,
}

/// What happens when a checkpoint, a picture or a log line cannot be written. JSON: `"continue"` or `"stop"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum OnWriteError {
    /// Warn, train on and try again at the next checkpoint: a disk that is full at night may have room in the morning. The
    /// last checkpoint of a run must be written, or the run fails.
    #[default]
    Continue,
    /// End the run with the error.
    Stop,
}

/// What a model hub's `config.json` says besides, for other programs: `srm export` writes both.
const OF_A_HUB: [&str; 2] = ["architectures", "model_type"];

impl Config {
    /// Read a JSON file and apply overrides `a.b=JSON` in order (a bare word is a string, `null` removes the key).
    ///
    /// # Errors
    /// The file cannot be read, is no JSON, or holds problems: then all of them.
    pub fn load(path: impl AsRef<Path>, overrides: &[String]) -> Result<Config, ConfigError> {
        RawConfig::open(path.as_ref())?.with_overrides(overrides).check()
    }

    /// Read JSON text and apply overrides, as [`Config::load`] does.
    ///
    /// # Errors
    /// The text is no JSON or holds problems: then all of them.
    pub fn from_json(text: &str, overrides: &[String]) -> Result<Config, ConfigError> {
        RawConfig::parse(text.as_bytes(), "the config")?.with_overrides(overrides).check()
    }

    /// The resolved config, defaults included, as canonical JSON that ends with a line feed. Loads back to an equal `Config`.
    pub fn to_json(&self) -> String {
        let tree = serde_json::to_value(self).expect("a config is made of numbers, strings and lists only");
        format::pretty(&tree)
    }

    pub(crate) fn read(fields: &mut Fields<'_>) -> Option<Config> {
        fields.pass_over(&OF_A_HUB);
        let about = fields.read("about", Some(String::new()), "must be a string or a list of strings", about_text);
        let data = fields.section("data", DataConfig::read);
        let energy = fields.section("energy", EnergyConfig::read);
        let langevin = fields.section("langevin", LangevinConfig::read);
        let train = fields.section("train", TrainConfig::read);
        let log = fields.section_or_default("log", LogConfig::read);
        let checkpoint = fields.section_or_default("checkpoint", CheckpointConfig::read);
        let evaluate = fields.section_or_default("evaluate", EvaluateConfig::read);
        let watch = fields.section_or_default("watch", WatchConfig::read);
        if let (Some(LangevinConfig { init: Init::Persistent(bank), .. }), Some(train)) = (&langevin, &train)
            && bank.size < train.batch
        {
            let found = format!("a bank of {} is smaller than a batch of {}", bank.size, train.batch);
            fields.problem(&found, "langevin.init.persistent.size must be at least train.batch", None);
        }
        if let (Some(DataConfig { crop: Some(crop), .. }), Some(energy)) = (&data, &energy)
            && !energy.takes([*crop; 2])
        {
            let sizes = match energy.any_size {
                true => format!("{} or larger multiples of {}", energy.size, energy.stride()),
                false => format!("{}, or larger ones with energy.any_size", energy.size),
            };
            fields.problem(&format!("data.crop is {crop}, the net takes {sizes}"), "crops are what the net sees", None);
        }
        if let (Some(langevin), Some(energy)) = (&langevin, &energy)
            && let Some(misfit) = langevin.misfit(energy)
        {
            fields.problem(&misfit, "both must be those of the images", None);
        }
        if let (Some(LangevinConfig { init: Init::Colours(start), .. }), Some(EnergyConfig { any_size: true, .. })) =
            (&langevin, &energy)
            && start.size() > 1
        {
            let found = format!("langevin.init is the law of {0} x {0} px, energy.any_size is on", start.size());
            fields.problem(&found, "where images have any size chains start at noise or at one colour", None);
        }
        if let (Some(langevin), Some(train)) = (&langevin, &train)
            && let Some(late) = langevin.grids.last().filter(|last| last.from > 0 && last.from >= train.updates)
        {
            let found = format!(
                "the last of langevin.grids joins after update {}, train.updates is {}",
                late.from, train.updates
            );
            fields.problem(&found, "every grid must join before the run ends", None);
        }
        Some(Config {
            about: about?,
            data: data?,
            energy: energy?,
            langevin: langevin?,
            train: train?,
            log: log?,
            checkpoint: checkpoint?,
            evaluate: evaluate?,
            watch: watch?,
        })
    }
}

/// The sections that a config may leave out are then these.
macro_rules! section_defaults {
    ($($section:ty),*) => {
        $(impl Default for $section {
            fn default() -> Self {
                defaults(&Value::Object(Default::default()), Self::read)
            }
        })*
    };
}

section_defaults!(LogConfig, CheckpointConfig, EvaluateConfig, WatchConfig);

impl DataConfig {
    fn read(fields: &mut Fields<'_>) -> Option<DataConfig> {
        let images = fields.read("images", None, "must be the path of a .npy file, u8 [n, h, w, c]", |value| {
            value.as_str().filter(|path| !path.trim().is_empty()).map(PathBuf::from)
        });
        let count = fields.optional_count("count");
        let crop = fields.optional_count("crop");
        let flip = fields.read("flip", Some(false), "must be true or false", Value::as_bool);
        Some(DataConfig { images: images?, count: count?, crop: crop?, flip: flip? })
    }
}

impl LogConfig {
    fn read(fields: &mut Fields<'_>) -> Option<LogConfig> {
        let every = fields.count("every", Some(50));
        let samples_every = fields.count("samples_every", Some(500));
        let tensorboard = fields.read("tensorboard", Some(true), "must be true or false", Value::as_bool);
        Some(LogConfig { every: every? as u64, samples_every: samples_every? as u64, tensorboard: tensorboard? })
    }
}

impl CheckpointConfig {
    fn read(fields: &mut Fields<'_>) -> Option<CheckpointConfig> {
        let every = fields.count("every", Some(1000));
        let keep_last = fields.count("keep_last", Some(3));
        let keep_every = fields.optional_count("keep_every");
        let keep_best = fields.read("keep_best", Some(true), "must be true or false", Value::as_bool);
        let rule = r#"must be "continue" or "stop""#;
        let on_write_error =
            fields.read("on_write_error", Some(OnWriteError::Continue), rule, |value| match value.as_str()? {
                "continue" => Some(OnWriteError::Continue),
                "stop" => Some(OnWriteError::Stop),
                _ => None,
            });
        Some(CheckpointConfig {
            every: every? as u64,
            keep_last: keep_last?,
            keep_every: keep_every?.map(|updates| updates as u64),
            keep_best: keep_best?,
            on_write_error: on_write_error?,
        })
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
