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
    /// A net of this size has no such tensor, or the file has it twice.
    #[error("tensor `{name}` is one too many; a net of {size} px has {expected} tensors, f.0.weight to f.{last}.bias")]
    ExtraTensor {
        /// Its name.
        name: String,
        /// Image size of the net that was asked for.
        size: usize,
        /// Number of tensors of such a net.
        expected: usize,
        /// Index of its last layer.
        last: usize,
    },
    /// A tensor does not hold floating-point numbers.
    #[error("tensor `{name}` holds {got}, weights must be f32, f64, f16 or bf16; save it again with .float()")]
    TensorKind {
        /// Its name.
        name: String,
        /// Its kind.
        got: String,
    },
    /// The tensors of a file without our metadata are no net of ours.
    #[error(
        "the tensors are no net of this program: {layers} layers f.N.weight; 32 px has 5, 64 px 6, 128 px 7, the first \
         of shape [features, channels, 3, 3]; give the state_dict of the published class"
    )]
    UnknownNet {
        /// Weights `f.N.weight` found.
        layers: usize,
    },
    /// Something is wrong with a tensor of a file.
    #[error("{}: {source}", path.display())]
    InFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: Box<EnergyError>,
    },
    /// A file is cut off, damaged or of another format.
    #[error("{}: {reason}; copy or write the file again", path.display())]
    DamagedFile {
        /// The file.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// The metadata of a weights file makes no sense.
    #[error("{}: the metadata `srm` {reason}; write the file again with this version", path.display())]
    Metadata {
        /// The file.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// A `.pth` file names a class or function that a state_dict does not need.
    #[error(
        "{}: names {global}, which is not loaded for safety; in PyTorch write the weights alone: \
         torch.save(net.state_dict(), path)", path.display()
    )]
    RefusedGlobal {
        /// The file.
        path: PathBuf,
        /// `module.name`.
        global: String,
    },
    /// A `.pth` file holds none or several state_dicts.
    #[error(
        "{}: holds {found}; in PyTorch write the weights alone: torch.save(net.state_dict(), path)", path.display()
    )]
    NoStateDict {
        /// The file.
        path: PathBuf,
        /// What was found.
        found: String,
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
