//! Write a run's folder: config, logs, checkpoints' files and the evidence of trouble.

use crate::checkpoint::{self, write_text};
use crate::events::{self, Events};
use crate::keep::{self, remove_if_there};
use crate::layout::{
    CHECKPOINTS, CONFIG, DIVERGENCE, EVALUATION, HISTORY, LEFT_BY_A_RUN, LOCK, METRICS, REPORT, SAMPLES, SCORES,
    evidence,
};
use crate::log_file::LogFile;
use crate::{
    About, Checkpoint, Event, Evidence, Lock, PerImage, Result, Resumable, Rollback, RunError, RunState, ScoreRecord,
    StateFile, StepRecord,
};
use serde::Serialize;
use srm_config::OnWriteError;
use srm_files::remove_leftovers;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// What a checkpoint is kept for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Whether a rollback may go to it.
    pub regular: bool,
    /// Whether the watch takes the run for healthy.
    pub calm: bool,
    /// Whether it is the best score's, in a folder of its own that nothing but a better one replaces.
    pub best: bool,
}

/// A rollback as a line of `metrics.jsonl`, which its event sets apart from the updates.
#[derive(Serialize)]
struct RollbackLine<'a> {
    event: &'static str,
    #[serde(flatten)]
    rollback: &'a Rollback,
}

/// The folder of one run, being written. It is locked against every other process.
pub struct RunWriter {
    lock: Lock,
    metrics: LogFile,
    /// Where the run is scored, or was.
    scores: Option<LogFile>,
    history: LogFile,
    events: Option<Events>,
    about: About,
    /// Whether the last write failed: said once, not at every update.
    failing: bool,
}

/// Whether a folder holds anything.
pub fn is_used(folder: &Path) -> bool {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| entry.file_name() != LOCK)
}

/// Whether a run has been in a folder.
pub fn is_run(folder: &Path) -> bool {
    [LOCK, METRICS, HISTORY].iter().any(|name| folder.join(name).exists())
}

/// Delete what an earlier run left; files of others stay.
///
/// # Errors
/// [`RunError::Io`].
pub fn clear(lock: &Lock) -> Result<()> {
    let names = event_files(lock.folder()).into_iter().chain(LEFT_BY_A_RUN.map(str::to_owned));
    names.into_iter().try_for_each(|name| remove_if_there(&lock.folder().join(name)))
}

impl RunWriter {
    /// Begin a run in a folder that holds none; [`clear`] empties one that does.
    ///
    /// # Errors
    /// [`RunError::NotOurs`] where the folder holds an earlier run, whose logs would be cut to nothing; [`RunError::Io`].
    pub fn create(lock: Lock, about: About) -> Result<Self> {
        let folder = lock.folder();
        let is_there = |name: &str| {
            let place = folder.join(name);
            place.is_file() || fs::read_dir(place).is_ok_and(|mut entries| entries.next().is_some())
        };
        // an evaluation or a report may be there: a run writes over neither
        let mut of_a_run = LEFT_BY_A_RUN.iter().filter(|name| ![EVALUATION, REPORT].contains(name));
        if of_a_run.any(|name| is_there(name)) || !event_files(folder).is_empty() {
            return Err(RunError::NotOurs { path: folder.to_owned(), what: "an earlier run" });
        }
        let what = Event { update: Some(0), environment: Some(about.environment.clone()), ..Event::default() };
        let mut run = Self::open(lock, about, &BTreeMap::new())?;
        run.note("start", what)?;
        Ok(run)
    }

    /// Go on from what was found in the folder, and cut the logs back to it. Without any checkpoint the run begins
    /// anew.
    ///
    /// # Errors
    /// [`RunError::Io`].
    pub fn resume(lock: Lock, about: About, found: &Resumable) -> Result<Self> {
        let checkpoints = lock.folder().join(CHECKPOINTS);
        if !found.damaged.is_empty() {
            // before the one that it names goes
            keep::point_to(&checkpoints, found.update())?;
        }
        for (checkpoint, reason) in &found.damaged {
            let aside = keep::set_aside(checkpoint)?;
            tracing::warn!("{} is damaged ({reason}): it is {} now", checkpoint.path().display(), aside.display());
        }
        let what = Event {
            update: Some(found.update().unwrap_or(0)),
            changes: Some(found.changes.clone()),
            differences: Some(found.differences.clone()),
            environment: Some(about.environment.clone()),
            ..Event::default()
        };
        let logs = found.checkpoint.as_ref().map(|(_, file)| file.logs.clone()).unwrap_or_default();
        let mut run = Self::open(lock, about, &logs)?;
        run.note("resume", what)?;
        // what a kill had left undone: in the middle of a file, or between a checkpoint's write and these
        for name in ["", SAMPLES, DIVERGENCE, CHECKPOINTS] {
            let path = run.path(name);
            remove_leftovers(&path).map_err(RunError::io(&path))?;
        }
        keep::prune(&checkpoints, &run.about.checkpoint)?;
        keep::point_to_latest(&checkpoints)?;
        Ok(run)
    }

