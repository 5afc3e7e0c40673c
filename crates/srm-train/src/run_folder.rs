//! Keep a run on disk: config, logs, sample grids, checkpoints and the evidence of trouble.
//!
//! ```text
//! config.json      the resolved settings          history.jsonl   starts, resumes with what changed, rollbacks, ends
//! metrics.jsonl    a line a logged update, and a line a rollback          scores.jsonl    a line a score
//! events.out.tfevents.*   the same for TensorBoard, with grids and histograms
//! samples/x_000100.png    checkpoints/000100/     divergence/x_000142_0.{png,json}
//! ```

use crate::events::{self, Events};
use crate::log_file::LogFile;
use crate::{Environment, Lock, Result, Snapshot, StepRecord, TrainError, checkpoint};
use ndarray::Array4;
use serde_json::{Value, json};
use srm_config::{Change, Config};
use srm_files::{remove_leftovers, write_whole};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

mod sink;

/// Images a row in a sample grid.
const GRID_COLUMNS: usize = 8;
/// Pixels between the images of a grid.
const GRID_PADDING: usize = 2;
/// Sample grids that wait in memory for room on the disk.
const MOST_LATE: usize = 8;
/// Logged updates that the evidence of trouble shows.
const EVIDENCE: usize = 20;
/// What a run, its scores and its report leave in its folder, in the order of deletion: settings last, so that what is left of a folder half deleted
/// never goes on under other settings.
const LEFT_BY_A_RUN: [&str; 9] = [
    "report.html",
    "evaluation.json",
    "checkpoints",
    "samples",
    "divergence",
    "scores.jsonl",
    "metrics.jsonl",
    "history.jsonl",
    "config.json",
];

/// The folder of one run: its sink and its store. Copies are of one and the same, so that a run can be given both.
#[derive(Clone)]
pub struct RunFolder(Rc<RefCell<Files>>);

/// The files of a run.
struct Files {
    lock: Lock,
    metrics: LogFile,
    /// Where the run is scored, or was.
    scores: Option<LogFile>,
    history: LogFile,
    events: Option<Events>,
    /// Sample grids that the disk had no room for, the newest of them, with their updates.
    late: VecDeque<(u64, Array4<u8>)>,
    config: Config,
    environment: Environment,
    /// That of the images.
    fingerprint: String,
    last: VecDeque<StepRecord>,
    /// Whether the last write failed: said once, not at every update.
    failing: bool,
}

/// A run that was found in its folder.
pub struct Found {
    /// Its newest whole checkpoint; `None` before the first.
    pub saved: Option<Snapshot>,
    /// Settings that differ from those it was written under.
    pub changes: Vec<Change>,
    /// What else is different now and may change bits, for a warning.
    pub differences: Vec<String>,
    /// Processes of the run that wrote the checkpoint; 0 where there is none.
    pub ranks: usize,
}

impl RunFolder {
    /// Whether the folder holds anything.
    pub fn is_used(folder: &Path) -> bool {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.into_iter().any(|entry| entry.file_name() != crate::lock::NAME)
    }

    /// Whether a run has been in the folder.
    pub fn is_run(folder: &Path) -> bool {
        [crate::lock::NAME, "metrics.jsonl", "history.jsonl"].iter().any(|name| folder.join(name).exists())
    }

    /// Delete what an earlier run left; files of others stay.
    ///
    /// # Errors
    /// [`TrainError::Io`].
    pub fn clear(lock: &Lock) -> Result<()> {
        for name in event_files(lock.folder()).into_iter().chain(LEFT_BY_A_RUN.map(str::to_owned)) {
            checkpoint::remove_if_there(&lock.folder().join(name))?;
        }
        Ok(())
    }

    /// Begin a run. `fingerprint` names the images.
    ///
    /// # Errors
    /// [`TrainError::Io`].
    pub fn create(lock: Lock, config: &Config, environment: Environment, fingerprint: &str) -> Result<Self> {
        let about = json!({ "update": 0, "environment": environment });
        let mut files = Files::open(lock, config, environment, fingerprint, &BTreeMap::new())?;
        files.note("start", about)?;
        Ok(Self(Rc::new(RefCell::new(files))))
    }

