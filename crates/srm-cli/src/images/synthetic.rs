//! Make the image set that is built in.

use anyhow::Result;
use ndarray::Array4;
use srm_config::Config;
use srm_data::{ImageSet, synthetic::blobs};

use crate::session::memory;

/// `data.images` that name a set the program makes itself.
pub const SYNTHETIC: &str = "synthetic:";
/// Images of a built-in set where `data.count` does not say.
const SYNTHETIC_COUNT: usize = 256;

/// Whether the config names a built-in set.
pub fn is_synthetic(config: &Config) -> bool {
    config.data.images.to_str().is_some_and(|name| name.starts_with(SYNTHETIC))
}

/// The built-in set, in memory.
///
/// # Errors
/// It needs more memory than there is.
pub fn make(config: &Config) -> Result<ImageSet> {
    let (count, size, channels) =
        (config.data.count.unwrap_or(SYNTHETIC_COUNT), config.energy.size, config.energy.channels);
    memory::check(
        memory::of_images(&config.energy, count),
        format!("data.count = {count} images"),
        "lower data.count",
    )?;
    let pixels = blobs(count, size, channels, config.train.seed);
    Ok(ImageSet::from_array(&config.data.images, Array4::from_shape_vec((count, size, size, channels), pixels)?)?)
}
