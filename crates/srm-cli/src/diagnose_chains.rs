//! Run `srm diagnose chains`: gap and gradient over training, chains step by step, long, corrected, and from one start.

mod bench;
mod charts;
mod long;
mod mixing;
mod short;
mod training;

use std::time::Instant;

use anyhow::Result;
use serde_json::{Value, json};
use srm_config::Config;
use srm_data::sha256_of_file;
use srm_eval::Variant;

use crate::{
    arguments::ChainsArguments,
    failure::{Failure, usage},
    images::{prepare_output, write_whole},
    interrupt,
    machine::Machine,
    output::Output,
    shown::Shown,
    status, weights,
};
use bench::Bench;
use charts::number;
use long::Long;

/// What one diagnostic found: numbers, its lines for people, and the files it wrote.
pub struct Found {
    pub object: Value,
    pub text: String,
    pub files: Vec<String>,
}

/// Diagnose, write everything into the folder, and print the numbers.
///
/// # Errors
/// Bad usage, weights, images or saved chains that cannot be used, no short chain that stays finite, outputs that cannot be
/// written.
pub fn run(arguments: &ChainsArguments, output: &Output) -> Result<()> {
    let out = &arguments.out;
    if out.is_file() {
        return Err(usage(format!("--out {}: it is a file; name a folder", out.display())));
    }
    let report = out.join("chains.json");
    prepare_output(&report)?;
    let config = arguments.config.as_deref().map(|path| Config::load(path, &[])).transpose()?;
    let machine = Machine::open(&arguments.compute)?;
    let loaded = weights::load(&arguments.weights, &arguments.key, config.as_ref(), arguments.steps, &machine)?;
    let sha256 = sha256_of_file(&loaded.file)?;
    let bench = Bench::new(arguments, output, &machine, &loaded)?;
    interrupt::watch(output.clone())?;
    tch::set_num_threads(1); // the workers do the work
    let _guard = tch::no_grad_guard();
    let begun = Instant::now();

    let mut left_out = Vec::new();
    let long = match arguments.long_steps {
        0 => None,
        steps => Some(Long::open(&bench, Variant::Langevin, steps as usize, &sha256)?),
    };
    let metropolis = match arguments.metropolis_steps.map_or(bench.beyond, |steps| steps as usize) {
        0 => None,
        _ if bench.langevin.noise_std() == 0.0 => {
            left_out.push("Metropolis: langevin.noise_std is 0, so exp(f/T) has no temperature".to_owned());
            None
        }
        steps => Some(Long::open(&bench, Variant::Metropolis, steps, &sha256)?),
    };
    let training = match training::diagnose(&arguments.weights, arguments.after, out)? {
        Ok(found) => Some(found),
        Err(reason) => {
            left_out.push(format!("training: {reason}"));
            None
        }
    };
    let data = bench.data()?;
    let (short, lost) = short::diagnose(&bench, data.as_ref())?;
    let mixing = (arguments.mixing_starts > 0).then(|| mixing::diagnose(&bench)).transpose()?;
    let go = |long: Option<Long>| long.map(|long| long::diagnose(&bench, long, data.as_ref())).transpose();
    let (long, metropolis) = (go(long)?, go(metropolis)?);

    let parts = [
        ("training", training),
        ("short", Some(short)),
        ("mixing", mixing),
        ("long", long),
        ("metropolis", metropolis),
    ];
    let langevin = &bench.langevin;
    let mut object = json!({
        "command": "diagnose chains", "weights": Shown(&loaded.file), "sha256": sha256, "seed": arguments.seed,
        "device": machine.device_name(), "threads": machine.threads, "block": bench.sampler.block(), "steps": langevin.steps,
        "gradient_scale": langevin.gradient_scale(), "noise_std": langevin.noise_std(), "temperature": langevin.temperature(),
        "data": data,
    });
    let (mut files, mut text) = (vec!["chains.json".to_owned()], String::new());
    for (name, part) in parts {
        object[name] = part.as_ref().map_or(Value::Null, |part| part.object.clone());
        text += &part.as_ref().map_or(String::new(), |part| format!("{}\n", part.text));
        files.extend(part.into_iter().flat_map(|part| part.files));
    }
    object["left_out"] = json!(left_out);
    object["files"] = json!(files);
    object["seconds"] = json!(begun.elapsed().as_secs_f64());
    write_whole(&report, &format!("{object:#}\n"))?;
    for reason in &left_out {
        tracing::info!("left out: {reason}");
    }
    if let Some(step) = lost {
        return Err(Failure::Diverged(format!(
            "every short chain blew up, the last at step {step} of {}: f is not finite there; take the Langevin settings the \
             weights were trained with, or an earlier checkpoint (what was seen is in {})",
            langevin.steps,
            report.display()
        ))
        .into());
    }
    text += &format!("written    {} files in {}", files.len(), out.display());
    text += &format!(
        "\ntime       {}, T = {}",
        status::duration(begun.elapsed().as_secs_f64()),
        number(langevin.temperature())
    );
    output.result(&object, &text)
}
