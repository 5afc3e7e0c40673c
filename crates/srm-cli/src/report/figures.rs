//! Draw what the newest checkpoint can do, by the calls of `srm sample`, `interpolate` and `reconstruct`.

use anyhow::{Context, Result};
use ndarray::Array4;
use srm_config::Config;
use srm_data::ImageSet;
use srm_latent::rhos;
use srm_ranks::SingleProcess;
use srm_report::{Figures, Interpolation, Picture, Reconstructed, RunFiles};
use srm_terminal::ProgressBar;
use srm_train::to_bytes;
use tch::Tensor;

use crate::{
    animation::in_rows,
    arguments::{Key, MethodChoice, ModelArguments, NoiseChoice, ReportArguments},
    failure::{self, Failure},
    generator::Generator,
    images::gallery,
    interrupt,
    machine::Machine,
    output::Output,
    reconstruct::to_tensor,
};

/// Seed of start noise and chain noise: that of the commands where nobody gives one.
const SEED: u64 = 1;
/// Chains of the strip, and images to reconstruct.
const ROWS: usize = 8;
/// Parts that the strip cuts a chain into: 11 states, as `srm sample --chain` shows.
const STRIP_PARTS: usize = 10;
/// Images a row of the interpolation.
const POINTS: usize = 10;
/// Rows of the interpolation and iterations of the reconstruction for a net of the demo's cost: seconds on two cores.
const MOST: (usize, usize) = (6, 100);
/// The least of both, whatever a net costs.
const LEAST: (usize, usize) = (2, 10);
/// Iterations that the figure shows, as shares of T.
const SHOWN: [f64; 5] = [0.0, 0.1, 0.25, 0.5, 1.0];

/// Draw everything; the inner error says why there is nothing to draw with.
///
/// # Errors
/// A device that is not there, Ctrl-C.
pub fn make(
    arguments: &ReportArguments,
    files: &RunFiles,
    data: Result<&ImageSet, &String>,
    output: &Output,
) -> Result<Result<Figures, String>> {
    let Some(checkpoint) = files.checkpoint.clone() else {
        return Ok(Err("Nothing could be drawn: there is no checkpoint that can be used.".to_owned()));
    };
    let machine = Machine::open(&arguments.compute)?;
    let model = ModelArguments {
        weights: checkpoint,
        key: Key::default(),
        noise: NoiseChoice::Fixed,
        steps: None,
        config: None,
        block: None,
        checkpoint_every: 1,
        compute: arguments.compute.clone(),
    };
    let generator = match Generator::open(&model, SEED, &SingleProcess) {
        Ok(generator) => generator,
        Err(error) => return Ok(Err(format!("Nothing could be drawn: {}.", failure::text(&error)))),
    };
    let _guard = tch::no_grad_guard();
    let (pairs, iterations) = plan(files.config.as_ref().filter(|_| !machine.device.is_cuda()));
    let iterations = arguments.iterations.map_or(iterations, |asked| asked as usize);
    let every = generator.run.dynamics().steps.div_ceil(STRIP_PARTS);
    let bar = output.bar((1 + pairs + iterations) as u64, "parts of the figures");
    let said = |error: anyhow::Error| failure::text(&error);
    let chains = chains(&generator, every).map_err(said);
    bar.inc(1);
    let interpolation = interpolation(&generator, pairs, &bar).map_err(said);
    let reconstruction = reconstruction(arguments, &generator, data, iterations, &bar).map_err(said);
    bar.finish_and_clear();
    if interrupt::asked() {
        return Err(Failure::Interrupted("interrupted; no report was written".to_owned()).into());
    }
    let steps = generator.run.dynamics().steps;
    Ok(Ok(Figures {
        file: generator.file,
        seed: SEED,
        steps,
        every,
        iterations,
        chains,
        interpolation,
        reconstruction,
    }))
}

/// Rows and iterations that two cores draw in well under a minute. A step of a chain costs about n² size²; what is dearer
/// than the demo's gets less, by arithmetic and not by the clock, so that a report can be made again.
fn plan(config: Option<&Config>) -> (usize, usize) {
    const DEMO: f64 = 30.0 * 16.0 * 16.0 * 32.0 * 32.0; // K n² size²
    let cost = config.map_or(0.0, |config| {
        let square = |side: usize| (side * side) as f64;
        config.langevin.steps as f64 * square(config.energy.features) * square(config.energy.size)
    });
    let share = DEMO / cost.max(DEMO);
    let of = |most: usize, least: usize| ((most as f64 * share).round() as usize).max(least);
    (of(MOST.0, LEAST.0), of(MOST.1, LEAST.1))
}

