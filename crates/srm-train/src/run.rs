//! Repeat the update until the run is done, and bring it back when it goes astray.

use crate::trainer::{GRID_COUNT, GRID_SEED};
use crate::{Occasion, Reason, Result, Rollback, Sink, Trainer, Trouble};
use srm_config::Config;
use std::time::Instant;

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    /// All updates are done.
    Finished,
    /// Somebody asked to stop; the state of `update` is saved.
    Interrupted {
        /// Last update done.
        update: u64,
    },
    /// Trouble once more than the watch may roll back.
    Diverged {
        /// The update that was refused; the net is that of the update before.
        update: u64,
        /// Why.
        reason: Reason,
    },
}

impl Trainer {
    /// Update until `train.updates` are done, `stop` says so, or the watch has no rollback left.
    ///
    /// # Errors
    /// What an update or the sink returns.
    pub fn run(&mut self, sink: &mut dyn Sink, stop: &dyn Fn() -> bool) -> Result<End> {
        let _guard = tch::no_grad_guard();
        let Config { log, checkpoint, train, .. } = self.config.clone();
        self.begun.0 = Instant::now();
        while self.state.update < train.updates {
            let (record, details) = match self.update()? {
                Ok(done) => done,
                Err(trouble) => match self.roll_back(&trouble, sink)? {
                    true => continue,
                    false => return Ok(End::Diverged { update: trouble.update, reason: trouble.reason }),
                },
            };
            let (t, last) = (record.update, record.update == train.updates);
            let stopping = !last && self.any(stop())?;
            sink.progress(t, train.updates);
            if t == 1 || t.is_multiple_of(log.every) || last {
                sink.record(&record, &details)?;
            }
            if t.is_multiple_of(log.samples_every) || last {
                sink.samples(t, &self.samples(GRID_SEED, GRID_COUNT)?)?;
            }
            self.score(last, sink)?;
            let occasion = match () {
                () if last => Some(Occasion::End),
                () if stopping => Some(Occasion::Interrupt),
                () => t.is_multiple_of(checkpoint.every).then_some(Occasion::Regular),
            };
            if let Some(occasion) = occasion {
                sink.checkpoint(self, occasion)?;
            }
            if stopping {
                return Ok(End::Interrupted { update: t });
            }
        }
        Ok(End::Finished)
    }

    /// Return to the last good state with new noise and a lower rate; `false` where the watch has no rollback left.
    ///
    /// That state is the newest regular checkpoint whose numbers were well within their limits. Trouble that comes again
    /// soon is taken for the same: a sickness older than that checkpoint, so the one before it is next, and so on. The sink
    /// saves the state after a rollback, so a run that is killed then goes on with the same noise, rate and count.
    fn roll_back(&mut self, trouble: &Trouble, sink: &mut dyn Sink) -> Result<bool> {
        sink.trouble(trouble)?;
        let (watch, every) = (&self.config.watch, self.config.checkpoint.every);
        let before = self.state.clone();
        if before.rollbacks >= watch.rollbacks {
            return Ok(false);
        }
        let (rate_factor, extra_noise) =
            (before.rate_factor * watch.rate_factor, before.extra_noise + watch.extra_noise);
        // soon: within as many updates as the last rollback took back, or a checkpoint's distance
        let again = before.last_rollback.filter(|&(at, to)| trouble.update <= at + at.saturating_sub(to).max(every));
        let older = match again {
            Some((_, to)) => sink.restore_point(Some(to))?,
            None => None,
        };
        let target = match older {
            None => sink.restore_point(again.map(|(_, to)| to + 1))?,
            older => older,
        };
        let seconds = self.seconds();
        self.reset()?;
        if let Some(saved) = &target {
            self.restore(saved)?;
        }
        self.follow_first()?; // the others' sinks know of no checkpoint
        let to = self.state.update;
        self.state.attempt = before.attempt + 1;
        self.state.rollbacks = before.rollbacks + 1;
        (self.state.rate_factor, self.state.extra_noise) = (rate_factor, extra_noise);
        self.state.best = before.best; // it is kept in a folder of its own, whatever happens to the rest
        self.state.last_rollback = Some((trouble.update, to));
        self.begun = (Instant::now(), seconds);
        let rollback = Rollback {
            update: trouble.update,
            to,
            reason: trouble.reason.to_string(),
            attempt: self.state.attempt,
            rate_factor,
            extra_noise,
        };
        sink.rolled_back(&rollback, self)?;
        Ok(true)
    }
}
