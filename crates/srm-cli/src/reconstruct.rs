//! Run `srm reconstruct`: find the start noise of given images, whole, masked or noisy.

use std::{path::Path, time::Instant};

use anyhow::{Context, Result};
use ndarray::Array4;
use serde_json::json;
use srm_config::is_positive_f32;
use srm_data::{Gallery, write_npy};
use srm_latent::{Progress, ReconstructOptions, Reconstruction};
use srm_ranks::Ranks;
use srm_train::to_bytes;
use tch::Tensor;

use crate::{
    animation,
    arguments::{MethodChoice, ReconstructArguments},
    failure::{self, Failure, usage},
    generator::Generator,
    images::{digest, gallery, prepare_output},
    interrupt,
    output::Output,
    ranks, shared,
    shown::Shown,
    status,
};

/// Pixels between two images.
const PADDING: usize = 2;
/// Iterations that the figure shows, as shares of T.
const SHOWN: [f64; 6] = [0.0, 0.05, 0.1, 0.25, 0.5, 1.0];
/// Rows of the figure; --npy has all images.
const FIGURE_ROWS: usize = 16;
/// Frames of an animation.
const FRAMES: usize = 50;

/// Reconstruct, write the figure, and print the errors.
///
/// # Errors
/// Bad usage, images or weights that cannot be used, chains that blow up, outputs that cannot be written.
pub fn run(arguments: &ReconstructArguments, team: &dyn Ranks, output: &Output) -> Result<()> {
    let outputs = [Some(&arguments.out), arguments.npy.as_ref(), arguments.animate.as_ref()];
    for path in outputs.into_iter().flatten().filter(|_| team.rank() == 0) {
        prepare_output(path)?;
    }
    check(arguments)?;
    let generator = Generator::open(&arguments.model, arguments.seed, team)?;
    let method = arguments.method.unwrap_or_else(|| MethodChoice::default_for(generator.run.has_curvature()));
    let options = options(arguments, method);
    let [c, h, _] = generator.image;
    let most = arguments.count.map_or(usize::MAX, |count| count as usize);
    let gallery = gallery(&arguments.images, h as usize, c as usize, most)?;
    let (count, target) = (gallery.names.len(), to_tensor(&gallery.images)?.f_to_device(generator.machine.device)?);
    generator.check_chains(count * options.starts, "--count or --starts")?;
    ranks::same(team, "images", || Ok(format!("{count} images, {}", digest(&gallery.images))))?;
    let mask = arguments.mask.as_deref().map(|path| open_mask(path, count, generator.image)).transpose()?;
    let mask = mask.map(|mask| mask.f_to_device(generator.machine.device)).transpose()?;
    interrupt::watch(output.clone())?;
    let _guard = tch::no_grad_guard();
    let begun = Instant::now();
    let bar = output.bar(options.iterations as u64, "iterations");
    let mut seen = |progress: &Progress| {
        bar.set_position(progress.iteration as u64);
        bar.set_message(format!("mse {:.5}", progress.mse));
        !interrupt::asked()
    };
    let block = generator.options.spread.block;
    let found = shared::reconstruct(team, &generator.run, block, (&target, mask.as_ref()), &options, &mut seen);
    bar.finish_and_clear();
    let found = found.map_err(|error| match failure::is_stop(&*error) {
        true => Failure::Abandoned("interrupted before anything was found; nothing was written".to_owned()).into(),
        false => error,
    })?;
    let seconds = begun.elapsed().as_secs_f64();
    if team.rank() > 0 {
        return interrupted();
    }
    let x = to_bytes(&found.x)?;
    write_figure(&arguments.out, &gallery, mask.as_ref(), &found, &x)?;
    if let Some(path) = &arguments.npy {
        write_npy(path, &x.view())?;
    }
    if let Some(path) = &arguments.animate {
        let shown = found.kept.iter().map(|(_, state)| state.shallow_clone()).collect();
        animation::write(path, &animation::side_by_side(&[shown])?, animation::square(count), PADDING)?;
    }
    report(arguments, (method, &options), &generator, &gallery, &found, seconds, output)?;
    interrupted()
}

/// The end of a search that Ctrl-C has cut short.
fn interrupted() -> Result<()> {
    match interrupt::asked() {
        true => Err(Failure::Interrupted("interrupted; what was found so far is written".to_owned()).into()),
        false => Ok(()),
    }
}

fn check(arguments: &ReconstructArguments) -> Result<()> {
    if arguments.step.is_some_and(|step| !is_positive_f32(step)) {
        return Err(usage("--step must be a number > 0 that f32 holds"));
    }
    if arguments.observed_noise.is_some_and(|sigma| !is_positive_f32(sigma)) {
        return Err(usage("--observed-noise must be a number > 0 that f32 holds, in units of pixels in [-1, 1]"));
    }
    Ok(())
}

