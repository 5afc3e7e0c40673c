//! Say what a run is, for its folder, and compare that with what an earlier checkpoint says.

use crate::checkpoint::{Damaged, newest};
use crate::keep::clean_up;
use crate::layout::{CHECKPOINTS, CONFIG, STATE};
use crate::log::text;
use crate::{Checkpoint, DataFile, Environment, Lock, Result, RunError, StateFile};
use serde_json::Value;
use srm_config::{Change, CheckpointConfig, Config, LogConfig};

/// What a run is, as `config.json` and every checkpoint say it.
#[derive(Clone, Debug, PartialEq)]
pub enum Description {
    /// The settings of `srm train`: what changes is named by its key, and some of it is refused.
    Config(Box<Config>),
    /// Another program's run.
    Own {
        /// Whatever it says of the run; null too. What has changed of it is warned about.
        said: Value,
        /// Its settings, in sections, which a run that goes on must keep, see [`Resumable::find`]; null: nothing is compared.
        settings: Value,
    },
}

impl Description {
    /// The text of `config.json`.
    pub(crate) fn text(&self) -> String {
        match self {
            Description::Config(config) => config.to_json(),
            Description::Own { said, .. } => format!("{said:#}\n"),
        }
    }

    pub(crate) fn json(&self) -> serde_json::Result<Value> {
        match self {
            Description::Config(config) => serde_json::to_value(config),
            Description::Own { said, .. } => Ok(said.clone()),
        }
    }

    /// Settings that are not in the description itself.
    pub(crate) fn own_settings(&self) -> Option<&Value> {
        match self {
            Description::Config(_) => None,
            Description::Own { settings, .. } => Some(settings),
        }
    }
}

/// All that a run folder needs to know of its run.
#[derive(Clone, Debug)]
pub struct About {
    /// What the run is.
    pub description: Description,
    /// What is logged.
    pub log: LogConfig,
    /// What is kept, and what a full disk means.
    pub checkpoint: CheckpointConfig,
    /// Whether the run is scored.
    pub scored: bool,
    /// What it is computed on.
    pub environment: Environment,
    /// Its data.
    pub data: DataFile,
}

impl About {
    /// The run of a config. `fingerprint` names the images.
    pub fn of(config: &Config, environment: Environment, fingerprint: &str) -> Self {
        Self {
            description: Description::Config(Box::new(config.clone())),
            log: config.log.clone(),
            checkpoint: config.checkpoint.clone(),
            scored: config.evaluate.every.is_some(),
            environment,
            data: DataFile { images: config.data.images.clone(), fingerprint: fingerprint.to_owned() },
        }
    }
}

/// Sections of settings that enter no update.
const FREE: [&str; 3] = ["log.", "checkpoint.", "evaluate."];
const KEEPS_ITS_SETTINGS: &str = "the updates before it were made with the other; take that, or give the new run a folder of \
                                  its own, with the weights of the last checkpoint if need be";

/// Refuse a run of `srm train` to another program: its settings, logs and checkpoints would be lost.
fn ours(lock: &Lock, description: &str) -> Result<()> {
    match Config::from_json(description, &[]) {
        Ok(_) => Err(RunError::NotOurs { path: lock.folder().to_owned(), what: "a run of `srm train`" }),
        Err(_) => Ok(()),
    }
}

/// What a run folder holds to go on from.
#[derive(Debug, Default)]
pub struct Resumable {
    /// Its newest whole checkpoint; `None` before the first.
    pub checkpoint: Option<(Checkpoint, StateFile)>,
    /// Settings that differ from those it was written under.
    pub changes: Vec<Change>,
    /// What else is different now and may change bits, for a warning.
    pub differences: Vec<String>,
    /// Newer checkpoints that are damaged.
    pub(crate) damaged: Damaged,
}

