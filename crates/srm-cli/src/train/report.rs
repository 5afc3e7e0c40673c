//! Say how a run ended and where its results are.

use std::fmt;

use anyhow::Result;
use serde::Serialize;
use serde_json::Value;
use srm_run::{Best, Rollback, StepRecord, newest_weights};
use srm_train::{End, Trainer};

use super::{plan::Plan, progress::Progress};
use crate::{
    model::Net,
    session::{Shown, shown, status},
};

/// How a run ended.
#[derive(Serialize)]
pub struct Report<'a> {
    command: &'static str,
    run: Shown<'a>,
    config: Shown<'a>,
    pub outcome: &'static str,
    updates: u64,
    device: String,
    precision: String,
    threads: usize,
    ranks: usize,
    block: usize,
    seconds: f64,
    updates_per_second: f64,
    images_seen: u64,
    rollbacks: u32,
    #[serde(serialize_with = "shown::optional")]
    weights: Option<std::path::PathBuf>,
    best: Option<&'a Best>,
    last: Option<&'a StepRecord>,
    /// Updates that this process has made, of so many images each.
    #[serde(skip)]
    made: (u64, usize),
    #[serde(skip)]
    taken: &'a [Rollback],
    #[serde(skip)]
    keeps_best: bool,
}

impl<'a> Report<'a> {
    /// Of a run that has ended; the progress bar goes.
    pub fn new(plan: &'a Plan, trainer: &'a Trainer<Net>, progress: &'a Progress<'_>, end: &End) -> Self {
        let ((seconds, made), state, machine) = (progress.finish(), trainer.state(), &plan.machine);
        let newest = newest_weights(&plan.folder).unwrap_or_default();
        Self {
            command: "train",
            run: Shown(&plan.folder),
            config: Shown(&plan.source),
            outcome: match end {
                End::Finished => "finished",
                End::Interrupted { .. } => "interrupted",
                End::Diverged { .. } => "diverged",
            },
            updates: state.update,
            device: machine.device_name(),
            precision: machine.numbers(),
            threads: machine.threads,
            ranks: trainer.ranks().size(),
            block: plan.block,
            seconds,
            updates_per_second: made as f64 / seconds.max(1e-9),
            images_seen: state.images_seen,
            rollbacks: state.rollbacks,
            weights: newest.map(|checkpoint| checkpoint.weights()),
            best: state.best.as_ref(),
            last: progress.last.as_ref(),
            made: (made, plan.config.train.batch),
            taken: &progress.rollbacks,
            keeps_best: plan.config.checkpoint.keep_best,
        }
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (run, rate, (made, batch)) = (self.run, self.updates_per_second, self.made);
        write!(out, "{} after {} updates", self.outcome, self.updates)?;
        if made > 0 {
            let (images, seconds) = (rate * batch as f64, status::duration(self.seconds));
            write!(out, ", {made} of them in {seconds} ({rate:.2} updates/s, {images:.1} images/s)")?;
        }
        if let Some(last) = self.last {
            write!(
                out,
                "\nat the end  gap {:.3}, r {:.3}, std {:.3}",
                last.gap, last.chain_grad_norm, last.sample_std
            )?;
        }
        if let Some(best) = self.best {
            write!(out, "\nbest        {} {:.4} at update {}", best.name, best.score, best.update)?;
            if self.keeps_best {
                write!(out, " (kept in {run}/checkpoints/best)")?;
            }
        }
        for rollback in self.taken {
            write!(out, "\nrollback    from update {} to {}: {}", rollback.update, rollback.to, rollback.reason)?;
        }
        let weights = self.weights.as_ref().map_or("none yet".to_owned(), |weights| weights.display().to_string());
        write!(out, "\npictures    {run}/samples\nweights     {weights}")?;
        write!(out, "\ncurves      tensorboard --logdir {run}")?;
        write!(out, "\nmore        srm sample --weights {run} --out samples.png")
    }
}

/// The settings as they would be.
#[derive(Serialize)]
pub struct DryRun<'a> {
    command: &'static str,
    dry_run: bool,
    run: Shown<'a>,
    device: String,
    config: Value,
    #[serde(skip)]
    text: String,
}

impl<'a> DryRun<'a> {
    /// Of a plan.
    ///
    /// # Errors
    /// None that a valid config gives.
    pub fn new(plan: &'a Plan) -> Result<Self> {
        let text = plan.config.to_json();
        Ok(Self {
            command: "train",
            dry_run: true,
            run: Shown(&plan.folder),
            device: plan.machine.device_name(),
            config: serde_json::from_str(&text)?,
            text,
        })
    }
}

impl fmt::Display for DryRun<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}
