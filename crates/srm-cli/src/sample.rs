//! Run `srm sample`: draw keyed chains from trained weights and write them as grid, array, folder or strip.

use std::{path::Path, time::Instant};

use anyhow::{Context, Result, bail};
use indicatif::ProgressBar;
use ndarray::Array4;
use serde_json::json;
use srm_config::{Config, Init};
use srm_data::{ImageSet, nearest, write_grid, write_npy, write_pngs};
use srm_langevin::{Chains, Observer, Outcome, Path as States, Sampler, SamplerOptions, Samples};
use srm_train::to_bytes;
use tch::Tensor;

use crate::{
    animation::{self, square, write_rows},
    arguments::SampleArguments,
    failure::{Failure, usage},
    images::prepare_output,
    machine::Machine,
    neighbours::with_neighbours,
    output::Output,
    status, weights,
};

/// Chains of a strip.
const STRIP_ROWS: usize = 8;
/// Steps between two states of a strip are a tenth of the chain: 11 states.
const STRIP_PARTS: usize = 10;
/// Chains of an animation, and the most frames it has besides the last.
const MOVING: usize = 64;
const FRAMES: usize = 50;
/// Pixels between two images.
const PADDING: usize = 2;

/// What --out asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Grid,
    Array,
    Folder,
}

/// Draw samples, write them, and print what was done.
///
/// # Errors
/// Bad usage, weights that cannot be used, chains that blow up, outputs that cannot be written.
pub fn run(arguments: &SampleArguments, output: &Output) -> Result<()> {
    let form = check(arguments)?;
    let config = arguments.config.as_deref().map(|path| Config::load(path, &[])).transpose()?;
    for path in [Some(&arguments.out), arguments.chain.as_ref(), arguments.animate.as_ref()].into_iter().flatten() {
        prepare_output(&if *path == arguments.out && form == Form::Folder {
            path.join("0.png")
        } else {
            path.clone()
        })?;
    }
    let machine = Machine::open(&arguments.compute)?;
    let loaded = weights::load(&arguments.weights, config.as_ref(), arguments.steps, &machine)?;
    let (net, langevin) = (loaded.net, loaded.langevin);
    if matches!(langevin.init, Init::Data | Init::Persistent(_)) {
        tracing::info!("this net was trained with chains from data or a bank; these start from uniform noise");
    }
    let energy = net.config().clone();
    let training_set =
        arguments.nearest.as_deref().map(|path| open_like(path, energy.size, energy.channels)).transpose()?;
    let block = machine.block(arguments.block, &langevin);
    let threads = machine.threads;
    let count = arguments.count as usize;

    tch::set_num_threads(1); // the workers do the work
    let _guard = tch::no_grad_guard();
    let begun = Instant::now();
    let image = [energy.channels, energy.size, energy.size].map(|side| side as i64);
    let sampler = Sampler::new(&net, &langevin, image, SamplerOptions { threads, block });
    let bar = output.bar((count.div_ceil(block) * langevin.steps) as u64, "steps");
    let (strip_every, wants_strip) = (langevin.steps.div_ceil(STRIP_PARTS), arguments.chain.is_some());
    let (frame_every, wants_frames) = (langevin.steps.div_ceil(FRAMES), arguments.animate.is_some());
    let seen = bar.clone();
    let observe = move |first: u64| Watch {
        bar: seen.clone(),
        strip: (wants_strip && first < STRIP_ROWS as u64).then(|| States::new(strip_every)),
        frames: (wants_frames && first < MOVING as u64).then(|| States::new(frame_every)),
    };
    let (outcome, watches) = sampler.run(&Chains::samples(arguments.seed, count), observe)?;
    bar.finish_and_clear();
    let x = match outcome {
        Outcome::Finished(Samples { x }) => x,
        Outcome::Diverged { step, .. } => return Err(Failure::Diverged(divergence(step)).into()),
    };
    let samples = to_bytes(&x)?;
    let seconds = begun.elapsed().as_secs_f64();

    if let Some(path) = &arguments.chain {
        let rows = count.min(STRIP_ROWS);
        write_rows(path, &by_state(&watches, |watch| watch.strip.as_ref(), rows)?, rows, PADDING)?;
    }
    if let Some(path) = &arguments.animate {
        let frames = by_state(&watches, |watch| watch.frames.as_ref(), count.min(MOVING))?;
        animation::write(path, &frames, square(count.min(MOVING)), PADDING)?;
    }
    let neighbours = match (&training_set, &arguments.nearest) {
        (Some(set), Some(data)) => {
            let found = nearest(set, &samples.view())?;
            Some((set, data, found))
        }
        _ => None,
    };
    let columns = arguments.columns.map_or_else(|| square(count), usize::from).min(count);
    match (form, &neighbours) {
        (Form::Array, _) => write_npy(&arguments.out, &samples.view())?,
        (Form::Folder, _) => write_pngs(&arguments.out, &samples.view())?,
        (Form::Grid, None) => write_grid(&arguments.out, &samples.view(), columns, PADDING)?,
        (Form::Grid, Some((set, _, found))) => {
            let rows = with_neighbours(&samples, set, found, columns)?;
            write_grid(&arguments.out, &rows.view(), columns, PADDING)?;
        }
    }

    let object = json!({
        "command": "sample", "weights": loaded.file, "count": count, "seed": arguments.seed, "steps": langevin.steps,
        "device": machine.device_name(), "threads": threads, "block": block, "seconds": seconds, "out": arguments.out,
        "shape": samples.shape(), "chain": arguments.chain, "animate": arguments.animate,
        "nearest": neighbours.as_ref().map(|(_, data, found)| json!({
            "data": data,
            "indices": found.iter().map(|one| one.index).collect::<Vec<_>>(),
            "distances": found.iter().map(|one| one.distance).collect::<Vec<_>>(),
        })),
    });
    let mut text = format!(
        "{count} samples of {} ({} steps, seed {}) in {}\npictures  {}",
        loaded.file.display(),
        langevin.steps,
        arguments.seed,
        status::duration(seconds),
        arguments.out.display()
    );
    if let Some(chain) = &arguments.chain {
        text += &format!("\nchains    {}", chain.display());
    }
    output.result(&object, &text)
}

