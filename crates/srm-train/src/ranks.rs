//! Share one run among the ranks of a job.
//!
//! Every rank holds the whole state of the run and draws the same keyed data; what is shared is the work on blocks: a rank runs
//! its chains and makes the gradients of its samples and of as many data images. An update exchanges a few numbers per image
//! ([`crate::measured`]) and one sum of the weights' gradient, so that any number of ranks gives the same bits.

use crate::{Result, Snapshot, TrainError, Trainer, tensor_file};
use srm_energy::{StateDict, Trainable};
use srm_ranks::Ranks;
use srm_run::RunState;

impl<E: Trainable> Trainer<E> {
    /// Share this run among ranks: all have built a trainer for the same config and images. Where they stand is taken from
    /// rank 0, which may have gone on from a checkpoint.
    ///
    /// # Errors
    /// [`TrainError::Ranks`], [`TrainError::SentState`], [`TrainError::Tensors`].
    pub fn set_ranks(&mut self, ranks: Box<dyn Ranks>) -> Result<()> {
        self.ranks = ranks;
        self.adopt_state()
    }

    /// Take the state of rank 0.
    pub(crate) fn adopt_state(&mut self) -> Result<()> {
        if self.ranks.size() == 1 {
            return Ok(());
        }
        let unreadable = |error: serde_json::Error| TrainError::SentState { reason: error.to_string() };
        let state = serde_json::to_vec(&self.state).map_err(unreadable)?;
        let state: RunState = serde_json::from_slice(&self.ranks.broadcast(state)?).map_err(unreadable)?;
        if let Some(reason) = state.problem() {
            return Err(TrainError::SentState { reason });
        }
        let ema = self.averaged_net().map(E::named_parameters).unwrap_or_default();
        let replay_buffer =
            self.replay_buffer().map(|x| vec![("images".to_owned(), x.shallow_clone())]).unwrap_or_default();
        let groups = [self.net().named_parameters(), self.optimizer_tensors(), ema, replay_buffer];
        let mut received = Vec::new();
        for group in groups {
            received.push(tensor_file::from_bytes(&self.ranks.broadcast(tensor_file::to_bytes(&group)?)?)?);
        }
        let [weights, optimizer, ema, mut replay_buffer] = <[StateDict; 4]>::try_from(received).unwrap_or_default();
        if self.ranks.rank() == 0 {
            return Ok(());
        }
        let seconds = self.seconds();
        let (ema, replay_buffer) = ((!ema.is_empty()).then_some(ema), replay_buffer.pop().map(|(_, images)| images));
        let net = self.net().describe();
        self.restore(&Snapshot { state, weights, net, optimizer, ema, replay_buffer, calm: false, regular: false })?;
        self.begun = (std::time::Instant::now(), seconds);
        Ok(())
    }
}
