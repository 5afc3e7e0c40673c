//! Run `srm reconstruct`: find the start noise of given images, whole, masked or noisy.

use std::{fmt, path::Path, time::Instant};

use anyhow::{Context, Result};
use ndarray::Array4;
use serde::Serialize;
use srm_config::is_positive_f32;
use srm_data::{Gallery, write_npy};
use srm_latent::{Latent, Method, Progress, ReconstructOptions, Reconstruction};
use srm_train::{to_bytes, to_tensor};
use tch::Tensor;

use crate::{
    flags::ReconstructFlags,
    images::{digest, gallery},
    model::{Choice, Model, shared},
    pictures::{FRAMES, animation, square, write_rows},
    session::{Failure, Session, Shown, failure, interrupt, status, usage},
};

/// Iterations that the figure shows, as shares of T.
const SHOWN: [f64; 6] = [0.0, 0.05, 0.1, 0.25, 0.5, 1.0];
/// Rows of the figure; --npy has all images.
const FIGURE_ROWS: usize = 16;

/// Reconstruct, write the figure, and print the errors.
///
/// # Errors
/// Bad usage, images or weights that cannot be used, chains that blow up, outputs that cannot be written.
pub fn run(flags: &ReconstructFlags, session: &Session) -> Result<()> {
    check(flags)?;
    let choice = Choice::of(&flags.model)?;
    let outputs = [Some(&flags.out), flags.also.npy.as_ref(), flags.also.animate.as_ref()];
    session.prepare(outputs.into_iter().flatten().map(|path| &**path))?;
    let model = Model::open(&flags.weights, &choice, &flags.model.compute, session)?;
    let run = model.generator(flags.generator.noise.seeded(flags.seed), flags.generator.checkpoint_every as usize);
    let options = options(flags, run.has_curvature());
    if model.net.grids() > 1 && flags.latent != Latent::Grids {
        tracing::info!("the z of a ladder is small and holds outlines; --latent grids finds a start on each grid");
    }
    let [size, _, channels] = model.shape();
    let most = flags.count.map_or(usize::MAX, |count| count as usize);
    let gallery = gallery(&flags.images, size, channels, most)?;
    let (count, device) = (gallery.names.len(), model.machine.device);
    let target = to_tensor(&gallery.images)?.f_to_device(device)?;
    model.check_chains(count * options.starts, "--count or --starts")?;
    session.same("images", || Ok(format!("{count} images, {}", digest(&gallery.images))))?;
    let mask = flags.mask.as_deref().map(|path| open_mask(path, count, model.image())).transpose()?;
    let mask = mask.map(|mask| mask.f_to_device(device)).transpose()?;
    session.watch_interrupts()?;
    let _guard = tch::no_grad_guard();
    let begun = Instant::now();
    let bar = session.bar(options.iterations as u64, "iterations");
    let mut seen = |progress: &Progress| {
        bar.set_position(progress.iteration as u64);
        bar.set_message(format!("mse {:.5}", progress.mse));
        !interrupt::asked()
    };
    let images = (&target, mask.as_ref());
    let found = shared::reconstruct(&**session.ranks(), &run, model.block, images, &options, &mut seen);
    bar.finish_and_clear();
    let found = found.map_err(|error| match failure::is_stop(&*error) {
        true => Failure::Abandoned("interrupted before anything was found; nothing was written".to_owned()).into(),
        false => error,
    })?;
    let seconds = begun.elapsed().as_secs_f64();
    session.conclude(|| {
        write(flags, &gallery, mask.as_ref(), &found)?;
        Ok(Report::new(flags, &options, &model, gallery.names, &found, seconds))
    })?;
    match interrupt::asked() {
        true => Err(Failure::Interrupted("interrupted; what was found so far is written".to_owned()).into()),
        false => Ok(()),
    }
}

fn check(flags: &ReconstructFlags) -> Result<()> {
    if flags.step.is_some_and(|step| !is_positive_f32(step)) {
        return Err(usage("--step must be a number > 0 that f32 holds"));
    }
    if flags.observed_noise.is_some_and(|sigma| !is_positive_f32(sigma)) {
        return Err(usage("--observed-noise must be a number > 0 that f32 holds, in units of pixels in [-1, 1]"));
    }
    Ok(())
}

fn options(flags: &ReconstructFlags, net_has_curvature: bool) -> ReconstructOptions {
    let iterations = flags.iterations as usize;
    let mut snapshots = shares(&SHOWN, iterations);
    if flags.also.animate.is_some() {
        snapshots = (0..=iterations).step_by(iterations.div_ceil(FRAMES)).collect();
    }
    let method = flags.method.unwrap_or_else(|| Method::best_for(net_has_curvature));
    let mut options = ReconstructOptions {
        latent: flags.latent,
        starts: usize::from(flags.starts),
        target_mse: flags.observed_noise.map(|sigma| sigma * sigma),
        snapshots,
        ..ReconstructOptions::new(method, iterations, flags.seed)
    };
    options.step = flags.step.unwrap_or(options.step);
    options
}

/// Iterations at these shares of all.
pub fn shares(shares: &[f64], iterations: usize) -> Vec<usize> {
    let mut shown: Vec<usize> = shares.iter().map(|share| (share * iterations as f64).round() as usize).collect();
    shown.dedup();
    shown
}

/// 1 where the mask is white (128 and more), for one mask or one per image, `[n, c, h, w]`.
fn open_mask(path: &Path, count: usize, [c, h, _]: [i64; 3]) -> Result<Tensor> {
    let masks =
        gallery(path, h as usize, 1, count).with_context(|| format!("cannot read the mask {}", path.display()))?;
    let found = masks.names.len();
    if found != 1 && found != count {
        return Err(usage(format!(
            "{} holds {found} masks for {count} images; give one, or one per image",
            path.display()
        )));
    }
    observed(masks.images.iter(), (found, count), [c, h, h])
}