    fn open(lock: Lock, about: About, logs: &BTreeMap<String, u64>) -> Result<Self> {
        let folder = lock.folder().to_owned();
        for name in [SAMPLES, CHECKPOINTS] {
            let path = folder.join(name);
            fs::create_dir_all(&path).map_err(RunError::io(&path))?;
        }
        let (path, text) = (folder.join(CONFIG), about.description.text());
        if fs::read(&path).ok().as_deref() != Some(text.as_bytes()) {
            write_text(&path, &text)?;
        }
        let length = |name: &str| logs.get(name).copied().unwrap_or(0);
        // an event file that the checkpoint does not know was begun after it
        let (known, later): (Vec<_>, Vec<_>) =
            event_files(&folder).into_iter().partition(|name| logs.contains_key(name));
        for name in later {
            let path = folder.join(name);
            fs::remove_file(&path).map_err(RunError::io(&path))?;
        }
        // a file that is there is cut and carried on even where no more is written to it
        let name = match known.into_iter().next_back() {
            None => about.log.tensorboard.then(events::new_name),
            there => there,
        };
        let events = name.map(|name| Events::new(&folder, &name, length(&name)));
        let scores = folder.join(SCORES);
        let scored = about.scored || scores.exists();
        let scores = scored.then(|| LogFile::new(&scores, length(SCORES)));
        let mut run = Self {
            scores,
            metrics: LogFile::new(&folder.join(METRICS), length(METRICS)),
            history: LogFile::lines(&folder.join(HISTORY))?,
            events,
            about,
            lock,
            failing: false,
        };
        let written = run.flush().map(drop);
        run.tolerate(written, RunError::is_write_failure)?;
        Ok(run)
    }

