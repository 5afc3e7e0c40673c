//! Score the weights of a run while it trains, and remember the best.

use crate::{Result, Sink, Store, Trainer, Why};
use srm_energy::Trainable;
use srm_ranks::Ranks;
use srm_run::{Best, Due, ScoreRecord};
use std::collections::BTreeMap;
use std::time::Instant;

/// Scores a net. Who makes the score is not this crate's business: srm-cli plugs in srm-eval.
pub trait Evaluation<E> {
    /// The score of `net` as it is. All ranks come here, and may share the work; rank 0 returns the score, the others
    /// `None`.
    ///
    /// # Errors
    /// [`crate::TrainError::Evaluation`]; it ends the run. Chains that blow up are no error but an infinite score. One for which
    /// [`crate::TrainError::is_stop`] holds, at all ranks alike, ends the run with the score still due.
    fn score(&mut self, net: &E, ranks: &dyn Ranks) -> Result<Option<Score>>;
}

/// What an [`Evaluation`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// What was measured, such as `frechet random-conv`.
    pub name: String,
    /// Lower is better.
    pub value: f64,
    /// What stands beside it, such as precision and recall.
    pub details: BTreeMap<String, f64>,
    /// Samples it was made from.
    pub count: usize,
}

impl<E: Trainable> Trainer<E> {
    /// Let `evaluation` score this run every `evaluate.every` updates and at the end.
    pub fn score_with(&mut self, evaluation: Box<dyn Evaluation<E>>) {
        self.evaluation = Some(evaluation);
    }

    /// Whether the weights of the update just made are to be scored.
    pub(crate) fn is_scored(&self) -> bool {
        let (update, last) = (self.state.update, self.state.update == self.settings.train.updates);
        self.evaluation.is_some()
            && self.is_grown()
            && self.settings.evaluate.every.is_some_and(|every| last || update.is_multiple_of(every))
    }

    /// Score the weights, and at rank 0 tell the sink, and let it keep the best; `false` where a stop has cut it
    /// short.
    pub(crate) fn score(&mut self, store: &mut dyn Store, sink: &mut dyn Sink) -> Result<bool> {
        let Some(mut evaluation) = self.evaluation.take() else { return Ok(true) };
        let done = self.score_by(&mut *evaluation, store, sink);
        self.evaluation = Some(evaluation);
        match done {
            Err(error) if error.is_stop() => Ok(false),
            done => done.map(|()| true),
        }
    }

    fn score_by(
        &mut self,
        evaluation: &mut dyn Evaluation<E>,
        store: &mut dyn Store,
        sink: &mut dyn Sink,
    ) -> Result<()> {
        let (update, begun) = (self.state.update, Instant::now());
        let average = self.averaged_net().filter(|_| self.settings.evaluate.averaged);
        let is_averaged = average.is_some();
        let Some(found) = evaluation.score(average.unwrap_or(self.net()), &*self.ranks)? else {
            return Ok(());
        };
        let best = found.value.is_finite() && self.state.best.as_ref().is_none_or(|best| found.value < best.score);
        let record = ScoreRecord {
            update,
            name: found.name,
            score: found.value.is_finite().then_some(found.value),
            details: found.details,
            count: found.count,
            averaged: is_averaged,
            best,
            seconds: begun.elapsed().as_secs_f64(),
            attempt: self.state.attempt,
        };
        if best {
            self.state.best = Some(Best { update, name: record.name.clone(), score: found.value });
        }
        self.state.due = Due::Nothing;
        sink.score(&record)?;
        if best && self.settings.checkpoint.keep_best {
            store.save(&self.snapshot(), Why::Best)?;
        }
        Ok(())
    }
}
