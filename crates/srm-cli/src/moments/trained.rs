//! Compare the moments of a trained net's samples with those of the data, layer by layer and checkpoint by checkpoint.

use std::{fmt, time::Instant};

use anyhow::Result;
use serde::Serialize;
use srm_data::ImageSet;
use srm_eval::moment_matching::{GroupedMean, LayerMoments, RelativeError, relative_error};
use srm_langevin::{Chains, Outcome, Samples};
use srm_report::Chart;
use srm_terminal::ProgressBar;
use tch::Tensor;

use super::subject::{About, Experiment, Subject, in_parts};
use crate::{
    flags::MomentsFlags,
    model::weights,
    session::{Failure, Shown, status},
};

/// Measure each checkpoint.
///
/// # Errors
/// Images or weights that cannot be used, chains that blow up, Ctrl-C.
pub fn run(experiment: Experiment<'_>) -> Result<Report<'_>> {
    let (flags, images) = (experiment.flags, &experiment.images);
    let results = weights::checkpoints(flags.weights.as_deref().unwrap_or(&flags.out), flags.newest)?
        .iter()
        .map(|file| Measured::new(&experiment, experiment.subject(file)?))
        .collect::<Result<Vec<Measured>>>()?;
    chart(&results).write(&flags.out.join("moments.svg"))?;
    let (floor, reference) = sizes(flags, images);
    Ok(Report {
        command: "diagnose moments",
        experiment: "trained",
        data: Data { file: Shown::maybe(&flags.data), images: images.len(), reference, floor },
        count: flags.count,
        seed: flags.common.seed,
        results,
        warnings: experiment.warnings,
        seconds: experiment.begun.elapsed().as_secs_f64(),
        out: Shown(&flags.out),
    })
}

/// Images of each of the two disjoint sets that make the floor, and of the set that samples are compared with: one of the
/// two where there are enough images, else both.
fn sizes(flags: &MomentsFlags, images: &ImageSet) -> (usize, usize) {
    let count = flags.count as usize;
    match images.len() >= 2 * count {
        true => (count, count),
        false => (images.len() / 2, images.len() / 2 * 2),
    }
}

/// Errors of all that was measured.
#[derive(Serialize)]
pub struct Report<'a> {
    command: &'static str,
    experiment: &'static str,
    data: Data<'a>,
    count: u32,
    seed: u64,
    results: Vec<Measured>,
    warnings: Vec<String>,
    seconds: f64,
    out: Shown<'a>,
}

/// The observed images.
#[derive(Serialize)]
struct Data<'a> {
    file: Option<Shown<'a>>,
    images: usize,
    reference: usize,
    floor: usize,
}

/// One net.
#[derive(Serialize)]
struct Measured {
    #[serde(flatten)]
    about: About,
    top: Compared,
    layers: Vec<Layer>,
    f_data: f64,
    f_sample: f64,
    seconds: f64,
}

#[derive(Serialize)]
struct Layer {
    #[serde(flatten)]
    compared: Compared,
    layer: String,
}

/// Samples against data, and two sets of data against each other.
#[derive(Serialize)]
struct Compared {
    #[serde(flatten)]
    error: RelativeError,
    floor: f64,
    floor_by_chance: f64,
}

impl Compared {
    fn new(q: &GroupedMean, data: &GroupedMean, [one, other]: [&GroupedMean; 2]) -> Result<Compared> {
        let (error, floor) = (relative_error(q, data)?, relative_error(other, one)?);
        Ok(Compared { error, floor: floor.relative, floor_by_chance: floor.noise })
    }
}

impl Measured {
    /// One line of the table.
    fn new(experiment: &Experiment<'_>, subject: Subject) -> Result<Measured> {
        let (begun, count) = (Instant::now(), experiment.flags.count as usize);
        let (half, reference) = sizes(experiment.flags, &experiment.images);
        let bar = experiment.session.bar((count + 2 * half) as u64, "images");
        let (data, device) = (experiment.observed(&subject), subject.model.machine.device);
        let gather = |skip: usize| {
            moments(&subject, half, &bar, |first, count| Ok(data.batch(skip + first, count)?.f_to_device(device)?))
        };
        let (one, other) = (gather(0)?, gather(half)?);
        let seed = experiment.flags.common.seed;
        let samples = moments(&subject, count, &bar, |first, count| drawn(&subject, seed, (first, count)))?;
        bar.finish_and_clear();
        let both = (reference > half).then(|| one.and(&other));
        let target = both.as_ref().unwrap_or(&one);
        let layers = samples.layers.iter().enumerate().map(|(i, (name, q))| {
            let [target, one, other] = [target, &one, &other].map(|moments| &moments.layers[i].1);
            Ok(Layer { compared: Compared::new(q, target, [one, other])?, layer: name.clone() })
        });
        Ok(Measured {
            layers: layers.collect::<Result<_>>()?,
            top: Compared::new(samples.top()?, target.top()?, [one.top()?, other.top()?])?,
            f_data: target.f.mean()?.f_double_value(&[0])?,
            f_sample: samples.f.mean()?.f_double_value(&[0])?,
            seconds: begun.elapsed().as_secs_f64(),
            about: subject.about,
        })
    }

