//! Run `srm sample`: draw keyed chains from trained weights and write them as grid, array, folder or strip.

mod kept;

use std::{fmt, path::Path, time::Instant};

use anyhow::{Context, Result};
use ndarray::Array4;
use serde::Serialize;
use srm_data::{ImageSet, nearest, write_grid, write_npy, write_pngs};
use srm_langevin::{Chains, Known, Observer, Path as States};
use srm_latent::ChainNoise;
use srm_terminal::ProgressBar;
use srm_train::to_bytes;
use tch::Tensor;

use crate::{
    flags::{SampleFlags, Size},
    model::{Choice, Code, Model, shared},
    pictures::{FRAMES, PADDING, animation, square, with_neighbours, write_rows},
    session::{Failure, Session, Shown, status, usage},
};

use kept::Kept;

/// Chains of a strip.
const STRIP_ROWS: usize = 8;
/// Steps between two states of a strip are a tenth of the chain: 11 states.
const STRIP_PARTS: usize = 10;
/// What a net for images of any size makes where nobody says how large.
const LARGE: Size = Size([256, 256]);
/// Chains of an animation.
const MOVING: usize = 64;

/// Draw samples, write them, and print what was done.
///
/// # Errors
/// Bad usage, weights that cannot be used, chains that blow up, outputs that cannot be written.
pub fn run(flags: &SampleFlags, session: &Session) -> Result<()> {
    let form = Form::of(flags)?;
    let choice = Choice::of(&flags.model)?;
    let probe = if form == Form::Folder { flags.out.join("0.png") } else { flags.out.clone() };
    session.prepare(
        [Some(&probe), flags.chain.as_ref(), flags.animate.as_ref()].into_iter().flatten().map(|path| &**path),
    )?;
    let mut model = Model::open(&flags.weights, &choice, &flags.model.compute, session)?;
    let kept = flags.grow.as_deref().map(|path| Kept::open(path, flags.mask.as_deref(), &model)).transpose()?;
    let usual = || match &kept {
        Some(kept) if kept.mask.is_some() => Some(kept.size()), // what is left of a picture, in its size
        _ => model.net.config().any_size.then_some(LARGE),
    };
    if let Some(Size([height, width])) = flags.size.or_else(usual) {
        model.resize([height, width])?;
    }
    match model.net.config().any_size {
        true if !flags.tile => model.hide_borders()?,
        false if flags.tile => {
            let size = model.net.config().size;
            return Err(usage(format!(
                "--tile: this net makes images of {size}x{size} px alone (energy.any_size closes borders)"
            )));
        }
        _ => {}
    }
    let known = kept.map(|kept| kept.within(&model)).transpose()?;
    model.mention_start();
    let mut set = None;
    session.write(|| {
        set = flags.nearest.as_deref().map(|path| open_like(path, &model)).transpose()?;
        Ok(())
    })?;
    let count = if flags.code.is_empty() { flags.count as usize } else { flags.code.len() };
    model.check_chains(count, "--count")?;

    let _guard = tch::no_grad_guard();
    let drawn = if flags.code.is_empty() { draw(flags, &model, known, session)? } else { of_codes(flags, &model)? };
    session.conclude(|| {
        if let Some(path) = &flags.chain {
            write_rows(path, &drawn.strip, count.min(STRIP_ROWS))?;
        }
        if let Some(path) = &flags.animate {
            animation::write(path, &drawn.frames, square(count.min(MOVING)))?;
        }
        let nearest = write(flags, form, &drawn.samples, set.as_ref())?;
        Ok(Report {
            command: "sample",
            weights: Shown(&model.file),
            count,
            seed: flags.seed,
            steps: model.langevin.steps,
            quiet_tail: model.quiet_tail,
            truncation: model.truncation,
            device: model.machine.device_name(),
            threads: model.machine.threads,
            block: model.block,
            seconds: drawn.seconds,
            out: Shown(&flags.out),
            shape: drawn.samples.shape().to_vec(),
            chain: Shown::maybe(&flags.chain),
            animate: Shown::maybe(&flags.animate),
            nearest,
        })
    })
}

