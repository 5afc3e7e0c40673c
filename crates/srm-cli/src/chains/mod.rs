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
use srm_data::sha256_of_file;
use srm_eval::Variant;

use crate::{
    flags::ChainsFlags,
    model::Model,
    session::{Failure, Session, Shown, status, usage, write_whole},
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
pub fn run(flags: &ChainsFlags, session: &Session) -> Result<()> {
    let out = &flags.out;
    if out.is_file() {
        return Err(usage(format!("--out {}: it is a file; name a folder", out.display())));
    }
    let report = out.join("chains.json");
    session.prepare([&*report])?;
    let model = Model::open(&flags.weights, &flags.model, session)?;
    let sha256 = sha256_of_file(&model.file)?;
    let mut bench = Bench::new(flags, session, &model)?;
    session.watch_interrupts()?;
    let _guard = tch::no_grad_guard();
    let begun = Instant::now();
    let (parts, left_out, lost) = diagnose(&mut bench, &sha256)?;

    let langevin = &model.langevin;
    let mut object = json!({
        "command": "diagnose chains", "weights": Shown(&model.file), "sha256": sha256, "seed": flags.seed,
        "device": model.machine.device_name(), "threads": model.machine.threads, "block": model.block,
        "steps": langevin.steps, "gradient_scale": langevin.gradient_scale(), "noise_std": langevin.noise_std(),
        "temperature": langevin.temperature(), "data": bench.numbers,
    });
    let (mut files, mut text) = (vec!["chains.json".to_owned()], String::new());
    for (name, part) in parts {
        object[name] = part.as_ref().map_or(Value::Null, |part| part.object.clone());
        text += &part.as_ref().map_or(String::new(), |part| format!("{}\n", part.text));
        files.extend(part.into_iter().flat_map(|part| part.files));
    }
    let seconds = begun.elapsed().as_secs_f64();
    text += &format!("written    {} files in {}", files.len(), out.display());
    text += &format!("\ntime       {}, T = {}", status::duration(seconds), number(langevin.temperature()));
    (object["left_out"], object["files"], object["seconds"]) = (json!(left_out), json!(files), json!(seconds));
    write_whole(&report, &format!("{object:#}\n"))?;
    for reason in &left_out {
        tracing::info!("left out: {reason}");
    }
    match lost {
        None => session.output().result(&object, &text),
        Some(step) => Err(Failure::Diverged(format!(
            "every short chain blew up, the last at step {step} of {}: f is not finite there; take the Langevin settings the \
             weights were trained with, or an earlier checkpoint (what was seen is in {})",
            langevin.steps,
            report.display()
        ))
        .into()),
    }
}

/// What each diagnostic found, in the order of the report; why some were left out; where no short chain has reached K, the last
/// step at which one blew up.
type Parts = ([(&'static str, Option<Found>); 5], Vec<String>, Option<usize>);

fn diagnose(bench: &mut Bench<'_>, sha256: &str) -> Result<Parts> {
    let (flags, mut left_out) = (bench.flags, Vec::new());
    let open = |bench: &Bench<'_>, variant: Variant, steps: usize| match steps {
        0 => Ok(None),
        steps => Long::open(bench, variant, steps, sha256).map(Some),
    };
    let long = open(bench, Variant::Langevin, flags.long_steps as usize)?;
    let metropolis = match flags.metropolis_steps.map_or(bench.beyond, |steps| steps as usize) {
        steps if steps > 0 && bench.model.langevin.noise_std() == 0.0 => {
            left_out.push("Metropolis: langevin.noise_std is 0, so exp(f/T) has no temperature".to_owned());
            None
        }
        steps => open(bench, Variant::Metropolis, steps)?,
    };
    let training = training::diagnose(&flags.weights, flags.after, &flags.out)?;
    let training = training.map_err(|reason| left_out.push(format!("training: {reason}"))).ok();
    bench.see_data()?;
    let bench = &*bench;
    let (short, lost) = short::diagnose(bench)?;
    let mixing = (flags.mixing_starts > 0).then(|| mixing::diagnose(bench)).transpose()?;
    let go = |long: Option<Long>| long.map(|long| long::diagnose(bench, long)).transpose();
    let (long, metropolis) = (go(long)?, go(metropolis)?);
    let parts = [
        ("training", training),
        ("short", Some(short)),
        ("mixing", mixing),
        ("long", long),
        ("metropolis", metropolis),
    ];
    Ok((parts, left_out, lost))
}
