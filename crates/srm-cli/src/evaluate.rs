//! Run `srm evaluate`: distances between samples and real images, with everything that moves them.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use ndarray::Array4;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use srm_config::Config;
use srm_data::random::{Key, Purpose, permutation};
use srm_data::{ImageSet, hex, read_gallery, sha256_of_file};
use srm_eval::{
    FeatureNetwork, FeatureSet, Moments, SPLITS, frechet_distance, inception_score, kernel_distance, precision_recall,
};
use srm_langevin::{Chains, Outcome, Sampler, SamplerOptions, Samples};
use srm_train::{RunFolder, to_bytes};

use crate::{
    arguments::EvaluateArguments,
    failure::Failure,
    images::{prepare_output, remedy},
    interrupt,
    machine::Machine,
    output::Output,
    status, weights,
};

/// Samples below which a Fréchet distance says little: its bias falls with 1/n (Chong and Forsyth 2020, arXiv 1911.07023).
const FEW: usize = 10_000;
/// Images a subset and subsets of the kernel distance, as published.
const SUBSET: (usize, usize) = (1000, 100);
/// Neighbours of precision and recall, as published.
const NEIGHBOURS: usize = 3;

/// The real side of every comparison.
struct Real {
    moments: Moments,
    /// Features of every image; a file of statistics has none.
    set: Option<FeatureSet>,
    images: Option<ImageSet>,
}

/// Score samples and print the table.
///
/// # Errors
/// Bad usage, images, weights or a feature network that cannot be used, chains that blow up.
pub fn run(arguments: &EvaluateArguments, output: &Output) -> Result<()> {
    let run = arguments.weights.as_ref().filter(|path| path.is_dir()).map(|run| run.join("evaluation.json"));
    let report = arguments.out.clone().or(run);
    for path in [report.as_ref(), arguments.save_stats.as_ref()].into_iter().flatten() {
        prepare_output(path)?;
    }
    let machine = Machine::open(&arguments.compute)?;
    let begun = Instant::now();
    let net = FeatureNetwork::open(&arguments.features, machine.device)?;
    tch::set_num_threads(arguments.compute.threads() as i32);
    interrupt::watch(output.clone())?;
    let real = real(arguments, &net, output)?;
    if let Some(path) = &arguments.save_stats {
        real.moments.save(path)?;
    }
    let mut warnings = Vec::new();
    let self_check = arguments.self_check.then(|| halves(arguments, &net, &real, output)).transpose()?;
    let mut results = Vec::new();
    for candidate in candidates(arguments)? {
        let begun = Instant::now();
        let mut result = scored(arguments, &machine, &net, &real, &candidate, output)?;
        result["seconds"] = json!(begun.elapsed().as_secs_f64());
        let count = result["count"].as_u64().unwrap_or(0) as usize;
        if count < FEW && warnings.is_empty() {
            warnings.push(format!(
                "{count} samples: a Fréchet distance from fewer than {FEW} is biased upwards; compare only equal counts"
            ));
        }
        results.push(result);
    }
    let object = json!({
        "command": "evaluate",
        "data": { "file": arguments.data, "count": real.moments.count, "manifest": manifest(&arguments.data) },
        "features": net.identity(), "results": results, "self_check": self_check, "warnings": warnings,
        "seconds": begun.elapsed().as_secs_f64(),
    });
    if let Some(path) = &report {
        std::fs::write(path, format!("{object:#}\n")).with_context(|| format!("cannot write {}", path.display()))?;
    }
    for warning in &warnings {
        tracing::warn!("{warning}");
    }
    output.result(&object, &text(&object))
}

/// Features or statistics of the real images.
fn real(arguments: &EvaluateArguments, net: &FeatureNetwork, output: &Output) -> Result<Real> {
    let path = &arguments.data;
    if path.extension().is_some_and(|kind| kind == "npz") {
        return Ok(Real { moments: Moments::load(path)?, set: None, images: None });
    }
    if !path.exists() {
        anyhow::bail!("the images {} do not exist; {}", path.display(), remedy(path));
    }
    let mut images = ImageSet::open(path)?;
    if let Some(count) = arguments.data_count {
        images.truncate(count as usize);
    }
    let set = features(net, images.len(), shape(&images), |i| images.image(i), "real images", output)?;
    let moments = Moments {
        mean: set.moments.mean.shallow_clone(),
        covariance: set.moments.covariance.shallow_clone(),
        count: images.len(),
    };
    Ok(Real { moments, set: Some(set), images: Some(images) })
}

fn shape(images: &ImageSet) -> [usize; 3] {
    [images.height(), images.width(), images.channels()]
}

