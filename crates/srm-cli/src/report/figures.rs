//! Draw what the newest checkpoint can do, by the calls of `srm sample`, `interpolate` and `reconstruct`.

use anyhow::{Context, Result};
use ndarray::Array4;
use srm_config::{Config, EnergyConfig};
use srm_data::ImageSet;
use srm_langevin::Dynamics;
use srm_latent::{ChainNoise, Latent, Method, ReconstructOptions, ShortRun, rhos};
use srm_report::{Figures, Interpolation, Picture, Reconstructed, RunFiles};
use srm_terminal::ProgressBar;
use srm_train::{to_bytes, to_tensor};
use tch::Tensor;

use crate::{
    flags::ReportFlags,
    images::gallery,
    interpolate::{Rows, mean_and_largest},
    model::{Choice, Model, Net},
    pictures::in_rows,
    reconstruct::{mean_and_worst, shares},
    session::{Failure, Session, failure, interrupt},
};

/// Seed of start noise and chain noise: that of the commands where nobody gives one.
const SEED: u64 = 1;
/// Chains of the strip, and images to reconstruct.
const ROWS: usize = 8;
/// Parts that the strip cuts a chain into: 11 states, as `srm sample --chain` shows.
const STRIP_PARTS: usize = 10;
/// Images per row of the interpolation.
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
    flags: &ReportFlags,
    files: &RunFiles,
    data: Result<&ImageSet, &String>,
    session: &Session,
) -> Result<Result<Figures, String>> {
    let Some(checkpoint) = &files.checkpoint else {
        return Ok(Err("Nothing could be drawn: there is no checkpoint that can be used.".to_owned()));
    };
    let machine = flags.compute.open()?;
    tch::set_num_threads(1); // the workers do the work
    let model = match Model::load(checkpoint.path(), &Choice::default(), machine, session) {
        Ok(model) => model,
        Err(error) => return Ok(Err(format!("Nothing could be drawn: {}.", failure::text(&error)))),
    };
    let run = model.generator(ChainNoise::Fixed(SEED), 1);
    let _guard = tch::no_grad_guard();
    let (pairs, iterations) = plan(files.config.as_ref().filter(|_| !machine.device.is_cuda()));
    let iterations = flags.iterations.map_or(iterations, |asked| asked as usize);
    let (steps, image) = (model.langevin.steps, model.image());
    let every = steps.div_ceil(STRIP_PARTS);
    let bar = session.bar((1 + pairs + iterations) as u64, "parts of the figures");
    let said = |error: anyhow::Error| failure::text(&error);
    let chains = chains(&run, &image, every).map_err(said);
    bar.inc(1);
    let interpolation = interpolation(&run, &image, pairs, &bar).map_err(said);
    let reconstruction = reconstruction(flags, (&model, &run), data, iterations, &bar).map_err(said);
    bar.finish_and_clear();
    if interrupt::asked() {
        return Err(Failure::Interrupted("interrupted; no report was written".to_owned()).into());
    }
    Ok(Ok(Figures { file: model.file, seed: SEED, steps, every, iterations, chains, interpolation, reconstruction }))
}

/// Rows and iterations that two cores draw in well under a minute. A step of a chain costs about n² size²; what is dearer
/// than the demo was as a plain chain gets less, by arithmetic and not by the clock, so that a report can be made again.
fn plan(config: Option<&Config>) -> (usize, usize) {
    const DEMO: f64 = 30.0 * 16.0 * 16.0 * 32.0 * 32.0; // K n² size²
    let cost = config.map_or(0.0, |config| {
        let square = |side: usize| (side * side) as f64;
        let step = |net: &EnergyConfig| square(net.features) * square(net.size);
        let nets = config.langevin.nets(&config.energy);
        let steps = Dynamics::from(&config.langevin).grids();
        nets.iter().zip(steps).map(|(net, steps)| steps.len() as f64 * step(net)).sum()
    });
    let share = DEMO / cost.max(DEMO);
    let of = |most: usize, least: usize| ((most as f64 * share).round() as usize).max(least);
    (of(MOST.0, LEAST.0), of(MOST.1, LEAST.1))
}

/// The first chains of `srm sample` from noise to image.
fn chains(run: &ShortRun<Net>, image: &[i64], every: usize) -> Result<Picture> {
    let ids: Vec<u64> = (0..ROWS as u64).collect();
    let z = run.start(SEED, &ids, image)?;
    let states = run.path(&z, &ids, every)?;
    let states = states.iter().map(to_bytes).collect::<srm_train::Result<Vec<_>>>()?;
    Ok(Picture::of_grid(&in_rows(&states, ROWS)?, states.len())?)
}

/// The first rows of `srm interpolate`.
fn interpolation(run: &ShortRun<Net>, image: &[i64], pairs: usize, bar: &ProgressBar) -> Result<Interpolation> {
    let rows = Rows::draw(run, image, SEED, (pairs, &rhos(POINTS)), bar)?;
    let images = to_bytes(&Tensor::f_cat(&rows.x, 0)?)?;
    let (mean, largest) = mean_and_largest(&rows.steps);
    Ok(Interpolation { picture: Picture::of_grid(&images, POINTS)?, rows: rows.x.len(), mean, largest })
}

/// A few images by the default method of `srm reconstruct`.
fn reconstruction(
    flags: &ReportFlags,
    (model, run): (&Model, &ShortRun<Net>),
    data: Result<&ImageSet, &String>,
    iterations: usize,
    bar: &ProgressBar,
) -> Result<Reconstructed> {
    let images = targets(flags, model, data)?;
    let count = images.dim().0;
    let target = to_tensor(&images)?.f_to_device(model.machine.device)?;
    let options = ReconstructOptions {
        snapshots: shares(&SHOWN, iterations),
        latent: Latent::Grids, // a ladder's z alone holds outlines
        ..ReconstructOptions::new(Method::best_for(run.has_curvature()), iterations, SEED)
    };
    let found = run.reconstruct(&target, None, &options, &mut |_| {
        bar.inc(1);
        !interrupt::asked()
    })?;
    let mut columns: Vec<Array4<u8>> = Vec::new();
    for (_, state) in &found.kept {
        columns.push(to_bytes(state)?);
    }
    columns.extend([to_bytes(&found.x)?, images]);
    let (mean, worst) = mean_and_worst(&found);
    Ok(Reconstructed {
        picture: Picture::of_grid(&in_rows(&columns, count)?, columns.len())?,
        count,
        given: flags.images.clone(),
        method: options.method.name(),
        step: options.step,
        shown: found.kept.iter().map(|(iteration, _)| *iteration).collect(),
        mean,
        worst,
    })
}

/// The images to reconstruct, u8 `[n, h, w, c]`.
fn targets(flags: &ReportFlags, model: &Model, data: Result<&ImageSet, &String>) -> Result<Array4<u8>> {
    let [h, w, c] = model.shape();
    if let Some(path) = &flags.images {
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
