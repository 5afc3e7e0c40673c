//! Watch a run's numbers against their own past, and say when they are no longer those of a healthy run.
//!
//! A healthy run's energy gap oscillates about 0, and r and the samples' spread change slowly ("Anatomy of MCMC-based
//! maximum likelihood learning", AAAI 2020). A run that blows up leaves these ranges within tens of updates, long before
//! numbers overflow.

use serde::Serialize;
use srm_config::WatchConfig;
use srm_run::{GridRecord, WatchStatistics};

/// Updates of the short means: one odd batch among them is no trouble.
const SHORT: u64 = 10;
/// Once a long mean looks back on a whole window, a value counts in it as at most so many times the mean: a run that blows
/// up must not drag its own yardstick along.
const LARGEST_SHARE: f64 = 3.0;
/// A state is good to return to where every short mean is below this share of its limit: one just below the limit is on
/// its way over it.
const CALM: f64 = 0.7;

/// Why an update is refused.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Reason {
    /// Chains left the finite numbers.
    ChainNotFinite {
        /// The first Langevin step, 0-based, that was not finite.
        step: usize,
    },
    /// f, or its gradient in the weights, is not finite.
    GradientNotFinite,
    /// A mean over the last updates is far from its own past.
    Strayed {
        /// Of a ladder the grid whose number it is, by the width of its images.
        #[serde(skip_serializing_if = "Option::is_none")]
        grid: Option<u64>,
        /// Which number: `gap` (its absolute value), `chain_grad_norm`, `travel` or `sample_std`.
        what: &'static str,
        /// Mean over the last ten updates.
        now: f64,
        /// What it must not exceed.
        limit: f64,
    },
}

impl std::fmt::Display for Reason {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Reason::ChainNotFinite { step } => {
                write!(out, "numbers were no longer finite at Langevin step {step}")
            }
            Reason::GradientNotFinite => out.write_str("numbers were no longer finite in the gradient of the weights"),
            Reason::Strayed { grid, what, now, limit } => {
                let name = match *what {
                    "gap" => "the mean |gap|",
                    "chain_grad_norm" => "the mean norm r of f' along the chain",
                    "travel" => "the mean travel of the chains per pixel",
                    _ => "the samples' mean standard deviation",
                };
                grid.map_or(Ok(()), |grid| write!(out, "on the grid of {grid} px "))?;
                write!(out, "{name} of the last {SHORT} updates is {now:.4}, above {limit:.4}")
            }
        }
    }
}

/// The rule by which a run is watched.
#[derive(Clone, Copy, Debug)]
pub struct Watch<'a> {
    /// The limits.
    pub config: &'a WatchConfig,
    /// What r = 1 carries a pixel over the whole chain; of a ladder, over the steps of the grid.
    pub travel: f64,
    /// Of a ladder the grid that is watched, by the width of its images.
    pub grid: Option<u64>,
}

/// Take value number `count` (from 1) into a mean that forgets: the plain mean of the first `window`, an exponential
/// one after them.
fn take(mean: &mut f64, value: f64, count: u64, window: u64) {
    *mean += (value - *mean) / count.min(window) as f64;
}

