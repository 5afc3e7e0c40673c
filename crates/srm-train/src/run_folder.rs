//! Keep a run on disk: what [`srm_run`] writes of it, and the tensors and samples that only this crate knows.

use crate::{Result, Settings, Snapshot, TrainError, snapshot_file};
use samples::Shown;
use serde_json::Value;
use srm_config::{Change, Config, LangevinConfig};
use srm_run::{About, Environment, Lock, Resumable, RunError, RunWriter, StepRecord};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::path::Path;
use std::rc::Rc;

mod samples;
mod sink;

/// Samples that wait in memory for room on the disk, in grids.
const MOST_LATE: usize = 8;
/// Logged updates that the evidence of trouble shows.
const EVIDENCE: usize = 20;

/// The folder of one run: its sink and its store. Copies are of one and the same, so that a run can be given both.
///
/// [`RunFolder::open`] is for a net of the user's own, with settings made by hand; [`RunFolder::create`] and
/// [`RunFolder::resume`] are for the run of a config.
#[derive(Clone)]
pub struct RunFolder(Rc<RefCell<Files>>);

/// The files of a run.
struct Files {
    run: RunWriter,
    /// The chain that weights files name, where a config says it.
    langevin: Option<LangevinConfig>,
    /// Samples that the disk had no room for, the newest of them, with their updates.
    late: VecDeque<(u64, Shown)>,
    last: VecDeque<StepRecord>,
}

/// A run that was found in its folder.
pub struct ResumedRun {
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
    /// Begin a run. `fingerprint` names the images.
    ///
    /// # Errors
    /// [`TrainError::Run`].
    pub fn create(lock: Lock, config: &Config, environment: Environment, fingerprint: &str) -> Result<Self> {
        let run = RunWriter::create(lock, About::of(config, environment, fingerprint))?;
        Ok(Self::new(run, Some(config.langevin.clone())))
    }

    /// Go on with a run: find its newest whole checkpoint, and cut the logs back to it. Without any the run begins anew.
    /// `fingerprint` names the images. What a changed setting makes void is forgotten: see [`Resumable::find`].
    ///
    /// # Errors
    /// [`TrainError::Run`], and what the tensors' files return.
    pub fn resume(
        lock: Lock,
        config: &Config,
        environment: Environment,
        fingerprint: &str,
    ) -> Result<(Self, ResumedRun)> {
        let about = About::of(config, environment, fingerprint);
        Self::go_on(lock, about, Some(config.langevin.clone()))
    }

    /// Begin a run of any net in `folder`, or go on with the one that is there: put the snapshot into the trainer
    /// ([`crate::Trainer::restore`]), then run it with this folder as sink and store. `description` is what
    /// `config.json` and every checkpoint say of the run, null where there is nothing to say; one that has changed is
    /// warned about. A run keeps its settings, which lie beside it in every checkpoint; only how many updates it has,
    /// and what is logged, kept and scored, may change. Nothing else is compared: net, block size and data that should stay
    /// the same, so that the bits do, belong into the description. [`RunFolder::end`] notes how the run ended.
    ///
    /// ```
    /// # use srm_energy::{Autograd, fresh_weights};
    /// # use srm_langevin::{Dynamics, Kernel, Spread, Start, Stop};
    /// # use srm_train::{End, RunFolder, Settings, Trainer};
    /// # use tch::{Device, Kind, Tensor};
    /// # let points = Tensor::rand([100, 2], (Kind::Float, Device::Cpu));
    /// # let net = Autograd::new(fresh_weights(1, &[("a", &[1, 2])])?, |w, x| {
    /// #     x.linear(&w["a.weight"], Some(&w["a.bias"])).sin()
    /// # })?;
    /// # let dynamics = Dynamics::new(Kernel::eq4(0.01), 10, Start::Uniform);
    /// # let folder = std::env::temp_dir().join(format!("srm-own-run-{}", std::process::id()));
    /// let settings = Settings::new(dynamics, 5, 16, 1e-3);
    /// let about = serde_json::json!({ "net": "one sine", "data": "noise" });
    /// let (mut run, saved) = RunFolder::open(&folder, &settings, about)?;
    /// let mut trainer = Trainer::new(net, points, settings, Spread { threads: 2, block: 8 })?;
    /// if let Some(saved) = saved {
    ///     trainer.restore(&saved)?; // a process before this one was killed, or stopped
    /// }
    /// assert_eq!(trainer.run(&mut run.clone(), &mut run, &Stop::default())?, End::Finished);
    /// run.end("finished", 5)?;
    /// assert!(folder.join("checkpoints/000005/weights.safetensors").is_file());
    /// # drop(run);
    /// # std::fs::remove_dir_all(&folder).unwrap();
    /// # Ok::<(), srm_train::TrainError>(())
    /// ```
    ///
    /// # Errors
    /// [`TrainError::Settings`]; [`TrainError::Run`] where another process works in the folder, it holds a run of `srm
    /// train` or files of no run, the run there has other settings, all checkpoints are damaged, or files cannot be read or
    /// written; what the tensors' files return.
    pub fn open(folder: &Path, settings: &Settings, description: Value) -> Result<(Self, Option<Snapshot>)> {
        if let Some(problem) = settings.problem() {
            return Err(TrainError::Settings { problem });
        }
        // before the lock, whose file is a sign of a run
        if srm_run::is_used(folder) && !srm_run::is_run(folder) {
            return Err(RunError::NotOurs { path: folder.to_owned(), what: "files of no run" }.into());
        }
        let (lock, about) = (Lock::take(folder)?, settings.about(description));
        if !srm_run::is_used(folder) {
            return Ok((Self::new(RunWriter::create(lock, about)?, None), None));
        }
        let (run, found) = Self::go_on(lock, about, None)?;
        if !found.differences.is_empty() {
            tracing::warn!("{}: not as it was: {}", folder.display(), found.differences.join("; "));
        }
        Ok((run, found.saved))
    }

    fn go_on(lock: Lock, about: About, langevin: Option<LangevinConfig>) -> Result<(Self, ResumedRun)> {
        let found = Resumable::find(&lock, &about)?;
        let saved = (found.checkpoint.as_ref()).map(|(checkpoint, file)| snapshot_file::read(checkpoint, file));
        let saved = saved.transpose()?;
        let run = RunWriter::resume(lock, about, &found)?;
        let ranks = found.checkpoint.map_or(0, |(_, file)| file.environment.ranks);
        let found = ResumedRun { saved, changes: found.changes, differences: found.differences, ranks };
        Ok((Self::new(run, langevin), found))
    }

    fn new(run: RunWriter, langevin: Option<LangevinConfig>) -> Self {
        let (late, last) = (VecDeque::new(), VecDeque::new());
        Self(Rc::new(RefCell::new(Files { run, langevin, late, last })))
    }

    /// Write what waits, and note how the run ended.
    ///
    /// # Errors
    /// [`TrainError::Run`].
    pub fn end(&self, outcome: &str, update: u64) -> Result<()> {
        let mut files = self.0.borrow_mut();
        let late = files.write_samples().and_then(|()| files.run.point_to_latest().map_err(TrainError::from));
        files.tolerate(late)?;
        Ok(files.run.end(outcome, update)?)
    }
}
