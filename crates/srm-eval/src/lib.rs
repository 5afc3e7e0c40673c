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
//! Letters: n images, d features per image.
//!
//! ```
//! use srm_eval::{FeatureNetwork, FeatureSet, batches, frechet_distance};
//! use tch::Device;
//!
//! let net = FeatureNetwork::open("random-conv", Device::Cpu)?;
//! let images = |level: u8| (0..40u8).map(move |i| vec![level.wrapping_add(i.wrapping_mul(7)); 32 * 32]).collect::<Vec<_>>();
//! let set = |images: Vec<Vec<u8>>| {
//!     let run = |batch| net.run_images(batch, [32, 32, 1], &|i: usize| &images[i][..]);
//!     FeatureSet::new(net.identity().dimension, images.len(), run, &mut |_| true)
//! };
//! let (dark, light) = (set(images(0))?.unwrap(), set(images(90))?.unwrap());
//! assert!(frechet_distance(&dark.moments, &light.moments)? > frechet_distance(&dark.moments, &dark.moments)?);
//! assert_eq!(batches(40).map(|batch| batch.len()).sum::<usize>(), 40);
//! # Ok::<(), srm_eval::EvalError>(())
//! ```
//!
//! # Measured
//!
//! Two AVX2 cores beside other work, a net of `configs/fashion32-plain.json` (1,900 updates), Fréchet distance by
//! `random-conv`, seed 1.
//!
//! `srm diagnose chains --long-steps 100000 --metropolis-scale 0.1 --metropolis-steps 10000`: of the pixels' variance after K steps
//! 98.0 % lie between starts (8 starts, 8 noises each): z decides the image. Long chains run away: pictures are saturated after
//! about 100 steps, f rises to 30,509 at step 100,000, the largest |x| is 7,570, none of 8 blows up. Metropolis's test takes 2.1 % of
//! the training steps over the first 60 from noise and then none; of steps a tenth as long 26.7 % over 10,000.
//!
//! `cargo xtask ablate`, 900 updates per run, one run each, 38 minutes in all:
//!
//! ```text
//! K         5     10     20     30     50     sigma  0.01   0.03   0.06   0.12   0.24     n      4      8     16     32
//! Fréchet   1.10   0.73   0.26   0.26   0.25          0.57   0.57   0.26   0.35   0.74            0.89   0.53   0.26   0.18
//! r         8.6    3.6    2.0    1.3    0.8           1.4    1.8    1.3    1.2    1.1             1.1    1.3    1.3    1.4
//! rollbacks 4      3      0      0      0             3      5      0      0      0               0      0      0      0
//! ```
//!
//! Mean and covariance of 50,000 images at 2,048 features: 66 s, 363 MB for the whole process. A Fréchet distance at 2,048
//! features, samples and two square roots included: 10.6 s.

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
mod npz;
mod random_conv;
mod rows;
mod statistics;

pub use chains::{
    ChainLog, ChainTable, History, Logged, LongRun, LongRunEnd, LongRunSettings, Metropolis, MetropolisInfo,
    MetropolisState, Plan, SEGMENT, StepStatistics, VarianceComponents, Variant, autocorrelation, cross_correlation,
    log_uniform, variance_components,
};
pub use distances::{KernelDistance, PrecisionRecall, kernel_distance, precision_recall};
pub use error::EvalError;
pub use feature_set::{FeatureSet, batches};
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
