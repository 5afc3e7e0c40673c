//! Read what a run folder holds for its report, and note what is missing or damaged instead of failing.

use std::{
    borrow::Cow,
    fs, io,
    path::{Path, PathBuf},
};

use serde_json::Value;
use srm_config::{Config, decode};
use srm_run::{
    Metrics, Run,
    layout::{CONFIG, EVALUATION, HISTORY, METRICS, SCORES, STATE},
};

use crate::ReportError;

/// A run as its folder tells it.
pub struct RunFiles {
    /// Where it lies.
    pub folder: PathBuf,
    run: Run,
    /// What rollbacks took back.
    kept: Metrics,
    /// The resolved settings.
    pub config: Option<Config>,
    /// The text they are from; a config of another version may be readable only as text.
    pub(crate) config_text: Option<String>,
    /// Logged updates in the order of writing, those that a rollback took back included.
    pub(crate) metrics: Vec<Value>,
    /// The rollbacks among them.
    pub(crate) rollbacks: Vec<Value>,
    /// Starts, resumes, rollbacks and ends.
    pub(crate) history: Vec<Value>,
    pub(crate) scores: Vec<Value>,
    pub(crate) evaluation: Option<Value>,
    /// Sample grids with their updates, first to last.
    pub(crate) samples: Vec<(u64, PathBuf)>,
    /// The newest checkpoint that can be used.
    pub checkpoint: Option<PathBuf>,
    /// Its `state.json`.
    pub(crate) state: Option<Value>,
    /// Evidence of trouble: `divergence/*.json`.
    pub(crate) troubles: Vec<(PathBuf, Value)>,
    /// All files below `diagnostics/`, sorted.
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
        let mut notes = Vec::new();
        let config_text = text(folder, CONFIG, true, &mut notes);
        let config = config_text.as_deref().and_then(|text| {
            let problem = |error| notes.push(format!("config.json cannot be understood: {error}"));
            Config::from_json(text, &[]).map_err(problem).ok()
        });
        let (rollbacks, metrics) = lines(folder, METRICS, true, &mut notes)
            .into_iter()
            .partition::<Vec<_>, _>(|line| line["event"] == "rollback");
        let (checkpoint, state) = newest_checkpoint(&run, &mut notes);
        Ok(RunFiles {
            metrics: metrics.into_iter().filter(|line| line["update"].is_u64()).collect(),
            rollbacks,
            history: lines(folder, HISTORY, true, &mut notes),
            scores: lines(folder, SCORES, false, &mut notes),
            evaluation: object(folder, EVALUATION, &mut notes),
            samples: run
                .samples()
                .into_iter()
                .filter(|(_, path)| path.extension().is_some_and(|kind| kind == "png"))
                .collect(),
            troubles: run
                .troubles()
                .into_iter()
                .filter_map(|path| Some((path.clone(), json(&path, &mut notes)?)))
                .collect(),
            diagnostics: files_below(&folder.join("diagnostics")),
            kept: run.metrics().ok().flatten().unwrap_or_default(),
            run,
            folder: folder.to_owned(),
            config,
            config_text,
            checkpoint,
            state,
            notes,
        })
    }

    /// The run's name: its folder's.
    pub(crate) fn name(&self) -> String {
        self.run.name()
    }

    /// Whether a line of the logs is part of the run as it is now, and not of what a rollback took back.
    pub(crate) fn survives(&self, line: &Value) -> bool {
        let attempt = line["attempt"].as_u64().and_then(|attempt| u32::try_from(attempt).ok()).unwrap_or(0);
        self.kept.counts(line["update"].as_u64().unwrap_or(0), attempt)
    }

    /// All rollbacks that are known of: the metrics are cut back when a broken run is resumed, the history never.
    pub(crate) fn rollback_events(&self) -> Vec<&Value> {
        let noted: Vec<&Value> = self.history.iter().filter(|event| event["event"] == "rollback").collect();
        if noted.is_empty() { self.rollbacks.iter().collect() } else { noted }
    }

    /// The last logged update of the run as it is now.
    pub(crate) fn last(&self) -> Option<&Value> {
        self.metrics.iter().rev().find(|line| self.survives(line))
    }

    /// The update of the newest checkpoint.
    pub(crate) fn checkpoint_update(&self) -> Option<u64> {
        self.checkpoint.as_ref()?.file_name()?.to_str()?.parse().ok()
    }
}

/// The newest checkpoint that can be used, with its state; those that cannot are noted.
fn newest_checkpoint(run: &Run, notes: &mut Vec<String>) -> (Option<PathBuf>, Option<Value>) {
    let newest = run.newest().map_err(|error| notes.push(format!("the checkpoints cannot be read: {error}")));
    let newest = newest.ok().flatten();
    let used = newest.as_ref().and_then(|checkpoint| checkpoint.update());
    for (update, _) in
        run.checkpoints().into_iter().flatten().filter(|(update, _)| used.is_none_or(|used| *update > used))
    {
        notes.push(format!("the checkpoint of update {update} is damaged and was passed over"));
    }
    if newest.is_none() {
        notes.push("there is no checkpoint that can be used".to_owned());
    }
    let newest = newest.map(|checkpoint| checkpoint.path().to_owned());
    let state = newest.as_ref().and_then(|path| json(&path.join(STATE), notes));
    (newest, state)
}

/// The text of a file; one that is not there is noted where it is `expected`.
fn text(folder: &Path, name: &str, expected: bool, notes: &mut Vec<String>) -> Option<String> {
    match fs::read(folder.join(name)) {
        // somebody may have edited it in an editor that saves UTF-16
        Ok(bytes) => {
            Some(decode(&bytes).map_or_else(|_| String::from_utf8_lossy(&bytes).into_owned(), Cow::into_owned))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if expected {
                notes.push(format!("{name} is missing"));
            }
            None
        }
        Err(error) => {
            notes.push(format!("{name} cannot be read: {error}"));
            None
        }
    }
}

/// The JSON objects of a log, a line each. A run that writes at this moment may leave its last line half.
fn lines(folder: &Path, name: &str, expected: bool, notes: &mut Vec<String>) -> Vec<Value> {
    let text = text(folder, name, expected, notes).unwrap_or_default();
    let all: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let good: Vec<Value> =
        all.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok()).filter(Value::is_object).collect();
    match all.len() - good.len() {
        0 => {}
        1 => notes.push(format!("1 line of {name} is damaged or half-written and was left out")),
        many => notes.push(format!("{many} lines of {name} are damaged and were left out")),
    }
    good
}

fn object(folder: &Path, name: &str, notes: &mut Vec<String>) -> Option<Value> {
    let path = folder.join(name);
    if path.exists() { json(&path, notes) } else { None }
}

/// A JSON file; what is wrong with it is noted.
pub fn json(path: &Path, notes: &mut Vec<String>) -> Option<Value> {
    let read = fs::read_to_string(path).map_err(|error| error.to_string());
    let parsed = read.and_then(|text| serde_json::from_str(&text).map_err(|error| error.to_string()));
    parsed.map_err(|error| notes.push(format!("{} cannot be read: {error}", path.display()))).ok()
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
