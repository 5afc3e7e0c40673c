//! Run `srm interpolate`: rows of images on the way between two start noises, as in the paper's figure.

use std::{fmt, time::Instant};

use anyhow::Result;
use serde::Serialize;
use srm_data::{write_grid, write_npy};
use srm_latent::{ShortRun, rhos};
use srm_terminal::ProgressBar;
use srm_train::to_bytes;
use tch::Tensor;

use crate::{
    flags::InterpolateFlags,
    model::{Choice, Model, Net},
    pictures::{FRAMES, PADDING, animation},
    session::{Session, Shown, status, usage},
};

/// Interpolate, write the rows, and print how smooth they are.
///
/// # Errors
/// Bad usage, weights that cannot be used, chains that blow up, outputs that cannot be written.
pub fn run(flags: &InterpolateFlags, session: &Session) -> Result<()> {
    if flags.points < 2 {
        return Err(usage("--points must be at least 2: the two ends"));
    }
    let choice = Choice::of(&flags.model)?;
    let outputs = [Some(&flags.out), flags.also.npy.as_ref(), flags.also.animate.as_ref()];
    session.prepare(outputs.into_iter().flatten().map(|path| &**path))?;
    let model = Model::open(&flags.weights, &choice, &flags.model.compute, session)?;
    let noise = flags.generator.noise;
    let run = model.generator(noise.seeded(flags.seed), flags.generator.checkpoint_every as usize);
    let _guard = tch::no_grad_guard();
    let begun = Instant::now();
    let (pairs, points) = (usize::from(flags.pairs), usize::from(flags.points));
    model.check_chains(pairs * points, "--pairs or --points")?;
    let parts = pairs * if flags.also.animate.is_some() { 2 } else { 1 };
    let bar = session.bar(parts as u64, "rows");
    let rows = Rows::draw(&run, &model.image(), flags.seed, (pairs, &rhos(points)), &bar)?;
    let states = flags.also.animate.as_ref().map(|_| rows.states(&run, &bar)).transpose()?;
    bar.finish_and_clear();
    session.conclude(|| {
        let images = to_bytes(&Tensor::f_cat(&rows.x, 0)?)?;
        write_grid(&flags.out, &images.view(), points, PADDING)?;
        if let Some(path) = &flags.also.npy {
            write_npy(path, &images.view())?;
        }
        if let (Some(path), Some(states)) = (&flags.also.animate, &states) {
            animation::write(path, &animation::side_by_side(states)?, points)?;
        }
        Ok(Report {
            command: "interpolate",
            weights: Shown(&model.file),
            pairs,
            points,
            rho: rows.rhos,
            seed: flags.seed,
            noise: noise.name(),
            steps: model.langevin.steps,
            quiet_tail: model.quiet_tail,
            truncation: model.truncation,
            device: model.machine.device_name(),
            seconds: begun.elapsed().as_secs_f64(),
            out: Shown(&flags.out),
            npy: Shown::maybe(&flags.also.npy),
            animate: Shown::maybe(&flags.also.animate),
            shape: images.shape().to_vec(),
            smoothness: Smoothness::of(rows.steps, rows.ends),
        })
    })
}

/// Rows between the start noises of a seed.
pub struct Rows {
    /// The images of each row, `[points, c, h, w]`.
    pub x: Vec<Tensor>,
    /// Root mean square distances per pixel on the [-1, 1] scale: of neighbours in each row, and of its ends.
    pub steps: Vec<Vec<f64>>,
    pub ends: Vec<f64>,
    rhos: Vec<f64>,
    /// The two start noises of each row.
    codes: Vec<[Tensor; 2]>,
}

impl Rows {
    /// Draw rows: row p goes from image 2p of `srm sample` to image 2p + 1. `image`: `[c, h, w]`.
    ///
    /// # Errors
    /// Chains that blow up or are stopped.
    pub fn draw(
        run: &ShortRun<Net>,
        image: &[i64],
        seed: u64,
        (pairs, rhos): (usize, &[f64]),
        bar: &ProgressBar,
    ) -> Result<Rows> {
        let ids: Vec<u64> = (0..2 * pairs as u64).collect();
        let z = run.start(seed, &ids, image)?;
        let mut rows = Rows { x: vec![], steps: vec![], ends: vec![], rhos: rhos.to_vec(), codes: vec![] };
        for pair in 0..pairs as i64 {
            let (z1, z2) = (z.f_get(2 * pair)?, z.f_get(2 * pair + 1)?);
            // the noise of the first end's chain: with --noise fixed it is image 2·pair of `srm sample --seed`
            let row = run.interpolate(&z1, &z2, rhos, 2 * pair as u64)?;
            rows.x.push(row.x);
            rows.steps.push(row.steps);
            rows.ends.push(row.ends);
            rows.codes.push([z1, z2]);
            bar.inc(1);
        }
        Ok(rows)
    }

    /// The chains from noise to the rows, for an animation: the states of each row.
    fn states(&self, run: &ShortRun<Net>, bar: &ProgressBar) -> Result<Vec<Vec<Tensor>>> {
        let every = run.dynamics().steps.div_ceil(FRAMES);
        let row = |(pair, [z1, z2]): (usize, &[Tensor; 2])| {
            let codes = self.rhos.iter().map(|&rho| run.mix(z1, z2, rho)).collect::<srm_latent::Result<Vec<_>>>()?;
            let ids = vec![2 * pair as u64; codes.len()];
            bar.inc(1);
            Ok(run.path(&Tensor::f_stack(&codes, 0)?, &ids, every)?)
        };
        self.codes.iter().enumerate().map(row).collect()
    }
}

/// Root mean square distances per pixel on the [-1, 1] scale.
#[derive(Serialize)]
struct Smoothness {
    neighbours: Vec<Vec<f64>>,
    mean: f64,
    largest: f64,
    ends: Vec<f64>,
}

impl Smoothness {
    fn of(neighbours: Vec<Vec<f64>>, ends: Vec<f64>) -> Smoothness {
        let (mean, largest) = mean_and_largest(&neighbours);
        Smoothness { neighbours, mean, largest, ends }
    }
}

/// Of all distances of neighbours.
pub fn mean_and_largest(rows: &[Vec<f64>]) -> (f64, f64) {
    let all: Vec<f64> = rows.iter().flatten().copied().collect();
    (mean(&all), all.into_iter().fold(0.0, f64::max))
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// What was done.
#[derive(Serialize)]
struct Report<'a> {
    command: &'static str,
    weights: Shown<'a>,
    pairs: usize,
    points: usize,
    rho: Vec<f64>,
    seed: u64,
    noise: &'static str,
    steps: usize,
    quiet_tail: usize,
    truncation: Option<f64>,
    device: String,
    seconds: f64,
    out: Shown<'a>,
    npy: Option<Shown<'a>>,
    animate: Option<Shown<'a>>,
    /// `[pairs · points, h, w, c]`
    shape: Vec<usize>,
    smoothness: Smoothness,
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pairs, points, seed, smoothness, .. } = self;
        let seconds = status::duration(self.seconds);
        writeln!(out, "{pairs} rows of {points} images between start noises of seed {seed} in {seconds}")?;
        writeln!(
            out,
            "rms distance of neighbours {:.4} (largest {:.4}), of the two ends {:.4}, on the [-1, 1] scale",
            smoothness.mean,
            smoothness.largest,
            mean(&smoothness.ends)
        )?;
        write!(out, "pictures  {}", self.out)
    }
}
