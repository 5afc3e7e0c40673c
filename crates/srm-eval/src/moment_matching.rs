//! Ask whether the short run matches the moments of the data: `E_q[h]` = `E_data[h]`, whatever the chain has not reached.
//!
//! Nijkamp et al. 2019, section 3: where learning stands still, its gradient E_data[∂f/∂θ] − E_q[∂f/∂θ] is zero, so q, the
//! law of the K-step run, is a moment matching estimate, although q is not the density exp f that an endless chain would
//! have. The data are the observed images with N(0, σ²) on them, as training sees them.
//!
//! - [`Observed`] draws such images, [`LayerMoments`] gathers E[∂f/∂θ] layer by layer; its last layer is `E[h]`.
//! - [`relative_error`] compares two [`GroupedMean`]s and says how much of the difference is sampling.
//! - [`FrozenTop`] learns the top layer alone over frozen features, where f = ⟨w, h⟩ and the paper's statement is exact.
//! - [`PlaneFamily`] is the paper's Figure 1 for Gaussians on the plane, in formulas.

mod frozen;
mod grouped;
mod layers;
mod observed;
mod plane;

pub use frozen::{FrozenOptions, FrozenTop, State, add_features};
pub use grouped::{GroupedMean, RelativeError, relative_error};
pub use layers::LayerMoments;
pub use observed::Observed;
pub use plane::{PlaneFamily, PlaneUpdate};

#[cfg(test)]
mod tests;