/// 1 where a mask is white (128 and more): `found` masks, one or `count`, as `[count, c, h, w]`.
///
/// # Errors
/// There are other numbers of them.
pub fn observed<'a>(
    masks: impl Iterator<Item = &'a u8>,
    (found, count): (usize, usize),
    [c, h, w]: [i64; 3],
) -> Result<Tensor> {
    let white: Vec<f32> = masks.map(|&byte| f32::from(byte >= 128)).collect();
    let mask = Tensor::f_from_slice(&white)?.f_reshape([found as i64, 1, h, w])?;
    Ok(mask.f_expand([count as i64, c, h, w], false)?.f_contiguous()?)
}

/// Write the figure, and what else is asked for.
fn write(flags: &ReconstructFlags, gallery: &Gallery, mask: Option<&Tensor>, found: &Reconstruction) -> Result<()> {
    let x = to_bytes(&found.x)?;
    write_figure(&flags.out, gallery, mask, found, &x)?;
    if let Some(path) = &flags.also.npy {
        write_npy(path, &x.view())?;
    }
    if let Some(path) = &flags.also.animate {
        let shown = found.kept.iter().map(|(_, state)| state.shallow_clone()).collect();
        animation::write(path, &animation::side_by_side(&[shown])?, square(gallery.names.len()))?;
    }
    Ok(())
}

/// A row per image: M(z) at the iterations shown, the best, the target, and with a mask what was observed of it.
fn write_figure(
    path: &Path,
    gallery: &Gallery,
    mask: Option<&Tensor>,
    found: &Reconstruction,
    best: &Array4<u8>,
) -> Result<()> {
    let mut columns: Vec<Array4<u8>> = Vec::new();
    let every = found.kept.len().div_ceil(SHOWN.len()).max(1);
    for (_, state) in found.kept.iter().step_by(every) {
        columns.push(to_bytes(state)?);
    }
    columns.push(best.clone());
    if let Some(mask) = mask {
        let observed = to_tensor(&gallery.images)?.f_to_device(mask.device())?;
        // what is not observed is shown black
        columns.push(to_bytes(&observed.f_add_scalar(1.0)?.f_mul(mask)?.f_sub_scalar(1.0)?)?);
    }
    columns.push(gallery.images.clone());
    write_rows(path, &columns, gallery.names.len().min(FIGURE_ROWS))
}

/// What was found. Errors are mean squares per observed pixel on the [-1, 1] scale.
#[derive(Serialize)]
struct Report<'a> {
    command: &'static str,
    weights: Shown<'a>,
    images: Shown<'a>,
    count: usize,
    iterations: usize,
    method: &'static str,
    step: f64,
    latent: &'static str,
    starts: usize,
    noise: &'static str,
    seed: u64,
    steps: usize,
    quiet_tail: usize,
    truncation: Option<f64>,
    mask: Option<Shown<'a>>,
    observed_noise: Option<f64>,
    device: String,
    seconds: f64,
    out: Shown<'a>,
    npy: Option<Shown<'a>>,
    animate: Option<Shown<'a>>,
    mse: &'a [f64],
    mean_mse: f64,
    best_iteration: &'a [usize],
    curve: Vec<f64>,
    moved: f64,
    names: Vec<String>,
    #[serde(skip)]
    worst_mse: f64,
}

impl<'a> Report<'a> {
    fn new(
        flags: &'a ReconstructFlags,
        options: &ReconstructOptions,
        model: &'a Model,
        names: Vec<String>,
        found: &'a Reconstruction,
        seconds: f64,
    ) -> Self {
        let (mean_mse, worst_mse) = mean_and_worst(found);
        Self {
            command: "reconstruct",
            weights: Shown(&model.file),
            images: Shown(&flags.images),
            count: found.mse.len(),
            iterations: options.iterations,
            method: options.method.name(),
            step: options.step,
            latent: options.latent.name(),
            starts: options.starts,
            noise: flags.generator.noise.name(),
            seed: options.seed,
            steps: model.langevin.steps,
            quiet_tail: model.quiet_tail,
            truncation: model.truncation,
            mask: Shown::maybe(&flags.mask),
            observed_noise: flags.observed_noise,
            device: model.machine.device_name(),
            seconds,
            out: Shown(&flags.out),
            npy: Shown::maybe(&flags.also.npy),
            animate: Shown::maybe(&flags.also.animate),
            mse: &found.mse,
            mean_mse,
            best_iteration: &found.iteration,
            curve: found.curve(),
            moved: found.mean_displacement(),
            names,
            worst_mse,
        }
    }
}

/// The mean of the images' errors, and the largest.
pub fn mean_and_worst(found: &Reconstruction) -> (f64, f64) {
    let mean = found.mse.iter().sum::<f64>() / found.mse.len().max(1) as f64;
    (mean, found.mse.iter().copied().fold(0.0, f64::max))
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, iterations, method, step, latent, mean_mse, worst_mse, moved, .. } = self;
        let seconds = status::duration(self.seconds);
        writeln!(out, "{count} images, {iterations} iterations ({method}, step {step}, z {latent}) in {seconds}")?;
        writeln!(
            out,
            "mse per observed pixel on the [-1, 1] scale: mean {mean_mse:.5}, worst {worst_mse:.5}\n\
             |M(z) − z| {moved:.3} (rms per pixel; 0 would be a generator that does nothing)"
        )?;
        write!(out, "figure  {} (iterates from left to right, the best, the target)", self.out)
    }
}
