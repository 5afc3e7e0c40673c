//! Keep a run on disk: config, logs, sample grids, checkpoints and the evidence of trouble.
//!
//! ```text
//! config.json      the resolved settings          history.jsonl   starts, resumes with what changed, rollbacks, ends
//! metrics.jsonl    a line a logged update, and a line a rollback
//! events.out.tfevents.*   the same for TensorBoard, with grids and histograms
//! samples/x_000100.png    checkpoints/000100/     divergence/x_000142_0.{png,json}
//! ```

use crate::events::{self, Events};
use crate::log_file::LogFile;
use crate::{
    Details, Environment, Lock, Occasion, Result, Rollback, Saved, Sink, StepRecord, TrainError, Trainer, Trouble,
    checkpoint, tensor_file,
};
use ndarray::Array4;
use serde_json::{Value, json};
use srm_config::{Change, Config, OnWriteError};
use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Images a row in a sample grid.
const GRID_COLUMNS: usize = 8;
/// Pixels between the images of a grid.
const GRID_PADDING: usize = 2;
/// Logged updates that the evidence of trouble shows.
const EVIDENCE: usize = 20;
/// What a run leaves in its folder.
const LEFT_BY_A_RUN: [&str; 6] = ["config.json", "metrics.jsonl", "history.jsonl", "samples", "checkpoints", "divergence"];

/// The folder of one run.
pub struct RunFolder {
    lock: Lock,
    metrics: LogFile,
    events: Option<Events>,
    config: Config,
    environment: Environment,
    last: VecDeque<StepRecord>,
    /// Whether the last write failed: said once, not at every update.
    failing: bool,
}

/// A run that was found in its folder.
pub struct Found {
    /// Its newest whole checkpoint; `None` before the first.
    pub saved: Option<Saved>,
    /// What is different now from when that was written and may change bits, for a warning.
    pub differences: Vec<String>,
}

impl RunFolder {
    /// Whether the folder holds anything.
    pub fn is_used(folder: &Path) -> bool {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.into_iter().any(|entry| entry.file_name() != crate::lock::NAME)
    }

