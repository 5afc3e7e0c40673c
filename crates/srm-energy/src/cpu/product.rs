//! Multiply a strided matrix by one panel of 16 columns: the innermost loop of everything.

#![allow(unsafe_code)] // SIMD kernels; `Kernels` checks every slice before a pointer is used

use super::memory::LINE;
use super::simd::{PANEL, Simd};

/// C += A B or C = A B for 16 columns of B, all strides in numbers.
///
/// A's element (r, s, k) is `a[r · a_row + s · a_segment + k · a_step]` with `rows` rows and a depth of `segments · depth`; B's
/// rows lie `b_step` apart, C's `c_row`. The sum over the depth runs in order in each element, whatever `rows` is, so a row's
/// bits do not depend on how rows are cut into calls.
#[derive(Clone, Copy)]
pub(super) struct Product {
    pub rows: usize,
    pub a_row: usize,
    pub segments: usize,
    pub a_segment: usize,
    pub depth: usize,
    pub a_step: usize,
    pub b_step: usize,
    pub c_row: usize,
    pub accumulate: bool,
    /// Whether the numbers behind B's are wanted next, as many as B's own; of one segment, packed.
    pub goes_on: bool,
}

/// Steps of the depth from one prefetch to the next.
const PREFETCH_EVERY: usize = 4;

impl Product {
    /// The product of a row-major A `[rows, depth]` and a packed panel `[depth, 16]`.
    pub(super) fn dense(rows: usize, depth: usize, a_row: usize, c_row: usize) -> Self {
        let (segments, a_segment, a_step, b_step) = (1, 0, 1, PANEL);
        Self { rows, a_row, segments, a_segment, depth, a_step, b_step, c_row, accumulate: false, goes_on: false }
    }

    /// Whether all elements lie within slices of these lengths.
    pub(super) fn fits(&self, a: usize, b: usize, c: usize) -> bool {
        if self.rows == 0 || self.segments == 0 || self.depth == 0 {
            return false;
        }
        let last_k = (self.depth - 1) * self.a_step + (self.segments - 1) * self.a_segment;
        (self.rows - 1) * self.a_row + last_k < a
            && (self.segments * self.depth - 1) * self.b_step + PANEL <= b
            && (self.rows - 1) * self.c_row + PANEL <= c
    }
}

/// Rows whose sums the registers hold, by the lanes of a vector.
pub(super) const fn rows_at_once(lanes: usize) -> usize {
    if lanes == 8 { 6 } else { 14 }
}

/// Run `p` on pointers for which [`Product::fits`] holds.
///
/// Rows go in groups of nearly equal size, at most six with AVX2 (twelve accumulators of sixteen registers) and fourteen with
/// AVX-512: a small rest would leave the multipliers waiting for its few chains.
#[inline(always)]
pub(super) unsafe fn product<S: Simd>(p: &Product, a: *const f32, b: *const f32, c: *mut f32) {
    let most = rows_at_once(S::LANES);
    let groups = p.rows.div_ceil(most);
    let (small, larger) = (p.rows / groups, p.rows % groups);
    let (mut a, mut c) = (a, c);
    // The groups share the lines of what comes next in B.
    let lines = if p.goes_on { PREFETCH_EVERY.div_ceil(groups) } else { 0 };
    let share = lines * (p.depth / PREFETCH_EVERY);
    for group in 0..groups {
        let rows = small + usize::from(group < larger);
        let first = group * share;
        let ahead = (b.wrapping_add((p.depth + first) * LINE), if first < p.depth { lines } else { 0 });
        // SAFETY: the caller's; rows of all groups add up to p.rows.
        unsafe {
            macro_rules! tile {
                ($($rows:literal)*) => {
                    match rows {
                        $($rows => tile::<S, $rows>(p, a, b, c, ahead),)*
                        _ => unreachable!("more rows than registers hold"),
                    }
                };
            }
            tile!(1 2 3 4 5 6 7 8 9 10 11 12 13 14);
            a = a.add(rows * p.a_row);
            c = c.add(rows * p.c_row);
        }
    }
}

/// R rows of 16 columns, held in registers over the whole depth.
#[inline(always)]
unsafe fn tile<S: Simd, const R: usize>(
    p: &Product,
    a: *const f32,
    b: *const f32,
    c: *mut f32,
    ahead: (*const f32, usize),
) {
    if S::LANES == 8 && R > 6 {
        return; // never asked for: sixteen registers do not hold it
    }
    // SAFETY: the caller's.
    unsafe {
        match S::LANES {
            8 => tile_of::<S, R, 2>(p, a, b, c, ahead),
            _ => tile_of::<S, R, 1>(p, a, b, c, ahead),
        }
    }
}

#[inline(always)]
unsafe fn tile_of<S: Simd, const R: usize, const VECTORS: usize>(
    p: &Product,
    a: *const f32,
    mut b: *const f32,
    c: *mut f32,
    (mut next, lines): (*const f32, usize),
) {
    // SAFETY: the caller's.
    unsafe {
        let mut sums = [[S::zero(); VECTORS]; R];
        if p.accumulate {
            for (r, row) in sums.iter_mut().enumerate() {
                for (v, sum) in row.iter_mut().enumerate() {
                    *sum = S::load(c.add(r * p.c_row + v * S::LANES));
                }
            }
        }
        for segment in 0..p.segments {
            let mut a = a.add(segment * p.a_segment);
            macro_rules! step {
                () => {
                    let mut columns = [S::zero(); VECTORS];
                    for (v, column) in columns.iter_mut().enumerate() {
                        *column = S::load(b.add(v * S::LANES));
                    }
                    for (r, row) in sums.iter_mut().enumerate() {
                        let factor = S::splat(*a.add(r * p.a_row));
                        for (sum, column) in row.iter_mut().zip(columns) {
                            *sum = S::fma(factor, column, *sum);
                        }
                    }
                    a = a.add(p.a_step);
                    b = b.add(p.b_step);
                };
            }
            for _ in 0..p.depth / PREFETCH_EVERY {
                for _ in 0..lines {
                    S::prefetch(next);
                    next = next.wrapping_add(LINE);
                }
                for _ in 0..PREFETCH_EVERY {
                    step!();
                }
            }
            for _ in 0..p.depth % PREFETCH_EVERY {
                step!();
            }
        }
        for (r, row) in sums.iter().enumerate() {
            for (v, sum) in row.iter().enumerate() {
                S::store(c.add(r * p.c_row + v * S::LANES), *sum);
            }
        }
    }
}
