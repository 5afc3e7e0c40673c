//! Name what can go wrong while chains run.

use srm_energy::libtorch::{LESS_MEMORY, is_out_of_memory};

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LangevinError {
    /// The energy refused.
    #[error(transparent)]
    Energy(#[from] srm_energy::EnergyError),
    /// libtorch refused.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
    /// A batch without samples of their own.
    #[error(
        "chains are rows of a batch, [b, …], with one axis or more after the first; got shape {got:?}: [b, 1] is the least"
    )]
    NoRows {
        /// Shape that came.
        got: Vec<i64>,
    },
    /// Tensors that go along do not belong together.
    #[error("{what} has shape {got:?}, expected {expected:?}")]
    Shape {
        /// Which tensor.
        what: &'static str,
        /// Shape that fits.
        expected: Vec<i64>,
        /// Shape that came.
        got: Vec<i64>,
    },
    /// A chain that cannot be run.
    #[error("{problem}")]
    Dynamics {
        /// What is wrong with it.
        problem: String,
    },
    /// The device, or the machine, has too little memory for a block.
    #[error("{said}; {rows} rows were computed in blocks of {block}: {}", LESS_MEMORY)]
    OutOfMemory {
        /// What libtorch said.
        said: String,
        /// Rows of the batch.
        rows: usize,
        /// Rows of a block.
        block: usize,
    },
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
    /// An error of the work that somebody has given to the workers.
    #[error(transparent)]
    Other(Box<dyn std::error::Error + Send + Sync>),
    /// A worker thread is gone.
    #[error("a worker thread stopped: {reason}")]
    WorkerStopped {
        /// Its last words.
        reason: String,
    },
}

impl LangevinError {
    /// The same error; where memory ran out, with what took it.
    pub(crate) fn in_blocks(self, rows: usize, block: usize) -> Self {
        let text = self.to_string();
        match self {
            Self::OutOfMemory { .. } => self,
            _ if is_out_of_memory(&text) => {
                let said = text.lines().next().unwrap_or_default().to_owned();
                Self::OutOfMemory { said, rows, block }
            }
            _ => self,
        }
    }
}
