//! Run `srm train`: open images and run folder, begin or go on, say how the run ended.

use std::{fmt::Write, path::Path};

use anyhow::{Context, Result, bail};
use serde_json::json;
use srm_config::Config;
use srm_data::ImageSet;
use srm_energy::ConvNet;
use srm_ranks::Ranks;
use srm_train::{End, Lock, RunFolder, Trainer, TrainerOptions};

use crate::{
    arguments::TrainArguments,
    environment::{environment, kind},
    failure::{Failure, usage},
    images, interrupt,
    machine::Machine,
    memory,
    output::Output,
    progress::Progress,
    ranks,
    scorer::Scorer,
    shown::Shown,
    status,
    train_plan::Plan,
};

/// What the first Ctrl-C is answered with.
const INTERRUPTED: &str = "stopping and saving; once more Ctrl-C stops at once, without saving";

/// Train, and print what came out.
///
/// # Errors
/// Bad usage or config, missing images, a run folder in use, divergence, Ctrl-C.
pub fn run(arguments: &TrainArguments, team: Box<dyn Ranks>, output: &Output) -> Result<()> {
    if team.rank() == 0 { lead(arguments, team, output) } else { follow(arguments, team, output) }
}

/// Train as rank 0, which reads the settings and keeps the run folder.
fn lead(arguments: &TrainArguments, team: Box<dyn Ranks>, output: &Output) -> Result<()> {
    let plan = match Plan::resolve(arguments, team.size()) {
        Ok(plan) if !arguments.dry_run => plan,
        other => {
            team.broadcast(Vec::new())?; // nothing to do for the others
            return dry_run(&other?, output);
        }
    };
    images::check(&plan.config, &plan.source)?;
    plan.fits()?;
    let lock = prepare_folder(&plan.folder, arguments)?;
    let images = images::open(&plan.config)?;
    introduce(&plan, &images, team.size());
    interrupt::watch_saying(output.clone(), INTERRUPTED)?;
    let fingerprint = images.fingerprint();
    let mut trainer = Trainer::from_config(&plan.config, images, options(&plan.machine, plan.block))?;
    let scorer = Scorer::open(&plan.config, &plan.machine, plan.block)?;
    team.broadcast(plan.config.to_json().into_bytes())?;
    score_with(&mut trainer, scorer, (&*team, &plan.machine), output)?;
    let folder = begin(lock, &plan, arguments, &fingerprint, &mut trainer)?;
    trainer.set_ranks(team)?;
    let (from, updates) = (trainer.state().update, plan.config.train.updates);
    let mut sink = (Progress::new(output, from, updates), folder.clone());
    if from >= updates {
        tracing::info!("all {updates} updates are done already; --set train.updates=N goes further");
    }
    let end = trainer.run(&mut folder.clone(), &mut sink, &interrupt::stop())?;
    let (progress, folder) = sink;
    let (seconds, made) = progress.finish();
    let outcome = match end {
        End::Finished => "finished",
        End::Interrupted { .. } => "interrupted",
        End::Diverged { .. } => "diverged",
    };
    if let Err(error) = folder.end(outcome, trainer.state().update) {
        tracing::warn!("{error}"); // the outcome counts, and its state is saved
    }
    summary(&plan, &trainer, &progress, outcome, (seconds, made), output)?;
    match end {
        End::Finished => Ok(()),
        End::Interrupted { update: 0 } => {
            Err(Failure::Interrupted("interrupted before the end of update 1; --resume begins anew".to_owned()).into())
        }
        End::Interrupted { update } => Err(Failure::Interrupted(format!(
            "interrupted; the state after update {update} is saved, --resume goes on from there"
        ))
        .into()),
        End::Diverged { update, reason } => {
            let evidence = plan.folder.join("divergence");
            let tried = match trainer.state().rollbacks {
                0 => "watch.rollbacks allows no rollback".to_owned(),
                rollbacks => format!("{rollbacks} rollbacks did not help"),
            };
            Err(Failure::Diverged(format!(
                "training diverged at update {update}: {reason}; {tried}; look at {}, then lower train.learning_rate, raise \
                 train.data_noise or lower langevin.gradient_scale (--resume --set KEY=VALUE goes on from the last checkpoint)",
                evidence.display()
            ))
            .into())
        }
    }
}