/// The form of --out, where the flags go together.
fn check(arguments: &SampleArguments) -> Result<Form> {
    let form = match extension(&arguments.out).as_deref() {
        Some("png") => Form::Grid,
        Some("npy") => Form::Array,
        Some("jpg" | "jpeg" | "gif" | "webp" | "bmp" | "tif" | "tiff" | "npz" | "pt") => {
            return Err(usage(format!(
                "--out {}: this form is not written; take X.png, X.npy or a folder",
                arguments.out.display()
            )));
        }
        _ => Form::Folder,
    };
    if arguments.nearest.is_some() && form != Form::Grid {
        return Err(usage("--nearest makes a grid; give --out X.png"));
    }
    if let Some(chain) = &arguments.chain {
        if extension(chain).as_deref() != Some("png") {
            return Err(usage(format!("--chain {}: the strip is a picture; give X.png", chain.display())));
        }
        if *chain == arguments.out {
            return Err(usage("--chain and --out name the same file; give two names"));
        }
    }
    Ok(form)
}

fn extension(path: &Path) -> Option<String> {
    path.extension().map(|extension| extension.to_string_lossy().to_lowercase())
}

/// Open an image set and refuse one whose images are not `size`×`size`×`channels`.
fn open_like(path: &Path, size: usize, channels: usize) -> Result<ImageSet> {
    let set = ImageSet::open(path).with_context(|| format!("cannot use --nearest {}", path.display()))?;
    if (set.height(), set.width(), set.channels()) != (size, size, channels) {
        bail!(
            "--nearest {}: its images are {}×{}×{}, the net's are {size}×{size}×{channels}; give the set it was trained on",
            path.display(),
            set.height(),
            set.width(),
            set.channels()
        );
    }
    Ok(set)
}

fn divergence(step: usize) -> String {
    format!(
        "the chains diverged at Langevin step {step}: numbers were no longer finite; take the Langevin settings the weights \
         were trained with, or an earlier checkpoint"
    )
}

/// Moves the bar, and keeps the states of the chains that the strip and the animation show.
struct Watch {
    bar: ProgressBar,
    strip: Option<States>,
    frames: Option<States>,
}

impl Observer for Watch {
    fn step(&mut self, step: usize, x: &Tensor, f: &Tensor, gradient: &Tensor) -> srm_langevin::Result<()> {
        self.bar.inc(1);
        let kept = [&mut self.strip, &mut self.frames].into_iter().flatten();
        kept.into_iter().try_for_each(|states| states.step(step, x, f, gradient))
    }

    fn end(&mut self, x: &Tensor) -> srm_langevin::Result<()> {
        [&mut self.strip, &mut self.frames].into_iter().flatten().try_for_each(|states| states.end(x))
    }
}

/// The states that were kept of the first `rows` chains: one array `[rows, h, w, c]` a state, noise first.
fn by_state(watches: &[Watch], kept: impl Fn(&Watch) -> Option<&States>, rows: usize) -> Result<Vec<Array4<u8>>> {
    let kept: Vec<&[Tensor]> = watches.iter().filter_map(|watch| Some(kept(watch)?.states())).collect();
    let state = |k: usize| {
        let blocks: Vec<&Tensor> = kept.iter().map(|states| &states[k]).collect();
        to_bytes(&Tensor::f_cat(&blocks, 0)?.f_narrow(0, 0, rows as i64)?).map_err(anyhow::Error::from)
    };
    (0..kept.first().map_or(0, |states| states.len())).map(state).collect()
}
