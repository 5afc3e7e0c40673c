//! Lay images out as people look at them: grids, rows of states, samples above their neighbours, animations.

pub mod animation;
mod neighbours;
mod rows;

pub use neighbours::with_neighbours;
pub use rows::{in_rows, square, write_rows};

/// Pixels between two images.
pub const PADDING: usize = 2;
/// Most frames of an animation besides the last.
pub const FRAMES: usize = 50;
