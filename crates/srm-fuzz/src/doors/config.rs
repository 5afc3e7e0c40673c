//! Hand in a config and overrides: the JSON, then what stands behind each `--set`, with zero bytes between.

use super::{Door, file, no_mending};
use crate::{Dice, mutate::change_bytes, tree::change_json};
use srm_config::Config;
use std::path::Path;

pub(super) const CONFIG: Door = Door {
    name: "config",
    what: "config JSON and `--set`, by way of `srm train`; what is taken must load back equal",
    sources: &["crates/srm-config/src"],
    longest: 1 << 12,
    seeds: || {
        let smoke = include_str!("../../../../configs/smoke.json");
        let staged = include_str!("../../../../configs/celeba64.json");
        vec![
            smoke.into(),
            format!("{smoke}\0train.learning_rate=[[0, 1e-4], [100, 1e-5]]\0langevin.init={{\"persistent\": {{\"size\": 9}}}}")
                .into(),
            format!("{staged}\0energy.activation=\"silu\"\0train.ema=0.999\0about=null").into(),
        ]
    },
    header: |bytes| {
        let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        serde_json::from_slice::<serde_json::Value>(text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text)).is_ok()
    },
    change,
    mend: no_mending,
    enter,
};

/// Change the config as JSON, or an override as text.
fn change(bytes: &mut Vec<u8>, dice: &mut Dice) {
    let mut parts: Vec<Vec<u8>> = bytes.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
    let at = if dice.one_in(2) { 0 } else { dice.below(parts.len()) };
    match at {
        0 => parts[0] = change_json(&parts[0], dice),
        _ => change_bytes(&mut parts[at], dice),
    }
    *bytes = parts.join(&0);
}

fn enter(bytes: &[u8], folder: &Path) {
    let mut parts = bytes.split(|byte| *byte == 0);
    let path = file(folder, "config.json", parts.next().unwrap_or_default());
    let overrides: Vec<String> = parts.map(|part| String::from_utf8_lossy(part).into_owned()).collect();
    match Config::load(&path, &overrides) {
        Ok(config) => {
            let again = Config::from_json(&config.to_json(), &[]).expect("a resolved config loads back");
            assert_eq!(config.changes(&again), [], "a resolved config loads back equal");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
