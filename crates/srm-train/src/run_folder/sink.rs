//! Write what happens in a run to its folder: records, pictures, scores, checkpoints, trouble; give checkpoints back.

use super::{EVIDENCE, Files, GRID_COLUMNS, GRID_PADDING, MOST_LATE, RunFolder, warn_of};
use crate::checkpoint::{self, About, Kind, StateFile};
use crate::events::Events;
use crate::store::CHOICES;
use crate::{
    Details, Result, Rollback, ScoreRecord, Sink, Snapshot, StepRecord, Store, TrainError, Trouble, Why, to_bytes,
};
use serde_json::{Value, json};
use srm_config::OnWriteError;
use srm_files::write_whole;
use std::fs;
use std::io::Write;
use std::time::Instant;
use tch::Tensor;

impl Files {
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

    fn write_checkpoint(&mut self, snapshot: &Snapshot, why: Why) -> Result<()> {
        let begun = Instant::now();
        let folder = self.path("checkpoints");
        let kind = match why {
            Why::Interrupt if !snapshot.regular => Kind::Interrupt,
            _ => Kind::Regular,
        };
        self.write_kind(snapshot, kind)?;
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
    fn write_kind(&mut self, snapshot: &Snapshot, kind: Kind) -> Result<()> {
        let (folder, logs) = (self.path("checkpoints"), self.flush()?);
        let Files { config, environment, fingerprint, .. } = self;
        let written = checkpoint::write(&folder, snapshot, About { config, environment, fingerprint, logs }, kind);
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
        match is_image(&trouble.samples) {
            true => {
                Ok(srm_data::write_grid(&picture, &to_bytes(&trouble.samples)?.view(), GRID_COLUMNS, GRID_PADDING)?)
            }
            false => Ok(()),
        }
    }

    fn log_rollback(&mut self, rollback: &Rollback) -> Result<()> {
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
        logged.and(restarted).and(noted)
    }

    /// Keep the state that a rollback has led to, and forget the later ones.
    fn keep_rolled_back(&mut self, snapshot: &Snapshot) -> Result<()> {
        let saved = self.write_checkpoint(snapshot, Why::RolledBack);
        let removed = checkpoint::remove_after(&self.path("checkpoints"), snapshot.state.update);
        saved.and(removed)
    }
}

/// Whether samples are images that a PNG holds.
fn is_image(x: &Tensor) -> bool {
    matches!(x.size()[..], [_, 1 | 3 | 4, _, _])
}

impl Sink for RunFolder {
    fn record(&mut self, record: &StepRecord, details: &Details) -> Result<()> {
        let mut files = self.0.borrow_mut();
        if files.last.len() == EVIDENCE {
            files.last.pop_front();
        }
        files.last.push_back(record.clone());
        let written = files.log_record(record, details);
        files.tolerate(written)
    }

    /// Images become a grid; samples of another shape are not written.
    fn samples(&mut self, update: u64, x: &Tensor) -> Result<()> {
        if !is_image(x) {
            return Ok(());
        }
        let (mut files, images) = (self.0.borrow_mut(), to_bytes(x)?);
        files.late.push_back((update, images));
        let written = files.log_pictures();
        if files.late.len() > MOST_LATE {
            files.late.pop_front();
        }
        files.tolerate(written)
    }

    fn score(&mut self, record: &ScoreRecord) -> Result<()> {
        let mut files = self.0.borrow_mut();
        let written = files.log_score(record);
        files.tolerate(written)
    }

    fn trouble(&mut self, trouble: &Trouble) -> Result<()> {
        let mut files = self.0.borrow_mut();
        let written = files.log_trouble(trouble);
        files.tolerate(written)
    }

    fn rolled_back(&mut self, rollback: &Rollback) -> Result<()> {
        let mut files = self.0.borrow_mut();
        let written = files.log_rollback(rollback);
        files.tolerate(written)
    }
}

impl Store for RunFolder {
    fn save(&mut self, snapshot: &Snapshot, why: Why) -> Result<()> {
        let mut files = self.0.borrow_mut();
        let written = match why {
            Why::Best => files.write_kind(snapshot, Kind::Best),
            Why::RolledBack => files.keep_rolled_back(snapshot),
            Why::Regular => files.write_checkpoint(snapshot, why),
            Why::Interrupt | Why::End => return files.write_checkpoint(snapshot, why),
        };
        files.tolerate(written)
    }

    fn newest(&mut self, before: Option<u64>) -> Result<Option<Snapshot>> {
        let folder = self.0.borrow().path("checkpoints");
        for choice in CHOICES {
            let accept =
                |update, file: &StateFile| choice(file.regular, file.calm) && before.is_none_or(|limit| update < limit);
            let (newest, damaged) = checkpoint::newest(&folder, accept)?;
            warn_of(&damaged);
            if let Some(path) = newest {
                return Ok(Some(checkpoint::read(&path)?.0));
            }
        }
        Ok(None)
    }
}
