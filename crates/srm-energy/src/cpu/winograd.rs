//! Move tiles of a 4×4 stride-2 convolution into and out of Winograd's domain.
//!
//! Pairs of pixels turn the convolution into one of 2×2 taps on half the pixels and four times the channels: with X the
//! input padded by one pixel, P[i, j] holds the pixels (2i, 2j), (2i, 2j+1), (2i+1, 2j), (2i+1, 2j+1) of X, and output (i, j) is
//! Σ_{a,b∈{0,1}} W_ab P[i+a, j+b]. [`super::scheme`] then makes M×M outputs from N² = (M + 1)² products instead of 4 M²: nine of
//! sixteen with F(2×2, 2×2), 25 of 64 with F(4×4, 2×2).

#![allow(unsafe_code)] // SIMD kernels; `Kernels` checks every slice before a pointer is used
#![allow(clippy::needless_range_loop)] // columns are written into rows: one index for both

use super::geometry::{Geometry, Tile, plane, stride};
use super::memory::LINE;
use super::scheme::{F2, F4, Scheme};
use super::simd::{PANEL, Simd};

/// Call the function with the tile's scheme, its N and its M.
macro_rules! by_tile {
    ($g:expr, $function:ident::<$simd:ty>($($argument:expr),*)) => {
        match $g.tile {
            Tile::Two => $function::<$simd, F2, 3, 2>($($argument),*),
            Tile::Four => $function::<$simd, F4, 5, 4>($($argument),*),
        }
    };
}

/// Run the body for the tiles of some images, in the order in which they lie in memory: a macro, since a closure would not have the
/// instructions of the function around it.
macro_rules! for_each_tile {
    ($g:expr, $images:expr, |$tile:ident, $image:ident, $ti:ident, $tj:ident| $body:block) => {
        let mut $tile = 0;
        let [down, across] = $g.sides();
        for $image in 0..$images {
            for $ti in 0..down {
                for $tj in 0..across {
                    $body
                    $tile += 1;
                }
            }
        }
    };
}

/// Transform a tile along its columns, then along its rows: from what `load` gives at (row, column) to what `store` takes there.
/// A macro for the same reason.
macro_rules! along_both_axes {
    ($simd:ty, $transform:expr, $from:ident => $to:ident, |$i:ident, $j:ident| $load:expr, |$value:ident| $store:expr) => {
        let mut half = [[<$simd>::zero(); $from]; $to];
        for $j in 0..$from {
            let mut column = [<$simd>::zero(); $from];
            for $i in 0..$from {
                column[$i] = $load;
            }
            let column = $transform(column);
            for $i in 0..$to {
                half[$i][$j] = column[$i];
            }
        }
        for $i in 0..$to {
            let row = $transform(half[$i]);
            for $j in 0..$to {
                let $value = row[$j];
                $store;
            }
        }
    };
}

/// Row `down` of U = G w Gᵀ for `rows` rows of a panel: from their taps `[rows, 4, 16]` to `u`, `[N, rows, 16]`.
#[inline(always)]
pub(super) unsafe fn weights<S: Simd>(g: &Geometry, down: usize, rows: usize, taps: *const f32, u: *mut f32) {
    // SAFETY: the caller's.
    unsafe { by_tile!(g, weights_rows::<S>(down, rows, taps, u)) }
}

#[inline(always)]
unsafe fn weights_rows<S: Simd, F: Scheme<N, M>, const N: usize, const M: usize>(
    down: usize,
    rows: usize,
    taps: *const f32,
    u: *mut f32,
) {
    // SAFETY: the caller's slices hold so many rows.
    unsafe {
        let sum = |[one, two]: [f32; 2], a, b| S::fma(S::splat(two), b, S::mul(S::splat(one), a));
        for at in (0..rows * PANEL).step_by(S::LANES) {
            let taps = taps.add(at / PANEL * 4 * PANEL + at % PANEL);
            let tap = |i: usize| S::load(taps.add(i * PANEL));
            let [left, right] = [0, 1].map(|j| sum(F::WEIGHTS[down], tap(j), tap(2 + j)));
            for (j, across) in F::WEIGHTS.into_iter().enumerate() {
                S::store(u.add(j * rows * PANEL + at), sum(across, left, right));
            }
        }
    }
}

