//! Repeat the update until the run is done; where one is refused, return to the last good state.

use crate::{Reason, Result, Settings, Sink, Step, Store, Trainer, Trouble, Why};
use srm_energy::Trainable;
use srm_langevin::Stop;
use srm_run::{Due, Rollback};
use std::time::Instant;

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    /// All updates are done.
    Finished,
    /// Somebody asked to stop; the state of `update` is saved. The update in hand is dropped.
    Interrupted {
        /// Last update done; 0, where nothing is saved, before the first.
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

impl<E: Trainable> Trainer<E> {
    /// Update until `train.updates` are done, `stop` is asked for, or the watch has no rollback left. `store` keeps states and
    /// gives them back to rollbacks; `sink` hears what happens.
    ///
    /// A stop drops the update, the grid or the score in hand: what was due is made when the run goes on, with the same bits.
    ///
    /// # Errors
    /// What an update, the store or the sink returns.
    pub fn run(&mut self, store: &mut dyn Store, sink: &mut dyn Sink, stop: &Stop) -> Result<End> {
        let _guard = tch::no_grad_guard();
        let Settings { log, checkpoint, train, .. } = self.settings.clone();
        self.begun.0 = Instant::now();
        self.stop_when(stop);
        // what this call found on the disk, or a rollback has put there
        let mut saved = self.state.update;
        while self.state.update < train.updates || self.state.due != Due::Nothing {
            if self.state.due == Due::Nothing {
                let (record, per_image) = match self.update()? {
                    Step::Done(record, per_image) => (record, per_image),
                    Step::Refused(trouble) => match self.roll_back(&trouble, store, sink)? {
                        true => {
                            saved = self.state.update;
                            continue;
                        }
                        false => return Ok(End::Diverged { update: trouble.update, reason: trouble.reason }),
                    },
                    Step::Dropped => {
                        if self.state.update > saved {
                            store.save(&self.snapshot(), Why::Interrupt)?;
                        }
                        return Ok(End::Interrupted { update: self.state.update });
                    }
                };
                sink.progress(record.update, train.updates);
                if record.update == 1 || record.update.is_multiple_of(log.every) || record.update == train.updates {
                    sink.record(&record, &per_image)?;
                }
                self.state.due = self.due();
            }
            let t = self.state.update;
            let stopping = self.ranks.any(stop.asked())? || !self.show(store, sink)?;
            let why = match () {
                () if stopping => Some(Why::Interrupt),
                () if t == train.updates => Some(Why::End),
                () => t.is_multiple_of(checkpoint.every).then_some(Why::Regular),
            };
            if let Some(why) = why {
                store.save(&self.snapshot(), why)?;
            }
            if stopping {
                return Ok(End::Interrupted { update: t });
            }
        }
        Ok(End::Finished)
    }

    /// What the update just made is to be looked at by.
    fn due(&self) -> Due {
        let (t, last) = (self.state.update, self.state.update == self.settings.train.updates);
        match last || t.is_multiple_of(self.settings.log.samples_every) {
            true => Due::GridAndScore,
            false if self.is_scored() => Due::Score,
            false => Due::Nothing,
        }
    }

    /// Make what is due; `false` where a stop has cut it short.
    fn show(&mut self, store: &mut dyn Store, sink: &mut dyn Sink) -> Result<bool> {
        if self.state.due == Due::GridAndScore {
            let Some(x) = self.grid()? else { return Ok(false) };
            sink.samples(self.state.update, &x)?;
            self.state.due = Due::Score;
        }
        if self.state.due == Due::Score {
            if self.is_scored() && !self.score(store, sink)? {
                return Ok(false);
            }
            self.state.due = Due::Nothing;
        }
        Ok(true)
    }

    /// Return to the last good state with new noise and a lower rate; `false` where the watch has no rollback left.
    ///
    /// That state is the newest regular checkpoint whose numbers were well within their limits. Trouble that comes again
    /// soon is taken for the same: a sickness older than that checkpoint, so the one before it is next, and so on. The store
    /// keeps the state after a rollback, so a run that is killed then goes on with the same noise, rate and count.
    fn roll_back(&mut self, trouble: &Trouble, store: &mut dyn Store, sink: &mut dyn Sink) -> Result<bool> {
        sink.trouble(trouble)?;
        let (watch, every) = (&self.settings.watch, self.settings.checkpoint.every);
        let before = self.state.clone();
        if before.rollbacks >= watch.rollbacks {
            return Ok(false);
        }
        let (rate_factor, extra_noise) =
            (before.rate_factor * watch.rate_factor, before.extra_noise + watch.extra_noise);
        // soon: within as many updates as the last rollback took back, or a checkpoint's distance
        let again = before.last_rollback.filter(|&(at, to)| trouble.update <= at + at.saturating_sub(to).max(every));
        let older = match again {
            Some((_, to)) => store.newest(Some(to))?,
            None => None,
        };
        let target = match older {
            None => store.newest(again.map(|(_, to)| to + 1))?,
            older => older,
        };
        let seconds = self.seconds();
        self.reset()?;
        if let Some(saved) = &target {
            self.restore(saved)?;
        }
        self.adopt_state()?; // the others' stores are empty
        let to = self.state.update;
        self.state.attempt = before.attempt + 1;
        self.state.rollbacks = before.rollbacks + 1;
        (self.state.rate_factor, self.state.extra_noise) = (rate_factor, extra_noise);
        self.state.best = before.best; // it is kept in a folder of its own, whatever happens to the rest
        self.state.last_rollback = Some((trouble.update, to));
        self.state.due = Due::Nothing; // it was made in the attempt before, or is not worth it
        self.begun = (Instant::now(), seconds);
        let rollback = Rollback {
            update: trouble.update,
            to,
            reason: trouble.reason.to_string(),
            attempt: self.state.attempt,
            rate_factor,
            extra_noise,
        };
        // on a full disk both are tried
        let told = sink.rolled_back(&rollback);
        store.save(&self.snapshot(), Why::RolledBack).and(told)?;
        Ok(true)
    }
}
