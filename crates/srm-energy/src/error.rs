//! Name what can go wrong with a net and its files.

use std::path::PathBuf;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnergyError {
    /// A tensor does not fit.
    #[error("{what} has shape {got:?}, expected {expected:?}")]
    Shape {
        /// Which tensor.
        what: &'static str,
        /// Shape that fits.
        expected: Vec<i64>,
        /// Shape that came.
        got: Vec<i64>,
    },
    /// A net of the user's own gives something else than one number per sample.
    #[error("the net gives shape {got:?} for a batch of {b}; f is one number per sample, [{b}] or [{b}, 1]")]
    OutputShape {
        /// Samples in the batch.
        b: i64,
        /// Shape that came.
        got: Vec<i64>,
    },
    /// Autograd finds no way from f back.
    #[error(
        "f does not depend on {of} in a way that autograd can follow; compute it from them by tch's operators, without detach, \
         no_grad or a way through numbers"
    )]
    NoGradient {
        /// What it should depend on.
        of: &'static str,
    },
    /// An energy breaks the contract of its trait.
    #[error("the energy breaks its contract: {rule}; off by {off:.1e}, where {limit:.1e} is rounding")]
    Contract {
        /// The rule that is broken.
        rule: &'static str,
        /// By how much.
        off: f64,
        /// What would pass.
        limit: f64,
    },
    /// A weights file of a net of somebody's own, where the ConvNet is wanted.
    #[error(
        "{}: holds a net of its own making ({net}), not srm's ConvNet; open it in the program that trained it, \
         by `load_weights_into`", path.display()
    )]
    OwnNet {
        /// The file.
        path: PathBuf,
        /// What the file says of it.
        net: String,
    },
    /// Energies that make no ladder.
    #[error("grids of {widths:?} pixels make no ladder: they go from coarse to fine, each wider than the one before")]
    Grids {
        /// Widths of their images.
        widths: Vec<i64>,
    },
    /// A ladder has no such tensor.
    #[error("tensor `{name}` is one too many; the file says that it holds a ladder of grids of {sizes:?} pixels")]
    ExtraInLadder {
        /// Its name.
        name: String,
        /// Sizes of the grids.
        sizes: Vec<usize>,
    },
    /// No grid of a ladder takes such images.
    #[error("the ladder takes images of {widths:?} pixels, got shape {got:?}")]
    NoGrid {
        /// Widths of the grids.
        widths: Vec<i64>,
        /// Shape of the batch that came.
        got: Vec<i64>,
    },
    /// Kernels for the CPU that cannot be had.
    #[error("kernels {name}: this process has {there}")]
    NoKernels {
        /// What was asked for.
        name: String,
        /// What there is.
        there: String,
    },
    /// An error of an energy of the user's own.
    #[error(transparent)]
    Other(Box<dyn std::error::Error + Send + Sync>),
    /// An image batch does not fit the net.
    #[error("the net takes images of shape [b, {channels}, {size}, {size}]{}, got {got:?}", larger(*stride))]
    ImageShape {
        /// Channels of the net.
        channels: usize,
        /// Height and width of the net's images.
        size: usize,
        /// What the sides of larger images must be multiples of; `None`: it takes no larger ones.
        stride: Option<usize>,
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
    /// A weight of a net of the user's own has another shape.
    #[error("weight `{name}` has shape {got:?}, the net needs {expected:?}")]
    ParameterShape {
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
        "its tensors are no net of this program: {layers} layers of one module N.weight, N.bias; 32 px has 5, 64 px 6, 128 px 7, \
         and 4, 8 and 16 px have 2, 3 and 4, the first of shape [features, channels, 3, 3]; the file holds {found}; give the \
         state_dict of the published class"
    )]
    UnknownNet {
        /// Layers found in the module that has most.
        layers: usize,
        /// The first names in the file, with their shapes.
        found: String,
    },
    /// A parameter is stored in parts that are none of PyTorch's spectral norm, weight norm or pruning.
    #[error(
        "`{name}` is stored as {found}, no form of spectral_norm, weight_norm or prune that is known; in PyTorch remove the \
         parametrisation and save the state_dict again"
    )]
    UnknownForm {
        /// The parameter.
        name: String,
        /// Names of the parts.
        found: String,
    },
    /// The σ by which a spectral norm divides is no divisor.
    #[error("`{name}` has the spectral norm {sigma}, by which nothing can be divided; the vectors u and v are damaged")]
    SpectralNorm {
        /// The parameter.
        name: String,
        /// uᵀ W v.
        sigma: f64,
    },
    /// A value that the net needs is of a class that is not made from a file.
    #[error(
        "`{name}` is a value of {class}, which is not made from a file, for safety; in PyTorch save plain tensors: \
         torch.save(net.state_dict(), path)"
    )]
    Stranger {
        /// Its name.
        name: String,
        /// `module.name` of the class or function.
        class: String,
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
    /// A file of another kind.
    #[error("{}: is {what}, no weights; {remedy}", path.display())]
    OtherFile {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: String,
        /// What helps.
        remedy: String,
    },
    /// A file holds several nets.
    #[error("{}: holds several nets, at {nets}; choose one with --key NAME", path.display())]
    SeveralNets {
        /// The file.
        path: PathBuf,
        /// Their keys.
        nets: String,
    },
    /// A file holds nothing under a key.
    #[error("{}: has no net at the key `{key}`; it has {nets}", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
        /// What was asked for.
        key: String,
        /// Keys of its nets, or its first names.
        nets: String,
    },
    /// A file lacks the tensor by which a network is known.
    #[error("{}: has no tensor `{name}`; it holds {found}", path.display())]
    NoTensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// The first names in the file, with their shapes.
        found: String,
    },
    /// A file holds the tensor by which a network is known more than once.
    #[error("{}: has `{name}` several times, after {found}; give a file that holds one network", path.display())]
    SeveralTensors {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// What stands before it.
        found: String,
    },
    /// What `SRM_CUDA_TRY` has switched on failed.
    #[error("{what}; without it: unset SRM_CUDA_TRY")]
    Gpu {
        /// What was done, and what was said.
        what: String,
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

fn larger(stride: Option<usize>) -> String {
    stride.map_or_else(String::new, |stride| format!(" or larger, their sides multiples of {stride}"))
}
