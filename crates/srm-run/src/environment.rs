//! Say what a run computes on, as far as it can change bits.

use serde::{Deserialize, Serialize};

/// What a run computes on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// Version of this program.
    pub srm: String,
    /// Version of libtorch; `None` where it does not say.
    pub libtorch: Option<String>,
    /// The CPU's model, with the vector units that decide which kernels run.
    pub cpu: String,
    /// `cpu`, `cuda:0`, ….
    pub device: String,
    /// `f32`, `tf32` or `bf16`: the numbers inside the net.
    #[serde(default = "f32_numbers")]
    pub precision: String,
    /// Worker threads of a process; they change no bit.
    pub threads: usize,
    /// Processes; they change no bit.
    #[serde(default = "one")]
    pub ranks: usize,
    /// Chains per block.
    pub block: usize,
}

/// What runs before there was a choice computed in.
fn f32_numbers() -> String {
    "f32".to_owned()
}

fn one() -> usize {
    1
}

impl Environment {
    /// What is different from `earlier`, a line each.
    pub fn differences(&self, earlier: &Environment) -> Vec<String> {
        let text = |version: &Option<String>| version.clone().unwrap_or_else(|| "unknown".to_owned());
        [
            ("srm", earlier.srm.clone(), self.srm.clone()),
            ("libtorch", text(&earlier.libtorch), text(&self.libtorch)),
            ("CPU", earlier.cpu.clone(), self.cpu.clone()),
            ("device", earlier.device.clone(), self.device.clone()),
            ("precision", earlier.precision.clone(), self.precision.clone()),
            ("block", earlier.block.to_string(), self.block.to_string()),
        ]
        .into_iter()
        .filter(|(_, from, to)| from != to)
        .map(|(name, from, to)| format!("{name}: {from} -> {to}"))
        .collect()
    }
}
