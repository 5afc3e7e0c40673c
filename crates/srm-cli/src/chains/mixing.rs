//! Ask whether z decides the image: several noises from each of several starts.

use std::fmt;

use anyhow::Result;
use serde::Serialize;
use srm_data::write_grid;
use srm_eval::{ChainLog, Plan, VarianceComponents, variance_components};
use srm_langevin::{Start, start};
use srm_report::Chart;
use srm_train::to_bytes;
use tch::Tensor;

use super::{bench::Bench, charts::number};
use crate::pictures::PADDING;

/// Points of the curve over steps.
const POINTS: usize = 20;

/// Whether z decides the image.
#[derive(Serialize)]
pub struct Mixing {
    starts: i64,
    noises: i64,
    at_k: Option<VarianceComponents>,
    curve: Vec<Point>,
    picture: &'static str,
    /// K
    #[serde(skip)]
    trained: usize,
}

/// The two parts of the variance at a step.
#[derive(Serialize)]
struct Point {
    step: usize,
    #[serde(flatten)]
    parts: VarianceComponents,
}

/// Run the chains, split the variance at some steps, and draw the images at K: a row a start, a column a noise.
///
/// # Errors
/// What the net returns, pictures that cannot be written, Ctrl-C.
pub fn diagnose(bench: &Bench<'_>, files: &mut Vec<String>) -> Result<Mixing> {
    let flags = bench.flags;
    let (starts, noises) = (i64::from(flags.mixing_starts), i64::from(flags.mixing_noises));
    let (trained, beyond) = (bench.model.langevin.steps, bench.beyond);
    let mut steps: Vec<usize> = (0..=POINTS).map(|i| i * beyond / POINTS).chain([trained]).collect();
    steps.sort_unstable();
    steps.dedup();
    let logs = run(bench, (starts, noises), &steps)?;
    let [chart, picture] = ["mixing.svg", "mixing.png"];
    let (mut curve, mut at_k) = (Vec::new(), None);
    for (i, &step) in steps.iter().enumerate() {
        let blocks: Vec<&Tensor> = logs.iter().map(|log| &log.pictures()[i].1).collect();
        let x = Tensor::f_cat(&blocks, 0)?.f_narrow(0, 0, starts * noises)?;
        let parts = variance_components(&x.f_unflatten(0, [starts, noises])?)?;
        curve.push(Point { step, parts });
        if step == trained {
            at_k = Some(parts);
            write_grid(&flags.out.join(picture), &to_bytes(&x)?.view(), noises as usize, PADDING)?;
        }
    }
    let found = Mixing { starts, noises, at_k, curve, picture, trained };
    found.chart().write(&flags.out.join(chart))?;
    files.extend([chart, picture].map(str::to_owned));
    Ok(found)
}

/// Run several noises from each of several starts, and keep the images at some steps.
fn run(bench: &Bench<'_>, (starts, noises): (i64, i64), steps: &[usize]) -> Result<Vec<ChainLog>> {
    let (model, ids) = (bench.model, (0..starts as u64).collect::<Vec<_>>());
    let image = bench.sampler.dynamics().start_shape(&model.image());
    let z = start(&Start::from(&model.langevin.init), &bench.key(), &ids, &image, model.machine.device)?;
    let z = z.f_repeat_interleave_self_int(noises, 0, None)?;
    let plan = Plan::every_step(bench.beyond, steps);
    bench.logs(Some(&z), 0..(starts * noises) as u64, plan, "chains from equal starts")
}

impl Mixing {
    fn chart(&self) -> Chart {
        let Self { starts, noises, trained, .. } = self;
        let title = format!("Does z decide the image? {starts} starts with {noises} noises each");
        Chart::new(&title, "Langevin step", "share of the variance between starts")
            .line("intraclass correlation", self.curve.iter().map(|one| (one.step as f64, one.parts.intraclass)))
            .dots(&format!("K = {trained}"), self.at_k.iter().map(|parts| (*trained as f64, parts.intraclass)))
    }
}

impl fmt::Display for Mixing {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { starts, noises, at_k, trained, .. } = self;
        write!(out, "mixing     {starts} starts × {noises} noises")?;
        let Some(VarianceComponents { between, within, intraclass }) = at_k else { return Ok(()) };
        let [between, within, intraclass] = [between, within, intraclass].map(|&share| number(share));
        write!(out, ", K = {trained}: {intraclass} of the pixels' variance comes from z (intraclass correlation; ")?;
        write!(out, "between starts {between}, within {within})")
    }
}
