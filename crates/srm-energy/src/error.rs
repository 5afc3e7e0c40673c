//! Name what can go wrong with a net and its files.

use std::path::PathBuf;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum EnergyError {
    /// An image batch does not fit the net.
    #[error("the net takes images of shape [b, {channels}, {size}, {size}], got {got:?}")]
    ImageShape {
        /// Channels of the net.
        channels: usize,
        /// Height and width of the net's images.
        size: usize,
        /// Shape of the batch that came.
        got: Vec<i64>,
    },
    /// A parameter is not there.
    #[error("no tensor `{name}`; a net of {size} px has {expected} tensors, f.0.weight to f.{last}.bias")]
    MissingTensor {
        /// Its name.
        name: String,
        /// Image size of the net that was asked for.
        size: usize,
        /// Number of tensors of such a net.
        expected: usize,
        /// Index of its last layer.
        last: usize,
    },
    /// A parameter has another shape.
    #[error("tensor `{name}` has shape {got:?}, the net needs {expected:?}; check energy.size, channels and features")]
    TensorShape {
        /// Its name.
        name: String,
        /// Shape that the net needs.
        expected: Vec<i64>,
        /// Shape that came.
        got: Vec<i64>,
    },
    /// libtorch refused.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}
