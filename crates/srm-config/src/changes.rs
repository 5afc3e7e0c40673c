//! Tell what differs between the settings of a run and those it shall go on with.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Config;

/// One setting that differs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Dotted path, such as `train.learning_rate`.
    #[serde(rename = "key")]
    pub path: String,
    /// The value before; null where there was none.
    pub from: Value,
    /// The value after; null where there is none.
    pub to: Value,
}

impl Change {
    /// What differs between two trees of settings, in the order of their sections.
    pub fn all(before: &Value, after: &Value) -> Vec<Change> {
        let mut changes = Vec::new();
        compare("", before, after, &mut changes);
        changes
    }

    /// Why a run cannot go on with this change; `None` where it can.
    pub fn refusal(&self) -> Option<&'static str> {
        let is_of_nets = self.path.starts_with("energy.")
            || self.path == "langevin.grids" && nets_of(&self.from) != nets_of(&self.to);
        is_of_nets.then_some(
            "the net and its weights are made for it; start another run with --run DIR, or the same anew with --overwrite",
        )
    }
}

/// Grids without their steps, which may change; when a grid joins may not: it begins as a copy of that moment. A single grid
/// is the net of a chain without grids.
fn nets_of(grids: &Value) -> Vec<[&Value; 4]> {
    let grids = grids.as_array().filter(|grids| grids.len() > 1).map_or(&[][..], Vec::as_slice);
    grids.iter().map(|grid| ["size", "features", "activation", "from"].map(|key| &grid[key])).collect()
}

impl std::fmt::Display for Change {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}: {} -> {}", self.path, self.from, self.to)
    }
}

impl Config {
    /// What differs in `other`, in the order of the sections; `about` is no setting.
    pub fn changes(&self, other: &Config) -> Vec<Change> {
        let tree =
            |config: &Config| serde_json::to_value(config).expect("a config is made of numbers, strings and lists");
        let (mut before, mut after) = (tree(self), tree(other));
        before["about"] = Value::Null;
        after["about"] = Value::Null;
        Change::all(&before, &after)
    }
}

/// Walk down the sections; below them a value is compared whole, so that an activation is one change.
fn compare(path: &str, before: &Value, after: &Value, changes: &mut Vec<Change>) {
    let depth = if path.is_empty() { 0 } else { path.matches('.').count() + 1 };
    match (before, after) {
        (Value::Object(old), Value::Object(new)) if depth < 2 => {
            let added = new.keys().filter(|key| !old.contains_key(*key));
            for key in old.keys().chain(added) {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                compare(&path, old.get(key).unwrap_or(&Value::Null), new.get(key).unwrap_or(&Value::Null), changes);
            }
        }
        _ if before != after => {
            changes.push(Change { path: path.to_owned(), from: before.clone(), to: after.clone() });
        }
        _ => {}
    }
}