/// What was done.
#[derive(Serialize)]
struct Report<'a> {
    command: &'static str,
    weights: Shown<'a>,
    count: usize,
    seed: u64,
    steps: usize,
    quiet_tail: usize,
    truncation: Option<f64>,
    device: String,
    threads: usize,
    block: usize,
    seconds: f64,
    out: Shown<'a>,
    /// `[n, h, w, c]`
    shape: Vec<usize>,
    chain: Option<Shown<'a>>,
    animate: Option<Shown<'a>>,
    nearest: Option<Nearest<'a>>,
}

/// The images of --nearest that are nearest to the samples.
#[derive(Serialize)]
struct Nearest<'a> {
    data: Shown<'a>,
    indices: Vec<usize>,
    distances: Vec<f64>,
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, steps, seed, .. } = self;
        let (weights, seconds) = (&self.weights, status::duration(self.seconds));
        writeln!(out, "{count} samples of {weights} ({steps} steps, seed {seed}) in {seconds}")?;
        write!(out, "pictures  {}", self.out)?;
        self.chain.map_or(Ok(()), |chain| write!(out, "\nchains    {chain}"))
    }
}

/// What --out asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Grid,
    Array,
    Folder,
}

impl Form {
    /// The form of --out, where the flags go together.
    fn of(flags: &SampleFlags) -> Result<Form> {
        let form = match extension(&flags.out).as_deref() {
            Some("png") => Form::Grid,
            Some("npy") => Form::Array,
            Some("jpg" | "jpeg" | "gif" | "webp" | "bmp" | "tif" | "tiff" | "npz" | "pt") => {
                return Err(usage(format!(
                    "--out {}: this form is not written; take X.png, X.npy or a folder",
                    flags.out.display()
                )));
            }
            _ => Form::Folder,
        };
        if flags.nearest.is_some() && form != Form::Grid {
            return Err(usage("--nearest makes a grid; give --out X.png"));
        }
        if let Some(chain) = &flags.chain {
            if extension(chain).as_deref() != Some("png") {
                return Err(usage(format!("--chain {}: the strip is a picture; give X.png", chain.display())));
            }
            if *chain == flags.out {
                return Err(usage("--chain and --out name the same file; give two names"));
            }
        }
        Ok(form)
    }
}

fn extension(path: &Path) -> Option<String> {
    path.extension().map(|extension| extension.to_string_lossy().to_lowercase())
}

/// Open an image set like the net's images.
fn open_like(path: &Path, model: &Model) -> Result<ImageSet> {
    let set = ImageSet::open(path).with_context(|| format!("cannot use --nearest {}", path.display()))?;
    model.require(&set)?;
    Ok(set)
}

/// Samples u8 `[n, h, w, c]`, and for the strip and the animation the states on the way, `[rows, h, w, c]` each.
struct Synthesis {
    samples: Array4<u8>,
    /// That the chains took.
    seconds: f64,
    strip: Vec<Array4<u8>>,
    frames: Vec<Array4<u8>>,
}