/// The first chains of `srm sample` from noise to image.
fn chains(generator: &Generator, every: usize) -> Result<Picture> {
    let ids: Vec<u64> = (0..ROWS as u64).collect();
    let z = generator.run.start(SEED, &ids, &generator.image)?;
    let states = generator.run.path(&z, &ids, every)?;
    let states = states.iter().map(to_bytes).collect::<srm_train::Result<Vec<_>>>()?;
    Ok(Picture::of_grid(&in_rows(&states, ROWS)?, states.len())?)
}

/// The first rows of `srm interpolate`.
fn interpolation(generator: &Generator, pairs: usize, bar: &ProgressBar) -> Result<Interpolation> {
    let rhos = rhos(POINTS);
    let ids: Vec<u64> = (0..2 * pairs as u64).collect();
    let z = generator.run.start(SEED, &ids, &generator.image)?;
    let (mut rows, mut distances) = (Vec::new(), Vec::new());
    for pair in 0..pairs as i64 {
        if interrupt::asked() {
            break;
        }
        let (z1, z2) = (z.f_get(2 * pair)?, z.f_get(2 * pair + 1)?);
        let row = generator.run.interpolate(&z1, &z2, &rhos, 2 * pair as u64)?;
        distances.extend(row.steps);
        rows.push(row.x);
        bar.inc(1);
    }
    let images = to_bytes(&Tensor::f_cat(&rows, 0)?)?;
    let mean = distances.iter().sum::<f64>() / distances.len().max(1) as f64;
    let largest = distances.iter().copied().fold(0.0, f64::max);
    Ok(Interpolation { picture: Picture::of_grid(&images, POINTS)?, rows: rows.len(), mean, largest })
}

/// A few images by the default method of `srm reconstruct`.
fn reconstruction(
    arguments: &ReportArguments,
    generator: &Generator,
    data: Result<&ImageSet, &String>,
    iterations: usize,
    bar: &ProgressBar,
) -> Result<Reconstructed> {
    let images = targets(arguments, generator, data)?;
    let count = images.dim().0;
    let target = to_tensor(&images)?.f_to_device(generator.machine.device)?;
    let method = MethodChoice::default_for(generator.run.has_curvature());
    let mut keep: Vec<usize> = SHOWN.iter().map(|share| (share * iterations as f64).round() as usize).collect();
    keep.dedup();
    let options = method.options(iterations, SEED, keep);
    let found = generator.run.reconstruct(&target, None, &options, &mut |_| {
        bar.inc(1);
        !interrupt::asked()
    })?;
    let mut columns: Vec<Array4<u8>> = Vec::new();
    for (_, state) in &found.kept {
        columns.push(to_bytes(state)?);
    }
    columns.extend([to_bytes(&found.x)?, images]);
    Ok(Reconstructed {
        picture: Picture::of_grid(&in_rows(&columns, count)?, columns.len())?,
        count,
        given: arguments.images.clone(),
        method: method.name(),
        step: options.step,
        shown: found.kept.iter().map(|(iteration, _)| *iteration).collect(),
        mean: found.mse.iter().sum::<f64>() / count.max(1) as f64,
        worst: found.mse.iter().copied().fold(0.0, f64::max),
    })
}

/// The images to reconstruct, u8 `[n, h, w, c]`.
fn targets(arguments: &ReportArguments, generator: &Generator, data: Result<&ImageSet, &String>) -> Result<Array4<u8>> {
    let [c, h, w] = generator.image.map(|side| side as usize);
    if let Some(path) = &arguments.images {
        return Ok(gallery(path, h, c, ROWS)?.images);
    }
    let images = data.map_err(|reason| anyhow::anyhow!("no images to reconstruct: {reason}"))?;
    let count = images.len().min(ROWS);
    let bytes: Vec<u8> = (0..count).flat_map(|i| images.image(i)).copied().collect();
    Array4::from_shape_vec((count, h, w, c), bytes)
        .context("the run's images are not of the net's size now; give others with --images")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dearer_nets_get_less_and_never_nothing() {
        let config = |steps: usize, features: usize, size: usize| {
            let text = format!(
                r#"{{"data": {{"images": "x.npy"}}, "energy": {{"size": {size}, "channels": 3, "features": {features}}},
                "langevin": {{"steps": {steps}, "delta_tau": 1e-4}},
                "train": {{"updates": 1, "batch": 1, "learning_rate": 1e-4}}}}"#
            );
            Config::from_json(&text, &[]).unwrap()
        };
        assert_eq!(plan(Some(&config(30, 16, 32))), MOST);
        assert_eq!(plan(Some(&config(10, 8, 32))), MOST);
        assert_eq!(plan(Some(&config(30, 24, 32))), (3, 44)); // 1 / 1.5² of the demo's
        assert_eq!(plan(Some(&config(100, 64, 128))), LEAST);
        assert_eq!(plan(None), MOST);
    }
}
