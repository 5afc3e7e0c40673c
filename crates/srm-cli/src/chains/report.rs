//! Say what all diagnostics of chains found, as JSON and as lines.

use std::fmt;

use serde::Serialize;

use super::{
    bench::{Bench, DataNumbers},
    charts::number,
    long::LongChains,
    mixing::Mixing,
    short::ShortChains,
    training::Training,
};
use crate::session::{Shown, status};

/// The name of the report in its folder.
pub const FILE: &str = "chains.json";

/// What was found.
#[derive(Serialize)]
pub struct Report<'a> {
    command: &'static str,
    weights: Shown<'a>,
    sha256: &'a str,
    seed: u64,
    device: String,
    threads: usize,
    block: usize,
    steps: usize,
    quiet_tail: usize,
    truncation: Option<f64>,
    gradient_scale: f64,
    noise_std: f64,
    temperature: f64,
    data: Option<&'a DataNumbers>,
    #[serde(flatten)]
    pub parts: Parts,
    #[serde(flatten)]
    pub notes: Notes,
    seconds: f64,
    #[serde(skip)]
    out: Shown<'a>,
}

/// The diagnostics in their order; null where one was left out.
#[derive(Serialize)]
pub struct Parts {
    pub training: Option<Training>,
    pub short: ShortChains,
    pub mixing: Option<Mixing>,
    pub long: Option<LongChains>,
    pub metropolis: Option<LongChains>,
}

/// What the diagnostics tell besides.
#[derive(Serialize)]
pub struct Notes {
    /// Why some were left out.
    pub left_out: Vec<String>,
    /// What was written into the folder.
    pub files: Vec<String>,
}

impl<'a> Report<'a> {
    /// Of what was found on a bench; `sha256` is that of the weights.
    pub fn new(bench: &'a Bench<'_>, sha256: &'a str, parts: Parts, notes: Notes, seconds: f64) -> Report<'a> {
        let (model, machine, langevin) = (bench.model, &bench.model.machine, &bench.model.langevin);
        Report {
            command: "diagnose chains",
            weights: Shown(&model.file),
            sha256,
            seed: bench.flags.common.seed,
            device: machine.device_name(),
            threads: machine.threads,
            block: model.block,
            steps: langevin.steps,
            quiet_tail: model.quiet_tail,
            truncation: model.truncation,
            gradient_scale: langevin.gradient_scale(),
            noise_std: langevin.noise_std(),
            temperature: langevin.temperature(),
            data: bench.numbers.as_ref(),
            parts,
            notes,
            seconds,
            out: Shown(&bench.flags.out),
        }
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts { training, short, mixing, long, metropolis } = &self.parts;
        if let Some(training) = training {
            writeln!(out, "{training}")?;
        }
        writeln!(out, "{short}")?;
        if let Some(mixing) = mixing {
            writeln!(out, "{mixing}")?;
        }
        for chains in [long, metropolis].into_iter().flatten() {
            writeln!(out, "{chains}")?;
        }
        writeln!(out, "written    {} files in {}", self.notes.files.len(), self.out)?;
        write!(out, "time       {}, T = {}", status::duration(self.seconds), number(self.temperature))
    }
}
