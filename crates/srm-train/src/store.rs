//! Keep the state of a run and give it back: to a rollback, or to a run that goes on.

use crate::Result;
use serde_json::Value as Json;
use srm_energy::{StateDict, copies};
use srm_run::RunState;
use std::collections::VecDeque;
use tch::Tensor;

/// All that the next update depends on, at one moment.
#[derive(Debug)]
pub struct Snapshot {
    /// The scalars.
    pub state: RunState,
    /// The net's weights.
    pub weights: StateDict,
    /// What the net says of itself ([`srm_energy::Trainable::describe`]).
    pub net: Json,
    /// ADAM's moments, and the tensors of the spectral norm where it is on.
    pub optimizer: StateDict,
    /// The averaged weights, where the average is on.
    pub ema: Option<StateDict>,
    /// The replay buffer of persistent chains, where there is one.
    pub replay_buffer: Option<Tensor>,
    /// Whether the watch takes the run for healthy: a state to return to.
    pub calm: bool,
    /// Whether this update is one at which a state is kept in any case, so that rollbacks may go to it whatever it is kept for.
    pub regular: bool,
}

impl Snapshot {
    /// The same with tensors of its own, which no update changes.
    ///
    /// # Errors
    /// [`crate::TrainError::Torch`].
    pub fn copy(&self) -> Result<Self> {
        Ok(Self {
            state: self.state.clone(),
            weights: copies(&self.weights)?,
            net: self.net.clone(),
            optimizer: copies(&self.optimizer)?,
            ema: self.ema.as_ref().map(copies).transpose()?,
            replay_buffer: self.replay_buffer.as_ref().map(Tensor::f_detach_copy).transpose()?,
            calm: self.calm,
            regular: self.regular,
        })
    }
}

/// Why a state is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its turn has come. Rollbacks go to such states, and to the end of a run that was made longer, so that an interrupt
    /// changes no bit of a run.
    Regular,
    /// The run is asked to stop. It must be kept.
    Interrupt,
    /// The run is done. It must be kept.
    End,
    /// No score before was as good: kept beside the others, whatever happens to them.
    Best,
    /// A rollback has led to it: what was kept after this update is to be forgotten. A run that is killed then goes on with
    /// the same noise, rate and count.
    RolledBack,
}

impl Why {
    /// Whether rollbacks may go to a state that is kept for this: an unbroken run would have kept it too.
    pub(crate) fn is_regular(self, snapshot: &Snapshot) -> bool {
        self != Why::Best && (self != Why::Interrupt || snapshot.regular)
    }
}

/// Keeps states of a run and gives them back.
pub trait Store {
    /// Keep a state. Its tensors are the trainer's own, which the next update changes: copy or write them.
    ///
    /// # Errors
    /// What the store meets; it ends the run.
    fn save(&mut self, snapshot: &Snapshot, why: Why) -> Result<()>;

    /// The state to return to: the newest regular one that is calm, else the newest regular, else the newest of all; of those
    /// older than update `before` where that is given. `None`: the fresh net.
    ///
    /// # Errors
    /// As for [`Store::save`].
    fn newest(&mut self, before: Option<u64>) -> Result<Option<Snapshot>>;
}

/// Which state a rollback goes to, the best choice first: whether a (regular, calm) one is taken.
pub(crate) const CHOICES: [fn(bool, bool) -> bool; 3] =
    [|regular, calm| regular && calm, |regular, _| regular, |_, _| true];

/// Keeps nothing, so that a rollback goes to the fresh net.
impl Store for () {
    fn save(&mut self, _snapshot: &Snapshot, _why: Why) -> Result<()> {
        Ok(())
    }

    fn newest(&mut self, _before: Option<u64>) -> Result<Option<Snapshot>> {
        Ok(None)
    }
}

/// A store where there is one; `None` keeps nothing, as `()`: for ranks whose states another keeps.
impl<S: Store> Store for Option<S> {
    fn save(&mut self, snapshot: &Snapshot, why: Why) -> Result<()> {
        self.as_mut().map_or(Ok(()), |store| store.save(snapshot, why))
    }

    fn newest(&mut self, before: Option<u64>) -> Result<Option<Snapshot>> {
        self.as_mut().map_or(Ok(None), |store| store.newest(before))
    }
}

type Kept = (Snapshot, Why);

/// Keeps the newest states of a run in memory, with room for rollbacks; they go with the process.
#[derive(Debug)]
pub struct MemoryStore {
    kept: VecDeque<Kept>,
    most: usize,
    best: Option<Snapshot>,
}

impl Default for MemoryStore {
    /// Room for three states, as checkpoints on the disk have by default.
    fn default() -> Self {
        Self { kept: VecDeque::new(), most: 3, best: None }
    }
}

impl MemoryStore {
    /// The state with the best score, where the run is scored.
    pub fn best(&self) -> Option<&Snapshot> {
        self.best.as_ref()
    }

    /// The state that was kept last, whatever for.
    pub fn last(&self) -> Option<&Snapshot> {
        self.kept.back().map(|(snapshot, _)| snapshot)
    }
}

impl Store for MemoryStore {
    fn save(&mut self, snapshot: &Snapshot, why: Why) -> Result<()> {
        let (copy, update) = (snapshot.copy()?, snapshot.state.update);
        if why == Why::Best {
            self.best = Some(copy);
            return Ok(());
        }
        if why == Why::RolledBack {
            self.kept.retain(|(kept, _)| kept.state.update < update);
        }
        self.kept.retain(|(kept, _)| kept.state.update != update);
        self.kept.push_back((copy, why));
        while self.kept.len() > self.most {
            // the last that a rollback would go to stays
            let is_target = |one: &&Kept| one.0.calm && one.1.is_regular(&one.0);
            let targets = self.kept.iter().filter(is_target).count();
            let goes = self.kept.iter().position(|one| targets > 1 || !is_target(&one)).unwrap_or(0);
            self.kept.remove(goes);
        }
        Ok(())
    }

    fn newest(&mut self, before: Option<u64>) -> Result<Option<Snapshot>> {
        for choice in CHOICES {
            let old_enough = |one: &&Kept| before.is_none_or(|limit| one.0.state.update < limit);
            if let Some((found, _)) =
                self.kept.iter().rev().filter(old_enough).find(|one| choice(one.1.is_regular(&one.0), one.0.calm))
            {
                return found.copy().map(Some);
            }
        }
        Ok(None)
    }
}
