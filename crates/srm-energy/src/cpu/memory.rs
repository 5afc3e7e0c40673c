//! Hold numbers so that they begin on a cache line: a vector that lies across two costs two reads.

#![allow(unsafe_code)] // one view of lines as numbers

use std::ops::{Deref, DerefMut};

/// Numbers per cache line.
pub(super) const LINE: usize = 16;

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; LINE]);

/// A vector of numbers, a whole number of cache lines.
#[derive(Default)]
pub(super) struct Lines(Vec<Line>);

impl Lines {
    /// At least `len` zeros.
    pub(super) fn zeros(len: usize) -> Self {
        let mut lines = Self::default();
        lines.resize(len);
        lines
    }

    /// Room for at least `len` numbers; new ones are 0.
    pub(super) fn resize(&mut self, len: usize) {
        self.0.resize(len.div_ceil(LINE), Line([0.0; LINE]));
    }
}

impl Deref for Lines {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: a line is sixteen numbers and nothing else.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), self.0.len() * LINE) }
    }
}

impl DerefMut for Lines {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), self.0.len() * LINE) }
    }
}
