//! Say what was scored, as JSON and as a table.

use std::fmt;

use serde::Serialize;
use serde_json::Value;
use srm_config::LangevinConfig;
use srm_eval::{Identity, InceptionScore};

use super::{
    features::{Comparison, Reference},
    samples::{Copies, Reconstructed},
};
use crate::session::{
    Shown,
    status::{self, number},
};

/// Everything that was scored.
#[derive(Serialize)]
pub struct Report<'a> {
    pub command: &'static str,
    pub data: Data<'a>,
    pub features: &'a Identity,
    pub results: Vec<Scored<'a>>,
    pub self_check: Option<Halves>,
    pub warnings: Vec<String>,
    pub seconds: f64,
}

/// The real images.
#[derive(Serialize)]
pub struct Data<'a> {
    file: Shown<'a>,
    count: Option<usize>,
    statistics: bool,
    manifest: Value,
}

impl<'a> Data<'a> {
    /// Those of a file; `manifest` lies beside it.
    pub fn new(file: Shown<'a>, reference: &Reference, manifest: Value) -> Self {
        Self { file, count: reference.count(), statistics: reference.images().is_none(), manifest }
    }
}

/// Two halves of the real images.
#[derive(Serialize)]
pub struct Halves {
    pub count: usize,
    #[serde(flatten)]
    pub distances: Comparison,
}

/// One set of samples.
#[derive(Serialize)]
pub struct Scored<'a> {
    pub samples: String,
    pub sha256: String,
    /// The update of a checkpoint.
    pub update: Option<u64>,
    pub seed: Option<u64>,
    pub steps: Option<usize>,
    pub quiet_tail: Option<usize>,
    pub truncation: Option<f64>,
    /// The chain as it ran, quiet tail, truncation and all.
    pub langevin: Option<LangevinConfig>,
    pub count: usize,
    pub reconstruction: Option<Reconstructed<'a>>,
    #[serde(flatten)]
    pub distances: Comparison,
    pub inception_score: Option<Inception>,
    pub nearest: Option<Copies<'a>>,
    pub seconds: f64,
}

/// The inception score, where the network has classes.
#[derive(Serialize)]
pub struct Inception {
    #[serde(flatten)]
    pub score: InceptionScore,
    pub splits: usize,
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.features.name;
        let distance = if self.features.is_fid { "FID".to_owned() } else { format!("Fréchet ({name})") };
        let heads = [&distance, "kernel", "inception", "precision", "recall"];
        row(out, "samples", &"count", heads.map(str::to_owned))?;
        for result in &self.results {
            let name = result.update.map_or_else(|| result.samples.clone(), |update| format!("update {update}"));
            let inception = result.inception_score.as_ref().map(|score| score.score.mean);
            row(out, &name, &result.count, numbers(&result.distances, inception))?;
            result.extras(out)?;
        }
        if let Some(halves) = &self.self_check {
            row(out, "real against real (halves)", &halves.count, numbers(&halves.distances, None))?;
        }
        let Data { file, count, statistics, manifest } = &self.data;
        let images = match (statistics, count) {
            (true, None) => "statistics alone, count unknown".to_owned(),
            (true, Some(count)) => format!("statistics of {count} images"),
            (false, count) => format!("{} images", count.unwrap_or_default()),
        };
        let from = |key: &str| manifest[key].as_str().unwrap_or("not recorded").to_owned();
        writeln!(out, "data       {file} ({images}, crop {}, filter {})", from("crop"), from("filter"))?;
        let sum = self.features.sha256.as_ref().map_or(String::new(), |sum| format!(", sha256 {}", &sum[..12]));
        writeln!(out, "features   {name}, {} numbers per image{sum}", self.features.dimension)?;
        write!(out, "time       {}", status::duration(self.seconds))
    }
}

impl Scored<'_> {
    /// What else was asked about the samples.
    fn extras(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Reconstructed { mean_mse, count, moved, .. }) = &self.reconstruction
            && mean_mse.is_finite()
        {
            let moved = number(Some(*moved));
            writeln!(
                out,
                "    reconstruction of {count} images: mean squared error {mean_mse:.5}, |M(z) − z| {moved}"
            )?;
        }
        if let Some(Copies { median: Some(median), least, different, .. }) = &self.nearest {
            writeln!(
                out,
                "    nearest real images: {median:.1} grey levels away (median), {} at least, {different} different ones",
                number(*least)
            )?;
        }
        Ok(())
    }
}

fn row(out: &mut fmt::Formatter<'_>, name: &str, count: &dyn fmt::Display, cells: [String; 5]) -> fmt::Result {
    let [distance, kernel, inception, precision, recall] = cells;
    writeln!(out, "{name:<34} {count:>7} {distance:>22} {kernel:>10} {inception:>9} {precision:>9} {recall:>9}")
}

fn numbers(distances: &Comparison, inception: Option<f64>) -> [String; 5] {
    let sets = distances.sets.as_ref();
    let shares = sets.map(|sets| sets.shares);
    let kernel = sets.map(|sets| sets.kernel.mean);
    [
        Some(distances.frechet),
        kernel,
        inception,
        shares.map(|shares| shares.precision),
        shares.map(|shares| shares.recall),
    ]
    .map(number)
}