    fn name(&self) -> String {
        let About { weights, update, .. } = &self.about;
        update.map_or_else(|| weights.display().to_string(), |update| format!("update {update}"))
    }
}

/// Moments of `count` images, of which `batch` gives some: the first of them, how many.
fn moments(
    Subject { model, sampler, .. }: &Subject,
    count: usize,
    bar: &ProgressBar,
    batch: impl Fn(usize, usize) -> Result<Tensor>,
) -> Result<LayerMoments> {
    let mut moments = LayerMoments::new(&model.net, count);
    in_parts(count, sampler.block(), |first, count| {
        moments.add(sampler.workers(), &batch(first, count)?)?;
        bar.inc(count as u64);
        Ok(())
    })?;
    Ok(moments)
}

/// Samples of a seed.
fn drawn(Subject { model, sampler, .. }: &Subject, seed: u64, (first, count): (usize, usize)) -> Result<Tensor> {
    let ids = first as u64..(first + count) as u64;
    match sampler.run(&Chains { ids, ..Chains::samples(seed, 0) }, |_| ())?.0 {
        Outcome::Finished(Samples { x }) => Ok(x),
        Outcome::Diverged { .. } => {
            let text = format!("the chains of {} blew up; nothing was compared", model.file.display());
            Err(Failure::Diverged(text).into())
        }
    }
}

/// Errors over training; of a single file over the layers.
fn chart(results: &[Measured]) -> Chart {
    if let [Measured { layers, .. }] = results {
        let values = |of: fn(&Compared) -> f64| {
            layers.iter().enumerate().map(move |(i, layer)| (i as f64 + 1.0, of(&layer.compared)))
        };
        return Chart::new("Moments of samples against data", "layer, the last is h", "relative error")
            .log_y()
            .line("E[∂f/∂θ]", values(|layer| layer.error.relative))
            .dots("", values(|layer| layer.error.relative))
            .dashed("data against data", values(|layer| layer.floor));
    }
    let over = |value: &dyn Fn(&Measured) -> f64| -> Vec<(f64, f64)> {
        let update = |result: &Measured| result.about.update.map_or(f64::NAN, |update| update as f64);
        results.iter().map(|result| (update(result), value(result))).collect()
    };
    let mut chart = Chart::new("Moments of samples against data over training", "update", "relative error").log_y();
    let layers = results.first().map_or(&[][..], |first| &first.layers);
    for (i, Layer { layer, .. }) in layers.iter().enumerate() {
        let name = if i + 1 < layers.len() { layer } else { "h (top)" };
        chart = chart.line(name, over(&|result| result.layers[i].compared.error.relative));
    }
    chart.dashed("h, data against data", over(&|result| result.top.floor))
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |value: f64| status::number(Some(value));
        write!(out, "{:<26} {:>5} {:>6}  {:>16} {:>7}", "relative error of E[.]", "K", "sigma", "h (top)", "floor")?;
        for Layer { layer, .. } in self.results.first().into_iter().flat_map(|first| &first.layers) {
            write!(out, " {layer:>7}")?;
        }
        for result in &self.results {
            let (name, Compared { error, floor, .. }) = (result.name(), &result.top);
            let error = format!("{} ± {}", number(error.relative), number(error.standard_error));
            let About { steps, data_noise, .. } = result.about;
            write!(out, "\n{name:<26} {steps} {data_noise:>6.3}  {error:>16} {:>7}", number(*floor))?;
            for Layer { compared, .. } in &result.layers {
                write!(out, " {:>7}", number(compared.error.relative))?;
            }
            write!(out, "\n{:<26} {:>5} {:>6}  {:>16} {:>7}", "  data against data", "", "", "", "")?;
            for Layer { compared, .. } in &result.layers {
                write!(out, " {:>7}", number(compared.floor))?;
            }
        }
        let Data { images, reference, floor, .. } = &self.data;
        writeln!(
            out,
            "\nimages     {} samples against {reference} of {images} observed; data against data: {floor} and {floor}",
            self.count
        )?;
        write!(out, "made       {} in {}", self.out, status::duration(self.seconds))
    }
}