/// Run the chains, all ranks together.
fn draw(flags: &SampleFlags, model: &Model, known: Option<Known>, session: &Session) -> Result<Synthesis> {
    let (ranks, count, steps) = (&**session.ranks(), flags.count as usize, model.langevin.steps);
    let (mut sampler, chains) = (model.sampler(), Chains::samples(flags.seed, count));
    sampler.hold(known);
    let mine = shared::own(ranks, &chains, model.block);
    let bar = session.bar((mine.count().div_ceil(model.block) * steps) as u64, "steps");
    let seen = bar.clone();
    let keeps = |wanted: bool, parts: usize| wanted.then(|| steps.div_ceil(parts));
    let (strip_every, frame_every) =
        (keeps(flags.chain.is_some(), STRIP_PARTS), keeps(flags.animate.is_some(), FRAMES));
    let observe = move |first: u64| Recorder {
        bar: seen.clone(),
        strip: strip_every.filter(|_| first < STRIP_ROWS as u64).map(States::new),
        frames: frame_every.filter(|_| first < MOVING as u64).map(States::new),
    };
    let begun = Instant::now();
    let (samples, recorders) = shared::chains(ranks, &sampler, &chains, observe)?;
    let seconds = begun.elapsed().as_secs_f64();
    bar.finish_and_clear();
    let samples = samples.map_err(|step| {
        Failure::Diverged(format!(
            "the chains diverged at Langevin step {step}: numbers were no longer finite; take the Langevin settings the weights \
             were trained with, or an earlier checkpoint"
        ))
    })?;
    let (own, shape) = ((&chains, model.block), model.drawn_shape());
    let strip = recorders.iter().filter_map(|recorder| recorder.strip.as_ref());
    let strip = shared::states(ranks, strip, own, count.min(STRIP_ROWS), shape)?;
    let frames = recorders.iter().filter_map(|recorder| recorder.frames.as_ref());
    let frames = shared::states(ranks, frames, own, count.min(MOVING), shape)?;
    let shown = |states: Vec<Array4<u8>>| states.into_iter().map(|state| model.shown(state)).collect();
    Ok(Synthesis { samples: model.shown(samples), seconds, strip: shown(strip), frames: shown(frames) })
}

/// Draw the codes of --code; every rank draws them all, they are few.
fn of_codes(flags: &SampleFlags, model: &Model) -> Result<Synthesis> {
    let run = model.generator(ChainNoise::Fixed(flags.seed), 1);
    let (z, ids) = Code::starts(&flags.code, &run, flags.seed, &model.image())?;
    let begun = Instant::now();
    let samples = model.shown(to_bytes(&run.generate(&z, &ids)?)?);
    Ok(Synthesis { samples, seconds: begun.elapsed().as_secs_f64(), strip: vec![], frames: vec![] })
}

/// Write the samples in the form of --out, below each its nearest image of the set where there is one.
fn write<'a>(
    flags: &'a SampleFlags,
    form: Form,
    samples: &Array4<u8>,
    set: Option<&ImageSet>,
) -> Result<Option<Nearest<'a>>> {
    let count = samples.dim().0;
    let columns = flags.columns.map_or_else(|| square(count), usize::from).min(count);
    match (form, set.zip(flags.nearest.as_ref())) {
        (Form::Array, _) => write_npy(&flags.out, &samples.view())?,
        (Form::Folder, _) => write_pngs(&flags.out, &samples.view())?,
        (Form::Grid, None) => write_grid(&flags.out, &samples.view(), columns, PADDING)?,
        (Form::Grid, Some((set, data))) => {
            let found = nearest(set, &samples.view())?;
            let rows = with_neighbours(samples, set, &found, columns)?;
            write_grid(&flags.out, &rows.view(), columns, PADDING)?;
            let (indices, distances) = found.iter().map(|one| (one.index, one.distance)).unzip();
            return Ok(Some(Nearest { data: Shown(data), indices, distances }));
        }
    }
    Ok(None)
}

/// Moves the bar, and keeps the states of the chains that the strip and the animation show.
struct Recorder {
    bar: ProgressBar,
    strip: Option<States>,
    frames: Option<States>,
}

impl Observer for Recorder {
    fn step(&mut self, step: usize, x: &Tensor, f: &Tensor, gradient: &Tensor) -> srm_langevin::Result<()> {
        self.bar.inc(1);
        let kept = [&mut self.strip, &mut self.frames].into_iter().flatten();
        kept.into_iter().try_for_each(|states| states.step(step, x, f, gradient))
    }

    fn end(&mut self, x: &Tensor) -> srm_langevin::Result<()> {
        [&mut self.strip, &mut self.frames].into_iter().flatten().try_for_each(|states| states.end(x))
    }
}
