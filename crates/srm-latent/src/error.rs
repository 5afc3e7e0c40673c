//! Name what can go wrong with the short run as a generator.

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LatentError {
    /// Chains left the finite numbers.
    #[error(
        "the chains diverged at Langevin step {step}; take the K and step sizes that the net was trained with, or an earlier checkpoint"
    )]
    Diverged {
        /// The first step, 0-based, that was not finite.
        step: usize,
    },
    /// Tensors do not belong together.
    #[error("{what} has shape {got:?}, expected {expected:?}")]
    Shape {
        /// Which tensor.
        what: &'static str,
        /// Shape that fits.
        expected: Vec<i64>,
        /// Shape that came.
        got: Vec<i64>,
    },
    /// A mask that observes nothing.
    #[error("the mask of image {image} observes no pixel; white (255) means observed")]
    EmptyMask {
        /// The image's index.
        image: usize,
    },
    /// An image with pixels that are no numbers.
    #[error("image {image} has pixels that are not finite")]
    NotFinite {
        /// The image's index.
        image: usize,
    },
    /// The chains failed.
    #[error(transparent)]
    Langevin(#[from] srm_langevin::LangevinError),
    /// The net failed.
    #[error(transparent)]
    Energy(#[from] srm_energy::EnergyError),
    /// libtorch refused.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
}

impl LatentError {
    /// Whether somebody asked to stop, which is no failure.
    pub fn is_stop(&self) -> bool {
        matches!(self, LatentError::Langevin(srm_langevin::LangevinError::Stopped))
    }
}