    /// Go on with a run: find its newest whole checkpoint, and cut the logs back to it. Without any the run begins anew.
    /// `fingerprint` names the images.
    ///
    /// A rate or a data noise that the config sets to another value than the checkpoint's config is the one that somebody
    /// means: what rollbacks have done to it is forgotten, and the watch has all its rollbacks again.
    ///
    /// # Errors
    /// [`TrainError::CannotChange`], [`TrainError::AllDamaged`], [`TrainError::StateFile`], [`TrainError::Io`].
    pub fn resume(lock: Lock, config: &Config, environment: Environment, fingerprint: &str) -> Result<(Self, Found)> {
        let checkpoints = lock.folder().join("checkpoints");
        checkpoint::clean_up(&checkpoints)?;
        let (newest, damaged) = checkpoint::newest(&checkpoints, |_, _| true)?;
        if let (None, Some((_, reason))) = (&newest, damaged.first()) {
            return Err(TrainError::AllDamaged { path: checkpoints, reason: reason.clone() });
        }
        let mut found = Found { saved: None, changes: Vec::new(), differences: Vec::new(), ranks: 0 };
        let mut logs = BTreeMap::new();
        if let Some(path) = &newest {
            let (mut saved, file) = checkpoint::read(path)?;
            let unreadable = |reason| TrainError::StateFile { path: path.join("state.json"), reason };
            let earlier =
                Config::from_json(&file.config.to_string(), &[]).map_err(|error| unreadable(error.to_string()))?;
            found.changes = earlier.changes(config);
            for change in &found.changes {
                if let Some(why) = change.refusal() {
                    return Err(TrainError::CannotChange { change: change.to_string(), why });
                }
            }
            let changed = |key: &str| found.changes.iter().any(|change| change.path == key);
            if changed("train.learning_rate") {
                (saved.state.rate_factor, saved.state.rollbacks) = (1.0, 0);
            }
            if changed("train.data_noise") {
                saved.state.extra_noise = 0.0;
            }
            if found
                .changes
                .iter()
                .any(|change| change.path.starts_with("evaluate.") && change.path != "evaluate.every")
            {
                saved.state.best = None; // scores made in another way do not compare
            }
            found.ranks = file.environment.ranks;
            found.differences = environment.differences(&file.environment);
            let data = ["data.images", "data.count"].into_iter().any(changed);
            if file.data.fingerprint != fingerprint && !data {
                found.differences.push(format!("other images: fingerprint {} -> {fingerprint}", file.data.fingerprint));
            }
            (logs, found.saved) = (file.logs, Some(saved));
        }
        if !damaged.is_empty() {
            // before the one that it names goes
            checkpoint::point_to(&checkpoints, found.saved.as_ref().map(|saved| saved.state.update))?;
        }
        for (path, reason) in damaged {
            let aside = checkpoint::set_aside(&path)?;
            tracing::warn!("{} is damaged ({reason}): it is {} now", path.display(), aside.display());
        }
        let changed: Vec<Value> = found
            .changes
            .iter()
            .map(|change| json!({ "key": change.path, "from": change.from, "to": change.to }))
            .collect();
        let update = found.saved.as_ref().map_or(0, |saved| saved.state.update);
        let what = json!({ "update": update, "changes": changed, "differences": found.differences,
            "environment": environment });
        let mut files = Files::open(lock, config, environment, fingerprint, &logs)?;
        files.note("resume", what)?;
        // what a kill had left undone: in the middle of a file, or between a checkpoint's write and these
        for name in ["", "samples", "divergence", "checkpoints"] {
            let path = files.path(name);
            remove_leftovers(&path).map_err(TrainError::io(&path))?;
        }
        checkpoint::prune(&checkpoints, &config.checkpoint)?;
        checkpoint::point_to_latest(&checkpoints)?;
        Ok((Self(Rc::new(RefCell::new(files))), found))
    }

    /// The newest checkpoint of a run folder, or in a folder of checkpoints, to draw samples with; damaged ones are passed over
    /// with a warning.
    ///
    /// # Errors
    /// [`TrainError::Io`] where the folder cannot be read.
    pub fn newest_checkpoint(folder: &Path) -> Result<Option<PathBuf>> {
        let inside = folder.join("checkpoints");
        let (newest, damaged) = checkpoint::newest_weights(if inside.is_dir() { &inside } else { folder })?;
        warn_of(&damaged);
        Ok(newest)
    }

