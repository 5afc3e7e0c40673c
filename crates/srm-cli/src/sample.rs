//! Run `srm sample`: draw keyed chains from trained weights and write them as grid, array, folder or strip.

use std::{ops::Range, path::Path, time::Instant};

use anyhow::{Context, Result, bail};
use ndarray::Array4;
use serde_json::json;
use srm_config::{Config, Init};
use srm_data::{ImageSet, nearest, sha256_of_file, write_grid, write_npy, write_pngs};
use srm_langevin::{Chains, Observer, Path as States, Sampler, Spread};
use srm_ranks::Ranks;
use srm_terminal::ProgressBar;
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
    ranks, shared,
    shown::Shown,
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
pub fn run(arguments: &SampleArguments, team: &dyn Ranks, output: &Output) -> Result<()> {
    let form = check(arguments)?;
    let config = arguments.config.as_deref().map(|path| Config::load(path, &[])).transpose()?;
    let outputs = [Some(&arguments.out), arguments.chain.as_ref(), arguments.animate.as_ref()];
    for path in outputs.into_iter().flatten().filter(|_| team.rank() == 0) {
        prepare_output(&if *path == arguments.out && form == Form::Folder {
            path.join("0.png")
        } else {
            path.clone()
        })?;
    }
    let machine = Machine::open(&arguments.compute)?;
    let file = ranks::agree_on_file(team, || weights::locate(&arguments.weights))?;
    let loaded = weights::load(&file, &arguments.key, config.as_ref(), arguments.steps, &machine)?;
    ranks::same(team, "weights", || Ok(sha256_of_file(&loaded.file)?))?;
    let (net, langevin) = (loaded.net, loaded.langevin);
    if matches!(langevin.init, Init::Data | Init::Persistent(_)) {
        tracing::info!("this net was trained with chains from data or a bank; these start from uniform noise");
    }
    let energy = net.config().clone();
    let nearest_of = arguments.nearest.as_deref().filter(|_| team.rank() == 0);
    let training_set = nearest_of.map(|path| open_like(path, energy.size, energy.channels)).transpose()?;
    let block = ranks::agree(team, || Ok(machine.block(arguments.block, &langevin)))?;
    let threads = machine.threads;
    let count = arguments.count as usize;
    machine.check_chains(&energy, block, count, "--count")?;

    tch::set_num_threads(1); // the workers do the work
    let _guard = tch::no_grad_guard();
    let begun = Instant::now();
    let sampler = Sampler::new(&net, &langevin, &net.image(), Spread { threads, block });
    let mine = team.own_rows(count, block);
    let bar = output.bar((mine.len().div_ceil(block) * langevin.steps) as u64, "steps");
    let (strip_every, wants_strip) = (langevin.steps.div_ceil(STRIP_PARTS), arguments.chain.is_some());
    let (frame_every, wants_frames) = (langevin.steps.div_ceil(FRAMES), arguments.animate.is_some());
    let seen = bar.clone();
    let observe = move |first: u64| Watch {
        bar: seen.clone(),
        strip: (wants_strip && first < STRIP_ROWS as u64).then(|| States::new(strip_every)),
        frames: (wants_frames && first < MOVING as u64).then(|| States::new(frame_every)),
    };
    let (x, watches) = shared::chains(team, &sampler, &Chains::samples(arguments.seed, count), observe)?;
    bar.finish_and_clear();
    let x = x.map_err(|step| Failure::Diverged(divergence(step)))?;
    let samples = team.gather_images(to_bytes(&x)?)?;
    let seconds = begun.elapsed().as_secs_f64();
    let (strip_rows, moving) = (count.min(STRIP_ROWS), count.min(MOVING));
    let strip = by_state(team, &watches, |watch| watch.strip.as_ref(), (&mine, strip_rows))?;
    let frames = by_state(team, &watches, |watch| watch.frames.as_ref(), (&mine, moving))?;
    if team.rank() > 0 {
        return Ok(());
    }

    if let Some(path) = &arguments.chain {
        write_rows(path, &strip, strip_rows, PADDING)?;
    }
    if let Some(path) = &arguments.animate {
        animation::write(path, &frames, square(moving), PADDING)?;
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
        "command": "sample", "weights": Shown(&loaded.file), "count": count, "seed": arguments.seed, "steps": langevin.steps,
        "device": machine.device_name(), "threads": threads, "block": block, "seconds": seconds, "out": Shown(&arguments.out),
        "shape": samples.shape(), "chain": arguments.chain.as_deref().map(Shown),
        "animate": arguments.animate.as_deref().map(Shown),
        "nearest": neighbours.as_ref().map(|(_, data, found)| json!({
            "data": Shown(data),
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

/// The states that were kept of the first `count` chains: one array `[count, h, w, c]` a state, noise first; at rank 0. This rank
/// has run the chains `mine`.
fn by_state(
    team: &dyn Ranks,
    watches: &[Watch],
    kept: impl Fn(&Watch) -> Option<&States>,
    (mine, count): (&Range<usize>, usize),
) -> Result<Vec<Array4<u8>>> {
    let kept: Vec<&[Tensor]> = watches.iter().filter_map(|watch| Some(kept(watch)?.states())).collect();
    // rank 0 runs the first chains, so it has kept some where any rank has
    let states = ranks::agree(team, || Ok(kept.first().map_or(0, |states| states.len())))?;
    let own = mine.end.min(count) - mine.start.min(count);
    let state = |k: usize| {
        let blocks: Vec<&Tensor> = kept.iter().map(|states| &states[k]).collect();
        let images = match own {
            0 => Array4::zeros((0, 0, 0, 0)),
            own => to_bytes(&Tensor::f_cat(&blocks, 0)?.f_narrow(0, 0, own as i64)?)?,
        };
        Ok(team.gather_images(images)?)
    };
    (0..states).map(state).collect()
}
