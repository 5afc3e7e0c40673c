//! Name what can go wrong while chains run.

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum LangevinError {
    /// The energy refused.
    #[error(transparent)]
    Energy(#[from] srm_energy::EnergyError),
    /// libtorch refused.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
    /// Recorded noise ran out.
    #[error("recorded noise holds {recorded} steps, the run asks for step {step}; record as many as langevin.steps")]
    NoiseRanOut {
        /// Steps that were recorded.
        recorded: usize,
        /// The step that found none.
        step: usize,
    },
    /// Somebody asked to give up work in hand ([`crate::Stop`]). Not a failure: its caller knows who.
    #[error("stopped; what was in hand is dropped")]
    Stopped,
    /// A worker thread is gone.
    #[error("a worker thread stopped: {reason}")]
    WorkerStopped {
        /// Its last words.
        reason: String,
    },
}
