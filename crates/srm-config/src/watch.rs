//! Describe what counts as trouble in a run, and what is done about it.

use serde::Serialize;
use serde_json::Value;

use crate::fields::{Fields, whole};

/// When a run is in trouble, and how it goes on.
///
/// Numbers that are not finite are always trouble. The other rules compare the mean over the last ten updates with the
/// mean over the last `window`, so that one odd batch is no trouble, and wait for `window` updates, since f grows from
/// nothing at first. `std_limit` holds from the first update. A rule at 0 is off.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WatchConfig {
    /// Rollbacks that a run may take, >= 0; the next trouble ends it with exit code 3.
    pub rollbacks: u32,
    /// Factor in (0, 1] on the learning rate at each rollback, for the rest of the run.
    pub rate_factor: f64,
    /// Added to the data noise σ at each rollback, for the rest of the run, in pixel units, >= 0.
    pub extra_noise: f64,
    /// Updates that the long means look back on, >= 20.
    pub window: u64,
    /// Trouble where the short mean of |gap| exceeds this many long means; > 1, or 0.
    pub gap_factor: f64,
    /// The same for r, the mean norm of f' along the chain; > 1, or 0.
    pub gradient_factor: f64,
    /// The same for the standard deviation of the samples' pixels; > 1, or 0.
    pub std_factor: f64,
    /// Trouble where the short mean of the samples' standard deviation exceeds this; > 1, or 0. Images in [-1, 1] have at
    /// most 1.
    pub std_limit: f64,
}

impl WatchConfig {
    pub(crate) fn read(fields: &mut Fields<'_>) -> Option<WatchConfig> {
        let rollbacks = fields.read("rollbacks", Some(5), "must be a whole number from 0 to 1000", |value| {
            whole(value).filter(|&count| count <= 1000).map(|count| count as u32)
        });
        let rate_factor = fields.read("rate_factor", Some(0.5), "must be a number in (0, 1]", |value| {
            value.as_f64().filter(|&factor| factor > 0.0 && factor <= 1.0)
        });
        let extra_noise = fields.not_negative("extra_noise", 0.0);
        let window = fields.read("window", Some(500), "must be a whole number >= 20", |value| {
            whole(value).filter(|&updates| updates >= 20)
        });
        let above_one = |value: &Value| value.as_f64().filter(|&factor| factor == 0.0 || factor > 1.0 && factor.is_finite());
        let mut factor = |name, default| fields.read(name, Some(default), "must be a number > 1, or 0: not watched", above_one);
        let gap_factor = factor("gap_factor", 20.0);
        let gradient_factor = factor("gradient_factor", 10.0);
        let std_factor = factor("std_factor", 2.5);
        let std_limit = factor("std_limit", 3.0);
        Some(WatchConfig {
            rollbacks: rollbacks?,
            rate_factor: rate_factor?,
            extra_noise: extra_noise?,
            window: window?,
            gap_factor: gap_factor?,
            gradient_factor: gradient_factor?,
            std_factor: std_factor?,
            std_limit: std_limit?,
        })
    }
}
