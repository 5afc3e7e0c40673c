//! Describe a run as checked, plain data: read JSON, apply overrides, report every problem at once.
//!
//! What was typed (a JSON tree with `--set` overrides) becomes a [`Config`] at one crossing, [`Config::load`] or
//! [`Config::from_json`]. Behind it every value is inside its documented range, so other crates take
//! `&config.langevin` and friends and check nothing again. [`Config::to_json`] writes the resolved form, defaults
//! included; it loads back to an equal `Config`.
//!
//! ```
//! let text = r#"{
//!   "data":     { "images": "data/faces.npy" },
//!   "energy":   { "size": 32, "channels": 3 },
//!   "langevin": { "gradient_scale": 1.0, "noise_std": 0.01 },
//!   "train":    { "updates": 1000, "batch": 64, "learning_rate": [[0, 1e-4], [1000, 1e-5]] }
//! }"#;
//! let config = srm_config::Config::from_json(text, &["langevin.steps=40".to_owned()])?;
//! assert_eq!(config.langevin.steps, 40);
//! assert_eq!(srm_config::Config::from_json(&config.to_json(), &[])?, config);
//! # Ok::<(), srm_config::ConfigError>(())
//! ```

mod changes;
mod colours;
mod config;
mod energy;
mod error;
mod evaluate;
mod fields;
mod format;
mod grids;
mod json;
mod model;
mod not_json;
mod raw;
mod schedule;
mod train;
mod watch;

pub use changes::Change;
pub use colours::{ColourStart, Colours};
pub use config::{CheckpointConfig, Config, DataConfig, LogConfig, OnWriteError};
pub use energy::{Activation, EnergyConfig};
pub use error::{ConfigError, Problem};
pub use evaluate::EvaluateConfig;
pub use fields::{is_not_negative_f32, is_positive_f32};
pub use format::pretty;
pub use grids::GridConfig;
pub use json::{JsonError, decode, parse_json};
pub use model::{Bank, Drift, Init, LangevinConfig};
pub use raw::RawConfig;
pub use schedule::Schedule;
pub use train::TrainConfig;
pub use watch::WatchConfig;

#[cfg(test)]
mod tests;