    /// Delete what an earlier run left; files of others stay.
    ///
    /// # Errors
    /// [`TrainError::Io`].
    pub fn clear(lock: &Lock) -> Result<()> {
        for name in LEFT_BY_A_RUN.map(str::to_owned).into_iter().chain(event_files(lock.folder())) {
            let path = lock.folder().join(name);
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            match removed {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(TrainError::io(&path)(error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Begin a run.
    ///
    /// # Errors
    /// [`TrainError::Io`].
    pub fn create(lock: Lock, config: &Config, environment: Environment) -> Result<Self> {
        let folder = Self::open(lock, config, environment, &BTreeMap::new())?;
        folder.history("start", json!({ "update": 0, "environment": folder.environment }))?;
        Ok(folder)
    }

    /// Go on with a run: find its newest whole checkpoint, and cut the logs back to it. Without one the run begins anew.
    ///
    /// `changes` are the settings that differ from those of `config.json`. `fingerprint` names the images of the run.
    ///
    /// # Errors
    /// [`TrainError::Io`], [`TrainError::StateFile`].
    pub fn resume(
        lock: Lock,
        config: &Config,
        environment: Environment,
        changes: &[Change],
        fingerprint: &str,
    ) -> Result<(Self, Found)> {
        let checkpoints = lock.folder().join("checkpoints");
        checkpoint::clean_up(&checkpoints)?;
        let (newest, damaged) = checkpoint::newest(&checkpoints, |_, _| true)?;
        for (path, reason) in damaged {
            let aside = checkpoint::set_aside(&path)?;
            let then = newest.as_ref().map_or("beginning anew".to_owned(), |path| format!("taking {}", path.display()));
            tracing::warn!("{} is damaged ({reason}): now {}; {then}", path.display(), aside.display());
        }
        let read = newest.as_deref().map(checkpoint::read).transpose()?;
        let logs = read.as_ref().map(|(_, file)| file.logs.clone()).unwrap_or_default();
        let mut differences = Vec::new();
        if let Some((_, file)) = &read {
            differences = environment.differences(&file.environment);
            if file.data.fingerprint != fingerprint {
                differences.push(format!("images: fingerprint {} -> {fingerprint}", file.data.fingerprint));
            }
        }
        let folder = Self::open(lock, config, environment, &logs)?;
        let mut saved = read.map(|(saved, _)| saved);
        if let Some(saved) = &mut saved {
            // a rate that somebody sets by hand is the rate that they mean; so is a noise
            if changes.iter().any(|change| change.path == "train.learning_rate") {
                saved.state.rate_factor = 1.0;
            }
            if changes.iter().any(|change| change.path == "train.data_noise") {
                saved.state.extra_noise = 0.0;
            }
        }
        let changed: Vec<Value> =
            changes.iter().map(|change| json!({ "key": change.path, "from": change.from, "to": change.to })).collect();
        folder.history(
            "resume",
            json!({ "update": saved.as_ref().map_or(0, |saved| saved.state.update), "changes": changed,
                "differences": differences, "environment": folder.environment }),
        )?;
        Ok((folder, Found { saved, differences }))
    }

    fn open(lock: Lock, config: &Config, environment: Environment, logs: &BTreeMap<String, u64>) -> Result<Self> {
        let folder = lock.folder().to_owned();
        for name in ["samples", "checkpoints"] {
            let path = folder.join(name);
            fs::create_dir_all(&path).map_err(TrainError::io(&path))?;
        }
        let (path, temporary) = (folder.join("config.json"), folder.join(".config.json.part"));
        tensor_file::write_flushed(&temporary, config.to_json().as_bytes())?;
        fs::rename(&temporary, &path).map_err(TrainError::io(&path))?;
        let length = |name: &str| logs.get(name).copied().unwrap_or(0);
        // an event file that the checkpoint does not know was begun after it
        let (known, later): (Vec<_>, Vec<_>) = event_files(&folder).into_iter().partition(|name| logs.contains_key(name));
        for name in later {
            let path = folder.join(name);
            fs::remove_file(&path).map_err(TrainError::io(&path))?;
        }
        let name = known.into_iter().next_back().unwrap_or_else(events::new_name);
        let events = config.log.tensorboard.then(|| Events::open(&folder, &name, length(&name))).transpose()?;
        Ok(Self {
            metrics: LogFile::open(&folder.join("metrics.jsonl"), length("metrics.jsonl"))?,
            events,
            config: config.clone(),
            environment,
            lock,
            last: VecDeque::new(),
            failing: false,
        })
    }

    /// The newest whole checkpoint of a run folder; damaged ones are passed over with a warning.
    ///
    /// # Errors
    /// [`TrainError::Io`] where the folder cannot be read.
    pub fn newest_checkpoint(run: &Path) -> Result<Option<PathBuf>> {
        let (newest, damaged) = checkpoint::newest(&run.join("checkpoints"), |_, _| true)?;
        for (path, reason) in damaged {
            tracing::warn!("{} is damaged ({reason}): passed over", path.display());
        }
        Ok(newest)
    }

    /// The weights to draw samples with in a checkpoint: the averaged ones where there are some.
    pub fn weights_of(checkpoint: &Path) -> PathBuf {
        let averaged = checkpoint.join("ema.safetensors");
        if averaged.is_file() { averaged } else { checkpoint.join("weights.safetensors") }
    }

    /// Note how the run ended.
    ///
    /// # Errors
    /// [`TrainError::Io`].
    pub fn end(&mut self, outcome: &str, update: u64) -> Result<()> {
        self.metrics.flush()?;
        self.history(outcome, json!({ "update": update }))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.lock.folder().join(name)
    }

    fn history(&self, event: &str, mut what: Value) -> Result<()> {
        what["event"] = event.into();
        what["time"] = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()).into();
        let path = self.path("history.jsonl");
        let opened = fs::OpenOptions::new().create(true).append(true).open(&path);
        opened.and_then(|mut file| file.write_all(format!("{what}\n").as_bytes())).map_err(TrainError::io(&path))
    }

    /// Let a failed write pass where the config says so: it is warned about once, until a write succeeds.
    fn tolerate(&mut self, written: Result<()>) -> Result<()> {
        match written {
            Ok(()) => self.failing = false,
            Err(error) if error.is_write_failure() && self.config.checkpoint.on_write_error == OnWriteError::Continue => {
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
        match &mut self.events {
            Some(events) => written.and(events.record(record, details)),
            None => written,
        }
    }

    fn log_picture(&mut self, update: u64, images: &Array4<u8>) -> Result<()> {
        let path = self.path("samples").join(format!("x_{update:06}.png"));
        srm_data::write_grid(&path, &images.view(), GRID_COLUMNS, GRID_PADDING)?;
        if let Some(events) = &mut self.events {
            events.picture(update, fs::read(&path).map_err(TrainError::io(&path))?)?;
        }
        Ok(())
    }

    fn write_checkpoint(&mut self, trainer: &Trainer) -> Result<()> {
        let mut logs = BTreeMap::new();
        for log in [Some(&mut self.metrics), self.events.as_mut().map(Events::log)].into_iter().flatten() {
            log.flush()?;
            logs.extend([log.extent()]);
        }
        let folder = self.path("checkpoints");
        let written = checkpoint::write(&folder, trainer, logs, &self.environment);
        if written.is_err() {
            // what was begun takes room that the next try needs; a failure here is the same full or broken disk
            let _ = checkpoint::clean_up(&folder);
        }
        written?;
        checkpoint::prune(&folder, &self.config.checkpoint)
    }

    fn log_trouble(&self, trouble: &Trouble) -> Result<()> {
        let folder = self.path("divergence");
        fs::create_dir_all(&folder).map_err(TrainError::io(&folder))?;
        let name = format!("x_{:06}_{}", trouble.update, trouble.attempt);
        let evidence = json!({ "update": trouble.update, "attempt": trouble.attempt, "reason": trouble.reason,
            "text": trouble.reason.to_string(), "refused": trouble.record, "last": self.last });
        let path = folder.join(format!("{name}.json"));
        tensor_file::write_flushed(&path, format!("{evidence:#}\n").as_bytes())?;
        let picture = folder.join(format!("{name}.png"));
        Ok(srm_data::write_grid(&picture, &trouble.samples.view(), GRID_COLUMNS, GRID_PADDING)?)
    }

    fn log_rollback(&mut self, rollback: &Rollback) -> Result<()> {
        checkpoint::remove_after(&self.path("checkpoints"), rollback.to)?;
        let mut line = json!({ "event": "rollback" });
        let fields = serde_json::to_value(rollback).map_err(|error| TrainError::io(self.metrics.path())(error.into()))?;
        if let (Some(line), Value::Object(fields)) = (line.as_object_mut(), fields.clone()) {
            line.extend(fields);
        }
        self.metrics.append(format!("{line}\n").as_bytes())?;
        if let Some(events) = &mut self.events {
            events.restart_after(rollback.to)?;
        }
        self.history("rollback", fields)
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
        let written = self.log_picture(update, images);
        self.tolerate(written)
    }

    fn checkpoint(&mut self, trainer: &Trainer, occasion: Occasion) -> Result<()> {
        let written = self.write_checkpoint(trainer);
        if occasion == Occasion::Regular { self.tolerate(written) } else { written }
    }

    fn trouble(&mut self, trouble: &Trouble) -> Result<()> {
        let written = self.log_trouble(trouble);
        self.tolerate(written)
    }

    fn restore_point(&mut self, before: Option<u64>) -> Result<Option<Saved>> {
        let accept = |update, file: &checkpoint::StateFile| file.regular && before.is_none_or(|limit| update < limit);
        let (newest, damaged) = checkpoint::newest(&self.path("checkpoints"), accept)?;
        for (path, reason) in damaged {
            tracing::warn!("{} is damaged ({reason}): passed over", path.display());
        }
        Ok(newest.as_deref().map(checkpoint::read).transpose()?.map(|(saved, _)| saved))
    }

    fn rolled_back(&mut self, rollback: &Rollback) -> Result<()> {
        let written = self.log_rollback(rollback);
        self.tolerate(written)
    }
}

/// Names of the TensorBoard files in a folder, sorted.
fn event_files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| events::is_events(name))
        .collect();
    names.sort();
    names
}
