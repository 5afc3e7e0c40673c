//! Move image sets in and out, and draw keyed random numbers; no libtorch.
//!
//! - [`ImageSet`] reads u8 `.npy` `[n, h, w, c]` straight from the disk's pages; [`Batcher`] chooses the images of an
//!   update, and [`fill_batch`] turns them into planar numbers in [-1, 1].
//! - [`preprocess()`] makes such a set of a folder or archive of pictures, CIFAR-10 or IDX files.
//! - [`read_gallery`] reads a few pictures of any form and size.
//! - [`identify()`] says what a file is that came where something else was expected.
//! - [`write_grid`], [`write_npy`] and [`write_pngs`] write what [`to_u8`] gives back.
//! - [`Chart`] draws curves and points.
//! - [`write_whole`] writes any file whole or not at all; everything here that writes goes through it.
//! - [`nearest`] finds the training image that a sample is closest to.
//! - [`random`] names every random draw by a key; [`synthetic`] makes images that need no download.

#![deny(missing_docs)]

mod batcher;
mod chart;
mod error;
mod gallery;
mod identify;
mod image_set;
mod map;
mod nearest;
mod npy_header;
mod picture;
mod preprocess;
pub mod random;
pub mod synthetic;
mod whole;

pub use batcher::{Batcher, Pick, fill_batch};
pub use chart::Chart;
pub use error::DataError;
pub use gallery::{Gallery, read_gallery};
pub use identify::{BEGINNING, Kind, identify, identify_bytes};
pub use image_set::ImageSet;
pub use nearest::{Neighbour, nearest};
pub use picture::{grid, to_u8, write_grid, write_npy, write_pngs};
pub use preprocess::{
    Background, Crop, Filter, LeftOut, Manifest, Origin, PreprocessOptions, Refused, Split, Survey, hex, preprocess,
    sha256_of_file, survey,
};
pub use whole::{WholeFile, remove_leftovers, write_whole};