/// Print the resolved config.
fn dry_run(plan: &Plan, output: &Output) -> Result<()> {
    let tree: serde_json::Value = serde_json::from_str(&plan.config.to_json())?;
    let object = json!({ "command": "train", "dry_run": true, "run": Shown(&plan.folder),
        "device": plan.machine.device_name(), "config": tree });
    output.result(&object, &plan.config.to_json())
}

/// Train as any other rank: the settings and the state are rank 0's, and nothing is written.
fn follow(arguments: &TrainArguments, team: Box<dyn Ranks>, output: &Output) -> Result<()> {
    let settings = team.broadcast(Vec::new())?;
    if settings.is_empty() {
        return Ok(());
    }
    let config = Config::from_json(&String::from_utf8_lossy(&settings), &[])?;
    let machine = Machine::open(&arguments.compute)?;
    interrupt::watch_saying(output.clone(), INTERRUPTED)?;
    let block = config.langevin.block.context("rank 0 has resolved the block")?;
    let mut trainer = Trainer::from_config(&config, images::open(&config)?, options(&machine, block))?;
    let scorer = Scorer::open(&config, &machine, block)?;
    score_with(&mut trainer, scorer, (&*team, &machine), output)?;
    trainer.set_ranks(team)?;
    // rank 0 keeps the states, and says more
    match trainer.run(&mut (), &mut (), &interrupt::stop())? {
        End::Finished => Ok(()),
        End::Interrupted { .. } => Err(Failure::Interrupted("interrupted".to_owned()).into()),
        End::Diverged { .. } => Err(Failure::Diverged("training diverged".to_owned()).into()),
    }
}

/// Check that all ranks have the same, and let a scorer that is ready score the run, where there is one.
fn score_with(
    trainer: &mut Trainer<ConvNet>,
    scorer: Option<Scorer>,
    (team, machine): (&dyn Ranks, &Machine),
    output: &Output,
) -> Result<()> {
    ranks::same(team, "images in data.images", || Ok(trainer.data().fingerprint()?))?;
    ranks::same(team, "kind of machine", || Ok(kind(machine)))?;
    if let Some(mut scorer) = scorer {
        scorer.prepare(team, output)?;
        trainer.score_with(Box::new(scorer));
    }
    Ok(())
}

fn options(machine: &Machine, block: usize) -> TrainerOptions {
    TrainerOptions { device: machine.device, precision: machine.precision, threads: machine.threads, block }
}

/// Say what is about to happen.
fn introduce(plan: &Plan, images: &ImageSet, ranks: usize) {
    let (config, langevin) = (&plan.config, &plan.config.langevin);
    tracing::info!(
        "{}: {} images of {} px, {} updates of {} on {} ({}{} threads, blocks of {}); run folder {}",
        plan.source.display(),
        images.len(),
        config.energy.size,
        config.train.updates,
        config.train.batch,
        plan.machine.device_name(),
        if ranks > 1 { format!("{ranks} processes of ") } else { String::new() },
        plan.machine.threads,
        plan.block,
        plan.folder.display()
    );
    tracing::info!(
        "{} Langevin steps, gradient_scale {}, noise_std {}, temperature {:.3e}",
        langevin.steps,
        langevin.gradient_scale(),
        langevin.noise_std(),
        langevin.temperature()
    );
    if !plan.machine.device.is_cuda() {
        tracing::info!("at least {} of memory besides the images", memory::shown(plan.memory()));
    }
}

/// Lock the run folder, or refuse one that holds something.
fn prepare_folder(folder: &Path, arguments: &TrainArguments) -> Result<Lock> {
    if folder.exists() && !folder.is_dir() {
        bail!("the run folder {} is a file; choose another with --run DIR", folder.display());
    }
    if !arguments.resume && !arguments.overwrite && RunFolder::is_used(folder) {
        return Err(usage(format!(
            "the run folder {} is not empty; --resume goes on with the run in it, --overwrite deletes what that run left, \
             --run DIR takes another folder",
            folder.display()
        )));
    }
    if arguments.overwrite && RunFolder::is_used(folder) && !RunFolder::is_run(folder) {
        return Err(usage(format!(
            "{} holds files but no run, so --overwrite deletes nothing there; choose another folder with --run DIR",
            folder.display()
        )));
    }
    let cannot = || format!("cannot make the run folder {}; choose another with --run DIR", folder.display());
    match Lock::take(folder) {
        Err(error) if error.is_write_failure() => Err(error).with_context(cannot)?,
        taken => Ok(taken?),
    }
}

