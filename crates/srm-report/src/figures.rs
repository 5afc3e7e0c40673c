//! Hold what somebody with the net has drawn for the page.

use std::path::PathBuf;

use crate::Picture;

/// What the newest checkpoint has drawn; in place of a figure that could not be drawn stands the sentence that says why.
pub struct Figures {
    /// The weights.
    pub file: PathBuf,
    /// Seed of start noise and chain noise.
    pub seed: u64,
    /// Langevin steps K.
    pub steps: usize,
    /// Steps between two states of the strip.
    pub every: usize,
    /// Iterations of the reconstruction.
    pub iterations: usize,
    /// Chains from noise to image, one per row.
    pub chains: Result<Picture, String>,
    /// Rows between start noises.
    pub interpolation: Result<Interpolation, String>,
    /// Images and what came nearest to them.
    pub reconstruction: Result<Reconstructed, String>,
}

/// Rows between start noises.
pub struct Interpolation {
    /// The rows.
    pub picture: Picture,
    /// How many.
    pub rows: usize,
    /// Root mean square distance per pixel of neighbours, on the [-1, 1] scale.
    pub mean: f64,
    /// The largest such distance.
    pub largest: f64,
}

/// Images and what came nearest to them.
pub struct Reconstructed {
    /// An image per row: states of the descent, the best, the image itself.
    pub picture: Picture,
    /// Images.
    pub count: usize,
    /// Where the images are from, where it is not the run's data.
    pub given: Option<PathBuf>,
    /// The method's name.
    pub method: &'static str,
    /// Its step size.
    pub step: f64,
    /// The iterations shown.
    pub shown: Vec<usize>,
    /// Mean squared error per pixel on the [-1, 1] scale, over all images.
    pub mean: f64,
    /// That of the worst image.
    pub worst: f64,
}