/// V = Bᵀ d B of every tile of `images` padded inputs: `v` `[points, images · tiles, depth]`, its tiles [`stride`] and its points
/// [`plane`] apart.
#[inline(always)]
pub(super) unsafe fn input<S: Simd>(g: &Geometry, images: usize, x: *const f32, v: *mut f32) {
    // SAFETY: the caller's.
    unsafe { by_tile!(g, input_tiles::<S>(g, images, x, v)) }
}

#[inline(always)]
unsafe fn input_tiles<S: Simd, F: Scheme<N, M>, const N: usize, const M: usize>(
    g: &Geometry,
    images: usize,
    x: *const f32,
    v: *mut f32,
) {
    let row = (g.size[1] + 2) * g.channels;
    let plane = plane(g, images, g.depth());
    for_each_tile!(g, images, |tile, image, ti, tj| {
        // SAFETY: the caller's slices hold whole images and tiles.
        unsafe {
            let x = x.add(image * g.input_len() + 2 * M * (ti * row + tj * g.channels));
            let v = v.add(tile * stride(g.depth()));
            for ry in 0..2 {
                for c in (0..2 * g.channels).step_by(S::LANES) {
                    let (x, v) = (x.add(ry * row + c), v.add(ry * 2 * g.channels + c));
                    along_both_axes!(
                        S,
                        F::input::<S>,
                        N => N,
                        |i, j| S::load(x.add(2 * i * row + 2 * j * g.channels)),
                        |value| S::store(v.add((N * i + j) * plane), value)
                    );
                }
            }
        }
    });
}

/// φ(Aᵀ m A + bias) of every tile into `images` padded outputs `h`; `m` is `[points, images · tiles, outputs]`.
#[inline(always)]
pub(super) unsafe fn output<S: Simd>(
    g: &Geometry,
    images: usize,
    m: *const f32,
    bias: *const f32,
    slope: f32,
    h: *mut f32,
) {
    // SAFETY: the caller's.
    unsafe { by_tile!(g, output_tiles::<S>(g, images, m, bias, slope, h)) }
}

#[inline(always)]
unsafe fn output_tiles<S: Simd, F: Scheme<N, M>, const N: usize, const M: usize>(
    g: &Geometry,
    images: usize,
    m: *const f32,
    bias: *const f32,
    slope: f32,
    h: *mut f32,
) {
    let row = (g.halved()[1] + 2) * g.outputs;
    let plane = plane(g, images, g.outputs);
    for_each_tile!(g, images, |tile, image, ti, tj| {
        // SAFETY: the caller's slices hold whole images and tiles.
        unsafe {
            let slope = S::splat(slope);
            let m = m.add(tile * stride(g.outputs));
            let h = h.add(image * g.output_len() + (M * ti + 1) * row + (M * tj + 1) * g.outputs);
            for c in (0..g.outputs).step_by(S::LANES) {
                let (m, h, bias) = (m.add(c), h.add(c), S::load(bias.add(c)));
                along_both_axes!(S, F::output::<S>, N => M, |i, j| S::load(m.add((N * i + j) * plane)), |value| {
                    let a = S::add(value, bias);
                    S::store(h.add(i * row + j * g.outputs), S::leaky(a, a, slope));
                });
            }
        }
    });
}

/// A g Aᵀ of every tile of `images` padded output gradients `g_out`: `v` `[points, images · tiles, outputs]`.
#[inline(always)]
pub(super) unsafe fn output_gradient<S: Simd>(g: &Geometry, images: usize, g_out: *const f32, v: *mut f32) {
    // SAFETY: the caller's.
    unsafe { by_tile!(g, output_gradient_tiles::<S>(g, images, g_out, v)) }
}

