//! Run the paper's experiment with frozen features: the moments match although the chain has not converged.

use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use srm_data::{ImageSet, write_grid};
use srm_eval::moment_matching::{
    FrozenOptions, FrozenTop, GroupedMean, Observed, RelativeError, State, relative_error,
};
use srm_report::Chart;
use srm_train::to_bytes;

use crate::{
    animation::square,
    arguments::MomentsArguments,
    diagnose_moments::{Subject, in_parts, observed, stop_if_asked, warnings, with_exit_code},
    machine::Machine,
    output::Output,
    shown::Shown,
    status,
};

/// Images from which the top layer learns E_data[h], where there are so many besides the measured ones.
const LEARNED_FROM: usize = 10_000;
/// Measurements on the way, at times that double.
const LOOKS: u32 = 6;
/// Chains that are carried further, and how far, in K.
const CARRIED: usize = 256;
const FURTHER: [usize; 4] = [1, 2, 4, 10];
/// Images of a grid, and pixels between two of them.
const GRID: i64 = 64;
const PADDING: usize = 2;

/// E[h] of the observed images: what is learned from, and two sets to measure with.
struct Data {
    learned: GroupedMean,
    measured: GroupedMean,
    floor: RelativeError,
    /// Whether the images learned from are others than those measured with.
    apart: bool,
}

/// Learn a new top layer and measure; the JSON object and the text.
///
/// # Errors
/// Images or weights that cannot be used, chains that blow up, Ctrl-C.
pub fn run(arguments: &MomentsArguments, output: &Output) -> Result<(Value, String)> {
    let images = observed(arguments)?;
    let machine = Machine::open(&arguments.compute)?;
    tch::set_num_threads(1); // the workers do the work
    let begun = Instant::now();
    let warnings = warnings(arguments);
    let path = arguments.weights.as_deref().context("clap asks for --weights")?;
    let subject = Subject::open(arguments, path, &images, &machine)?;
    let options = FrozenOptions {
        updates: u64::from(arguments.updates),
        batch: usize::from(arguments.batch),
        rate: arguments.rate,
        seed: arguments.seed,
    };
    let data = data(arguments, &subject, &images, output)?;
    let mut frozen =
        FrozenTop::new(&subject.loaded.net, &subject.loaded.langevin, subject.spread, options, &data.learned)?;
    let grid = |name: &str, x: &tch::Tensor| {
        let count = x.size()[0].min(GRID);
        let bytes = to_bytes(&x.f_narrow(0, 0, count)?)?;
        write_grid(&arguments.out.join(name), &bytes.view(), square(count as usize), PADDING)
            .map_err(anyhow::Error::from)
    };
    grid("frozen_start.png", &frozen.fresh(0..GRID as u64).map_err(with_exit_code)?)?;
    let (mut looks, mut batches) = (vec![look(&frozen, &data, arguments)?], Vec::new());
    let bar = output.bar(options.updates, "updates");
    for t in 1..=options.updates {
        batches.push(frozen.step().map_err(with_exit_code)?);
        bar.inc(1);
        stop_if_asked()?;
        if (0..LOOKS).any(|half| t == options.updates >> half) {
            looks.push(look(&frozen, &data, arguments)?);
            bar.set_message(format!("error {:.4}", looks[looks.len() - 1].1.relative));
        }
    }
    bar.finish_and_clear();
    let steps = FURTHER.map(|times| times * subject.loaded.langevin.steps);
    let carried = frozen.carry(CARRIED.min(arguments.count as usize), &steps)?;
    for (state, name) in [(carried.first(), "frozen_end.png"), (carried.last(), "frozen_carried.png")] {
        state.map_or(Ok(()), |state| grid(name, &state.x))?;
    }
    chart(&looks, &batches, data.floor.relative).write(&arguments.out.join("frozen.svg"))?;
    let object = object(arguments, &subject, &data, &looks, &carried, options);
    let object = with(object?, &[("warnings", json!(warnings)), ("seconds", json!(begun.elapsed().as_secs_f64()))]);
    let text = text(&object);
    Ok((object, text))
}

/// Gather E_data[h] with the features of the net.
fn data(arguments: &MomentsArguments, subject: &Subject, images: &ImageSet, output: &Output) -> Result<Data> {
    let observed = Observed::new(images, arguments.seed, subject.sigma, subject.flip);
    let half = (arguments.count as usize).min(images.len() / 2);
    let left = images.len() - 2 * half;
    let apart = left >= arguments.count as usize;
    let learned = if apart { left.min(LEARNED_FROM) } else { 0 };
    let bar = output.bar((2 * half + learned) as u64, "observed images");
    let gather = |skip: usize, count: usize| {
        let mut mean = GroupedMean::new(count);
        in_parts(count, subject.sampler.block(), |first, count| {
            let x = observed.batch(skip + first, count)?.f_to_device(subject.device())?;
            bar.inc(count as u64);
            Ok(srm_eval::moment_matching::add_features(subject.sampler.workers(), &mut mean, &x)?)
        })?;
        Ok::<_, anyhow::Error>(mean)
    };
    let (one, other) = (gather(0, half)?, gather(half, half)?);
    let floor = relative_error(&other, &one)?;
    let learned = if apart { gather(2 * half, learned)? } else { one.and(&other) };
    bar.finish_and_clear();
    let measured = if half < arguments.count as usize { one.and(&other) } else { one };
    Ok(Data { learned, measured, floor, apart })
}

