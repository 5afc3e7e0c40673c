//! Show a run on the terminal while its folder keeps it.

use std::time::Instant;

use ndarray::Array4;
use srm_terminal::ProgressBar;
use srm_train::{Details, Occasion, Rollback, RunFolder, Saved, ScoreRecord, Sink, StepRecord, Trainer, Trouble};

use crate::{output::Output, status};

/// Passes a run's events to its folder and to the terminal.
pub struct Progress<'a> {
    pub folder: RunFolder,
    pub last: Option<StepRecord>,
    pub rollbacks: Vec<Rollback>,
    output: &'a Output,
    bar: ProgressBar,
    begun: Instant,
    /// Updates that this process has made, those of refused attempts too.
    made: u64,
    updates: u64,
}

impl<'a> Progress<'a> {
    /// Progress of a run that stands at `update` of `updates`.
    pub fn new(folder: RunFolder, output: &'a Output, update: u64, updates: u64) -> Progress<'a> {
        let bar = output.bar(updates, "updates");
        bar.set_position(update);
        bar.reset_eta();
        Progress { folder, last: None, rollbacks: Vec::new(), output, bar, begun: Instant::now(), made: 0, updates }
    }

    /// Take the bar away; seconds and updates of this process.
    pub fn finish(&self) -> (f64, u64) {
        self.bar.finish_and_clear();
        (self.begun.elapsed().as_secs_f64(), self.made)
    }
}

impl Sink for Progress<'_> {
    fn record(&mut self, record: &StepRecord, details: &Details) -> srm_train::Result<()> {
        let rate = self.made as f64 / self.begun.elapsed().as_secs_f64().max(1e-9);
        self.output.line(&status::line(record, self.updates, rate));
        self.last = Some(record.clone());
        self.folder.record(record, details)
    }

    fn progress(&mut self, update: u64, _updates: u64) {
        self.made += 1;
        self.bar.set_position(update);
    }

    fn samples(&mut self, update: u64, images: &Array4<u8>) -> srm_train::Result<()> {
        self.folder.samples(update, images)
    }

    fn score(&mut self, record: &ScoreRecord) -> srm_train::Result<()> {
        let score = record.score.map_or("no number: the chains blew up".to_owned(), |score| format!("{score:.4}"));
        let best = if record.best { "  best so far" } else { "" };
        let seconds = status::duration(record.seconds);
        self.output.line(&format!(
            "update {:>4}  {} {score} ({} samples, {seconds}){best}",
            record.update, record.name, record.count
        ));
        self.folder.score(record)
    }

    fn best(&mut self, trainer: &Trainer) -> srm_train::Result<()> {
        self.folder.best(trainer)
    }

    fn checkpoint(&mut self, trainer: &Trainer, occasion: Occasion) -> srm_train::Result<()> {
        self.folder.checkpoint(trainer, occasion)
    }

    fn trouble(&mut self, trouble: &Trouble) -> srm_train::Result<()> {
        tracing::warn!("update {}: {}", trouble.update, trouble.reason);
        self.folder.trouble(trouble)
    }

    fn restore_point(&mut self, before: Option<u64>) -> srm_train::Result<Option<Saved>> {
        self.folder.restore_point(before)
    }

    fn rolled_back(&mut self, rollback: &Rollback, trainer: &Trainer) -> srm_train::Result<()> {
        tracing::warn!(
            "rolled back from update {} to {}: rollback {}, new noise, learning rate × {}{}",
            rollback.update,
            rollback.to,
            rollback.attempt,
            rollback.rate_factor,
            if rollback.extra_noise > 0.0 { format!(", data noise + {}", rollback.extra_noise) } else { String::new() }
        );
        self.rollbacks.push(rollback.clone());
        self.folder.rolled_back(rollback, trainer)
    }
}
