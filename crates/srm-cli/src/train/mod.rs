//! Run `srm train`: open images and run folder, begin or go on, say how the run ended.

mod plan;
mod progress;
mod report;
mod scorer;

use std::{path::Path, rc::Rc};

use anyhow::{Context, Result, bail};
use srm_config::{ColourStart, Init, LangevinConfig};
use srm_data::ImageSet;
use srm_ranks::launched;
use srm_run::{Lock, clear, is_run, is_used, layout::DIVERGENCE};
use srm_train::{End, RunFolder, Trainer, TrainerOptions};

use crate::{
    flags::TrainFlags,
    images,
    model::Net,
    session::{
        Failure, Machine, Session,
        environment::{environment, kind},
        interrupt, memory, usage,
    },
};
use plan::Plan;
use progress::Progress;
use report::{DryRun, Report};
use scorer::Scorer;

/// What the first Ctrl-C is answered with.
const INTERRUPTED: &str = "stopping and saving; once more Ctrl-C stops at once, without saving";

/// Train, and print what came out.
///
/// # Errors
/// Bad usage or config, missing images, a run folder in use, divergence, Ctrl-C.
pub fn run(flags: &TrainFlags, session: &Session) -> Result<()> {
    let Some((mut plan, lock)) = settle(flags, session)? else { return Ok(()) };
    let images = images::open(&plan.config)?;
    if let Init::Colours(ColourStart::Unmeasured(size)) = plan.config.langevin.init {
        let law = images::colours(&images, size, plan.config.data.flip)?;
        plan.config.langevin.init = Init::Colours(ColourStart::Law(law));
    }
    session.write(|| {
        introduce(&plan, &images, session.ranks().size());
        Ok(())
    })?;
    interrupt::watch_saying(session.output().clone(), INTERRUPTED)?;
    let (fingerprint, shape) = (images.fingerprint(), images.shape());
    let mut trainer = Trainer::from_config(&plan.config, images, options(&plan.machine, plan.block))?;
    let scorer = Scorer::open(&plan.config, shape, &plan.machine, plan.block)?;
    session.same("images in data.images", || Ok(fingerprint.clone()))?;
    session.same("kind of machine", || Ok(kind(&plan.machine)))?;
    if let Some(mut scorer) = scorer {
        scorer.prepare(session)?;
        trainer.score_with(Box::new(scorer));
    }
    // one rank keeps the run
    let mut folder = lock.map(|lock| begin(lock, &plan, flags, &fingerprint, &mut trainer)).transpose()?;
    trainer.set_ranks(Box::new(Rc::clone(session.ranks())))?;
    let (from, updates) = (trainer.state().update, plan.config.train.updates);
    let progress = folder.is_some().then(|| Progress::new(session.output(), from, updates));
    let mut sink = (progress, folder.clone());
    if from >= updates && folder.is_some() {
        tracing::info!("all {updates} updates are done already; --set train.updates=N goes further");
    }
    let end = trainer.run(&mut folder, &mut sink, &interrupt::stop())?;
    if let (Some(progress), Some(folder)) = (&sink.0, &folder) {
        session.conclude(|| {
            let report = Report::new(&plan, &trainer, progress, &end);
            if let Err(error) = folder.end(report.outcome, trainer.state().update) {
                tracing::warn!("{error}"); // the outcome counts, and its state is saved
            }
            Ok(report)
        })?;
    }
    ended(end, &plan, trainer.state().rollbacks)
}

/// What is to be done, the same at every rank, and the lock of the run folder where the run is kept; `None` after a dry run.
fn settle(flags: &TrainFlags, session: &Session) -> Result<Option<(Plan, Option<Lock>)>> {
    let mut own = None;
    let settings = session.agree(|| {
        let plan = Plan::resolve(flags, session.ranks().size())?;
        if flags.dry_run {
            session.conclude(|| DryRun::new(&plan))?;
            return Ok(None);
        }
        images::check(&plan.config, &plan.source)?;
        plan.fits()?;
        let lock = prepare_folder(&plan.folder, flags)?;
        let settings = plan.config.to_json();
        own = Some((plan, Some(lock)));
        Ok(Some(settings))
    })?;
    match (own, settings) {
        (None, Some(settings)) => Ok(Some((Plan::following(&settings, flags)?, None))),
        (own, _) => Ok(own),
    }
}

/// The outcome as an error, where the run has not come to its end.
fn ended(end: End, plan: &Plan, rollbacks: u32) -> Result<()> {
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
            let evidence = plan.folder.join(DIVERGENCE);
            let tried = match rollbacks {
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
        match images.shape() {
            [height, width, _] if height == width => height.to_string(),
            [height, width, _] => format!("{width}×{height}"),
        },
        config.train.updates,
        config.train.batch,
        plan.machine.device_name(),
        if ranks > 1 { format!("{ranks} processes of ") } else { String::new() },
        plan.machine.threads,
        plan.block,
        plan.folder.display()
    );
    tracing::info!(
        "{} Langevin steps{}, gradient_scale {}, noise_std {}, temperature {}",
        langevin.steps,
        langevin.on_grids(),
        langevin.along(LangevinConfig::gradient_scale_at, |a| a.to_string()),
        langevin.along(LangevinConfig::noise_std_at, |b| b.to_string()),
        langevin.along(LangevinConfig::temperature_at, |t| format!("{t:.3e}"))
    );
    if let Some(knot) = langevin.last_knot().filter(|&knot| knot + 1 != langevin.steps as u64) {
        tracing::warn!(
            "langevin's schedules end at step {knot}, the chain at step {}: a number along the chain falls short, or stays",
            langevin.steps - 1
        );
    }
    if !plan.machine.device.is_cuda() {
        tracing::info!("at least {} of memory besides the images", memory::shown(plan.memory()));
    }
}

/// Lock the run folder, or refuse one that holds something.
fn prepare_folder(folder: &Path, flags: &TrainFlags) -> Result<Lock> {
    if folder.exists() && !folder.is_dir() {
        bail!("the run folder {} is a file; choose another with --run DIR", folder.display());
    }
    if !flags.resume && !flags.overwrite && is_used(folder) {
        return Err(usage(format!(
            "the run folder {} is not empty; --resume goes on with the run in it, --overwrite deletes what that run left, \
             --run DIR takes another folder",
            folder.display()
        )));
    }
    if flags.overwrite && is_used(folder) && !is_run(folder) {
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
    flags: &TrainFlags,
    fingerprint: &str,
    trainer: &mut Trainer<Net>,
) -> Result<RunFolder> {
    let environment = environment(&plan.machine, plan.block, launched());
    if flags.overwrite {
        // not before: now images and settings are known to make a run
        clear(&lock)?;
    }
    if !flags.resume {
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
    if found.ranks != launched() {
        let (before, now) = (found.ranks, launched());
        tracing::info!("processes before: {before}, now: {now}; the run goes on with the same bits");
    }
    trainer.restore(&saved)?;
    tracing::info!("resuming after update {}", trainer.state().update);
    Ok(folder)
}