fn options(arguments: &ReconstructArguments, method: MethodChoice) -> ReconstructOptions {
    let iterations = arguments.iterations as usize;
    let mut keep: Vec<usize> = SHOWN.iter().map(|share| (share * iterations as f64).round() as usize).collect();
    if arguments.animate.is_some() {
        keep = (0..=iterations).step_by(iterations.div_ceil(FRAMES)).collect();
    }
    keep.dedup();
    let mut options = ReconstructOptions {
        latent: arguments.latent.into(),
        starts: usize::from(arguments.starts),
        enough: arguments.observed_noise.map(|sigma| sigma * sigma),
        ..method.options(iterations, arguments.seed, keep)
    };
    options.step = arguments.step.unwrap_or(options.step);
    options
}

/// 1 where the mask is white (128 and more), for one mask or one an image, `[n, c, h, w]`.
fn open_mask(path: &Path, count: usize, [c, h, _]: [i64; 3]) -> Result<Tensor> {
    let masks =
        gallery(path, h as usize, 1, count).with_context(|| format!("cannot read the mask {}", path.display()))?;
    let found = masks.names.len();
    if found != 1 && found != count {
        return Err(usage(format!(
            "{} holds {found} masks for {count} images; give one, or one an image",
            path.display()
        )));
    }
    let white: Vec<f32> = masks.images.iter().map(|&byte| f32::from(byte >= 128)).collect();
    let mask = Tensor::f_from_slice(&white)?.f_reshape([found as i64, 1, h, h])?;
    Ok(mask.f_expand([count as i64, c, h, h], false)?.f_contiguous()?)
}

/// Bytes as p/127.5 − 1, `[n, c, h, w]`.
///
/// # Errors
/// libtorch refuses.
pub fn to_tensor(images: &Array4<u8>) -> Result<Tensor> {
    let (n, h, w, c) = images.dim();
    let values: Vec<f32> = images.iter().map(|&byte| f32::from(byte) / 127.5 - 1.0).collect();
    let tensor = Tensor::f_from_slice(&values)?.f_reshape([n as i64, h as i64, w as i64, c as i64])?;
    Ok(tensor.f_permute([0, 3, 1, 2])?.f_contiguous()?)
}

/// A row an image: M(z) at the iterations shown, the best, the target, and with a mask what was observed of it.
fn write_figure(
    path: &Path,
    gallery: &Gallery,
    mask: Option<&Tensor>,
    found: &Reconstruction,
    best: &Array4<u8>,
) -> Result<()> {
    let mut columns: Vec<Array4<u8>> = Vec::new();
    let all = &found.kept;
    let every = all.len().div_ceil(SHOWN.len()).max(1);
    for (_, state) in all.iter().step_by(every) {
        columns.push(to_bytes(state)?);
    }
    columns.push(best.clone());
    if let Some(mask) = mask {
        let observed = to_tensor(&gallery.images)?.f_to_device(mask.device())?;
        // what is not observed is shown black
        columns.push(to_bytes(&observed.f_add_scalar(1.0)?.f_mul(mask)?.f_sub_scalar(1.0)?)?);
    }
    columns.push(gallery.images.clone());
    animation::write_rows(path, &columns, gallery.names.len().min(FIGURE_ROWS), PADDING)
}

fn report(
    arguments: &ReconstructArguments,
    (method, options): (MethodChoice, &ReconstructOptions),
    generator: &Generator,
    gallery: &Gallery,
    found: &Reconstruction,
    seconds: f64,
    output: &Output,
) -> Result<()> {
    let count = found.mse.len();
    let mean = found.mse.iter().sum::<f64>() / count.max(1) as f64;
    let worst = found.mse.iter().copied().fold(0.0, f64::max);
    let object = json!({
        "command": "reconstruct", "weights": Shown(&generator.file), "images": Shown(&arguments.images), "count": count,
        "iterations": options.iterations, "method": method.name(), "step": options.step,
        "latent": arguments.latent.name(), "starts": options.starts, "noise": generator.noise_name(),
        "seed": options.seed, "steps": generator.run.dynamics().steps, "mask": arguments.mask.as_deref().map(Shown),
        "observed_noise": arguments.observed_noise, "device": generator.machine.device_name(), "seconds": seconds,
        "out": Shown(&arguments.out), "npy": arguments.npy.as_deref().map(Shown),
        "animate": arguments.animate.as_deref().map(Shown),
        "mse": found.mse, "mean_mse": mean, "best_iteration": found.iteration, "curve": found.curve(),
        "moved": found.mean_moved(), "names": gallery.names,
    });
    let text = format!(
        "{count} images, {} iterations ({}, step {}, z {}) in {}\nmse per observed pixel on the [-1, 1] scale: mean {mean:.5}, worst {worst:.5}\n|M(z) − z| {:.3} (rms per pixel; 0 would be a generator that does nothing)\nfigure  {} (iterates from left to right, the best, the target)",
        options.iterations,
        method.name(),
        options.step,
        arguments.latent.name(),
        status::duration(seconds),
        found.mean_moved(),
        arguments.out.display()
    );
    output.result(&object, &text)
}
