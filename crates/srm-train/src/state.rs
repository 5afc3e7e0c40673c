//! Hold everything scalar that the next update reads, and what a checkpoint gives back.

use crate::{Best, Named, Watch};
use serde::{Deserialize, Serialize};
use tch::Tensor;

/// What is to be made of an update that is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Due {
    /// All is made.
    #[default]
    Nothing,
    /// The score, where the run is scored at this update.
    Score,
    /// The grid of samples, then the score.
    GridAndScore,
}

impl Due {
    fn is_nothing(&self) -> bool {
        *self == Due::Nothing
    }
}

/// The scalars of a run in progress. With the tensors of [`Saved`] they are all that the next update depends on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Last update done; 0 before the first.
    pub update: u64,
    /// Data images used so far.
    pub images_seen: u64,
    /// Updates that ADAM's moments have seen.
    pub optimizer_step: u64,
    /// Updates that the weights' average has seen; 0 without one.
    pub ema_updates: u64,
    /// Wall-clock seconds of training, of all processes together.
    pub seconds: f64,
    /// The random stream: grows with each rollback.
    pub attempt: u32,
    /// Rollbacks taken so far.
    pub rollbacks: u32,
    /// Product of the watch's factors on the learning rate.
    pub rate_factor: f64,
    /// Sum of the watch's additions to the data noise.
    pub extra_noise: f64,
    /// The update that the last rollback refused, and where it went; `None` before the first.
    pub last_rollback: Option<(u64, u64)>,
    /// The best score so far; `None` before the first.
    #[serde(default)]
    pub best: Option<Best>,
    /// What a stop has left to be made of the last update.
    #[serde(default, skip_serializing_if = "Due::is_nothing")]
    pub due: Due,
    /// Rolling statistics of the watch.
    pub watch: Watch,
}

impl Default for State {
    fn default() -> Self {
        Self {
            update: 0,
            images_seen: 0,
            optimizer_step: 0,
            ema_updates: 0,
            seconds: 0.0,
            attempt: 0,
            rollbacks: 0,
            rate_factor: 1.0,
            extra_noise: 0.0,
            last_rollback: None,
            best: None,
            due: Due::Nothing,
            watch: Watch::default(),
        }
    }
}

/// A checkpoint that was read back.
pub struct Saved {
    /// The scalars.
    pub state: State,
    /// The net's weights.
    pub weights: Named,
    /// ADAM's moments, and the tensors of the spectral norm where it was on.
    pub optimizer: Named,
    /// The averaged weights, where the average was on.
    pub ema: Option<Named>,
    /// The bank of persistent chains, where there was one.
    pub bank: Option<Tensor>,
}
