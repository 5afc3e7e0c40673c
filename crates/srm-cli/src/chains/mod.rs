//! Run `srm diagnose chains`: gap and gradient over training, chains step by step, long, corrected, and from one start.

mod bench;
mod charts;
mod long;
mod mixing;
mod report;
mod short;
mod training;

use std::time::Instant;

use anyhow::Result;
use srm_eval::Variant;

use crate::{
    flags::ChainsFlags,
    model::{Choice, Model, weights},
    session::{Failure, Session, usage, write_json},
};
use bench::Bench;
use long::Long;
use report::{FILE, Notes, Parts, Report};

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
    if flags.mixing_starts == 1 {
        return Err(usage("--mixing-starts 1: a variance between starts needs two; give 2 or more, or 0"));
    }
    let choice = Choice::of(&flags.common.model)?;
    let file = out.join(FILE);
    session.prepare([&*file])?;
    let model = Model::open(&flags.weights, &choice, &flags.common.model.compute, session)?;
    let sha256 = weights::sha256(&model.file)?;
    let mut bench = Bench::new(flags, session, &model)?;
    session.watch_interrupts()?;
    let _guard = tch::no_grad_guard();
    let begun = Instant::now();
    let mut notes = Notes { left_out: Vec::new(), files: vec![FILE.to_owned()] };
    let parts = diagnose(&mut bench, &sha256, &mut notes)?;
    session.conclude(|| {
        let report = Report::new(&bench, &sha256, parts, notes, begun.elapsed().as_secs_f64());
        write_json(&file, &report)?;
        for reason in &report.notes.left_out {
            tracing::info!("left out: {reason}");
        }
        match report.parts.short.none_reaches_k() {
            None => Ok(report),
            Some(step) => Err(Failure::Diverged(format!(
                "every short chain blew up, the last at step {step} of {}: f is not finite there; take the Langevin settings \
                 the weights were trained with, or an earlier checkpoint (what was seen is in {})",
                model.langevin.steps,
                file.display()
            ))
            .into()),
        }
    })
}

/// Run each diagnostic that can be run; the notes say why another is not.
fn diagnose(bench: &mut Bench<'_>, sha256: &str, notes: &mut Notes) -> Result<Parts> {
    let flags = bench.flags;
    let open = |bench: &Bench<'_>, variant: Variant, steps: usize| match steps {
        0 => Ok(None),
        steps => Long::open(bench, variant, steps, sha256).map(Some),
    };
    let long = open(bench, Variant::Langevin, flags.long_steps as usize)?;
    let metropolis = match flags.metropolis_steps.map_or(bench.beyond, |steps| steps as usize) {
        steps if steps > 0 && bench.model.langevin.noise_std() == 0.0 => {
            notes.left_out.push("Metropolis: langevin.noise_std is 0, so exp(f/T) has no temperature".to_owned());
            None
        }
        steps if steps > 0 && bench.model.net.grids() > 1 => {
            notes.left_out.push("Metropolis: a ladder has another target exp(f/T) on each grid".to_owned());
            None
        }
        steps => open(bench, Variant::Metropolis, steps)?,
    };
    let training = training::diagnose(bench, &mut notes.files)?;
    let training = training.map_err(|reason| notes.left_out.push(format!("training: {reason}"))).ok();
    bench.see_data()?;
    let (bench, files) = (&*bench, &mut notes.files);
    Ok(Parts {
        training,
        short: short::diagnose(bench, files)?,
        mixing: (flags.mixing_starts > 0).then(|| mixing::diagnose(bench, files)).transpose()?,
        long: long.map(|long| long.diagnose(bench, files)).transpose()?,
        metropolis: metropolis.map(|long| long.diagnose(bench, files)).transpose()?,
    })
}
