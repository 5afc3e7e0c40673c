//! Run `srm evaluate`: distances between samples and real images, with everything that moves them.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use ndarray::Array4;
use serde_json::{Value, json};
use srm_config::{Config, parse_json};
use srm_data::{ImageSet, sha256_of_file};
use srm_eval::{FeatureNetwork, SPLITS, inception_score};
use srm_langevin::Spread;
use srm_random::{Key, Purpose, permutation};
use srm_ranks::Ranks;

use crate::{
    arguments::EvaluateArguments,
    failure::{Failure, usage},
    images::{digest, gallery, prepare_output, write_whole},
    interrupt,
    machine::Machine,
    output::Output,
    ranks,
    scoring::{self, Real, Reference, copies, reconstruction, shape, with_bar},
    shown::Shown,
    status,
    weights::{self, Loaded},
};

/// Samples below which a Fréchet distance says little: its bias falls with 1/n (Chong and Forsyth 2020, arXiv 1911.07023).
const FEW: usize = 10_000;

/// Score samples and print the table.
///
/// # Errors
/// Bad usage, images, weights or a feature network that cannot be used, chains that blow up.
pub fn run(arguments: &EvaluateArguments, team: &dyn Ranks, output: &Output) -> Result<()> {
    // a file more in a checkpoint would look like damage, and a hub's folder is not ours
    let run = arguments.weights.as_ref().filter(|path| path.join("checkpoints").is_dir());
    let run = run.map(|run| run.join("evaluation.json"));
    let report = arguments.out.clone().or(run);
    let outputs = [report.as_ref(), arguments.save_stats.as_ref(), arguments.nearest.as_ref()];
    for path in outputs.into_iter().flatten().filter(|_| team.rank() == 0) {
        prepare_output(path)?;
    }
    let machine = Machine::open(&arguments.compute)?;
    let begun = Instant::now();
    let net = FeatureNetwork::open(&arguments.features, machine.device)?;
    // on a GPU, which one thread drives, libtorch's own threads make the covariances
    let threads = if machine.device.is_cuda() { arguments.compute.threads() } else { machine.threads };
    tch::set_num_threads(threads as i32);
    interrupt::watch(output.clone())?;
    let reference = Reference::open(&arguments.data, arguments.data_count.map(|count| count as usize), &net)?;
    refuse(arguments, &reference)?;
    ranks::same(team, "images in --data", || reference.fingerprint())?;
    let real = RealSide { real: reference.real(&net, team, output)?, reference };
    if let (Some(path), Some(real)) = (&arguments.save_stats, &real.real) {
        real.moments.save(path, net.identity())?;
    }
    let mut warnings = Vec::new();
    if arguments.weights.is_some() && arguments.count.is_none() && real.reference.count().is_none() {
        warnings.push(format!(
            "{} does not say of how many images it is: drawing {FEW} samples (--count N draws another number)",
            arguments.data.display()
        ));
        tracing::warn!("{}", warnings[0]);
    }
    let told = warnings.len();
    let self_check = match arguments.self_check {
        true => halves(arguments, &net, &real, team, output)?,
        false => None,
    };
    let mut results = Vec::new();
    for candidate in ranks::agree_on_files(team, || candidates(arguments))? {
        let begun = Instant::now();
        let result = scored(arguments, (&machine, &net), &real, &candidate, team, output)?;
        let Some(mut result) = result else { continue };
        result["seconds"] = json!(begun.elapsed().as_secs_f64());
        let count = result["count"].as_u64().unwrap_or(0) as usize;
        if count < FEW && warnings.len() == told {
            warnings.push(format!(
                "{count} samples: a Fréchet distance from fewer than {FEW} is biased upwards; compare only equal counts"
            ));
        }
        results.push(result);
    }
    if team.rank() > 0 {
        return Ok(());
    }
    let object = json!({
        "command": "evaluate",
        "data": {
            "file": Shown(&arguments.data), "count": real.reference.count(), "statistics": real.reference.images().is_none(),
            "manifest": manifest(&arguments.data),
        },
        "features": net.identity(), "results": results, "self_check": self_check, "warnings": warnings,
        "seconds": begun.elapsed().as_secs_f64(),
    });
    if let Some(path) = &report {
        write_whole(path, &format!("{object:#}\n"))?;
    }
    for warning in &warnings[told..] {
        tracing::warn!("{warning}");
    }
    output.result(&object, &text(&object))
}

