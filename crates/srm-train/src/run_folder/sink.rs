//! Write what happens in a run to its folder: records, pictures, scores, checkpoints, trouble.

use super::{EVIDENCE, GRID_COLUMNS, GRID_PADDING, MOST_LATE, RunFolder, warn_of};
use crate::checkpoint::{self, Kind};
use crate::events::Events;
use crate::{Details, Occasion, Result, Rollback, Saved, ScoreRecord, Sink, StepRecord, TrainError, Trainer, Trouble};
use ndarray::Array4;
use serde_json::{Value, json};
use srm_config::OnWriteError;
use srm_files::write_whole;
use std::fs;
use std::io::Write;
use std::time::Instant;

impl RunFolder {
    /// The event file, where events are wanted.
    fn events(&mut self) -> Option<&mut Events> {
        self.events.as_mut().filter(|_| self.config.log.tensorboard)
    }

    /// Let a failed write pass where the config says so: it is warned about once, until a write succeeds.
    pub(super) fn tolerate(&mut self, written: Result<()>) -> Result<()> {
        match written {
            Ok(()) => self.failing = false,
            Err(error)
                if error.is_write_failure() && self.config.checkpoint.on_write_error == OnWriteError::Continue =>
            {
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::warn!("{error}; training goes on (checkpoint.on_write_error)");
                }
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn log_record(&mut self, record: &StepRecord, details: &Details) -> Result<()> {
        let line = serde_json::to_string(record).map_err(|error| TrainError::io(self.metrics.path())(error.into()))?;
        let written = self.metrics.append((line + "\n").as_bytes());
        match self.events() {
            Some(events) => written.and(events.record(record, details)),
            None => written,
        }
    }

    /// Write the grids that wait, oldest first.
    pub(super) fn log_pictures(&mut self) -> Result<()> {
        while let Some((update, images)) = self.late.front() {
            let (update, path) = (*update, self.path("samples").join(format!("x_{update:06}.png")));
            srm_data::write_grid(&path, &images.view(), GRID_COLUMNS, GRID_PADDING)?;
            self.late.pop_front();
            if let Some(events) = self.events() {
                events.picture(update, fs::read(&path).map_err(TrainError::io(&path))?)?;
            }
        }
        Ok(())
    }

    fn write_checkpoint(&mut self, trainer: &Trainer, occasion: Occasion) -> Result<()> {
        let begun = Instant::now();
        let folder = self.path("checkpoints");
        let turn = trainer.state().update.is_multiple_of(self.config.checkpoint.every);
        let kind = match occasion {
            Occasion::Interrupt if !turn => Kind::Interrupt,
            _ => Kind::Regular,
        };
        self.write_kind(trainer, kind)?;
        // the checkpoint is there: what fails from here on is made good by the next one, or when the run is resumed
        let tidied = checkpoint::point_to_latest(&folder).and(checkpoint::prune(&folder, &self.config.checkpoint));
        if let Err(error) = tidied {
            tracing::warn!("{error}");
        }
        tracing::debug!("checkpoint in {:.1} ms", begun.elapsed().as_secs_f64() * 1e3);
        Ok(())
    }

    fn log_score(&mut self, record: &ScoreRecord) -> Result<()> {
        let path = self.path("scores.jsonl");
        let line = serde_json::to_string(record).map_err(|error| TrainError::io(&path)(error.into()))?;
        let written = self.scores.as_mut().map_or(Ok(()), |scores| scores.append((line + "\n").as_bytes()));
        match self.events() {
            Some(events) => written.and(events.score(record)),
            None => written,
        }
    }

    /// Write a checkpoint of any kind; of one that fails nothing is left.
    fn write_kind(&mut self, trainer: &Trainer, kind: Kind) -> Result<()> {
        let (folder, logs) = (self.path("checkpoints"), self.flush()?);
        let written = checkpoint::write(&folder, trainer, logs, &self.environment, kind);
        if written.is_err() {
            // what was begun takes room that the next try needs; a failure here is the same full or broken disk
            let _ = checkpoint::clean_up(&folder);
        }
        written.map(drop)
    }

    fn log_trouble(&self, trouble: &Trouble) -> Result<()> {
        let folder = self.path("divergence");
        fs::create_dir_all(&folder).map_err(TrainError::io(&folder))?;
        let name = format!("x_{:06}_{}", trouble.update, trouble.attempt);
        let evidence = json!({ "update": trouble.update, "attempt": trouble.attempt, "reason": trouble.reason,
            "text": trouble.reason.to_string(), "refused": trouble.record, "last": self.last });
        let path = folder.join(format!("{name}.json"));
        write_whole(&path, |file| writeln!(file, "{evidence:#}")).map_err(TrainError::io(&path))?;
        let picture = folder.join(format!("{name}.png"));
        Ok(srm_data::write_grid(&picture, &trouble.samples.view(), GRID_COLUMNS, GRID_PADDING)?)
    }

    fn log_rollback(&mut self, rollback: &Rollback, trainer: &Trainer) -> Result<()> {
        let mut line = json!({ "event": "rollback" });
        let fields =
            serde_json::to_value(rollback).map_err(|error| TrainError::io(self.metrics.path())(error.into()))?;
        if let (Some(line), Value::Object(fields)) = (line.as_object_mut(), fields.clone()) {
            line.extend(fields);
        }
        // on a full disk every part is tried: the logs keep in memory what they cannot write
        let logged = self.metrics.append(format!("{line}\n").as_bytes());
        let restarted = self.events().map_or(Ok(()), |events| events.restart_after(rollback.to));
        let noted = self.note("rollback", fields);
        let saved = self.write_checkpoint(trainer, Occasion::Regular);
        let removed = checkpoint::remove_after(&self.path("checkpoints"), rollback.to);
        logged.and(restarted).and(noted).and(saved).and(removed)
    }
}

impl Sink for RunFolder {
    fn record(&mut self, record: &StepRecord, details: &Details) -> Result<()> {
        if self.last.len() == EVIDENCE {
            self.last.pop_front();
        }
        self.last.push_back(record.clone());
        let written = self.log_record(record, details);
        self.tolerate(written)
    }

    fn samples(&mut self, update: u64, images: &Array4<u8>) -> Result<()> {
        self.late.push_back((update, images.clone()));
        let written = self.log_pictures();
        if self.late.len() > MOST_LATE {
            self.late.pop_front();
        }
        self.tolerate(written)
    }

    fn score(&mut self, record: &ScoreRecord) -> Result<()> {
        let written = self.log_score(record);
        self.tolerate(written)
    }

    fn best(&mut self, trainer: &Trainer) -> Result<()> {
        let written = self.write_kind(trainer, Kind::Best);
        self.tolerate(written)
    }

    fn checkpoint(&mut self, trainer: &Trainer, occasion: Occasion) -> Result<()> {
        let written = self.write_checkpoint(trainer, occasion);
        if occasion == Occasion::Regular { self.tolerate(written) } else { written }
    }

    fn trouble(&mut self, trouble: &Trouble) -> Result<()> {
        let written = self.log_trouble(trouble);
        self.tolerate(written)
    }

    fn restore_point(&mut self, before: Option<u64>) -> Result<Option<Saved>> {
        let folder = self.path("checkpoints");
        let choices: [fn(&checkpoint::StateFile) -> bool; 3] =
            [|file| file.regular && file.calm, |file| file.regular, |_| true];
        for choice in choices {
            let accept = |update, file: &_| choice(file) && before.is_none_or(|limit| update < limit);
            let (newest, damaged) = checkpoint::newest(&folder, accept)?;
            warn_of(&damaged);
            if let Some(path) = newest {
                return Ok(Some(checkpoint::read(&path)?.0));
            }
        }
        Ok(None)
    }

    fn rolled_back(&mut self, rollback: &Rollback, trainer: &Trainer) -> Result<()> {
        let written = self.log_rollback(rollback, trainer);
        self.tolerate(written)
    }
}
