//! Move image sets in and out; no libtorch.
//!
//! - [`ImageSet`] reads u8 `.npy` `[n, h, w, c]` straight from the disk's pages; [`Batcher`] chooses the images of an
//!   update, and [`fill_batch`] turns them into planar numbers in [-1, 1].
//! - [`preprocess()`] makes such a set of a folder or archive of pictures, CIFAR-10 or IDX files.
//! - [`read_gallery`] reads a few pictures of any form and size, [`cut_picture`] a square of one, [`random_crops`] many.
//! - [`write_grid`], [`write_npy`] and [`write_pngs`] write what [`to_u8`] gives back; [`npy()`] any array.
//! - [`nearest`] finds the training image that a sample is closest to.
//! - [`synthetic`] makes images that need no download.
//!
//! ```
//! use ndarray::Array4;
//! use srm_data::{Batcher, ImageSet, fill_batch, synthetic};
//!
//! let pixels = Array4::from_shape_vec((10, 32, 32, 3), synthetic::blobs(10, 32, 3, 1))?;
//! let images = ImageSet::from_array("blobs".as_ref(), pixels)?;
//! let picks = Batcher::new(images.len(), 4, 1, true).batch_at(1, 0);
//! let mut x = Vec::new(); // f32 [4, 3, 32, 32] in [-1, 1]
//! fill_batch(&images, &picks, &mut x)?;
//! assert!(x.len() == 4 * 3 * 32 * 32 && x.iter().all(|pixel| pixel.abs() <= 1.0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![deny(missing_docs)]

mod batcher;
mod crops;
mod error;
mod gallery;
mod image_set;
mod map;
mod nearest;
mod npy;
mod npy_header;
mod picture;
mod preprocess;
pub mod synthetic;

pub use batcher::{Batcher, Pick, fill_batch};
pub use crops::random_crops;
pub use error::DataError;
pub use gallery::{Cut, CutPicture, Gallery, cut_picture, read_gallery, read_picture};
pub use image_set::ImageSet;
pub use nearest::{Neighbour, nearest, nearest_few};
pub use npy::{NpyNumber, npy};
pub use picture::{grid, to_u8, write_grid, write_npy, write_pngs};
pub use preprocess::{
    Background, Crop, Filter, LeftOut, Manifest, Origin, PreprocessOptions, Refused, Split, Survey, preprocess,
    sha256_of_file, survey,
};