/// Features with a bar; Ctrl-C ends them.
fn features<'a>(
    net: &FeatureNetwork,
    count: usize,
    shape: [usize; 3],
    image: impl Fn(usize) -> &'a [u8],
    what: &str,
    output: &Output,
) -> Result<FeatureSet> {
    let bar = output.bar(count as u64, what);
    let set = FeatureSet::new(net, count, shape, image, &mut |done| {
        bar.set_position(done as u64);
        !interrupt::asked()
    })?;
    bar.finish_and_clear();
    set.ok_or_else(|| Failure::Interrupted("interrupted; nothing was written".to_owned()).into())
}

/// Distance between two random halves of the real images.
fn halves(arguments: &EvaluateArguments, net: &FeatureNetwork, real: &Real, output: &Output) -> Result<Value> {
    let images = real.images.as_ref().context("--self-check needs images; a file of statistics cannot be halved")?;
    let order = permutation(&Key::new(arguments.seed, Purpose::DataOrder), images.len());
    let half = images.len() / 2;
    let part = |first: usize| {
        features(net, half, shape(images), |i| images.image(order[first + i]), "images of a half", output)
    };
    let (a, b) = (part(0)?, part(half)?);
    let kernel = kernel_distance(&a.rows, &b.rows, SUBSET.0, SUBSET.1, arguments.seed)?;
    let shares = precision_recall(&a.rows, &b.rows, NEIGHBOURS)?;
    Ok(json!({
        "count": half, "frechet": frechet_distance(&a.moments, &b.moments)?,
        "kernel": { "mean": kernel.mean, "std": kernel.std }, "precision": shares.precision, "recall": shares.recall,
    }))
}

/// What is scored, one after the other: samples, a weights file, or the checkpoints of a run.
fn candidates(arguments: &EvaluateArguments) -> Result<Vec<PathBuf>> {
    if let Some(samples) = &arguments.samples {
        return Ok(vec![samples.clone()]);
    }
    let Some(path) = &arguments.weights else { return Ok(Vec::new()) };
    let checkpoints = path.join("checkpoints");
    if arguments.newest || !checkpoints.is_dir() {
        return Ok(vec![path.clone()]);
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&checkpoints)? {
        let checkpoint = entry?.path();
        if checkpoint.join("weights.safetensors").is_file() {
            found.push(checkpoint);
        }
    }
    found.sort();
    match found.is_empty() {
        true => Ok(vec![path.clone()]), // loading it says what is missing
        false => Ok(found.iter().map(|checkpoint| RunFolder::weights_of(checkpoint)).collect()),
    }
}

/// One line of the table.
fn scored(
    arguments: &EvaluateArguments,
    machine: &Machine,
    net: &FeatureNetwork,
    real: &Real,
    candidate: &Path,
    output: &Output,
) -> Result<Value> {
    let asked = arguments.count.map_or(real.moments.count.clamp(2, FEW), |count| count as usize);
    let (samples, mut about) = match arguments.samples.is_some() {
        true => given(real, candidate, arguments.count)?,
        false => drawn(arguments, machine, candidate, asked, output)?,
    };
    let (count, h, w, c) = samples.dim();
    let images = samples.as_standard_layout();
    let bytes = images.as_slice().context("a standard layout is a slice")?;
    let set = features(net, count, [h, w, c], |i| &bytes[i * h * w * c..(i + 1) * h * w * c], "samples", output)?;
    about["count"] = json!(count);
    about["frechet"] = json!(frechet_distance(&real.moments, &set.moments)?);
    if let Some(real) = &real.set {
        let kernel = kernel_distance(&real.rows, &set.rows, SUBSET.0, SUBSET.1, arguments.seed)?;
        about["kernel"] =
            json!({ "mean": kernel.mean, "std": kernel.std, "subset": kernel.subset, "subsets": kernel.subsets });
        let shares = precision_recall(&real.rows, &set.rows, NEIGHBOURS)?;
        about["precision"] = json!(shares.precision);
        about["recall"] = json!(shares.recall);
        about["neighbours"] = json!(shares.neighbours);
    }
    about["inception_score"] = match &set.logits {
        Some(logits) if count >= SPLITS => {
            let score = inception_score(logits, SPLITS)?;
            json!({ "mean": score.mean, "std": score.std, "splits": SPLITS })
        }
        _ => Value::Null,
    };
    Ok(about)
}

/// Samples that somebody has: in the size of the real images.
fn given(real: &Real, path: &Path, count: Option<u32>) -> Result<(Array4<u8>, Value)> {
    let most = count.map_or(usize::MAX, |count| count as usize);
    let images = match &real.images {
        Some(images) => {
            let gallery = read_gallery(path, images.height(), images.channels(), most)?;
            if gallery.resized > 0 {
                tracing::warn!("{} pictures were cut and resized to {} px", gallery.resized, images.height());
            }
            gallery.images
        }
        None => {
            let set = ImageSet::open(path).context("with statistics as --data, --samples must be a .npy")?;
            let count = set.len().min(most);
            let bytes: Vec<u8> = (0..count).flat_map(|i| set.image(i)).copied().collect();
            Array4::from_shape_vec((count, set.height(), set.width(), set.channels()), bytes)?
        }
    };
    let digest = hex(&Sha256::digest(images.as_standard_layout().as_slice().unwrap_or_default()));
    Ok((images, json!({ "samples": path, "sha256": digest, "update": null, "seed": null, "steps": null })))
}

