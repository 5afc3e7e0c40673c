//! Run the paper's experiment with frozen features: the moments match although the chain has not converged.

use std::{fmt, path::Path};

use anyhow::{Context, Result};
use serde::Serialize;
use srm_data::write_grid;
use srm_eval::moment_matching::{
    FrozenOptions, FrozenTop, GroupedMean, RelativeError, State, add_features, relative_error,
};
use srm_report::Chart;
use srm_train::to_bytes;
use tch::Tensor;

use super::subject::{About, Experiment, Subject, in_parts, stop_if_asked};
use crate::{
    flags::MomentsFlags,
    pictures::{PADDING, square},
    session::{Shown, status},
};

/// Images from which the top layer learns E_data[h], where there are so many besides the measured ones.
const LEARNED_FROM: usize = 10_000;
/// Measurements on the way, at times that double.
const LOOKS: u32 = 6;
/// Chains that are carried further, and how far, in K.
const CARRIED: usize = 256;
const FURTHER: [usize; 4] = [1, 2, 4, 10];
/// Images of a grid.
const GRID: i64 = 64;

/// Learn a new top layer and measure.
///
/// # Errors
/// Images or weights that cannot be used, chains that blow up, Ctrl-C.
pub fn run(experiment: Experiment<'_>) -> Result<Report<'_>> {
    let flags = experiment.flags;
    let subject = experiment.subject(flags.weights.as_deref().context("clap asks for --weights")?)?;
    let options = FrozenOptions {
        updates: u64::from(flags.updates),
        batch: usize::from(flags.batch),
        rate: flags.rate,
        seed: flags.common.seed,
    };
    let data = Data::gather(&experiment, &subject)?;
    let (net, langevin, spread) = (subject.model.net.finest(), &subject.model.langevin, subject.model.spread());
    let mut frozen = FrozenTop::new(net, langevin, spread, options, &data.learned)?;
    grid(&flags.out.join("frozen_start.png"), &frozen.fresh(0..GRID as u64)?)?;
    let (errors, batches) = learn(&mut frozen, &experiment, &data, options.updates)?;
    let steps = FURTHER.map(|times| times * langevin.steps);
    let states = frozen.carry(CARRIED.min(flags.count as usize), &steps)?;
    for (state, name) in [(states.first(), "frozen_end.png"), (states.last(), "frozen_carried.png")] {
        state.map_or(Ok(()), |state| grid(&flags.out.join(name), &state.x))?;
    }
    chart(&errors, &batches, data.floor.relative).write(&flags.out.join("frozen.svg"))?;
    Ok(Report {
        about: subject.about,
        command: "diagnose moments",
        experiment: "frozen",
        data: Images {
            file: Shown::maybe(&flags.data),
            measured: data.measured.count(),
            learned_from: data.learned.count(),
            disjoint: data.apart,
        },
        count: flags.count,
        options,
        floor: data.floor,
        factor: errors[0].error.relative / errors[errors.len() - 1].error.relative,
        errors,
        carried: states.iter().map(|state| Carried::new(state, &data.measured)).collect::<Result<_>>()?,
        out: Shown(&flags.out),
        warnings: experiment.warnings,
        seconds: experiment.begun.elapsed().as_secs_f64(),
    })
}

fn grid(path: &Path, x: &Tensor) -> Result<()> {
    let count = x.size()[0].min(GRID);
    let bytes = to_bytes(&x.f_narrow(0, 0, count)?)?;
    Ok(write_grid(path, &bytes.view(), square(count as usize), PADDING)?)
}

/// E[h] of the observed images: what is learned from, and two sets to measure with.
struct Data {
    learned: GroupedMean,
    measured: GroupedMean,
    floor: RelativeError,
    /// Whether the images learned from are others than those measured with.
    apart: bool,
}

impl Data {
    /// Gather E_data[h] with the features of the net.
    fn gather(experiment: &Experiment<'_>, subject: &Subject) -> Result<Data> {
        let (images, asked) = (&experiment.images, experiment.flags.count as usize);
        let observed = experiment.observed(subject);
        let half = asked.min(images.len() / 2);
        let left = images.len() - 2 * half;
        let apart = left >= asked;
        let learned = if apart { left.min(LEARNED_FROM) } else { 0 };
        let bar = experiment.session.bar((2 * half + learned) as u64, "observed images");
        let gather = |skip: usize, count: usize| {
            let mut mean = GroupedMean::new(count);
            in_parts(count, subject.sampler.block(), |first, count| {
                let x = observed.batch(skip + first, count)?.f_to_device(subject.model.machine.device)?;
                bar.inc(count as u64);
                Ok(add_features(subject.sampler.workers(), &mut mean, &x)?)
            })?;
            Ok::<_, anyhow::Error>(mean)
        };
        let (one, other) = (gather(0, half)?, gather(half, half)?);
        let floor = relative_error(&other, &one)?;
        let learned = if apart { gather(2 * half, learned)? } else { one.and(&other) };
        bar.finish_and_clear();
        let measured = if half < asked { one.and(&other) } else { one };
        Ok(Data { learned, measured, floor, apart })
    }
}

/// Learn the top layer: the errors measured on the way, and those of the batches.
fn learn(
    frozen: &mut FrozenTop,
    Experiment { flags, session, .. }: &Experiment<'_>,
    data: &Data,
    updates: u64,
) -> Result<(Vec<Look>, Vec<f64>)> {
    let (mut looks, mut batches) = (vec![Look::new(frozen, data, flags)?], Vec::new());
    let bar = session.bar(updates, "updates");
    for t in 1..=updates {
        batches.push(frozen.step()?);
        bar.inc(1);
        stop_if_asked()?;
        if (0..LOOKS).any(|half| t == updates >> half) {
            let look = Look::new(frozen, data, flags)?;
            bar.set_message(format!("error {:.4}", look.error.relative));
            looks.push(look);
        }
    }
    bar.finish_and_clear();
    Ok((looks, batches))
}

/// What was learned.
#[derive(Serialize)]
pub struct Report<'a> {
    #[serde(flatten)]
    about: About,
    command: &'static str,
    experiment: &'static str,
    data: Images<'a>,
    count: u32,
    options: FrozenOptions,
    floor: RelativeError,
    errors: Vec<Look>,
    factor: f64,
    carried: Vec<Carried>,
    out: Shown<'a>,
    warnings: Vec<String>,
    seconds: f64,
}

