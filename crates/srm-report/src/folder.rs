//! Read what a run folder holds for its report, and note what is missing or damaged instead of failing.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use srm_config::Config;
use srm_run::{
    Checkpoint, Event, Evidence, Fault, Log, Metrics, Rollback, Run, RunError, ScoreRecord, StateFile, StepRecord,
    layout::{CONFIG, DIAGNOSTICS, HISTORY, METRICS, SCORES},
};

use crate::ReportError;

/// A run as its folder tells it.
pub struct RunFiles {
    /// Where it lies.
    pub folder: PathBuf,
    /// Its name: the folder's.
    pub(crate) name: String,
    /// The resolved settings.
    pub config: Option<Config>,
    /// The text they are from; a config of another version may be readable only as text.
    pub(crate) config_text: Option<String>,
    /// Logged updates, those that a rollback took back included, and rollbacks.
    pub(crate) metrics: Metrics,
    /// Starts, resumes, rollbacks and ends.
    pub(crate) history: Vec<Event>,
    pub(crate) scores: Vec<ScoreRecord>,
    pub(crate) evaluation: Option<Value>,
    /// Sample grids with their updates, first to last.
    pub(crate) samples: Vec<(u64, PathBuf)>,
    /// The newest checkpoint that can be used.
    pub checkpoint: Option<Checkpoint>,
    pub(crate) state: Option<StateFile>,
    /// Evidence of trouble.
    pub(crate) troubles: Vec<(PathBuf, Evidence)>,
    /// All files that diagnoses left, sorted.
    pub(crate) diagnostics: Vec<PathBuf>,
    /// What is damaged or missing, a sentence each.
    pub notes: Vec<String>,
}

impl RunFiles {
    /// Read a run folder.
    ///
    /// # Errors
    /// [`ReportError::Run`] where it is none. What is missing or damaged in a run is a note, not an error.
    pub fn read(folder: &Path) -> Result<RunFiles, ReportError> {
        let run = Run::open(folder)?;
        let mut notes = Notes(Vec::new());
        let config_text = notes.expected(CONFIG, run.config_text());
        let config = config_text.as_deref().and_then(|text| {
            let problem = |error| notes.0.push(format!("config.json cannot be understood: {error}"));
            Config::from_json(text, &[]).map_err(problem).ok()
        });
        let metrics = notes.expected(METRICS, run.metrics()).unwrap_or_default();
        notes.damaged(METRICS, &metrics.faults);
        let checkpoint = newest_checkpoint(&run, &mut notes);
        let state = checkpoint.as_ref().and_then(|checkpoint| notes.read(checkpoint.state()));
        let history = notes.expected(HISTORY, run.history());
        let scores = notes.read(run.scores()).flatten();
        let is_grid = |(_, path): &(u64, PathBuf)| path.extension().is_some_and(|kind| kind == "png");
        let troubles = run.troubles().into_iter();
        Ok(RunFiles {
            folder: folder.to_owned(),
            name: run.name(),
            config,
            config_text,
            metrics,
            history: notes.records(HISTORY, history),
            scores: notes.records(SCORES, scores),
            evaluation: notes.read(run.evaluation()).flatten(),
            samples: run.samples().into_iter().filter(is_grid).collect(),
            checkpoint,
            state,
            troubles: troubles.filter_map(|(path, evidence)| Some((path, notes.read(evidence)?))).collect(),
            diagnostics: files_below(&folder.join(DIAGNOSTICS)),
            notes: notes.0,
        })
    }

    /// All rollbacks that are known of: the metrics are cut back when a broken run is resumed, the history never.
    pub(crate) fn rollbacks(&self) -> Vec<&Rollback> {
        let noted: Vec<&Rollback> = self.history.iter().filter_map(|event| event.rollback.as_ref()).collect();
        if noted.is_empty() { self.metrics.rollbacks.iter().collect() } else { noted }
    }

    /// The last logged update of the run as it is now.
    pub(crate) fn last(&self) -> Option<&StepRecord> {
        self.metrics.kept().next_back()
    }

    /// The update of the newest checkpoint.
    pub(crate) fn checkpoint_update(&self) -> Option<u64> {
        self.checkpoint.as_ref()?.update()
    }
}

/// What is damaged or missing, a sentence each.
struct Notes(Vec<String>);

impl Notes {
    /// What was read; what is wrong is noted.
    fn read<T>(&mut self, read: srm_run::Result<T>) -> Option<T> {
        read.map_err(|error| self.0.push(reason(error))).ok()
    }

    /// The same of a file that every run has.
    fn expected<T>(&mut self, name: &str, read: srm_run::Result<Option<T>>) -> Option<T> {
        let read = self.read(read)?;
        if read.is_none() {
            self.0.push(format!("{name} is missing"));
        }
        read
    }

    /// Note the lines of a log that say nothing. A run that writes at this moment may leave its last line half.
    fn damaged(&mut self, name: &str, faults: &[Fault]) {
        match faults.len() {
            0 => {}
            1 => self.0.push(format!("1 line of {name} is damaged or half-written and was left out")),
            many => self.0.push(format!("{many} lines of {name} are damaged and were left out")),
        }
    }

    fn records<T>(&mut self, name: &str, log: Option<Log<T>>) -> Vec<T> {
        log.map_or_else(Vec::new, |log| {
            self.damaged(name, &log.faults);
            log.records
        })
    }
}

/// Why a file cannot be read; nothing is written here, so that room on the disk is no remedy.
pub fn reason(error: RunError) -> String {
    match error {
        RunError::Io { path, source } => format!("{} cannot be read: {source}", path.display()),
        other => other.to_string(),
    }
}

/// The newest checkpoint that can be used; those that cannot are noted.
fn newest_checkpoint(run: &Run, notes: &mut Notes) -> Option<Checkpoint> {
    let newest = notes.read(run.newest()).flatten();
    let used = newest.as_ref().and_then(Checkpoint::update);
    let newer = |(update, _): &(u64, Checkpoint)| used.is_none_or(|used| *update > used);
    for (update, _) in run.checkpoints().into_iter().flatten().filter(newer) {
        notes.0.push(format!("the checkpoint of update {update} is damaged and was passed over"));
    }
    if newest.is_none() {
        notes.0.push("there is no checkpoint that can be used".to_owned());
    }
    newest
}

/// All files of a folder and of the folders in it, in the order of names.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut inside) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        match entry.file_type() {
            Ok(kind) if kind.is_file() && !hidden => found.push(path),
            Ok(kind) if kind.is_dir() && !hidden => inside.push(path),
            _ => {}
        }
    }
    found.sort();
    inside.sort();
    found.extend(inside.iter().flat_map(|path| files_below(path)));
    found
}