/// The real images of a command, as every rank knows them.
struct RealSide {
    reference: Reference,
    /// What comparisons need of it, at rank 0.
    real: Option<Real>,
}

/// Refuse, before any work, what statistics cannot serve.
fn refuse(arguments: &EvaluateArguments, reference: &Reference) -> Result<()> {
    let asked = [(arguments.self_check, "--self-check halves"), (arguments.nearest.is_some(), "--nearest shows")];
    match asked.into_iter().find(|(asked, _)| *asked && reference.images().is_none()) {
        Some((_, what)) => Err(usage(format!(
            "{what} the real images, and {} holds their statistics alone; give the images as --data",
            arguments.data.display()
        ))),
        None => Ok(()),
    }
}

/// Distance between two random halves of the real images, at rank 0.
fn halves(
    arguments: &EvaluateArguments,
    net: &FeatureNetwork,
    real: &RealSide,
    team: &dyn Ranks,
    output: &Output,
) -> Result<Option<Value>> {
    let images = real.reference.images().context("statistics cannot be halved")?; // refused before
    let order = permutation(&Key::new(arguments.seed, Purpose::DataOrder), images.len());
    let half = images.len() / 2;
    let part = |first: usize| {
        with_bar(output, (half, "images of a half"), |seen| {
            scoring::features(team, net, half, shape(images), |i| images.image(order[first + i]), seen)
        })
    };
    let (Some(one), Some(other)) = (part(0)?, part(half)?) else { return Ok(None) };
    let mut about = json!({ "count": half });
    Real::from(one).compare(&other, arguments.seed)?.write_to(&mut about);
    Ok(Some(about))
}

/// What is scored, one after the other: samples, a weights file, or the checkpoints of a run.
fn candidates(arguments: &EvaluateArguments) -> Result<Vec<PathBuf>> {
    if let Some(samples) = &arguments.samples {
        return Ok(vec![samples.clone()]);
    }
    let Some(path) = &arguments.weights else { return Ok(Vec::new()) };
    weights::checkpoints(path, arguments.newest)
}

/// One line of the table, at rank 0.
fn scored(
    arguments: &EvaluateArguments,
    (machine, net): (&Machine, &FeatureNetwork),
    side: &RealSide,
    candidate: &Path,
    team: &dyn Ranks,
    output: &Output,
) -> Result<Option<Value>> {
    let asked = arguments.count.map_or(side.reference.count().unwrap_or(FEW).clamp(2, FEW), |count| count as usize);
    let loaded = match arguments.samples.is_some() {
        true => None,
        false => {
            let config = arguments.config.as_deref().map(|path| Config::load(path, &[])).transpose()?;
            let file = ranks::agree_on_file(team, || weights::locate(candidate))?;
            Some(weights::load(&file, &arguments.key, config.as_ref(), arguments.steps, machine)?)
        }
    };
    let block = |loaded: &Loaded| ranks::agree(team, || Ok(machine.block(None, &loaded.langevin)));
    let block = loaded.as_ref().map(block).transpose()?.unwrap_or_default();
    let (samples, mut about) = match &loaded {
        None => given(side.reference.images(), candidate, arguments.count)?,
        Some(loaded) => drawn(arguments, (machine, block), loaded, asked, team, output)?,
    };
    let count = samples.dim().0;
    ranks::same(team, "samples or weights", || Ok(about["sha256"].to_string()))?;
    let set = with_bar(output, (count, "samples"), |seen| scoring::features_of(team, net, &samples, seen))?;
    let reconstruction = match (&arguments.reconstruct, &loaded) {
        (Some(path), Some(loaded)) => {
            let images = (path.as_path(), arguments.reconstruct_count as usize);
            reconstruction(loaded, machine, block, images, team, output)?
        }
        _ => Value::Null,
    };
    let (Some(real), Some(set)) = (&side.real, set) else { return Ok(None) };
    about["count"] = json!(count);
    about["reconstruction"] = reconstruction;
    real.compare(&set, arguments.seed)?.write_to(&mut about);
    about["inception_score"] = match &set.logits {
        Some(logits) if count >= SPLITS => {
            let score = inception_score(logits, SPLITS)?;
            json!({ "mean": score.mean, "std": score.std, "splits": SPLITS })
        }
        _ => Value::Null,
    };
    about["nearest"] = match (&arguments.nearest, side.reference.images()) {
        (Some(path), Some(images)) => copies(path, &samples, images)?,
        _ => Value::Null,
    };
    Ok(Some(about))
}