    /// The weights to draw samples with in a checkpoint: the averaged ones where there are some.
    pub fn weights_of(checkpoint: &Path) -> PathBuf {
        let averaged = checkpoint.join("ema.safetensors");
        if averaged.is_file() { averaged } else { checkpoint.join("weights.safetensors") }
    }

    /// Write what waits, and note how the run ended.
    ///
    /// # Errors
    /// [`TrainError::Io`].
    pub fn end(&self, outcome: &str, update: u64) -> Result<()> {
        let mut files = self.0.borrow_mut();
        let late = files.log_pictures().and_then(|()| checkpoint::point_to_latest(&files.path("checkpoints")));
        files.tolerate(late)?;
        files.flush()?;
        files.note(outcome, json!({ "update": update }))
    }
}

impl Files {
    fn open(
        lock: Lock,
        config: &Config,
        environment: Environment,
        fingerprint: &str,
        logs: &BTreeMap<String, u64>,
    ) -> Result<Self> {
        let folder = lock.folder().to_owned();
        for name in ["samples", "checkpoints"] {
            let path = folder.join(name);
            fs::create_dir_all(&path).map_err(TrainError::io(&path))?;
        }
        let (path, text) = (folder.join("config.json"), config.to_json());
        if fs::read(&path).ok().as_deref() != Some(text.as_bytes()) {
            write_whole(&path, |file| file.write_all(text.as_bytes())).map_err(TrainError::io(&path))?;
        }
        let length = |name: &str| logs.get(name).copied().unwrap_or(0);
        // an event file that the checkpoint does not know was begun after it
        let (known, later): (Vec<_>, Vec<_>) =
            event_files(&folder).into_iter().partition(|name| logs.contains_key(name));
        for name in later {
            let path = folder.join(name);
            fs::remove_file(&path).map_err(TrainError::io(&path))?;
        }
        // a file that is there is cut and carried on even where no more is written to it
        let name = match known.into_iter().next_back() {
            None => config.log.tensorboard.then(events::new_name),
            there => there,
        };
        let events = name.map(|name| Events::new(&folder, &name, length(&name)));
        let scores = folder.join("scores.jsonl");
        let scored = config.evaluate.every.is_some() || scores.exists();
        let scores = scored.then(|| LogFile::new(&scores, length("scores.jsonl")));
        let mut run = Self {
            scores,
            metrics: LogFile::new(&folder.join("metrics.jsonl"), length("metrics.jsonl")),
            history: LogFile::lines(&folder.join("history.jsonl"))?,
            events,
            late: VecDeque::new(),
            config: config.clone(),
            environment,
            fingerprint: fingerprint.to_owned(),
            lock,
            last: VecDeque::new(),
            failing: false,
        };
        let written = run.flush().map(drop);
        run.tolerate(written)?;
        Ok(run)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.lock.folder().join(name)
    }

    /// Flush the logs to the disk; their lengths. TensorBoard's file is but a copy: what it has no room for keeps no
    /// checkpoint from being written.
    fn flush(&mut self) -> Result<BTreeMap<String, u64>> {
        let copied = self.events.as_mut().map_or(Ok(()), |events| events.log().flush());
        self.tolerate(copied)?;
        let mut lengths = BTreeMap::from_iter(self.events.as_mut().map(|events| events.log().extent()));
        for log in [Some(&mut self.metrics), self.scores.as_mut()].into_iter().flatten() {
            log.flush()?;
            lengths.extend([log.extent()]);
        }
        Ok(lengths)
    }

    /// Add a line to history.jsonl.
    fn note(&mut self, event: &str, mut what: Value) -> Result<()> {
        what["event"] = event.into();
        what["time"] = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()).into();
        let written = self.history.append(format!("{what}\n").as_bytes());
        self.tolerate(written)
    }
}

fn warn_of(damaged: &[(PathBuf, String)]) {
    for (path, reason) in damaged {
        tracing::warn!("{} is damaged ({reason}): passed over", path.display());
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