    /// A place in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.lock.folder().join(name)
    }

    /// Add a logged update.
    ///
    /// # Errors
    /// [`RunError::Io`]; what could not be written waits for the next write.
    pub fn record(&mut self, record: &StepRecord, per_image: &PerImage) -> Result<()> {
        let written = self.metrics.line(record);
        match self.events() {
            Some(events) => written.and(events.record(record, per_image)),
            None => written,
        }
    }

    /// Add a score.
    ///
    /// # Errors
    /// As for [`RunWriter::record`].
    pub fn score(&mut self, record: &ScoreRecord) -> Result<()> {
        let written = self.scores.as_mut().map_or(Ok(()), |scores| scores.line(record));
        match self.events() {
            Some(events) => written.and(events.score(record)),
            None => written,
        }
    }

    /// Show a grid of samples, a PNG file, in TensorBoard too.
    ///
    /// # Errors
    /// As for [`RunWriter::record`], and where the file cannot be read.
    pub fn picture(&mut self, update: u64, png: &Path) -> Result<()> {
        match self.events() {
            Some(events) => events.picture(update, fs::read(png).map_err(RunError::io(png))?),
            None => Ok(()),
        }
    }

    /// Add a rollback. On a full disk every part is tried: the logs keep in memory what they cannot write.
    ///
    /// # Errors
    /// As for [`RunWriter::record`].
    pub fn rollback(&mut self, rollback: &Rollback) -> Result<()> {
        let logged = self.metrics.line(&RollbackLine { event: "rollback", rollback });
        let restarted = self.events().map_or(Ok(()), |events| events.restart_after(rollback.to));
        let noted = self.note("rollback", Event { rollback: Some(rollback.clone()), ..Event::default() });
        logged.and(restarted).and(noted)
    }

    /// Write the evidence of a refused update; the place that its samples with the ending `ending` go to.
    ///
    /// # Errors
    /// [`RunError::Io`].
    pub fn evidence(&self, what: &Evidence, ending: &str) -> Result<PathBuf> {
        let folder = self.path(DIVERGENCE);
        fs::create_dir_all(&folder).map_err(RunError::io(&folder))?;
        let place = |ending: &str| folder.join(evidence(what.update, what.attempt, ending));
        let text = serde_json::to_string_pretty(what).map_err(RunError::io(&folder))?;
        write_text(&place("json"), &format!("{text}\n"))?;
        Ok(place(ending))
    }

    /// Write a checkpoint, whose tensors' files `tensors` writes into the folder that it is given; of one that fails
    /// nothing is left. TensorBoard's file is but a copy: what it has no room for keeps no checkpoint from being
    /// written.
    ///
    /// # Errors
    /// [`RunError::Io`], and what `tensors` returns.
    pub fn checkpoint<E: From<RunError>>(
        &mut self,
        state: &RunState,
        Kept { regular, calm, best }: Kept,
        tensors: impl FnOnce(&Path) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let (folder, logs) = (self.path(CHECKPOINTS), self.flush()?);
        let About { description, environment, data, .. } = &self.about;
        let config = description.json().map_err(RunError::io(&folder))?;
        let mut file = StateFile::new(state.clone(), data.clone(), environment.clone(), config);
        file.settings = description.own_settings().cloned().unwrap_or_default();
        (file.regular, file.calm, file.logs) = (regular, calm, logs);
        let written = checkpoint::write(&folder, best, &file, tensors);
        if written.is_err() {
            // what was begun takes room that the next try needs; a failure here is the same full or broken disk
            let _ = keep::clean_up(&folder);
        } else if !best {
            // the checkpoint is there: what fails from here on is made good by the next one, or when the run is resumed
            let tidied = self.point_to_latest().and(keep::prune(&folder, &self.about.checkpoint));
            if let Err(error) = tidied {
                tracing::warn!("{error}");
            }
        }
        written
    }

    /// Forget the checkpoints after `update`, to which a rollback has led.
    ///
    /// # Errors
    /// [`RunError::Io`].
    pub fn forget_after(&self, update: u64) -> Result<()> {
        keep::remove_after(&self.path(CHECKPOINTS), update)
    }

    /// The newest whole checkpoint that `accept` takes, with its scalars; damaged ones are passed over with a warning.
    ///
    /// # Errors
    /// [`RunError::Io`].
    pub fn newest(&self, accept: impl Fn(u64, &StateFile) -> bool) -> Result<Option<(Checkpoint, StateFile)>> {
        let (newest, damaged) = checkpoint::newest(&self.path(CHECKPOINTS), accept)?;
        damaged.iter().for_each(|(checkpoint, reason)| checkpoint::passed_over(checkpoint, reason));
        Ok(newest)
    }

    /// Write the name of the newest checkpoint beside it.
    ///
    /// # Errors
    /// [`RunError::Io`].
    pub fn point_to_latest(&self) -> Result<()> {
        keep::point_to_latest(&self.path(CHECKPOINTS))
    }

    /// Write what waits, and note how the run ended.
    ///
    /// # Errors
    /// [`RunError::Io`].
    pub fn end(&mut self, outcome: &str, update: u64) -> Result<()> {
        self.flush()?;
        self.note(outcome, Event { update: Some(update), ..Event::default() })
    }

    /// Let a failed write pass where the settings say so and `may_pass` of the error: it is warned about once, until a
    /// write succeeds.
    ///
    /// # Errors
    /// The failure, where it does not pass.
    pub fn tolerate<E: Display>(
        &mut self,
        written: std::result::Result<(), E>,
        may_pass: impl FnOnce(&E) -> bool,
    ) -> std::result::Result<(), E> {
        match written {
            Ok(()) => self.failing = false,
            Err(error) if self.about.checkpoint.on_write_error == OnWriteError::Continue && may_pass(&error) => {
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::warn!("{error}; training goes on (checkpoint.on_write_error)");
                }
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// The event file, where events are wanted.
    fn events(&mut self) -> Option<&mut Events> {
        self.events.as_mut().filter(|_| self.about.log.tensorboard)
    }

    /// Flush the logs to the disk; their lengths.
    fn flush(&mut self) -> Result<BTreeMap<String, u64>> {
        let copied = self.events.as_mut().map_or(Ok(()), |events| events.log().flush());
        self.tolerate(copied, RunError::is_write_failure)?;
        let mut lengths = BTreeMap::from_iter(self.events.as_mut().map(|events| events.log().extent()));
        for log in [Some(&mut self.metrics), self.scores.as_mut()].into_iter().flatten() {
            log.flush()?;
            lengths.extend([log.extent()]);
        }
        Ok(lengths)
    }

    /// Add a line to history.jsonl.
    fn note(&mut self, event: &str, what: Event) -> Result<()> {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let written = self.history.line(&Event { event: event.to_owned(), time: Some(time), ..what });
        self.tolerate(written, RunError::is_write_failure)
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
