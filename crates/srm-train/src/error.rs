//! Name what can go wrong while training.

use std::path::PathBuf;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The images do not fit the net.
    #[error(
        "the images are {got}, energy.size and energy.channels ask for {expected}; preprocess them to that size or change the config"
    )]
    ImageShape {
        /// `height×width×channels` of the net.
        expected: String,
        /// `height×width×channels` of the images.
        got: String,
    },
    /// Fewer images than a batch.
    #[error("{got} images are fewer than a batch of {batch}; lower train.batch or raise data.count")]
    TooFewImages {
        /// Images there are.
        got: usize,
        /// Images a batch.
        batch: usize,
    },
    /// The chains failed.
    #[error(transparent)]
    Langevin(#[from] srm_langevin::LangevinError),
    /// The net or its file failed.
    #[error(transparent)]
    Energy(#[from] srm_energy::EnergyError),
    /// The images or a picture failed.
    #[error(transparent)]
    Data(#[from] srm_data::DataError),
    /// libtorch refused.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
    /// Moments cannot be written.
    #[error("{}: {source}", path.display())]
    Moments {
        /// The file.
        path: PathBuf,
        /// What safetensors said.
        source: safetensors::SafeTensorError,
    },
    /// A file cannot be written.
    #[error("{}: {source}; check that the folder exists, is writable and has space", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}