#[inline(always)]
unsafe fn output_gradient_tiles<S: Simd, F: Scheme<N, M>, const N: usize, const M: usize>(
    g: &Geometry,
    images: usize,
    g_out: *const f32,
    v: *mut f32,
) {
    let row = (g.halved()[1] + 2) * g.outputs;
    let plane = plane(g, images, g.outputs);
    for_each_tile!(g, images, |tile, image, ti, tj| {
        // SAFETY: the caller's slices hold whole images and tiles.
        unsafe {
            let from = g_out.add(image * g.output_len() + (M * ti + 1) * row + (M * tj + 1) * g.outputs);
            let v = v.add(tile * stride(g.outputs));
            for c in (0..g.outputs).step_by(S::LANES) {
                let (from, v) = (from.add(c), v.add(c));
                along_both_axes!(
                    S,
                    F::output_gradient::<S>,
                    M => N,
                    |i, j| S::load(from.add(i * row + j * g.outputs)),
                    |value| S::store(v.add((N * i + j) * plane), value)
                );
            }
        }
    });
}

/// φ'(a) · B m Bᵀ into the padded inputs, in place of h = φ(a), whose sign gives φ'; `m` is `[points, images · tiles, depth]` and
/// `zero` holds `depth` zeros. The padding is left as it is.
#[inline(always)]
pub(super) unsafe fn input_gradient<S: Simd>(
    g: &Geometry,
    images: usize,
    m: *const f32,
    zero: *const f32,
    slope: f32,
    h: *mut f32,
) {
    // SAFETY: the caller's.
    unsafe { by_tile!(g, input_gradient_tiles::<S>(g, images, m, zero, slope, h)) }
}

#[inline(always)]
unsafe fn input_gradient_tiles<S: Simd, F: Scheme<N, M>, const N: usize, const M: usize>(
    g: &Geometry,
    images: usize,
    m: *const f32,
    zero: *const f32,
    slope: f32,
    h: *mut f32,
) {
    let plane = plane(g, images, g.depth());
    let [down, across] = g.sides();
    for image in 0..images {
        let h = h.wrapping_add(image * g.input_len());
        for ti in 0..=down {
            for tj in 0..=across {
                // A tile's part of m; outside the image zeros, or that of the opposite border.
                let part = |ti: usize, tj: usize| match g.torus || (ti < down && tj < across) {
                    true => {
                        let (ti, tj) = (around(ti, down), around(tj, across));
                        let tile = (image * down + ti) * across + tj;
                        Part { at: m.wrapping_add(tile * stride(g.depth())), plane }
                    }
                    false => Part { at: zero, plane: 0 },
                };
                let (up, left) = (ti.wrapping_sub(1), tj.wrapping_sub(1));
                let near =
                    Around { own: part(ti, tj), above: part(up, tj), left: part(ti, left), corner: part(up, left) };
                // SAFETY: `part` gives whole rows of m or the zeros. Behind the last tile only one row or column is left.
                unsafe {
                    match (ti < down, tj < across) {
                        (true, true) => pixels::<S, F, N, M, false, false>(g, ti, tj, &near, slope, h),
                        (true, false) => pixels::<S, F, N, M, false, true>(g, ti, tj, &near, slope, h),
                        (false, true) => pixels::<S, F, N, M, true, false>(g, ti, tj, &near, slope, h),
                        (false, false) => pixels::<S, F, N, M, true, true>(g, ti, tj, &near, slope, h),
                    }
                }
            }
        }
    }
}

/// A tile's number in a row of `tiles`, where that one before the first, which wraps to the largest number, is the last, and that
/// behind the last the first.
fn around(tile: usize, tiles: usize) -> usize {
    if tile == usize::MAX { tiles - 1 } else { tile % tiles }
}

/// The products of one tile, point by point.
struct Part {
    at: *const f32,
    /// From one point to the next.
    plane: usize,
}

