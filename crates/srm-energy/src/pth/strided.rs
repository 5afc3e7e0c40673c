//! Copy a tensor out of its storage, whatever its offset and strides.

use super::pickle::{Record, Storage};
use super::{Read, damaged};

/// The tensor's bytes in row-major order.
pub(super) fn row_major(
    name: &str,
    record: &Record,
    storage: &Storage,
    whole: &[u8],
    budget: &mut usize,
) -> Read<Vec<u8>> {
    let width = storage.number.width();
    if storage.numel.checked_mul(width).is_none_or(|needed| needed > whole.len()) {
        let Storage { key, numel, .. } = storage;
        return damaged(format!("storage {key} has {} bytes for {numel} elements", whole.len()));
    }
    let outside = || damaged(format!("tensor `{name}` reaches outside its storage"));
    let Record { offset, shape, strides, .. } = record;
    if shape.len() != strides.len() {
        return damaged(format!("tensor `{name}` has {} sizes and {} strides", shape.len(), strides.len()));
    }
    let (first, numel) = storage.view.unwrap_or((0, storage.numel));
    if first.checked_add(numel).is_none_or(|end| end > storage.numel) {
        return outside();
    }
    let Some(count) = shape.iter().try_fold(1usize, |count, &size| count.checked_mul(size)) else { return outside() };
    if count == 0 {
        return Ok(Vec::new());
    }
    let reach = shape.iter().zip(strides).try_fold(*offset, |reach, (&size, &stride)| {
        (size - 1).checked_mul(stride).and_then(|step| reach.checked_add(step))
    });
    if reach.is_none_or(|reach| reach >= numel) {
        return outside();
    }
    // f32 whatever the kind in the file, and the bytes themselves
    let Some(left) = count.checked_mul(4 + width).and_then(|cost| budget.checked_sub(cost)) else {
        return damaged("the tensors need more than 16 times the file's size");
    };
    *budget = left;

    let mut bytes = Vec::with_capacity(count * width);
    let mut index = vec![0usize; shape.len()];
    let mut at = first + offset;
    loop {
        bytes.extend_from_slice(&whole[at * width..(at + 1) * width]);
        // the next index, like an odometer; beyond an axis' end `at` may wrap around, and comes back
        let mut axis = shape.len();
        loop {
            if axis == 0 {
                return Ok(bytes);
            }
            axis -= 1;
            index[axis] += 1;
            at = at.wrapping_add(strides[axis]);
            if index[axis] < shape[axis] {
                break;
            }
            at = at.wrapping_sub(strides[axis].wrapping_mul(shape[axis]));
            index[axis] = 0;
        }
    }
}
