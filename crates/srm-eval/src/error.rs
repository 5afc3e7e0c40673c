//! Name what can go wrong while images are scored.

use std::path::PathBuf;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvalError {
    /// libtorch refused.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
    /// The net refused.
    #[error(transparent)]
    Energy(#[from] srm_energy::EnergyError),
    /// A chain could not run.
    #[error(transparent)]
    Langevin(#[from] srm_langevin::LangevinError),
    /// A long run was saved under other settings.
    #[error(
        "{}: these chains were run with {setting} = {expected}, now it is {got}; take the settings they were begun with, or \
         delete the file to begin anew", path.display()
    )]
    OtherSettings {
        /// The saved run.
        path: PathBuf,
        /// The setting that differs.
        setting: String,
        /// Its value in the file.
        expected: String,
        /// Its value now.
        got: String,
    },
    /// Metropolis chains of a run without noise.
    #[error(
        "langevin.noise_std is 0, so the temperature of exp(f/T) is 0 too; give Metropolis chains a net that was trained with noise"
    )]
    NoTemperature,
    /// Images could not be read.
    #[error(transparent)]
    Data(#[from] srm_data::DataError),
    /// Chains of an experiment blew up.
    #[error("the chains blew up at step {step} after {update} updates; lower the rate")]
    ChainsDiverged {
        /// Updates before.
        update: u64,
        /// The first step, 0-based, with a number that is not finite.
        step: usize,
    },
    /// Moments of an experiment left the data's for good.
    #[error(
        "after {update} updates E_q[h] lies {relative:.0} times ‖E_data[h]‖ from the data's, it began at {first:.2}; lower the rate"
    )]
    MomentsRanAway {
        /// Updates made.
        update: u64,
        /// Relative error of the batch.
        relative: f64,
        /// That of the first batch.
        first: f64,
    },
    /// A mean over images is NaN or infinite.
    #[error("a mean over {count} images is not finite; look at the weights, and whether the chains blew up")]
    MeanNotFinite {
        /// Images.
        count: usize,
    },
    /// No short run of a family has the data's moment.
    #[error("no short run has E[h] = {wanted}, they reach from {least} to {most}; change steps or start variance")]
    NoMomentMatch {
        /// The data's.
        wanted: f64,
        /// At θ = 0.
        least: f64,
        /// At the largest θ.
        most: f64,
    },
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
    /// Statistics that another network has made.
    #[error(
        "{}: its statistics are of the features of {expected}, --features is {got}; give the network that made them, or make them \
         anew by `srm evaluate --data IMAGES.npy --save-stats`", path.display()
    )]
    OtherFeatures {
        /// The statistics.
        path: PathBuf,
        /// The network that made them.
        expected: String,
        /// The network in use.
        got: String,
    },
    /// Statistics of another dimension than the features.
    #[error(
        "{}: statistics of dimension {got} cannot be compared with features of dimension {expected}, those of {name}; {hint}",
        path.display()
    )]
    StatisticsDimension {
        /// The statistics.
        path: PathBuf,
        /// The dimension of the network's features.
        expected: usize,
        /// The dimension of the statistics.
        got: usize,
        /// The network in use.
        name: &'static str,
        /// Who gives features of the file's dimension.
        hint: &'static str,
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
