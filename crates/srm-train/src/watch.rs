//! Watch a run's numbers against their own past, and say when they are no longer those of a healthy run.
//!
//! A healthy run's energy gap oscillates about 0, and r and the samples' spread change slowly ("Anatomy of MCMC-based
//! maximum likelihood learning", AAAI 2020). A run that blows up leaves these ranges within tens of updates, long before
//! numbers overflow.

use crate::StepRecord;
use serde::{Deserialize, Serialize};
use srm_config::WatchConfig;

/// Updates of the short means: one odd batch among them is no trouble.
const SHORT: u64 = 10;
/// Once a long mean looks back on a whole window, a value counts in it as at most so many times the mean: a run that blows
/// up must not drag its own yardstick along.
const LARGEST_SHARE: f64 = 3.0;

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
        /// Which number: `gap` (its absolute value), `chain_grad_norm` or `sample_std`.
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
            Reason::GradientNotFinite => {
                out.write_str("numbers were no longer finite in the gradient of the weights")
            }
            Reason::Strayed { what, now, limit } => {
                let name = match *what {
                    "gap" => "the mean |gap|",
                    "chain_grad_norm" => "the mean norm r of f' along the chain",
                    _ => "the samples' mean standard deviation",
                };
                write!(out, "{name} of the last {SHORT} updates is {now:.4}, above {limit:.4}")
            }
        }
    }
}

/// A mean that forgets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Mean(f64);

impl Mean {
    /// Take in value number `count` (from 1): the plain mean of the first `window`, an exponential one after them.
    fn take(&mut self, value: f64, count: u64, window: u64) {
        self.0 += (value - self.0) / count.min(window) as f64;
    }
}

/// The rolling statistics of one run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Watch {
    updates: u64,
    gap: [Mean; 2],
    chain_grad_norm: [Mean; 2],
    sample_std: [Mean; 2],
}

impl Watch {
    /// Take in the numbers of an update, and say whether they are trouble.
    pub fn see(&mut self, record: &StepRecord, config: &WatchConfig) -> Option<Reason> {
        self.updates += 1;
        let count = self.updates;
        let means = |pair: &mut [Mean; 2], value: f64| {
            pair[0].take(value, count, SHORT);
            let bounded = if count > config.window { value.min(LARGEST_SHARE * pair[1].0) } else { value };
            pair[1].take(bounded, count, config.window);
            (pair[0].0, pair[1].0)
        };
        let gap = means(&mut self.gap, record.gap.abs());
        let chain_grad_norm = means(&mut self.chain_grad_norm, record.chain_grad_norm);
        let sample_std = means(&mut self.sample_std, record.sample_std);
        let strayed = |what, now: f64, limit: f64| (limit > 0.0 && now > limit).then_some(Reason::Strayed { what, now, limit });
        let long_enough = count > config.window;
        let against_past = |what, (now, long): (f64, f64), factor: f64| {
            if long_enough { strayed(what, now, factor * long) } else { None }
        };
        strayed("sample_std", sample_std.0, config.std_limit)
            .or_else(|| against_past("sample_std", sample_std, config.std_factor))
            .or_else(|| against_past("chain_grad_norm", chain_grad_norm, config.gradient_factor))
            .or_else(|| against_past("gap", gap, config.gap_factor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use srm_config::Config;

    fn config() -> WatchConfig {
        let text = r#"{ "data": { "images": "a" }, "energy": { "size": 32, "channels": 1 },
            "langevin": { "gradient_scale": 1, "noise_std": 0 },
            "train": { "updates": 1, "batch": 1, "learning_rate": 1 }, "watch": { "window": 100 } }"#;
        Config::from_json(text, &[]).unwrap().watch
    }

    fn record(gap: f64, chain_grad_norm: f64, sample_std: f64) -> StepRecord {
        StepRecord { gap, chain_grad_norm, sample_std, ..StepRecord::default() }
    }

    /// Feed healthy updates, then `value(update)`; the reason and after how many of those.
    fn after_healthy(healthy: u64, value: impl Fn(u64) -> StepRecord) -> Option<(u64, Reason)> {
        let (mut watch, config) = (Watch::default(), config());
        for update in 0..healthy {
            let swing = (update as f64 * 0.7).sin();
            assert_eq!(watch.see(&record(2.0 * swing, 1.0 + 0.3 * swing, 0.5 + 0.1 * swing), &config), None);
        }
        (1..200).find_map(|update| Some((update, watch.see(&value(update), &config)?)))
    }

    #[test]
    fn a_healthy_run_is_left_alone_and_so_is_one_odd_batch() {
        assert_eq!(after_healthy(300, |_| record(1.0, 1.0, 0.5)), None);
        assert_eq!(after_healthy(300, |update| record(if update == 5 { 60.0 } else { 1.0 }, 1.0, 0.5)), None);
        // f grows from nothing in a young run
        assert_eq!(after_healthy(0, |update| record(update as f64, 0.1 * update as f64, 0.6)), None);
    }

    #[test]
    fn each_number_that_strays_is_named_within_its_short_window() {
        let found = |value: fn(u64) -> StepRecord| after_healthy(300, value).unwrap();
        for (what, value) in [
            ("gap", (|_| record(-400.0, 1.0, 0.5)) as fn(u64) -> StepRecord),
            ("chain_grad_norm", |_| record(1.0, 40.0, 0.5)),
            ("sample_std", |_| record(1.0, 1.0, 2.9)),
        ] {
            let (updates, reason) = found(value);
            assert!(updates <= 10, "{what} after {updates}");
            assert!(matches!(reason, Reason::Strayed { what: named, .. } if named == what), "{reason}");
        }
    }

    #[test]
    fn a_spread_that_no_image_has_is_trouble_from_the_first_update() {
        let (updates, reason) = after_healthy(0, |_| record(0.0, 0.0, 7.0)).unwrap();
        assert_eq!(updates, 1);
        assert_eq!(reason.to_string(), "the samples' mean standard deviation of the last 10 updates is 7.0000, above 3.0000");
    }

    #[test]
    fn the_statistics_survive_json_bit_for_bit() {
        let (mut watch, config) = (Watch::default(), config());
        for update in 1..50 {
            watch.see(&record(1.0 / f64::from(update), 0.1, 0.3), &config);
        }
        let text = serde_json::to_string(&watch).unwrap();
        assert_eq!(serde_json::from_str::<Watch>(&text).unwrap(), watch);
    }
}
