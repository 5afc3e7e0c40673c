//! Score images: feature networks, statistics and distances, with everything that moves a number said beside it.
//!
//! - [`FeatureNetwork`] turns images into features: Inception as the FID has it, any TorchScript file, or `random-conv`.
//! - [`FeatureSet`] runs a set through it once: [`Moments`] in bounded memory, [`Rows`] on disk.
//! - [`frechet_distance`], [`kernel_distance`], [`precision_recall`] and [`inception_score`] compare sets.
//! - [`moment_matching`] asks whether E_q\[h\] = E_data\[h\], the paper's argument, in a trained net, over frozen features and on
//!   the plane.
//! - [`History`], [`autocorrelation`], [`ChainLog`], [`LongRun`], [`Metropolis`] and [`variance_components`] look at chains:
//!   over training, step by step, very long, corrected, and from one start with many noises.
//!
//! Letters: n images, d features an image.

#![deny(missing_docs)]

mod chains;
mod distances;
mod error;
mod feature_set;
mod frechet;
mod inception;
mod inception_score;
pub mod moment_matching;
mod moments;
mod network;
mod random_conv;
mod rows;

pub use chains::{
    ChainLog, ChainTable, History, Logged, LongRun, LongRunEnd, LongRunSettings, Metropolis, MetropolisInfo,
    MetropolisState, Plan, SEGMENT, StepStatistics, VarianceComponents, Variant, autocorrelation, cross_correlation,
    log_uniform, variance_components,
};
pub use distances::{KernelDistance, PrecisionRecall, kernel_distance, precision_recall};
pub use error::EvalError;
pub use feature_set::FeatureSet;
pub use frechet::frechet_distance;
pub use inception::Inception;
pub use inception_score::{InceptionScore, SPLITS, inception_score};
pub use moments::{MomentSums, Moments};
pub use network::{FeatureNetwork, Identity, Manifest, Output};
pub use rows::Rows;

/// The result of everything here.
pub type Result<T> = std::result::Result<T, EvalError>;

#[cfg(test)]
mod tests;
