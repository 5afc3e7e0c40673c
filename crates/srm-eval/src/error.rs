//! Name what can go wrong while images are scored.

use std::path::PathBuf;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// libtorch refused.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
    /// A weights file of a feature network lacks a tensor.
    #[error("the feature network's weights lack {name}; {remedy}")]
    MissingTensor {
        /// The tensor.
        name: String,
        /// What to do.
        remedy: String,
    },
    /// A tensor has another shape than the network asks for.
    #[error("the feature network's {name} has the shape {got:?}, expected {expected:?}")]
    TensorShape {
        /// The tensor.
        name: String,
        /// Its shape in the network.
        expected: Vec<i64>,
        /// Its shape in the file.
        got: Vec<i64>,
    },
    /// A file is not what it should be.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong, and the remedy.
        reason: String,
    },
    /// Statistics or features of two dimensions.
    #[error(
        "features of dimension {got} cannot be compared with features of dimension {expected}; use one feature network for both"
    )]
    Dimension {
        /// The first set's.
        expected: usize,
        /// The second set's.
        got: usize,
    },
    /// A score needs more images.
    #[error("{what} needs at least {needed} images, there are {got}; raise --count")]
    TooFewImages {
        /// The score.
        what: &'static str,
        /// How many it needs.
        needed: usize,
        /// How many there are.
        got: usize,
    },
    /// A feature is NaN or infinite.
    #[error("the features of image {image} are not finite; {hint}")]
    NotFinite {
        /// Its index.
        image: usize,
        /// Where to look.
        hint: &'static str,
    },
}