/// E[h] of fresh chains against the data: update, error.
fn look(frozen: &FrozenTop, data: &Data, arguments: &MomentsArguments) -> Result<(u64, RelativeError)> {
    let count = arguments.count as usize;
    let mut mean = GroupedMean::new(count);
    in_parts(count, frozen.block(), |first, count| {
        let ids = first as u64..(first + count) as u64;
        Ok(frozen.add_features(&mut mean, &frozen.fresh(ids).map_err(with_exit_code)?)?)
    })?;
    Ok((frozen.update(), relative_error(&mean, &data.measured)?))
}

fn object(
    arguments: &MomentsArguments,
    subject: &Subject,
    data: &Data,
    looks: &[(u64, RelativeError)],
    carried: &[State],
    options: FrozenOptions,
) -> Result<Value> {
    let errors =
        |(update, error): &(u64, RelativeError)| Ok(with(serde_json::to_value(error)?, &[("update", json!(update))]));
    let state = |state: &State| {
        let error = state.finite.then(|| relative_error(&state.features, &data.measured)).transpose()?;
        let spread = state.x.f_std(false)?.f_double_value(&[])?;
        let largest = state.x.f_abs()?.f_max()?.f_double_value(&[])?;
        Ok(json!({
            "step": state.step, "chains": state.x.size()[0], "relative": error.map(|error| error.relative),
            "standard_error": error.map(|error| error.standard_error), "noise": error.map(|error| error.noise),
            "mean_f": state.mean_f, "std": spread, "largest": largest,
        }))
    };
    let factor = looks[0].1.relative / looks[looks.len() - 1].1.relative;
    Ok(with(
        subject.about(),
        &[
            ("command", json!("diagnose moments")),
            ("experiment", json!("frozen")),
            (
                "data",
                json!({
                    "file": arguments.data.as_deref().map(Shown), "measured": data.measured.count(), "learned_from": data.learned.count(),
                    "disjoint": data.apart,
                }),
            ),
            ("count", json!(arguments.count)),
            ("options", serde_json::to_value(options)?),
            ("floor", serde_json::to_value(data.floor)?),
            ("errors", json!(looks.iter().map(errors).collect::<Result<Vec<Value>>>()?)),
            ("factor", json!(factor)),
            ("carried", json!(carried.iter().map(state).collect::<Result<Vec<Value>>>()?)),
            ("out", json!(Shown(&arguments.out))),
        ],
    ))
}

fn with(mut object: Value, fields: &[(&str, Value)]) -> Value {
    for (name, value) in fields {
        object[*name] = value.clone();
    }
    object
}

/// The measured error and that of the batches, over the updates.
fn chart(looks: &[(u64, RelativeError)], batches: &[f64], floor: f64) -> Chart {
    let measured: Vec<(f64, f64)> = looks.iter().map(|(update, error)| (*update as f64, error.relative)).collect();
    let last = batches.len() as f64;
    Chart::new("A new top layer over frozen features", "update", "relative error of E[h]")
        .log_y()
        .line("of the batches", (1..).zip(batches).map(|(t, &error)| (f64::from(t), error)))
        .line("measured", measured.clone())
        .dashed("data against data", [(0.0, floor), (last, floor)])
        .dashed(
            "sampling noise alone, by the groups",
            looks.iter().map(|(update, error)| (*update as f64, error.noise)),
        )
        .dots("", measured)
}

/// The table for people.
fn text(object: &Value) -> String {
    let number = |value: &Value| value.as_f64().map_or("-".to_owned(), |number| format!("{number:.4}"));
    let mut text = format!("{:<10} {:>26}\n", "update", "relative error of E[h]");
    for error in object["errors"].as_array().into_iter().flatten() {
        text += &format!(
            "{:<10} {:>16} ± {}\n",
            error["update"],
            number(&error["relative"]),
            number(&error["standard_error"])
        );
    }
    text += &format!(
        "data       {:>15}, data against data, by chance about {} ({} images learned from, {} measured with)\nfactor     {:>15.1}\n\n{:<10} {:>26} {:>10} {:>8} {:>8}\n",
        number(&object["floor"]["relative"]),
        number(&object["floor"]["noise"]),
        object["data"]["learned_from"],
        object["data"]["measured"],
        object["factor"].as_f64().unwrap_or(f64::NAN),
        "step",
        "relative error of E[h]",
        "mean f",
        "std",
        "max |x|",
    );
    for state in object["carried"].as_array().into_iter().flatten() {
        text += &format!(
            "{:<10} {:>16} ± {} {:>10} {:>8} {:>8}\n",
            state["step"],
            number(&state["relative"]),
            number(&state["standard_error"]),
            number(&state["mean_f"]),
            number(&state["std"]),
            number(&state["largest"]),
        );
    }
    text += &format!(
        "the same {} chains carried past K = {}: a chain that had converged would stay\nmade       {} in {}",
        object["carried"][0]["chains"],
        object["steps"],
        object["out"].as_str().unwrap_or_default(),
        status::duration(object["seconds"].as_f64().unwrap_or(0.0)),
    );
    text
}
