//! Read what a tensor is to a net off its name, and gather the layers of each net in a file.

use super::archive::Entry;
use std::collections::BTreeMap;

/// Modules that wrap another and change nothing: `DataParallel`, `torch.compile`, FSDP, checkpointing, DeepSpeed.
const WRAPPERS: [&str; 5] =
    ["module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module"];
/// The parameters of a convolution.
pub(super) const PARAMETERS: [&str; 2] = ["weight", "bias"];

/// The tensors that a parameter is made of: (part, index of the entry). Part: `""` for the parameter itself, else the end of
/// its name in `torch.nn.utils.spectral_norm`, `weight_norm` or `prune`: `orig`, `u`, `v`, `g`, `mask`.
pub(super) type Parts = BTreeMap<&'static str, usize>;

/// A run of layers `PREFIX.N.weight`, `PREFIX.N.bias`.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// What stands before the numbers of the layers, without the last dot.
    pub(super) prefix: String,
    /// By number, the parts of weight and bias; of two entries for one part the last.
    pub(super) layers: BTreeMap<usize, [Parts; 2]>,
}

impl Group {
    /// Its name for people: the prefix without the published class' own attribute, `f`, where something is left then.
    pub(super) fn label(&self) -> &str {
        match &*self.prefix {
            "" => "\"\"",
            prefix => prefix.strip_suffix(".f").unwrap_or(prefix),
        }
    }

    /// How well a key means it: 2 where it is its prefix or label, 1 where it is the beginning of its prefix, else 0.
    pub(super) fn meant_by(&self, key: &str) -> u8 {
        match self.prefix.strip_prefix(key) {
            _ if self.label() == key => 2,
            Some("") => 2,
            Some(rest) if rest.starts_with('.') => 1,
            _ => 0,
        }
    }

    /// Whether a name stands among its layers.
    pub(super) fn contains(&self, name: &str) -> bool {
        self.prefix.is_empty() || name.strip_prefix(&self.prefix).is_some_and(|rest| rest.starts_with('.'))
    }

    /// The beginning of the names in the module whose attribute the layers are: `ebm.` for `ebm.f`.
    pub(super) fn module(&self) -> Option<&str> {
        let mut attribute = &*self.prefix;
        while let Some((outer, _)) = attribute.rsplit_once('.').filter(|(_, last)| WRAPPERS.contains(last)) {
            attribute = outer;
        }
        let end = attribute.rfind('.').map_or(0, |dot| dot + 1);
        (!attribute.is_empty()).then(|| &attribute[..end])
    }

    /// How many of its layers have a weight; between two convolutions stands an activation, which has a number too.
    pub(super) fn weights(&self) -> usize {
        self.layers.iter().filter(|(number, [weight, _])| *number % 2 == 0 && !weight.is_empty()).count()
    }
}

/// The groups of a file, in the order of their first names.
pub(super) fn groups(entries: &[Entry]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for (index, entry) in entries.iter().enumerate() {
        let Some((prefix, layer, parameter, part)) = parse(&entry.name) else { continue };
        let place = *places.entry(prefix.clone()).or_insert_with(|| {
            groups.push(Group { prefix, ..Group::default() });
            groups.len() - 1
        });
        groups[place].layers.entry(layer).or_default()[parameter].insert(part, index);
    }
    groups
}

/// Prefix, number of the layer, index of the parameter in [`PARAMETERS`], part.
fn parse(name: &str) -> Option<(String, usize, usize, &'static str)> {
    let words: Vec<&str> = name.split('.').collect();
    let is_number = |word: &str| word.len() <= 4 && word.bytes().all(|byte| byte.is_ascii_digit());
    (0..words.len()).filter(|&at| is_number(words[at])).find_map(|at| {
        let rest: Vec<&str> = words[at + 1..].iter().filter(|word| !WRAPPERS.contains(word)).copied().collect();
        let (parameter, part) = part(&rest)?;
        Some((words[..at].join("."), words[at].parse().ok()?, parameter, part))
    })
}

/// Index of the parameter and part that the words after a layer's number name. Sources: torch/nn/utils/spectral_norm.py,
/// weight_norm.py, prune.py and parametrizations.py (PyTorch 2.11).
fn part(words: &[&str]) -> Option<(usize, &'static str)> {
    let parameter = |name: &str| PARAMETERS.iter().position(|&known| known == name);
    match *words {
        [name] => match name.split_once('_') {
            None => Some((parameter(name)?, "")),
            Some((name, end)) => {
                let part = ["orig", "u", "v", "g", "mask"].into_iter().find(|&part| part == end)?;
                Some((parameter(name)?, part))
            }
        },
        ["parametrizations", name, ref part @ ..] => {
            let part = match *part {
                ["original"] => "orig",
                ["0", "_u"] => "u",
                ["0", "_v"] => "v",
                ["original0"] => "g",
                ["original1"] => "v",
                _ => return None,
            };
            Some((parameter(name)?, part))
        }
        _ => None,
    }
}