/// Samples that somebody has: in the size of the real images.
fn given(real: Option<&ImageSet>, path: &Path, count: Option<u32>) -> Result<(Array4<u8>, Value)> {
    let most = count.map_or(usize::MAX, |count| count as usize);
    let images = match real {
        Some(images) => gallery(path, images.height(), images.channels(), most)?.images,
        None => {
            let set = ImageSet::open(path).context("with statistics as --data, --samples must be a .npy")?;
            let count = set.len().min(most);
            let bytes: Vec<u8> = (0..count).flat_map(|i| set.image(i)).copied().collect();
            Array4::from_shape_vec((count, set.height(), set.width(), set.channels()), bytes)?
        }
    };
    let about =
        json!({ "samples": Shown(path), "sha256": digest(&images), "update": null, "seed": null, "steps": null });
    Ok((images, about))
}

/// Samples of a net.
fn drawn(
    arguments: &EvaluateArguments,
    (machine, block): (&Machine, usize),
    loaded: &Loaded,
    count: usize,
    team: &dyn Ranks,
    output: &Output,
) -> Result<(Array4<u8>, Value)> {
    let langevin = &loaded.langevin;
    machine.check_chains(loaded.net.config(), block, count, "--count")?;
    let spread = Spread { threads: machine.threads, block };
    let drawn = with_bar(output, (count, "samples drawn"), |seen| {
        scoring::draw(team, &loaded.net, langevin, spread, (arguments.seed, count), seen)
    })?;
    let samples = drawn.map_err(|step| {
        let text = format!("the chains of {} blew up at step {step}; nothing was scored", loaded.file.display());
        Failure::Diverged(text)
    })?;
    let update = loaded.file.parent().and_then(Path::file_name).and_then(|name| name.to_str()?.parse::<u64>().ok());
    let about = json!({
        "samples": Shown(&loaded.file), "sha256": sha256_of_file(&loaded.file)?, "update": update, "seed": arguments.seed, "steps": langevin.steps,
    });
    Ok((samples, about))
}

/// The manifest beside an image set, where there is one: crop and filter move every number.
fn manifest(data: &Path) -> Value {
    let text = std::fs::read(data.with_extension("json")).ok();
    text.and_then(|text| parse_json(&text).ok()).unwrap_or(Value::Null)
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
        if let Some(mse) = result["reconstruction"]["mean_mse"].as_f64() {
            let (count, moved) = (&result["reconstruction"]["count"], number(&result["reconstruction"]["moved"]));
            text += &format!("    reconstruction of {count} images: mean squared error {mse:.5}, |M(z) − z| {moved}\n");
        }
        if let Some(median) = result["nearest"]["median"].as_f64() {
            let (least, different) = (number(&result["nearest"]["least"]), &result["nearest"]["different"]);
            text += &format!(
                "    nearest real images: {median:.1} grey levels away (median), {least} at least, {different} different ones\n"
            );
        }
    }
    if !object["self_check"].is_null() {
        text += &row("real against real (halves)", &object["self_check"]);
    }
    let data = &object["data"];
    let images = match (data["statistics"] == true, data["count"].as_u64()) {
        (true, None) => "statistics alone, count unknown".to_owned(),
        (true, Some(count)) => format!("statistics of {count} images"),
        (false, count) => format!("{} images", count.unwrap_or_default()),
    };
    let from = |key: &str| data["manifest"][key].as_str().unwrap_or("not recorded").to_owned();
    text += &format!(
        "data       {} ({images}, crop {}, filter {})\nfeatures   {name}, {} numbers an image{}",
        data["file"].as_str().unwrap_or_default(),
        from("crop"),
        from("filter"),
        features["dimension"],
        features["sha256"].as_str().map_or(String::new(), |sum| format!(", sha256 {}", &sum[..12])),
    );
    text += &format!("\ntime       {}", status::duration(object["seconds"].as_f64().unwrap_or(0.0)));
    text
}
