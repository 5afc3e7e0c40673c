//! Show a run on the terminal.

use std::time::Instant;

use srm_run::{PerImage, Rollback, ScoreRecord, StepRecord};
use srm_terminal::ProgressBar;
use srm_train::{Sink, Trouble};

use crate::session::{Output, status};

/// Shows a run's events on the terminal.
pub struct Progress<'a> {
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
    pub fn new(output: &'a Output, update: u64, updates: u64) -> Progress<'a> {
        let bar = output.bar(updates, "updates");
        bar.set_position(update);
        bar.reset_eta();
        Progress { last: None, rollbacks: Vec::new(), output, bar, begun: Instant::now(), made: 0, updates }
    }

    /// Take the bar away; seconds and updates of this process.
    pub fn finish(&self) -> (f64, u64) {
        self.bar.finish_and_clear();
        (self.begun.elapsed().as_secs_f64(), self.made)
    }
}

impl Sink for Progress<'_> {
    fn record(&mut self, record: &StepRecord, _per_image: &PerImage) -> srm_train::Result<()> {
        let rate = self.made as f64 / self.begun.elapsed().as_secs_f64().max(1e-9);
        self.output.line(&status::line(record, self.updates, rate));
        self.last = Some(record.clone());
        Ok(())
    }

    fn progress(&mut self, update: u64, _updates: u64) {
        self.made += 1;
        self.bar.set_position(update);
    }

    fn score(&mut self, record: &ScoreRecord) -> srm_train::Result<()> {
        let score = record.score.map_or("no number: the chains blew up".to_owned(), |score| format!("{score:.4}"));
        let best = if record.best { "  best so far" } else { "" };
        let seconds = status::duration(record.seconds);
        self.output.line(&format!(
            "update {:>4}  {} {score} ({} samples, {seconds}){best}",
            record.update, record.name, record.count
        ));
        Ok(())
    }

    fn trouble(&mut self, trouble: &Trouble) -> srm_train::Result<()> {
        tracing::warn!("update {}: {}", trouble.update, trouble.reason);
        Ok(())
    }

    fn rolled_back(&mut self, rollback: &Rollback) -> srm_train::Result<()> {
        tracing::warn!(
            "rolled back from update {} to {}: rollback {}, new noise, learning rate × {}{}",
            rollback.update,
            rollback.to,
            rollback.attempt,
            rollback.rate_factor,
            if rollback.extra_noise > 0.0 { format!(", data noise + {}", rollback.extra_noise) } else { String::new() }
        );
        self.rollbacks.push(rollback.clone());
        Ok(())
    }
}
