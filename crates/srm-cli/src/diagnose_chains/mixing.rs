//! Ask whether z decides the image: several noises from each of several starts.

use anyhow::Result;
use serde_json::json;
use srm_data::write_grid;
use srm_eval::{Plan, variance_components};
use srm_langevin::start;
use srm_report::Chart;
use srm_train::to_bytes;
use tch::Tensor;

use super::{Found, bench::Bench, charts::number};

/// Points of the curve over steps.
const POINTS: usize = 20;
/// Pixels between two images.
const PADDING: usize = 2;

/// Run the chains, split the variance at some steps, and draw the images at K: a row a start, a column a noise.
///
/// # Errors
/// What the net returns, pictures that cannot be written, Ctrl-C.
pub fn diagnose(bench: &Bench<'_>) -> Result<Found> {
    let arguments = bench.arguments;
    let (starts, noises) = (i64::from(arguments.mixing_starts), i64::from(arguments.mixing_noises));
    let (trained, beyond) = (bench.langevin.steps, bench.beyond);
    let mut steps: Vec<usize> = (0..=POINTS).map(|i| i * beyond / POINTS).chain([trained]).collect();
    steps.sort_unstable();
    steps.dedup();
    let ids: Vec<u64> = (0..starts as u64).collect();
    let z = start(bench.langevin.init.into(), &bench.key(), &ids, &bench.image, bench.machine.device)?;
    let z = z.f_repeat_interleave_self_int(noises, 0, None)?;
    let count = starts * noises;
    let logs = bench.logs(Some(&z), 0..count as u64, Plan::every_step(beyond, &steps), "chains from equal starts")?;
    let mut curve = Vec::new();
    let mut at_trained = None;
    for (i, &step) in steps.iter().enumerate() {
        let blocks: Vec<&Tensor> = logs.iter().map(|log| &log.pictures()[i].1).collect();
        let x = Tensor::f_cat(&blocks, 0)?.f_narrow(0, 0, count)?;
        let parts = variance_components(&x.f_unflatten(0, [starts, noises])?)?;
        curve.push((step, parts));
        if step == trained {
            at_trained = Some((parts, x));
        }
    }
    let files = ["mixing.svg", "mixing.png"];
    Chart::new(
        &format!("Does z decide the image? {starts} starts with {noises} noises each"),
        "Langevin step",
        "share of the variance between starts",
    )
    .line("intraclass correlation", curve.iter().map(|(step, parts)| (*step as f64, parts.intraclass)))
    .dots(&format!("K = {trained}"), at_trained.iter().map(|(parts, _)| (trained as f64, parts.intraclass)))
    .write(&arguments.out.join(files[0]))?;
    let mut text = format!("mixing     {starts} starts × {noises} noises");
    let mut found = None;
    if let Some((parts, x)) = at_trained {
        write_grid(&arguments.out.join(files[1]), &to_bytes(&x)?.view(), noises as usize, PADDING)?;
        text += &format!(
            ", K = {trained}: {} of the pixels' variance comes from z (intraclass correlation; between starts {}, within {})",
            number(parts.intraclass),
            number(parts.between),
            number(parts.within)
        );
        found = Some(parts);
    }
    let curve: Vec<_> = curve
        .iter()
        .map(|(step, parts)| {
            json!({ "step": step, "between": parts.between, "within": parts.within, "intraclass": parts.intraclass })
        })
        .collect();
    let object = json!({ "starts": starts, "noises": noises, "at_k": found, "curve": curve, "picture": files[1] });
    Ok(Found { object, text, files: files.map(str::to_owned).to_vec() })
}
