//! Write what happens in a run to its folder: records, samples, scores, checkpoints, trouble; give checkpoints back.

use super::samples::Shown;
use super::{EVIDENCE, Files, MOST_LATE, RunFolder};
use crate::store::CHOICES;
use crate::{Result, Sink, Snapshot, Store, TrainError, Trouble, Why, snapshot_file};
use serde_json::json;
use srm_run::layout::{SAMPLES, sample};
use srm_run::{Evidence, Kept, PerImage, Rollback, ScoreRecord, StateFile, StepRecord};
use std::time::Instant;
use tch::Tensor;

impl Files {
    /// Let a failed write pass where the settings say so.
    pub(super) fn tolerate(&mut self, written: Result<()>) -> Result<()> {
        self.run.tolerate(written, TrainError::is_write_failure)
    }

    /// Write the samples that wait, oldest first.
    pub(super) fn write_samples(&mut self) -> Result<()> {
        while let Some((update, shown)) = self.late.front() {
            let (update, ending) = (*update, shown.ending());
            let path = self.run.path(SAMPLES).join(sample(update, ending));
            shown.write(&path)?;
            self.late.pop_front();
            if ending == "png" {
                self.run.picture(update, &path)?;
            }
        }
        Ok(())
    }

    fn write_checkpoint(&mut self, snapshot: &Snapshot, why: Why) -> Result<()> {
        let begun = Instant::now();
        let kept = Kept { regular: why.is_regular(snapshot), calm: snapshot.calm, best: why == Why::Best };
        let langevin = self.langevin.as_ref();
        self.run.checkpoint(&snapshot.state, kept, |folder| snapshot_file::write(folder, snapshot, langevin))?;
        tracing::debug!("checkpoint in {:.1} ms", begun.elapsed().as_secs_f64() * 1e3);
        Ok(())
    }

    fn write_trouble(&self, trouble: &Trouble) -> Result<()> {
        let shown = Shown::of(&trouble.samples);
        let ending = shown.as_ref().map_or("npy", Shown::ending);
        let evidence = Evidence {
            update: trouble.update,
            attempt: trouble.attempt,
            reason: json!(trouble.reason),
            text: trouble.reason.to_string(),
            refused: trouble.record.clone(),
            last: self.last.iter().cloned().collect(),
        };
        // the numbers first, whatever becomes of the samples
        let place = self.run.evidence(&evidence, ending)?;
        shown?.write(&place)
    }
}

impl Sink for RunFolder {
    fn record(&mut self, record: &StepRecord, per_image: &PerImage) -> Result<()> {
        let mut files = self.0.borrow_mut();
        if files.last.len() == EVIDENCE {
            files.last.pop_front();
        }
        files.last.push_back(record.clone());
        let written = files.run.record(record, per_image);
        files.tolerate(written.map_err(TrainError::from))
    }

    /// Images become a grid, `x_000100.png`; samples of another shape an array, f32 `[n, …]`, `x_000100.npy`.
    fn samples(&mut self, update: u64, x: &Tensor) -> Result<()> {
        let (mut files, shown) = (self.0.borrow_mut(), Shown::of(x)?);
        files.late.push_back((update, shown));
        let written = files.write_samples();
        if files.late.len() > MOST_LATE {
            files.late.pop_front();
        }
        files.tolerate(written)
    }

    fn score(&mut self, record: &ScoreRecord) -> Result<()> {
        let mut files = self.0.borrow_mut();
        let written = files.run.score(record);
        files.tolerate(written.map_err(TrainError::from))
    }

    fn trouble(&mut self, trouble: &Trouble) -> Result<()> {
        let mut files = self.0.borrow_mut();
        let written = files.write_trouble(trouble);
        files.tolerate(written)
    }

    fn rolled_back(&mut self, rollback: &Rollback) -> Result<()> {
        let mut files = self.0.borrow_mut();
        let written = files.run.rollback(rollback);
        files.tolerate(written.map_err(TrainError::from))
    }
}

impl Store for RunFolder {
    fn save(&mut self, snapshot: &Snapshot, why: Why) -> Result<()> {
        let mut files = self.0.borrow_mut();
        let written = files.write_checkpoint(snapshot, why);
        match why {
            Why::Regular | Why::Best => files.tolerate(written),
            Why::Interrupt | Why::End => written,
            Why::RolledBack => {
                let forgotten = files.run.forget_after(snapshot.state.update);
                files.tolerate(written.and(forgotten.map_err(TrainError::from)))
            }
        }
    }

    fn newest(&mut self, before: Option<u64>) -> Result<Option<Snapshot>> {
        let files = self.0.borrow();
        for choice in CHOICES {
            let accept =
                |update, file: &StateFile| choice(file.regular, file.calm) && before.is_none_or(|limit| update < limit);
            if let Some((checkpoint, file)) = files.run.newest(accept)? {
                return snapshot_file::read(&checkpoint, &file).map(Some);
            }
        }
        Ok(None)
    }
}
