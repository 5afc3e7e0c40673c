//! Tell what happens in a run to whoever wants to know.

use crate::{Reason, Result};
use srm_run::{PerImage, Rollback, ScoreRecord, StepRecord};
use tch::Tensor;

/// An update that was refused; the weights are those of the update before.
#[derive(Debug)]
pub struct Trouble {
    /// The update.
    pub update: u64,
    /// Which attempt it belonged to.
    pub attempt: u32,
    /// Why.
    pub reason: Reason,
    /// Its numbers, where they are finite.
    pub record: Option<StepRecord>,
    /// Its samples, `[n, …]`, at most as many as a grid has; not finite everywhere where chains blew up.
    pub samples: Tensor,
}

/// Hears what happens in a run. Every method defaults to nothing, so a plain logger has one; `()` hears nothing, and a pair
/// passes everything to both.
pub trait Sink {
    /// A logged update.
    ///
    /// # Errors
    /// What the sink meets; it ends the run.
    fn record(&mut self, record: &StepRecord, per_image: &PerImage) -> Result<()> {
        let _ = (record, per_image);
        Ok(())
    }

    /// Every update, logged or not: how far the run is.
    fn progress(&mut self, update: u64, updates: u64) {
        let _ = (update, updates);
    }

    /// Time for a look: the samples that `srm sample` gives with the grid's seed, `[n, …]`.
    ///
    /// # Errors
    /// As for [`Sink::record`].
    fn samples(&mut self, update: u64, x: &Tensor) -> Result<()> {
        let _ = (update, x);
        Ok(())
    }

    /// The weights were scored.
    ///
    /// # Errors
    /// As for [`Sink::record`].
    fn score(&mut self, record: &ScoreRecord) -> Result<()> {
        let _ = record;
        Ok(())
    }

    /// An update was refused: the place for evidence.
    ///
    /// # Errors
    /// As for [`Sink::record`].
    fn trouble(&mut self, trouble: &Trouble) -> Result<()> {
        let _ = trouble;
        Ok(())
    }

    /// The run goes on from an earlier state with another random stream; the store hears of it next.
    ///
    /// # Errors
    /// As for [`Sink::record`].
    fn rolled_back(&mut self, rollback: &Rollback) -> Result<()> {
        let _ = rollback;
        Ok(())
    }
}

impl Sink for () {}

impl<A: Sink, B: Sink> Sink for (A, B) {
    fn record(&mut self, record: &StepRecord, per_image: &PerImage) -> Result<()> {
        self.0.record(record, per_image)?;
        self.1.record(record, per_image)
    }

    fn progress(&mut self, update: u64, updates: u64) {
        self.0.progress(update, updates);
        self.1.progress(update, updates);
    }

    fn samples(&mut self, update: u64, x: &Tensor) -> Result<()> {
        self.0.samples(update, x)?;
        self.1.samples(update, x)
    }

    fn score(&mut self, record: &ScoreRecord) -> Result<()> {
        self.0.score(record)?;
        self.1.score(record)
    }

    fn trouble(&mut self, trouble: &Trouble) -> Result<()> {
        self.0.trouble(trouble)?;
        self.1.trouble(trouble)
    }

    fn rolled_back(&mut self, rollback: &Rollback) -> Result<()> {
        self.0.rolled_back(rollback)?;
        self.1.rolled_back(rollback)
    }
}

/// A sink where there is one.
impl<S: Sink> Sink for Option<S> {
    fn record(&mut self, record: &StepRecord, per_image: &PerImage) -> Result<()> {
        self.as_mut().map_or(Ok(()), |sink| sink.record(record, per_image))
    }

    fn progress(&mut self, update: u64, updates: u64) {
        if let Some(sink) = self {
            sink.progress(update, updates);
        }
    }

    fn samples(&mut self, update: u64, x: &Tensor) -> Result<()> {
        self.as_mut().map_or(Ok(()), |sink| sink.samples(update, x))
    }

    fn score(&mut self, record: &ScoreRecord) -> Result<()> {
        self.as_mut().map_or(Ok(()), |sink| sink.score(record))
    }

    fn trouble(&mut self, trouble: &Trouble) -> Result<()> {
        self.as_mut().map_or(Ok(()), |sink| sink.trouble(trouble))
    }

    fn rolled_back(&mut self, rollback: &Rollback) -> Result<()> {
        self.as_mut().map_or(Ok(()), |sink| sink.rolled_back(rollback))
    }
}