impl Part {
    /// Those of the points `first`, `first` + `step`, … from channel `k` on.
    #[inline(always)]
    unsafe fn load<S: Simd, const N: usize>(&self, k: usize, first: usize, step: usize) -> [S::V; N] {
        // SAFETY: as below.
        let mut loaded = [unsafe { S::zero() }; N];
        let mut from = self.at.wrapping_add(k + first * self.plane);
        for value in &mut loaded {
            // SAFETY: the caller's: each point has its numbers, or all of them the same zeros.
            *value = unsafe { S::load(from) };
            from = from.wrapping_add(step * self.plane);
        }
        loaded
    }
}

/// What the pixels of a tile are made of: its own products, and the last ones of its neighbours.
struct Around {
    own: Part,
    above: Part,
    left: Part,
    corner: Part,
}

impl Around {
    /// B m along the columns from channel `k` on, and that of the tile to the left, which the rows then begin with.
    #[inline(always)]
    unsafe fn columns<S: Simd, F: Scheme<N, M>, const N: usize, const M: usize>(
        &self,
        k: usize,
        (one_row, one_column): (bool, bool),
    ) -> ([[S::V; N]; M], [S::V; M]) {
        // SAFETY: the caller's.
        unsafe {
            let (mut half, mut before) = ([[S::zero(); N]; M], [S::zero(); M]);
            let [corner] = self.corner.load::<S, 1>(k, N * M + M, 1);
            let above = self.above.load::<S, N>(k, N * M, 1);
            if one_row {
                (half[0], before[0]) = (above, corner);
                return (half, before);
            }
            for j in 0..if one_column { 0 } else { N } {
                let column = F::input_gradient::<S>(self.own.load::<S, N>(k, j, N), above[j]);
                for i in 0..M {
                    half[i][j] = column[i];
                }
            }
            (half, F::input_gradient::<S>(self.left.load::<S, N>(k, M, N), corner))
        }
    }
}

/// The M×M pairs of pixels of one tile, or one row or column of them.
#[inline(always)]
unsafe fn pixels<
    S: Simd,
    F: Scheme<N, M>,
    const N: usize,
    const M: usize,
    const ONE_ROW: bool,
    const ONE_COLUMN: bool,
>(
    g: &Geometry,
    ti: usize,
    tj: usize,
    around: &Around,
    slope: f32,
    h: *mut f32,
) {
    let row = (g.size[1] + 2) * g.channels;
    // Behind the last tile there are zeros, whose part in it need not be computed; or on a torus the first.
    let alone = (ONE_ROW && !g.torus, ONE_COLUMN && !g.torus);
    for phase in 0..4 {
        // Row and column of the first pixel of this phase: the first and the last are padding.
        let (y, x) = (2 * M * ti + phase / 2, 2 * M * tj + phase % 2);
        if ONE_ROW && y > g.size[0] || ONE_COLUMN && x > g.size[1] {
            continue;
        }
        // From a pixel to the one that takes its place two phases on, which is the next tile's at last.
        let ahead = if phase < 2 { row as isize } else { (2 * M * g.channels) as isize - row as isize };
        for c in (0..g.channels).step_by(S::LANES) {
            let k = phase * g.channels + c;
            // SAFETY: the caller's pointers hold `depth` numbers, and a pixel that is stored lies in the image.
            unsafe {
                let slope = S::splat(slope);
                let (half, before) = around.columns::<S, F, N, M>(k, alone);
                for i in 0..if ONE_ROW { 1 } else { M } {
                    let pixels = match alone.1 {
                        true => [before[i]; M],
                        false => F::input_gradient::<S>(half[i], before[i]),
                    };
                    for (j, &value) in pixels.iter().take(if ONE_COLUMN { 1 } else { M }).enumerate() {
                        let (y, x) = (y + 2 * i, x + 2 * j);
                        if y > 0 && x > 0 {
                            let to = h.add(y * row + x * g.channels + c);
                            if c % LINE == 0 {
                                S::prefetch(to.wrapping_offset(ahead));
                            }
                            S::store(to, S::leaky(value, S::load(to), slope));
                        }
                    }
                }
            }
        }
    }
}
