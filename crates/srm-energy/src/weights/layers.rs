//! Hold the layers that a file has against those of a net.

use super::archive::{Entry, summary};
use super::names::{Group, PARAMETERS};
use super::parameter::Form;
use crate::{EnergyError, Result, layer_shapes};
use srm_config::{Activation, EnergyConfig};
use std::collections::HashSet;
use std::path::Path;

/// The name of a parameter in the published code.
pub(super) fn published(layer: usize, parameter: &str) -> String {
    format!("f.{layer}.{parameter}")
}

/// A group of layers with what the file holds.
pub(super) struct Layers<'a> {
    pub(super) entries: &'a [Entry],
    pub(super) group: &'a Group,
}

impl Layers<'_> {
    /// The config whose net has these layers.
    ///
    /// # Errors
    /// [`EnergyError::UnknownNet`], [`EnergyError::MissingTensor`], [`EnergyError::Stranger`].
    pub(super) fn infer(&self) -> Result<EnergyConfig> {
        let layers = self.group.weights();
        let unknown = || EnergyError::UnknownNet { layers, found: summary(self.entries) };
        let size = match layers {
            // a layer halves the sides, down to 4 pixels; few layers may be part of a larger net, of which only the top gives one number
            layers @ 2..=4 if self.gives_one_number(layers) => 1 << layers,
            layers @ 5..=7 => 1 << layers,
            _ => return Err(unknown()),
        };
        let [weight, _] = self.group.layers.get(&0).ok_or_else(|| missing(size, layers, published(0, "weight")))?;
        let shaped = Form::of(weight).and_then(|form| weight.get(form.shaped())).ok_or_else(unknown)?;
        match *self.entries[*shaped].tensor()?.0 {
            [features @ 1..=1024, channels @ 1..=4, 3, 3] => {
                Ok(EnergyConfig::new(size, channels, features, Activation::LeakyRelu(0.2)))
            }
            _ => Err(unknown()),
        }
    }

    /// Whether the last of so many layers has one output.
    fn gives_one_number(&self, layers: usize) -> bool {
        let last = self.group.layers.get(&(2 * (layers - 1))).and_then(|[weight, _]| {
            let shaped = Form::of(weight).and_then(|form| weight.get(form.shaped()))?;
            self.entries[*shaped].tensor().ok()?.0.first().copied()
        });
        last == Some(1)
    }

    /// Whether all parameters of the net are there, in shapes that fit.
    ///
    /// # Errors
    /// [`EnergyError::MissingTensor`], [`EnergyError::TensorShape`], [`EnergyError::UnknownForm`], [`EnergyError::Stranger`].
    pub(super) fn check(&self, config: &EnergyConfig) -> Result<()> {
        let shapes = layer_shapes(config);
        for (layer, (shape, ..)) in shapes.iter().enumerate() {
            let shape = shape.map(|side| side as usize);
            for (index, parameter) in PARAMETERS.iter().enumerate() {
                let name = published(2 * layer, parameter);
                let parts = self.group.layers.get(&(2 * layer)).map(|parameters| &parameters[index]);
                let parts = parts.filter(|parts| !parts.is_empty());
                let parts = parts.ok_or_else(|| missing(config.size, shapes.len(), name.clone()))?;
                let Some(form) = Form::of(parts) else {
                    let found: Vec<_> = parts.values().map(|&part| self.entries[part].name.as_str()).collect();
                    return Err(EnergyError::UnknownForm { name, found: found.join(", ") });
                };
                let whole = if index == 0 { &shape[..] } else { &shape[..1] };
                for (part, &entry) in parts {
                    let (got, _) = self.entries[entry].tensor()?;
                    let expected = form.shape_of(part, got, whole);
                    if got != expected {
                        let sides = |shape: &[usize]| shape.iter().map(|&side| side as i64).collect();
                        let name = if part.is_empty() { name } else { self.entries[entry].name.clone() };
                        return Err(EnergyError::TensorShape { name, expected: sides(&expected), got: sides(got) });
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether nothing stands among the layers, or beside them in the same module, that would change what the net computes;
    /// in a file of ours, nothing at all.
    ///
    /// # Errors
    /// [`EnergyError::ExtraTensor`], [`EnergyError::Stranger`].
    pub(super) fn refuse_more(&self, config: &EnergyConfig, ours: bool) -> Result<()> {
        let layers = layer_shapes(config).len();
        let read = (0..layers).filter_map(|layer| self.group.layers.get(&(2 * layer)));
        let taken: HashSet<usize> = read.flatten().flat_map(|parts| parts.values().copied()).collect();
        for (index, entry) in self.entries.iter().enumerate() {
            let belongs = ours || self.group.contains(&entry.name) || self.is_beside(entry, |rest| !rest.contains('.'));
            if belongs && !entry.is_counter() && !taken.contains(&index) {
                entry.tensor()?;
                let (name, size) = (entry.name.clone(), config.size);
                return Err(EnergyError::ExtraTensor { name, size, expected: 2 * layers, last: 2 * (layers - 1) });
            }
        }
        Ok(())
    }

    /// Warn of other modules of the same state_dict: a net's head would stand there, and so does a metric's state.
    pub(super) fn tell_of_the_rest(&self, path: &Path) {
        let others = self.entries.iter().filter(|entry| !entry.is_counter() && self.is_beside(entry, |_| true));
        let others: Vec<Entry> = others.cloned().collect();
        if !others.is_empty() {
            let (path, net, others) = (path.display(), self.group.label(), summary(&others));
            tracing::warn!("{path}: of its tensors only the net at {net} is taken, beside it stand {others}");
        }
    }

    /// Whether an entry stands in the same module as the Sequential of the layers, under a name that `test` takes.
    fn is_beside(&self, entry: &Entry, test: impl FnOnce(&str) -> bool) -> bool {
        let first = self.group.layers.values().flatten().flat_map(|parts| parts.values()).next();
        let Some((own, module)) = first.map(|&first| self.entries[first].own).zip(self.group.module()) else {
            return false;
        };
        let same_dict = entry.own == own && module.len() >= own && entry.name.starts_with(module);
        same_dict && !self.group.contains(&entry.name) && test(&entry.name[module.len()..])
    }

    /// The objects that the layers are made of: equal for two names of one net.
    pub(super) fn objects(&self) -> Vec<usize> {
        let parts = self.group.layers.values().flatten().flat_map(|parts| parts.values());
        parts.map(|&part| self.entries[part].object).collect()
    }
}

fn missing(size: usize, layers: usize, name: String) -> EnergyError {
    EnergyError::MissingTensor { name, size, expected: 2 * layers, last: 2 * (layers - 1) }
}
