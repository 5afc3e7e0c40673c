//! Hold everything scalar that the next update reads.

use crate::Best;
use serde::{Deserialize, Serialize};

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

/// The rolling statistics of a run that its watch goes by: of each number the mean over the last updates and the long
/// one that it is compared with. How they roll, and what counts as trouble, is srm-train's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WatchStatistics {
    /// Updates seen.
    pub updates: u64,
    /// |d|.
    pub gap: [f64; 2],
    /// r.
    pub chain_grad_norm: [f64; 2],
    /// Standard deviation of the samples' pixels.
    pub sample_std: [f64; 2],
}

/// The scalars of a run in progress. With the tensors of the checkpoint they are all that the next update depends on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunState {
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
    /// Rolling statistics of the watch; of a ladder, those of its finest grid.
    pub watch: WatchStatistics,
    /// Of a ladder those of its coarser grids, coarse to fine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub watch_coarser: Vec<WatchStatistics>,
}

impl Default for RunState {
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
            watch: WatchStatistics::default(),
            watch_coarser: Vec::new(),
        }
    }
}

/// The largest count that a state may hold: f64, in which schedules and other programs read it, has every integer up to
/// here.
const LARGEST_COUNT: u64 = 1 << 53;

impl RunState {
    /// What in a state that was read can be of no run: a file is whatever somebody made of it.
    pub fn problem(&self) -> Option<String> {
        let counts = [
            ("update", self.update),
            ("images_seen", self.images_seen),
            ("optimizer_step", self.optimizer_step),
            ("ema_updates", self.ema_updates),
            ("watch.updates", self.watch.updates),
            ("watch_coarser.updates", self.watch_coarser.iter().map(|watch| watch.updates).max().unwrap_or(0)),
            ("last_rollback", self.last_rollback.map_or(0, |(at, to)| at.max(to))),
        ];
        if let Some((name, count)) = counts.into_iter().find(|(_, count)| *count > LARGEST_COUNT) {
            return Some(format!("{name} is {count}, more than the {LARGEST_COUNT} that a run can reach"));
        }
        if self.attempt == u32::MAX || self.rollbacks > self.attempt {
            return Some(format!("attempt is {} after {} rollbacks", self.attempt, self.rollbacks));
        }
        let numbers = [("seconds", self.seconds), ("rate_factor", self.rate_factor), ("extra_noise", self.extra_noise)];
        let wrong = numbers.into_iter().find(|(_, number)| !number.is_finite() || *number < 0.0);
        wrong.map(|(name, number)| format!("{name} is {number}, which must be 0 or more"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_that_no_run_can_be_in_is_named() {
        assert_eq!(RunState::default().problem(), None);
        let far = RunState { update: LARGEST_COUNT, attempt: 3, rollbacks: 2, ..RunState::default() };
        assert_eq!(far.problem(), None);
        let watch = WatchStatistics { updates: u64::MAX, ..WatchStatistics::default() };
        for (state, named) in [
            (RunState { images_seen: u64::MAX, ..RunState::default() }, "images_seen is 18446744073709551615"),
            (RunState { optimizer_step: LARGEST_COUNT + 1, ..RunState::default() }, "optimizer_step"),
            (RunState { last_rollback: Some((u64::MAX, 0)), ..RunState::default() }, "last_rollback"),
            (RunState { watch, ..RunState::default() }, "watch.updates"),
            (RunState { attempt: u32::MAX, ..RunState::default() }, "attempt is 4294967295"),
            (RunState { rollbacks: 1, ..RunState::default() }, "after 1 rollbacks"),
            (RunState { rate_factor: -0.5, ..RunState::default() }, "rate_factor is -0.5"),
            (RunState { extra_noise: f64::INFINITY, ..RunState::default() }, "extra_noise is inf"),
        ] {
            let problem = state.problem().unwrap_or_default();
            assert!(problem.contains(named), "{problem}");
        }
    }
}