impl Resumable {
    /// Find what the folder of `lock` holds, and compare it with what the run is now. Nothing is changed but what a
    /// kill has left half done.
    ///
    /// A rate or a data noise that the config sets to another value than the checkpoint's config is the one that
    /// somebody means: what rollbacks have done to it is forgotten, and the watch has all its rollbacks again. Scores
    /// made in another way do not compare: then the best is forgotten.
    ///
    /// The run of another program keeps its settings, but for `train.updates` and the sections `log`, `checkpoint` and
    /// `evaluate`, which enter no update. A checkpoint from before they were kept goes on with any.
    ///
    /// # Errors
    /// [`RunError::CannotChange`], [`RunError::AllDamaged`], [`RunError::StateFile`], [`RunError::NotOurs`],
    /// [`RunError::Io`].
    pub fn find(lock: &Lock, about: &About) -> Result<Self> {
        let folder = lock.folder().join(CHECKPOINTS);
        clean_up(&folder)?;
        let (checkpoint, damaged) = newest(&folder, |_, _| true)?;
        if let (None, Some((_, reason))) = (&checkpoint, damaged.first()) {
            return Err(RunError::AllDamaged { path: folder, reason: reason.clone() });
        }
        let mut found = Self { damaged, ..Self::default() };
        if let Some((checkpoint, mut file)) = checkpoint {
            match &about.description {
                Description::Config(config) => found.compare(&checkpoint, &mut file, config)?,
                Description::Own { said, settings } => {
                    if *said != file.config {
                        ours(lock, &file.config.to_string())?;
                        found.differences.push(format!("description: {} -> {said}", file.config));
                    }
                    found.compare_own(&mut file, settings)?;
                }
            }
            found.differences.extend(about.environment.differences(&file.environment));
            let moved = found.changes.iter().any(|change| ["data.images", "data.count"].contains(&&*change.path));
            let (before, now) = (&file.data.fingerprint, &about.data.fingerprint);
            if before != now && !moved {
                found.differences.push(format!("other images: fingerprint {before} -> {now}"));
            }
            found.checkpoint = Some((checkpoint, file));
        } else if let (Description::Own { said, .. }, Ok(text)) =
            (&about.description, text(&lock.folder().join(CONFIG)))
            && serde_json::from_str::<Value>(&text).ok().as_ref() != Some(said)
        {
            ours(lock, &text)?;
        }
        Ok(found)
    }

    /// The update that the run goes on from; `None` where it begins.
    pub fn update(&self) -> Option<u64> {
        self.checkpoint.as_ref().map(|(_, file)| file.state.update)
    }

    /// Note what has changed since the config of the checkpoint, and forget what the change makes void.
    fn compare(&mut self, checkpoint: &Checkpoint, file: &mut StateFile, config: &Config) -> Result<()> {
        let unreadable = |reason| RunError::StateFile { path: checkpoint.path().join(STATE), reason };
        let earlier =
            Config::from_json(&file.config.to_string(), &[]).map_err(|error| unreadable(error.to_string()))?;
        self.changes = earlier.changes(config);
        for change in &self.changes {
            if let Some(why) = change.refusal() {
                return Err(RunError::CannotChange { change: change.to_string(), why });
            }
        }
        self.forget(file);
        Ok(())
    }

    /// [`Resumable::compare`] of the settings of another program's run.
    fn compare_own(&mut self, file: &mut StateFile, settings: &Value) -> Result<()> {
        if file.settings.is_null() || settings.is_null() {
            return Ok(());
        }
        let may_change = |path: &str| path == "train.updates" || FREE.iter().any(|section| path.starts_with(section));
        self.changes = Change::all(&file.settings, settings);
        // a key that only one of the two knows is of another version of srm, not another setting
        let knows = |of: &Value, path: &str| of.pointer(&format!("/{}", path.replace('.', "/"))).is_some();
        let both_know = |path: &str| knows(&file.settings, path) && knows(settings, path);
        match self.changes.iter().find(|change| both_know(&change.path) && !may_change(&change.path)) {
            Some(change) => Err(RunError::CannotChange { change: change.to_string(), why: KEEPS_ITS_SETTINGS }),
            None => {
                self.forget(file);
                Ok(())
            }
        }
    }

    /// Forget what the changes make void.
    fn forget(&self, file: &mut StateFile) {
        let state = &mut file.state;
        for change in &self.changes {
            match &*change.path {
                "train.learning_rate" => (state.rate_factor, state.rollbacks) = (1.0, 0),
                "train.data_noise" => state.extra_noise = 0.0,
                "evaluate.every" => {}
                key if key.starts_with("evaluate.") => state.best = None,
                _ => {}
            }
        }
    }
}
