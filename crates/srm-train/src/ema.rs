//! Average the weights over the updates.

use crate::Result;
use crate::growth::joined;
use crate::weights::restore;
use srm_energy::{StateDict, Trainable};

/// A net whose weights are an exponential moving average of the trained ones.
///
/// The decay rises as (1 + t)/(10 + t) to its final value, as in TensorFlow's `ExponentialMovingAverage` with
/// `num_updates`, so that the fresh weights are soon forgotten.
pub struct Ema<E> {
    net: E,
    decay: f64,
    updates: u64,
    /// Of each parameter the updates before its first.
    joined: Vec<u64>,
}

impl<E: Trainable> Ema<E> {
    /// An average that begins at the weights of `net`; `decay` in [0, 1).
    ///
    /// # Errors
    /// [`crate::TrainError::Energy`].
    pub fn new(net: &E, decay: f64) -> Result<Self> {
        let joined = vec![0; net.named_parameters().len()];
        Ok(Self { net: net.fork()?, decay, updates: 0, joined })
    }

    /// The same where parameters join after some updates, those whose names begin so: their decay rises from there.
    pub(crate) fn joining(mut self, joins: &[(String, u64)]) -> Self {
        self.joined = joined(&self.net.named_parameters(), joins);
        self
    }

    /// Take in the weights of `net` after an update.
    ///
    /// # Errors
    /// [`crate::TrainError::Torch`].
    pub fn absorb(&mut self, net: &E) -> Result<()> {
        self.updates += 1;
        let pairs = self.net.named_parameters().into_iter().zip(net.named_parameters());
        for (((_, mut average), (_, weight)), joined) in pairs.zip(&self.joined) {
            let seen = self.updates.saturating_sub(*joined);
            let decay = self.decay.min((1 + seen) as f64 / (10 + seen) as f64);
            let _ = average.f_lerp_(&weight, 1.0 - decay)?;
        }
        Ok(())
    }

    /// The net with the averaged weights.
    pub fn net(&self) -> &E {
        &self.net
    }

    /// Updates taken in.
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// Go on from a saved average; without one the average begins anew at the weights of `net`.
    ///
    /// # Errors
    /// [`crate::TrainError::MissingTensor`], [`crate::TrainError::Torch`].
    pub fn restore(&mut self, saved: Option<&StateDict>, updates: u64, net: &E) -> Result<()> {
        let begin = net.named_parameters();
        self.updates = if saved.is_some() { updates } else { 0 };
        restore(&self.net.named_parameters(), saved.unwrap_or(&begin))
    }
}
