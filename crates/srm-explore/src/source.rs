//! Describe what the page shows: runs, which may be training, and weights.

use std::path::PathBuf;

use serde::Serialize;
use serde_json::{Value, json};
use srm_config::{EnergyConfig, LangevinConfig};
use srm_run::Run;

use crate::live;

/// Something to look at.
#[derive(Clone, Debug)]
pub struct Source {
    /// As it was named.
    pub name: String,
    /// Where its weights are: a run's folder, a file, or that of a name in a cache.
    pub weights: PathBuf,
    /// The folder, where it is a run.
    pub run: Option<PathBuf>,
    /// The net, where it is weights: those of a run are asked for its settings.
    pub net: Option<Net>,
}

/// A net as the page needs to know it.
#[derive(Clone, Debug, Serialize)]
pub struct Net {
    /// Height and width of its images.
    pub size: usize,
    /// Of its images.
    pub channels: usize,
    /// Of its first layer.
    pub features: usize,
    /// Its activation, as a config writes it.
    pub activation: Value,
    /// K.
    pub steps: usize,
    /// Its grids, coarse to fine; of a plain net the one.
    pub grids: Vec<Grid>,
}

/// Steps on a grid.
#[derive(Clone, Debug, Serialize)]
pub struct Grid {
    /// Height and width.
    pub size: usize,
    /// Steps there.
    pub steps: usize,
}

impl Net {
    /// A net and its short run.
    pub fn new(energy: &EnergyConfig, langevin: &LangevinConfig) -> Net {
        let mut grids: Vec<Grid> =
            langevin.grids.iter().map(|grid| Grid { size: grid.size, steps: grid.steps }).collect();
        if grids.is_empty() {
            grids.push(Grid { size: energy.size, steps: langevin.steps });
        }
        Net {
            size: energy.size,
            channels: energy.channels,
            features: energy.features,
            activation: json!(energy.activation),
            steps: langevin.steps,
            grids,
        }
    }
}

impl Source {
    /// The net: of a run what its settings say now.
    fn net(&self) -> Option<Net> {
        let Some(folder) = &self.run else { return self.net.clone() };
        let config = Run::open(folder).ok()?.config().ok()??.ok()?;
        Some(Net::new(&config.energy, &config.langevin))
    }

    /// Size and channels of its images.
    pub(crate) fn shape(&self) -> Option<(usize, usize)> {
        self.net().map(|net| (net.size, net.channels))
    }
}

/// A source as the page is told of it.
pub(crate) fn describe(id: usize, source: &Source) -> Value {
    let (net, updates) = (source.net(), source.run.as_deref().map(live::updates).unwrap_or_default());
    let note = match (&source.run, &net, updates.is_empty()) {
        (Some(_), None, _) => Some("the settings of this run cannot be read"),
        (Some(_), Some(_), true) => Some("no checkpoint yet"),
        _ => None,
    };
    let mut told = json!(net);
    if !told.is_object() {
        told = json!({});
    }
    told["id"] = json!(id);
    told["name"] = json!(source.name);
    told["kind"] = json!(if source.run.is_some() { "run" } else { "weights" });
    told["newest"] = json!(updates.last());
    told["updates"] = json!(updates);
    told["note"] = json!(note);
    told
}
