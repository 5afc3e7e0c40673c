//! Let the finer grids of a ladder join one after the other, each as a copy of the coarser one where its layers allow.
//!
//! Progressive learning as in Zhao, Xie and Li, ICLR 2021: a chain ends on the finest grid that has joined. A grid that joins takes
//! over the weights of the grid below it under the same names and in the same shapes; its others are fresh.

use crate::{Result, Trainer};
use serde_json::{Value as Json, json};
use srm_energy::{StateDict, Trainable};
use srm_langevin::{Dynamics, Sampler};
use srm_run::WatchStatistics;
use tch::Tensor;

impl<E: Trainable> Trainer<E> {
    /// The chain of today, which ends on the finest grid that has joined.
    pub(crate) fn dynamics(&self) -> &Dynamics {
        self.sampler.dynamics()
    }

    /// The shapes of a sample on the grids that have joined, coarse to fine.
    pub(crate) fn shapes(&self) -> Vec<Vec<i64>> {
        let mut shapes = self.settings.dynamics.shapes(&self.feed.data().shape());
        shapes.truncate(self.dynamics().grid_count());
        shapes
    }

    /// The shape of a sample of today.
    pub(crate) fn shape(&self) -> Vec<i64> {
        self.shapes().pop().unwrap_or_default()
    }

    /// Whether all grids have joined.
    pub(crate) fn is_grown(&self) -> bool {
        self.dynamics().grid_count() == self.settings.dynamics.grid_count()
    }

    /// What the net says of itself, and how many grids have joined where they have not all: the others' weights are fresh.
    pub(crate) fn description(&self) -> Json {
        let mut description = self.net().describe();
        if !self.is_grown() {
            if !description.is_object() {
                description = json!({ "net": description }); // of a net of the user's own
            }
            description["joined"] = self.dynamics().grid_count().into();
        }
        description
    }

    /// What the names of a grid's weights begin with, coarse to fine.
    pub(crate) fn prefixes(&self) -> Vec<String> {
        let named = self.net().named_parameters();
        let prefix = |(name, _): &(String, _)| name.split_inclusive('.').next().unwrap_or_default().to_owned();
        let mut prefixes: Vec<String> = named.iter().map(prefix).collect();
        prefixes.dedup();
        prefixes
    }

    /// Stand on the grids that take part in the next update; none joins by that.
    pub(crate) fn stand(&mut self) {
        let joined = self.settings.joined(self.state.update + 1);
        if joined != self.dynamics().grid_count() {
            let dynamics = self.settings.dynamics.first_grids(joined);
            let shape = self.settings.dynamics.shapes(&self.feed.data().shape()).swap_remove(joined - 1);
            self.sampler = Sampler::new(self.weights.net(), dynamics, &shape, self.spread);
            self.sampler.stop_when(self.stop.clone());
        }
        self.state.watch_coarser.resize_with(joined - 1, WatchStatistics::default);
    }

    /// After an update, let the grids join whose turn it is.
    pub(crate) fn grow(&mut self) -> Result<()> {
        for (grid, pair) in self.prefixes().windows(2).enumerate() {
            if self.settings.grow.get(grid + 1).is_some_and(|&from| from > 0 && from == self.state.update) {
                self.weights.take_over(&pair[0], &pair[1])?;
                let coarser = std::mem::take(&mut self.state.watch);
                self.state.watch_coarser.push(coarser);
            }
        }
        self.stand();
        Ok(())
    }
}

/// Copy the tensors named `coarse…` to those named `fine…` that have the same shape.
///
/// # Errors
/// [`crate::TrainError::Torch`].
pub(crate) fn copy_grid(tensors: &StateDict, coarse: &str, fine: &str) -> Result<()> {
    for (name, tensor) in tensors {
        let Some(rest) = name.strip_prefix(fine) else { continue };
        let same = |(other, below): &&(String, Tensor)| {
            other.strip_prefix(coarse) == Some(rest) && below.size() == tensor.size()
        };
        if let Some((_, below)) = tensors.iter().find(same) {
            tensor.shallow_clone().f_copy_(below)?;
        }
    }
    Ok(())
}

/// Of each parameter the updates before its first: those of the beginning of its name, where one is given.
pub(crate) fn joined(parameters: &StateDict, joins: &[(String, u64)]) -> Vec<u64> {
    let of = |name: &str| joins.iter().find(|(prefix, _)| name.starts_with(prefix)).map_or(0, |(_, from)| *from);
    parameters.iter().map(|(name, _)| of(name)).collect()
}
