//! Describe what counts as trouble in a run, and what is done about it.

use serde::Serialize;
use serde_json::Value;

use crate::fields::{Fields, whole};

/// When a run is in trouble, and how it goes on.
///
/// Numbers that are not finite are always trouble. The other rules look at means over the last ten updates, so that one odd
/// batch is no trouble. Two of them are absolute and hold from the first update. The three factors compare with the run's
/// own past, the mean over the last `window`, and wait until there is one, since f grows from nothing at first. A rule at
/// 0 is off.
///
/// Where the defaults come from: runs of this program logged at every update. Fashion-MNIST (n 16, K 30, 600 updates) and
/// CelebA at 32 px (n 24, K 30, 4,500 updates), both healthy: the mean of |gap| stayed below 2.2 times its past, r below 1.4
/// times, the spread below 1.1 times and below 0.75, the travel below 1.3. Fashion-MNIST at a rate of 1e-3, which blew up:
/// a travel of 1.6 at update 200, of 216 at update 240, numbers finite until beyond update 500. Each default lies at least
/// a factor of 1.8 above the healthy numbers and is crossed within about 20 updates of a blow-up.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WatchConfig {
    /// Rollbacks that a run may take, >= 0; the next trouble ends it with exit code 3. 5: half the rate five times is a
    /// thirtieth, and a run that needs less has another fault.
    pub rollbacks: u32,
    /// Factor in (0, 1] on the learning rate at each rollback, for the rest of the run; 0.5.
    pub rate_factor: f64,
    /// Added to the data noise σ at each rollback, for the rest of the run, in pixel units, >= 0; 0.
    pub extra_noise: f64,
    /// Updates that the long means look back on, >= 20; 200: past the first growth of f, which took about 50.
    pub window: u64,
    /// Trouble where |gap| exceeds so many times its past; > 1, or 0; 10: batches of 16 swing by 2 in health.
    pub gap_factor: f64,
    /// The same for r, the mean norm of f' along the chain; > 1, or 0; 4.
    pub gradient_factor: f64,
    /// The same for the standard deviation of the samples' pixels; > 1, or 0; 2.
    pub std_factor: f64,
    /// Trouble where the samples' standard deviation exceeds this; > 1, or 0; 2: images in [-1, 1] have at most 1.
    pub std_limit: f64,
    /// Trouble where the travel exceeds this; > 1, or 0; 3. Travel is the way that K steps along f' would carry a pixel if all
    /// went straight on, a K r / √(c h w), as root mean square: from noise to an image it is about 1.
    pub travel_limit: f64,
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
        let window = fields.read("window", Some(200), "must be a whole number >= 20", |value| {
            whole(value).filter(|&updates| updates >= 20)
        });
        let above_one =
            |value: &Value| value.as_f64().filter(|&factor| factor == 0.0 || factor > 1.0 && factor.is_finite());
        let mut factor =
            |name, default| fields.read(name, Some(default), "must be a number > 1, or 0: not watched", above_one);
        let gap_factor = factor("gap_factor", 10.0);
        let gradient_factor = factor("gradient_factor", 4.0);
        let std_factor = factor("std_factor", 2.0);
        let std_limit = factor("std_limit", 2.0);
        let travel_limit = factor("travel_limit", 3.0);
        Some(WatchConfig {
            rollbacks: rollbacks?,
            rate_factor: rate_factor?,
            extra_noise: extra_noise?,
            window: window?,
            gap_factor: gap_factor?,
            gradient_factor: gradient_factor?,
            std_factor: std_factor?,
            std_limit: std_limit?,
            travel_limit: travel_limit?,
        })
    }
}
