//! Move image sets in and out; no libtorch.
//!
//! - [`ImageSet`] reads u8 `.npy` `[n, h, w, c]` straight from the disk's pages; [`Batcher`] chooses the images of an
//!   update, and [`fill_batch`] turns them into planar numbers in [-1, 1].
//! - [`preprocess()`] makes such a set of a folder or archive of pictures, CIFAR-10 or IDX files.
//! - [`read_gallery`] reads a few pictures of any form and size.
//! - [`write_grid`], [`write_npy`] and [`write_pngs`] write what [`to_u8`] gives back.
//! - [`Chart`] draws curves and points.
//! - [`nearest`] finds the training image that a sample is closest to.
//! - [`synthetic`] makes images that need no download.

#![deny(missing_docs)]

mod batcher;
mod chart;
mod error;
mod gallery;
mod image_set;
mod map;
mod nearest;
mod npy_header;
mod picture;
mod preprocess;
pub mod synthetic;

pub use batcher::{Batcher, Pick, fill_batch};
pub use chart::Chart;
pub use error::DataError;
pub use gallery::{Gallery, read_gallery};
pub use image_set::ImageSet;
pub use nearest::{Neighbour, nearest};
pub use picture::{grid, to_u8, write_grid, write_npy, write_pngs};
pub use preprocess::{
    Background, Crop, Filter, LeftOut, Manifest, Origin, PreprocessOptions, Refused, Split, Survey, preprocess,
    sha256_of_file, survey,
};