/// Samples of a net.
fn drawn(
    arguments: &EvaluateArguments,
    machine: &Machine,
    path: &Path,
    count: usize,
    output: &Output,
) -> Result<(Array4<u8>, Value)> {
    let config = arguments.config.as_deref().map(|path| Config::load(path, &[])).transpose()?;
    let loaded = weights::load(path, config.as_ref(), arguments.steps, machine)?;
    let langevin = loaded.langevin;
    let energy = loaded.net.config();
    let image = [energy.channels, energy.size, energy.size].map(|side| side as i64);
    let block = machine.block(None, &langevin);
    let sampler = Sampler::new(&loaded.net, &langevin, image, SamplerOptions { threads: machine.threads, block });
    let bar = output.bar(count as u64, "samples drawn");
    let mut parts: Vec<Array4<u8>> = Vec::new();
    let chains = Chains::samples(arguments.seed, count);
    // A few blocks at a time: the bits of a chain do not depend on it, and Ctrl-C is heard in between.
    for first in (0..count as u64).step_by(8 * block) {
        let ids = first..(first + 8 * block as u64).min(count as u64);
        let (outcome, _) = sampler.run(&Chains { ids, ..chains.clone() }, |_| ())?;
        match outcome {
            Outcome::Finished(Samples { x }) => parts.push(to_bytes(&x)?),
            Outcome::Diverged { step, .. } => {
                let text =
                    format!("the chains of {} blew up at step {step}; nothing was scored", loaded.file.display());
                return Err(Failure::Diverged(text).into());
            }
        }
        bar.inc(8 * block as u64);
        if interrupt::asked() {
            return Err(Failure::Interrupted("interrupted; nothing was written".to_owned()).into());
        }
    }
    bar.finish_and_clear();
    let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
    let samples = ndarray::concatenate(ndarray::Axis(0), &views)?;
    let update = loaded.file.parent().and_then(Path::file_name).and_then(|name| name.to_str()?.parse::<u64>().ok());
    let about = json!({
        "samples": loaded.file, "sha256": sha256_of_file(&loaded.file)?, "update": update, "seed": arguments.seed, "steps": langevin.steps,
    });
    Ok((samples, about))
}

/// The manifest beside an image set, where there is one: crop and filter move every number.
fn manifest(data: &Path) -> Value {
    let text = std::fs::read_to_string(data.with_extension("json")).ok();
    text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or(Value::Null)
}

/// The table for people.
fn text(object: &Value) -> String {
    let features = &object["features"];
    let name = features["name"].as_str().unwrap_or_default();
    let distance = if features["is_fid"] == true { "FID".to_owned() } else { format!("Fréchet ({name})") };
    let number = |value: &Value| value.as_f64().map_or("-".to_owned(), |number| format!("{number:.4}"));
    let row = |name: &str, value: &Value| {
        format!(
            "{name:<34} {:>7} {:>22} {:>10} {:>9} {:>9} {:>9}\n",
            value["count"],
            number(&value["frechet"]),
            number(&value["kernel"]["mean"]),
            number(&value["inception_score"]["mean"]),
            number(&value["precision"]),
            number(&value["recall"]),
        )
    };
    let mut text = format!(
        "{:<34} {:>7} {distance:>22} {:>10} {:>9} {:>9} {:>9}\n",
        "samples", "count", "kernel", "inception", "precision", "recall"
    );
    for result in object["results"].as_array().into_iter().flatten() {
        let name = match result["update"].as_u64() {
            Some(update) => format!("update {update}"),
            None => result["samples"].as_str().unwrap_or_default().to_owned(),
        };
        text += &row(&name, result);
    }
    if !object["self_check"].is_null() {
        text += &row("real against real (halves)", &object["self_check"]);
    }
    let data = &object["data"];
    let from = |key: &str| data["manifest"][key].as_str().unwrap_or("not recorded").to_owned();
    text += &format!(
        "data       {} ({} images, crop {}, filter {})\nfeatures   {name}, {} numbers an image{}",
        data["file"].as_str().unwrap_or_default(),
        data["count"],
        from("crop"),
        from("filter"),
        features["dimension"],
        features["sha256"].as_str().map_or(String::new(), |sum| format!(", sha256 {}", &sum[..12])),
    );
    text += &format!("\ntime       {}", status::duration(object["seconds"].as_f64().unwrap_or(0.0)));
    text
}