impl Watch<'_> {
    /// Take in the numbers of an update, and say whether they are trouble.
    pub fn see(&self, seen: &mut WatchStatistics, record: &GridRecord) -> Option<Reason> {
        seen.updates += 1;
        let (count, window) = (seen.updates, self.config.window);
        let means = |pair: &mut [f64; 2], value: f64| {
            take(&mut pair[0], value, count, SHORT);
            let bounded = if count > window { value.min(LARGEST_SHARE * pair[1]) } else { value };
            take(&mut pair[1], bounded, count, window);
        };
        means(&mut seen.gap, record.gap.abs());
        means(&mut seen.chain_grad_norm, record.chain_grad_norm);
        means(&mut seen.sample_std, record.sample_std);
        let strayed =
            |(what, now, limit)| (now > limit).then_some(Reason::Strayed { grid: self.grid, what, now, limit });
        self.limits(seen).into_iter().find_map(strayed)
    }

    /// Whether this is a state to return to: every number is well within its limit.
    pub fn is_calm(&self, seen: &WatchStatistics) -> bool {
        self.limits(seen).into_iter().all(|(_, now, limit)| now <= CALM * limit)
    }

    /// Each number that is watched: its name, its short mean and what that must not exceed.
    fn limits(&self, seen: &WatchStatistics) -> Vec<(&'static str, f64, f64)> {
        let Self { config, travel, .. } = *self;
        let long_enough = seen.updates > config.window;
        let mut limits = vec![
            ("sample_std", seen.sample_std[0], config.std_limit),
            ("travel", travel * seen.chain_grad_norm[0], config.travel_limit),
        ];
        if long_enough {
            let against_past = |what, [now, long]: [f64; 2], factor: f64| (what, now, factor * long);
            limits.extend([
                against_past("sample_std", seen.sample_std, config.std_factor),
                against_past("chain_grad_norm", seen.chain_grad_norm, config.gradient_factor),
                against_past("gap", seen.gap, config.gap_factor),
            ]);
        }
        limits.retain(|(_, _, limit)| *limit > 0.0);
        limits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use srm_config::Config;

    /// A travel of 0.1 at r = 1.
    const TRAVEL: f64 = 0.1;

    fn config() -> WatchConfig {
        let text = r#"{ "data": { "images": "a" }, "energy": { "size": 32, "channels": 1 },
            "langevin": { "gradient_scale": 1, "noise_std": 0 },
            "train": { "updates": 1, "batch": 1, "learning_rate": 1 }, "watch": { "window": 100 } }"#;
        Config::from_json(text, &[]).unwrap().watch
    }

    fn record(gap: f64, chain_grad_norm: f64, sample_std: f64) -> GridRecord {
        GridRecord { gap, chain_grad_norm, sample_std, ..GridRecord::default() }
    }

    /// Feed healthy updates, then `value(update)`; the reason and after how many of those.
    fn after_healthy(healthy: u64, value: impl Fn(u64) -> GridRecord) -> Option<(u64, Reason)> {
        let (mut seen, config) = (WatchStatistics::default(), config());
        let watch = Watch { config: &config, travel: TRAVEL, grid: None };
        for update in 0..healthy {
            let swing = (update as f64 * 0.7).sin();
            assert_eq!(watch.see(&mut seen, &record(2.0 * swing, 1.0 + 0.3 * swing, 0.5 + 0.1 * swing)), None);
        }
        (1..200).find_map(|update| Some((update, watch.see(&mut seen, &value(update))?)))
    }

    #[test]
    fn a_healthy_run_is_left_alone_and_so_is_one_odd_batch() {
        assert_eq!(after_healthy(300, |_| record(1.0, 1.0, 0.5)), None);
        assert_eq!(after_healthy(300, |update| record(if update == 5 { 60.0 } else { 1.0 }, 1.0, 0.5)), None);
        // f grows from nothing in a young run
        assert_eq!(after_healthy(0, |update| record(update as f64, 0.02 * update as f64, 0.6)), None);
    }

    #[test]
    fn each_number_that_strays_is_named_within_its_short_window() {
        let found = |value: fn(u64) -> GridRecord| after_healthy(300, value).unwrap();
        for (what, value) in [
            ("gap", (|_| record(-400.0, 1.0, 0.5)) as fn(u64) -> GridRecord),
            ("chain_grad_norm", |_| record(1.0, 40.0, 0.5)),
            ("sample_std", |_| record(1.0, 1.0, 1.9)),
        ] {
            let (updates, reason) = found(value);
            assert!(updates <= 10, "{what} after {updates}");
            assert!(matches!(reason, Reason::Strayed { what: named, .. } if named == what), "{reason}");
        }
    }

    #[test]
    fn a_spread_or_a_travel_that_no_image_needs_is_trouble_from_the_first_update() {
        let (updates, reason) = after_healthy(0, |_| record(0.0, 51.0, 0.5)).unwrap();
        assert_eq!(updates, 1);
        assert_eq!(
            reason.to_string(),
            "the mean travel of the chains per pixel of the last 10 updates is 5.1000, above 3.0000"
        );
        let (updates, reason) = after_healthy(0, |_| record(0.0, 0.0, 7.0)).unwrap();
        assert_eq!(updates, 1);
        assert_eq!(
            reason.to_string(),
            "the samples' mean standard deviation of the last 10 updates is 7.0000, above 2.0000"
        );
    }

    #[test]
    fn a_state_just_below_a_limit_is_none_to_return_to() {
        let (mut seen, config) = (WatchStatistics::default(), WatchConfig { std_factor: 0.0, ..config() });
        let watch = Watch { config: &config, travel: TRAVEL, grid: None };
        for (std, calm) in [(0.6, true), (1.3, true), (1.7, false), (1.0, true)] {
            for _ in 0..60 {
                watch.see(&mut seen, &record(0.0, 0.0, std));
            }
            assert_eq!(watch.is_calm(&seen), calm, "{std}");
        }
    }

    #[test]
    fn an_update_is_watched_in_microseconds() {
        // an update takes tenths of a second: 0.5 % of 100 ms would be 500 µs
        let (mut seen, config, begun) = (WatchStatistics::default(), config(), std::time::Instant::now());
        let watch = Watch { config: &config, travel: TRAVEL, grid: None };
        for _ in 0..10_000 {
            assert_eq!(watch.see(&mut seen, &record(1.0, 1.0, 0.5)), None);
        }
        let each = begun.elapsed().as_secs_f64() / 10_000.0;
        assert!(each < 50e-6, "{each} s");
    }

    #[test]
    fn the_statistics_survive_json_bit_for_bit() {
        let (mut seen, config) = (WatchStatistics::default(), config());
        let watch = Watch { config: &config, travel: TRAVEL, grid: None };
        for update in 1..50 {
            watch.see(&mut seen, &record(1.0 / f64::from(update), 0.1, 0.3));
        }
        let text = serde_json::to_string(&seen).unwrap();
        assert_eq!(serde_json::from_str::<WatchStatistics>(&text).unwrap(), seen);
    }
}
