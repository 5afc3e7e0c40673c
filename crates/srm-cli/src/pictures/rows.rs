//! Show chains on their way as still rows of states.

use std::path::Path;

use anyhow::Result;
use ndarray::{Array4, Axis, concatenate};
use srm_data::write_grid;

use super::PADDING;

/// Write a still picture: the first `rows` images, one per row, through the states from left to right.
///
/// # Errors
/// The file cannot be written, or there is nothing to write.
pub fn write_rows(path: &Path, states: &[Array4<u8>], rows: usize) -> Result<()> {
    Ok(write_grid(path, &in_rows(states, rows)?.view(), states.len(), PADDING)?)
}

/// The cells of that picture in the order of reading, `[rows · states, h, w, c]`.
///
/// # Errors
/// There is no cell.
pub fn in_rows(states: &[Array4<u8>], rows: usize) -> Result<Array4<u8>> {
    let cells = (0..rows).flat_map(|row| states.iter().map(move |state| state.index_axis(Axis(0), row)));
    let cells: Vec<_> = cells.map(|cell| cell.insert_axis(Axis(0))).collect();
    Ok(concatenate(Axis(0), &cells)?)
}

/// As square a grid as can be.
pub fn square(count: usize) -> usize {
    (1..=count.max(1)).find(|columns| columns * columns >= count).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grids_are_as_square_as_can_be() {
        assert_eq!([1, 2, 4, 5, 10, 50, 64, 65].map(square), [1, 2, 2, 3, 4, 8, 8, 9]);
    }
}
