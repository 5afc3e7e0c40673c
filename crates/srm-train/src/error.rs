//! Name what can go wrong while training.

use std::error::Error;
use std::path::PathBuf;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// Fewer images than a batch.
    #[error("{got} images are fewer than a batch of {batch}; lower train.batch or raise data.count")]
    TooFewImages {
        /// Images there are.
        got: usize,
        /// Images per batch.
        batch: usize,
    },
    /// Settings that no run can be made with.
    #[error("{problem}")]
    Settings {
        /// What is wrong, and the remedy.
        problem: String,
    },
    /// The chains failed.
    #[error(transparent)]
    Langevin(#[from] srm_langevin::LangevinError),
    /// The net or its file failed.
    #[error(transparent)]
    Energy(#[from] srm_energy::EnergyError),
    /// The images, which may not fit the net, or a picture failed.
    #[error(transparent)]
    Data(#[from] srm_data::DataError),
    /// The run folder failed.
    #[error(transparent)]
    Run(#[from] srm_run::RunError),
    /// An error of a sink, a store or an evaluation of the user's own.
    #[error(transparent)]
    Other(Box<dyn Error + Send + Sync>),
    /// The weights cannot be scored.
    #[error("cannot score the weights of the run: {}", with_causes(&**source))]
    Evaluation {
        /// What the evaluation has met.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The ranks that share the run failed.
    #[error(transparent)]
    Ranks(#[from] srm_ranks::RanksError),
    /// The state that rank 0 has sent makes no sense.
    #[error("rank 0: {reason}")]
    SentState {
        /// What is wrong with it.
        reason: String,
    },
    /// libtorch refused.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
    /// Tensors cannot be written or read.
    #[error("{}: {source}", path.display())]
    Tensors {
        /// The file.
        path: PathBuf,
        /// What safetensors said.
        source: safetensors::SafeTensorError,
    },
    /// A checkpoint lacks a tensor of this net or optimiser.
    #[error(
        "the checkpoint has no tensor `{name}` of shape {shape:?}; it belongs to another net: take another run folder"
    )]
    MissingTensor {
        /// Its name.
        name: String,
        /// The shape that it must have.
        shape: Vec<i64>,
    },
}

impl TrainError {
    /// Whether a file could not be written or read, as on a full disk: something that may pass.
    pub fn is_write_failure(&self) -> bool {
        match self {
            TrainError::Run(error) => error.is_write_failure(),
            TrainError::Data(error) => {
                matches!(error, srm_data::DataError::Io { .. } | srm_data::DataError::Picture { .. })
            }
            TrainError::Energy(error) => matches!(error, srm_energy::EnergyError::Io { .. }),
            _ => false,
        }
    }

    /// Whether somebody asked to stop, which is no failure.
    pub fn is_stop(&self) -> bool {
        matches!(self, TrainError::Langevin(srm_langevin::LangevinError::Stopped))
    }
}

/// An error and its causes in one line: an evaluation's own words often only say what it was doing.
fn with_causes(error: &(dyn Error + 'static)) -> String {
    let (mut text, mut next) = (error.to_string(), error.source());
    while let Some(cause) = next {
        text += &format!(": {cause}");
        next = cause.source();
    }
    text
}