/// The run folder of a fresh run, or of the run that is resumed with its state put into the trainer.
fn begin(
    lock: Lock,
    plan: &Plan,
    arguments: &TrainArguments,
    fingerprint: &str,
    trainer: &mut Trainer<ConvNet>,
) -> Result<RunFolder> {
    let environment = environment(&plan.machine, plan.block, ranks::launched());
    if arguments.overwrite {
        // not before: now images and settings are known to make a run
        RunFolder::clear(&lock)?;
    }
    if !arguments.resume {
        return Ok(RunFolder::create(lock, &plan.config, environment, fingerprint)?);
    }
    let (folder, found) = RunFolder::resume(lock, &plan.config, environment, fingerprint)?;
    for change in &found.changes {
        tracing::info!("changed setting {change}");
    }
    let Some(saved) = found.saved else {
        tracing::info!("no complete checkpoint in {}: beginning at update 0", plan.folder.display());
        return Ok(folder);
    };
    if !found.differences.is_empty() {
        tracing::warn!(
            "not as it was when the checkpoint was written, so the run will not be bit for bit what it would have been: {}",
            found.differences.join("; ")
        );
    }
    if found.ranks != ranks::launched() {
        let (before, now) = (found.ranks, ranks::launched());
        tracing::info!("processes before: {before}, now: {now}; the run goes on with the same bits");
    }
    trainer.restore(&saved)?;
    tracing::info!("resuming after update {}", trainer.state().update);
    Ok(folder)
}

/// Print how the run ended and where its results are.
fn summary(
    plan: &Plan,
    trainer: &Trainer<ConvNet>,
    progress: &Progress<'_>,
    outcome: &str,
    (seconds, made): (f64, u64),
    output: &Output,
) -> Result<()> {
    let state = trainer.state();
    let newest = RunFolder::newest_checkpoint(&plan.folder).unwrap_or_default();
    let weights = newest.map(|checkpoint| RunFolder::weights_of(&checkpoint));
    let rate = made as f64 / seconds.max(1e-9);
    let object = json!({
        "command": "train", "run": Shown(&plan.folder), "config": Shown(&plan.source), "outcome": outcome, "updates": state.update,
        "device": plan.machine.device_name(), "precision": plan.machine.precision_name(), "threads": plan.machine.threads, "ranks": trainer.ranks().size(), "block": plan.block, "seconds": seconds,
        "updates_per_second": rate, "images_seen": state.images_seen, "rollbacks": state.rollbacks, "weights": weights.as_deref().map(Shown),
        "best": state.best, "last": progress.last,
    });
    let mut text = format!("{outcome} after {} updates", state.update);
    if made > 0 {
        let images = rate * plan.config.train.batch as f64;
        write!(text, ", {made} of them in {} ({rate:.2} updates/s, {images:.1} images/s)", status::duration(seconds))?;
    }
    if let Some(last) = &progress.last {
        write!(text, "\nat the end  gap {:.3}, r {:.3}, std {:.3}", last.gap, last.chain_grad_norm, last.sample_std)?;
    }
    if let Some(best) = &state.best {
        write!(text, "\nbest        {} {:.4} at update {}", best.name, best.score, best.update)?;
        if plan.config.checkpoint.keep_best {
            write!(text, " (kept in {}/checkpoints/best)", plan.folder.display())?;
        }
    }
    for rollback in &progress.rollbacks {
        write!(text, "\nrollback    from update {} to {}: {}", rollback.update, rollback.to, rollback.reason)?;
    }
    let folder = plan.folder.display();
    let weights = weights.as_deref().map_or("none yet".to_owned(), |weights| weights.display().to_string());
    write!(text, "\npictures    {folder}/samples\nweights     {weights}")?;
    write!(text, "\ncurves      tensorboard --logdir {folder}")?;
    write!(text, "\nmore        srm sample --weights {folder} --out samples.png")?;
    output.result(&object, &text)
}
