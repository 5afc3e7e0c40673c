//! Carry what happens in a run to whoever wants to know.

use crate::{Reason, Result, Saved, ScoreRecord, Trainer};
use ndarray::Array4;
use serde::{Deserialize, Serialize};

/// The numbers of one logged update: one line of `metrics.jsonl`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Update t, from 1.
    pub update: u64,
    /// Mean f(x⁺) over the noisy data batch.
    pub f_data: f64,
    /// Mean f(x⁻) over the samples.
    pub f_sample: f64,
    /// d = `f_data − f_sample`; healthy when it oscillates about 0 ("Anatomy", AAAI 2020).
    pub gap: f64,
    /// r: mean over chains and steps of ‖f'(x)‖₂ per image.
    pub chain_grad_norm: f64,
    /// ‖∇θ(f_data − f_sample)‖₂ over all weights, before any clip.
    pub theta_grad_norm: f64,
    /// Standard deviation of all pixels of the samples; the data's is about 0.5.
    pub sample_std: f64,
    /// ADAM's rate at this update.
    pub lr: f64,
    /// σ at this update.
    pub data_noise: f64,
    /// Wall-clock seconds of training so far, of all processes of the run.
    pub seconds: f64,
    /// Data images used so far.
    pub images_seen: u64,
    /// Rollbacks before this update: after one, updates count on from where it went.
    pub attempt: u32,
}

/// The numbers behind a record's means, one an image.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Details {
    /// f(x⁺).
    pub f_data: Vec<f32>,
    /// f(x⁻).
    pub f_sample: Vec<f32>,
    /// r of each chain.
    pub chain_grad_norm: Vec<f32>,
}

/// An update that was refused; the weights are those of the update before.
#[derive(Clone, Debug)]
pub struct Trouble {
    /// The update.
    pub update: u64,
    /// Which attempt it belonged to.
    pub attempt: u32,
    /// Why.
    pub reason: Reason,
    /// Its numbers, where they are finite.
    pub record: Option<StepRecord>,
    /// Its samples, u8 `[n, h, w, c]`.
    pub samples: Array4<u8>,
}

/// A return to an earlier state after trouble.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rollback {
    /// The update that was refused.
    pub update: u64,
    /// The update whose state holds again; 0: the fresh net.
    pub to: u64,
    /// Why, in words.
    pub reason: String,
    /// The random stream from here on, which counts the rollbacks.
    pub attempt: u32,
    /// Factor on the learning rate from here on.
    pub rate_factor: f64,
    /// Added to the data noise from here on.
    pub extra_noise: f64,
}

/// Why a checkpoint is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// Its turn has come, or a rollback has led to it. Rollbacks go to such checkpoints, and to the end of a run that was
    /// made longer, so that an interrupt changes no bit of a run.
    Regular,
    /// The run is asked to stop. It must be written.
    Interrupt,
    /// The run is done. It must be written.
    End,
}

/// Receives what happens in a run. Every method defaults to nothing.
pub trait Sink {
    /// A logged update.
    ///
    /// # Errors
    /// What the sink meets; it ends the run.
    fn record(&mut self, record: &StepRecord, details: &Details) -> Result<()> {
        let _ = (record, details);
        Ok(())
    }

    /// Every update, logged or not: how far the run is.
    fn progress(&mut self, update: u64, updates: u64) {
        let _ = (update, updates);
    }

    /// Sample grid time: the images that `srm sample` gives with the grid's seed, u8 `[n, h, w, c]`.
    ///
    /// # Errors
    /// As for [`Sink::record`].
    fn samples(&mut self, update: u64, images: &Array4<u8>) -> Result<()> {
        let _ = (update, images);
        Ok(())
    }

    /// The weights were scored.
    ///
    /// # Errors
    /// As for [`Sink::record`].
    fn score(&mut self, record: &ScoreRecord) -> Result<()> {
        let _ = record;
        Ok(())
    }

    /// No score before was as good as this one: the place to keep the state.
    ///
    /// # Errors
    /// As for [`Sink::record`].
    fn best(&mut self, trainer: &Trainer) -> Result<()> {
        let _ = trainer;
        Ok(())
    }

    /// Checkpoint time.
    ///
    /// # Errors
    /// As for [`Sink::record`].
    fn checkpoint(&mut self, trainer: &Trainer, occasion: Occasion) -> Result<()> {
        let _ = (trainer, occasion);
        Ok(())
    }

    /// An update was refused: the place for evidence.
    ///
    /// # Errors
    /// As for [`Sink::record`].
    fn trouble(&mut self, trouble: &Trouble) -> Result<()> {
        let _ = trouble;
        Ok(())
    }

    /// The checkpoint to return to: the newest regular one of a healthy state, else the newest regular, else the newest of
    /// all; of those older than update `before` where that is given.
    ///
    /// # Errors
    /// As for [`Sink::record`].
    fn restore_point(&mut self, before: Option<u64>) -> Result<Option<Saved>> {
        let _ = before;
        Ok(None)
    }

    /// The run goes on from an earlier state, in which `trainer` is again, with another random stream.
    ///
    /// # Errors
    /// As for [`Sink::record`].
    fn rolled_back(&mut self, rollback: &Rollback, trainer: &Trainer) -> Result<()> {
        let _ = (rollback, trainer);
        Ok(())
    }
}