/// The observed images.
#[derive(Serialize)]
struct Images<'a> {
    file: Option<Shown<'a>>,
    measured: usize,
    learned_from: usize,
    disjoint: bool,
}

/// E[h] of fresh chains against the data, after an update.
#[derive(Serialize)]
struct Look {
    #[serde(flatten)]
    error: RelativeError,
    update: u64,
}

impl Look {
    fn new(frozen: &FrozenTop, data: &Data, flags: &MomentsFlags) -> Result<Look> {
        let count = flags.count as usize;
        let mut mean = GroupedMean::new(count);
        in_parts(count, frozen.block(), |first, count| {
            let ids = first as u64..(first + count) as u64;
            Ok(frozen.add_features(&mut mean, &frozen.fresh(ids)?)?)
        })?;
        Ok(Look { error: relative_error(&mean, &data.measured)?, update: frozen.update() })
    }
}

/// Chains that were carried to a step; without an error where some are not finite.
#[derive(Serialize)]
struct Carried {
    step: usize,
    chains: i64,
    relative: Option<f64>,
    standard_error: Option<f64>,
    noise: Option<f64>,
    mean_f: f64,
    std: f64,
    largest: f64,
}

impl Carried {
    fn new(State { step, x, features, mean_f, finite }: &State, measured: &GroupedMean) -> Result<Carried> {
        let error = finite.then(|| relative_error(features, measured)).transpose()?;
        Ok(Carried {
            step: *step,
            chains: x.size()[0],
            relative: error.map(|error| error.relative),
            standard_error: error.map(|error| error.standard_error),
            noise: error.map(|error| error.noise),
            mean_f: *mean_f,
            std: x.f_std(false)?.f_double_value(&[])?,
            largest: x.f_abs()?.f_max()?.f_double_value(&[])?,
        })
    }
}

/// The measured error and that of the batches, over the updates.
fn chart(looks: &[Look], batches: &[f64], floor: f64) -> Chart {
    let over = |of: fn(&RelativeError) -> f64| looks.iter().map(move |look| (look.update as f64, of(&look.error)));
    let last = batches.len() as f64;
    Chart::new("A new top layer over frozen features", "update", "relative error of E[h]")
        .log_y()
        .line("of the batches", (1..).zip(batches).map(|(t, &error)| (f64::from(t), error)))
        .line("measured", over(|error| error.relative))
        .dashed("data against data", [(0.0, floor), (last, floor)])
        .dashed("sampling noise alone, by the groups", over(|error| error.noise))
        .dots("", over(|error| error.relative))
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |value: f64| status::number(Some(value));
        writeln!(out, "{:<10} {:>26}", "update", "relative error of E[h]")?;
        for Look { error, update } in &self.errors {
            writeln!(out, "{update:<10} {:>16} ± {}", number(error.relative), number(error.standard_error))?;
        }
        let (RelativeError { relative, noise, .. }, Images { measured, learned_from, .. }) = (&self.floor, &self.data);
        writeln!(
            out,
            "data       {:>15}, data against data, by chance about {} ({learned_from} images learned from, \
             {measured} measured with)\nfactor     {:>15.1}\n",
            number(*relative),
            number(*noise),
            self.factor
        )?;
        let error = "relative error of E[h]";
        writeln!(out, "{:<10} {error:>26} {:>10} {:>8} {:>8}", "step", "mean f", "std", "max |x|")?;
        for Carried { step, relative, standard_error, mean_f, std, largest, .. } in &self.carried {
            let error = [*relative, *standard_error].map(status::number);
            let [f, std, largest] = [*mean_f, *std, *largest].map(number);
            writeln!(out, "{step:<10} {:>16} ± {} {f:>10} {std:>8} {largest:>8}", error[0], error[1])?;
        }
        write!(
            out,
            "the same {} chains carried past K = {}: a chain that had converged would stay\nmade       {} in {}",
            self.carried[0].chains,
            self.about.steps,
            self.out,
            status::duration(self.seconds)
        )
    }
}
