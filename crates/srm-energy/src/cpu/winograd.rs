//! Move tiles of a 4×4 stride-2 convolution into and out of Winograd's F(2×2, 2×2) domain.
//!
//! Pairs of pixels turn the convolution into one of 2×2 taps on half the pixels and four times the channels: with X the
//! input padded by one pixel, P[i, j] holds the pixels (2i, 2j), (2i, 2j+1), (2i+1, 2j), (2i+1, 2j+1) of X, and output (i, j) is
//! Σ_{a,b∈{0,1}} W_ab P[i+a, j+b]. Two outputs in a row then cost three products instead of four (Winograd 1980; Lavin and
//! Gray 2016, arXiv 1509.09308):
//!
//! ```text
//! y₀ = w₀ d₀ + w₁ d₁ = m₀ + m₁        m₀ = w₀ (d₀ − d₁)      V = Bᵀ d = (d₀ − d₁, d₁, d₂ − d₁)
//! y₁ = w₀ d₁ + w₁ d₂ = m₁ + m₂        m₁ = (w₀ + w₁) d₁      U = G w  = (w₀, w₀ + w₁, w₁)
//!                                     m₂ = w₁ (d₂ − d₁)      y = Aᵀ m = (m₀ + m₁, m₁ + m₂)
//! ```
//!
//! and in both directions nine instead of sixteen. All factors are 0 and ±1, so rounding stays that of a plain sum. The
//! gradient runs the same algorithm transposed: g ↦ A g, products with Uᵀ, m ↦ B m, where P overlaps between tiles.

#![allow(unsafe_code)] // SIMD kernels; `Kernels` checks every slice before a pointer is used

use super::simd::Simd;

/// Products per tile.
pub(super) const POINTS: usize = 9;

/// One 4×4 stride-2 convolution: `[size, size, channels]` to `[size/2, size/2, outputs]`. In memory an image is channels-last with
/// one pixel of padding on each side.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    pub size: usize,
    pub channels: usize,
    pub outputs: usize,
}

impl Geometry {
    /// Numbers per padded input image.
    pub(super) fn input_len(&self) -> usize {
        (self.size + 2) * (self.size + 2) * self.channels
    }

    /// Numbers per padded output image.
    pub(super) fn output_len(&self) -> usize {
        (self.size / 2 + 2) * (self.size / 2 + 2) * self.outputs
    }

    /// Tiles in a row and in a column of an image.
    pub(super) fn side(&self) -> usize {
        self.size / 4
    }

    /// Tiles per image.
    pub(super) fn tiles(&self) -> usize {
        self.side() * self.side()
    }

    /// Channels of P: the depth of the products.
    pub(super) fn depth(&self) -> usize {
        4 * self.channels
    }
}

/// V = Bᵀ d B of every tile of `images` padded inputs: `v` `[9, images · tiles, depth]`.
#[inline(always)]
pub(super) unsafe fn input<S: Simd>(g: &Geometry, images: usize, x: *const f32, v: *mut f32) {
    let row = (g.size + 2) * g.channels;
    let plane = images * g.tiles() * g.depth();
    let mut tile = 0;
    for image in 0..images {
        for ti in 0..g.side() {
            for tj in 0..g.side() {
                // SAFETY: the caller's slices hold whole images and tiles.
                unsafe {
                    let x = x.add(image * g.input_len() + 4 * ti * row + 4 * tj * g.channels);
                    let v = v.add(tile * g.depth());
                    for ry in 0..2 {
                        for c in (0..2 * g.channels).step_by(S::LANES) {
                            let (x, v) = (x.add(ry * row + c), v.add(ry * 2 * g.channels + c));
                            macro_rules! d {
                                ($i:expr, $j:expr) => {
                                    S::load(x.add(2 * $i * row + 2 * $j * g.channels))
                                };
                            }
                            let middle = [d!(1, 0), d!(1, 1), d!(1, 2)];
                            S::store(v.add(3 * plane), S::sub(middle[0], middle[1]));
                            S::store(v.add(4 * plane), middle[1]);
                            S::store(v.add(5 * plane), S::sub(middle[2], middle[1]));
                            for (i, e) in [(0, 0), (2, 6)] {
                                let difference = [
                                    S::sub(d!(i, 0), middle[0]),
                                    S::sub(d!(i, 1), middle[1]),
                                    S::sub(d!(i, 2), middle[2]),
                                ];
                                S::store(v.add(e * plane), S::sub(difference[0], difference[1]));
                                S::store(v.add((e + 1) * plane), difference[1]);
                                S::store(v.add((e + 2) * plane), S::sub(difference[2], difference[1]));
                            }
                        }
                    }
                }
                tile += 1;
            }
        }
    }
}

/// φ(Aᵀ m A + bias) of every tile into `images` padded outputs `h`; `m` is `[9, images · tiles, outputs]`.
#[inline(always)]
pub(super) unsafe fn output<S: Simd>(
    g: &Geometry,
    images: usize,
    m: *const f32,
    bias: *const f32,
    slope: f32,
    h: *mut f32,
) {
    let row = (g.size / 2 + 2) * g.outputs;
    let plane = images * g.tiles() * g.outputs;
    let mut tile = 0;
    for image in 0..images {
        for ti in 0..g.side() {
            for tj in 0..g.side() {
                // SAFETY: the caller's slices hold whole images and tiles.
                unsafe {
                    let slope = S::splat(slope);
                    let m = m.add(tile * g.outputs);
                    let h = h.add(image * g.output_len() + (2 * ti + 1) * row + (2 * tj + 1) * g.outputs);
                    for c in (0..g.outputs).step_by(S::LANES) {
                        let (m, h) = (m.add(c), h.add(c));
                        // Every output is the sum of the middle column and one other: the bias goes in once.
                        let added = [S::zero(), S::load(bias.add(c)), S::zero()];
                        let (mut top, mut bottom) = (added, added);
                        for j in 0..3 {
                            let middle = S::add(S::load(m.add((3 + j) * plane)), added[j]);
                            top[j] = S::add(S::load(m.add(j * plane)), middle);
                            bottom[j] = S::add(middle, S::load(m.add((6 + j) * plane)));
                        }
                        for (to, sums) in [(h, top), (h.add(row), bottom)] {
                            for j in 0..2 {
                                let a = S::add(sums[j], sums[j + 1]);
                                S::store(to.add(j * g.outputs), S::leaky(a, a, slope));
                            }
                        }
                    }
                }
                tile += 1;
            }
        }
    }
}

/// A g Aᵀ of every tile of `images` padded output gradients `g_out`: `v` `[9, images · tiles, outputs]`.
#[inline(always)]
pub(super) unsafe fn output_gradient<S: Simd>(g: &Geometry, images: usize, g_out: *const f32, v: *mut f32) {
    let row = (g.size / 2 + 2) * g.outputs;
    let plane = images * g.tiles() * g.outputs;
    let mut tile = 0;
    for image in 0..images {
        for ti in 0..g.side() {
            for tj in 0..g.side() {
                // SAFETY: the caller's slices hold whole images and tiles.
                unsafe {
                    let from = g_out.add(image * g.output_len() + (2 * ti + 1) * row + (2 * tj + 1) * g.outputs);
                    let v = v.add(tile * g.outputs);
                    for c in (0..g.outputs).step_by(S::LANES) {
                        let from = from.add(c);
                        let top = [S::load(from), S::load(from.add(g.outputs))];
                        let bottom = [S::load(from.add(row)), S::load(from.add(row + g.outputs))];
                        let both = [S::add(top[0], bottom[0]), S::add(top[1], bottom[1])];
                        for (e, pair) in [(0, top), (3, both), (6, bottom)] {
                            S::store(v.add(e * plane + c), pair[0]);
                            S::store(v.add((e + 1) * plane + c), S::add(pair[0], pair[1]));
                            S::store(v.add((e + 2) * plane + c), pair[1]);
                        }
                    }
                }
                tile += 1;
            }
        }
    }
}

/// φ'(a) · B m Bᵀ into the padded inputs, in place of h = φ(a), whose sign gives φ'; `m` is `[9, images · tiles, depth]` and `zero`
/// holds `depth` zeros. The padding is left as it is.
#[inline(always)]
pub(super) unsafe fn input_gradient<S: Simd>(
    g: &Geometry,
    images: usize,
    m: *const f32,
    zero: *const f32,
    slope: f32,
    h: *mut f32,
) {
    let row = (g.size + 2) * g.channels;
    let plane = images * g.tiles() * g.depth();
    let side = g.side();
    for image in 0..images {
        let h = h.wrapping_add(image * g.input_len());
        for ti in 0..=side {
            for tj in 0..=side {
                // A tile's part of m, or zeros outside the image.
                let part = |ti: usize, tj: usize, e: usize| match ti < side && tj < side {
                    true => m.wrapping_add(e * plane + ((image * side + ti) * side + tj) * g.depth()),
                    false => zero,
                };
                let (up, left) = (ti.wrapping_sub(1), tj.wrapping_sub(1));
                let own: [*const f32; POINTS] = std::array::from_fn(|e| part(ti, tj, e));
                let above: [*const f32; 3] = std::array::from_fn(|j| part(up, tj, 6 + j));
                let beside: [*const f32; 3] = std::array::from_fn(|i| part(ti, left, 3 * i + 2));
                let corner = part(up, left, 8);
                for phase in 0..4 {
                    let (ry, rx) = (phase / 2, phase % 2);
                    // Row and column of the first of the four pixels, and which of them are pixels and not padding.
                    let (y, x) = (4 * ti + ry, 4 * tj + rx);
                    let rows = [(1..=g.size).contains(&y), (1..=g.size).contains(&(y + 2))];
                    let columns = [(1..=g.size).contains(&x), (1..=g.size).contains(&(x + 2))];
                    for c in (0..g.channels).step_by(S::LANES) {
                        let k = phase * g.channels + c;
                        // SAFETY: `part` gives whole rows of m or the zeros, and a pixel that is stored lies in the image.
                        unsafe {
                            let slope = S::splat(slope);
                            macro_rules! at {
                                ($part:expr) => {
                                    S::load($part.add(k))
                                };
                            }
                            macro_rules! store {
                                ($i:expr, $j:expr, $value:expr) => {
                                    let to = h.add((y + 2 * $i) * row + (x + 2 * $j) * g.channels + c);
                                    S::store(to, S::leaky($value, S::load(to), slope));
                                };
                            }
                            let (m00, m01, m02) = (at!(own[0]), at!(own[1]), at!(own[2]));
                            let (m10, m12) = (at!(own[3]), at!(own[5]));
                            let (m20, m22) = (at!(own[6]), at!(own[8]));
                            let (u0, u2, l0, l2) = (at!(above[0]), at!(above[2]), at!(beside[0]), at!(beside[2]));
                            if rows[0] && columns[0] {
                                store!(0, 0, S::add(S::add(m00, l0), S::add(u0, at!(corner))));
                            }
                            if rows[0] && columns[1] {
                                let own = S::sub(m01, S::add(m00, m02));
                                store!(0, 1, S::add(own, S::sub(at!(above[1]), S::add(u0, u2))));
                            }
                            if rows[1] && columns[0] {
                                let own = S::sub(m10, S::add(m00, m20));
                                store!(1, 0, S::add(own, S::sub(at!(beside[1]), S::add(l0, l2))));
                            }
                            if rows[1] && columns[1] {
                                let across = S::sub(S::sub(at!(own[4]), S::add(m01, at!(own[7]))), S::add(m10, m12));
                                store!(1, 1, S::add(across, S::add(S::add(m00, m02), S::add(m20, m22))));
                            }
                        }
                    }
                }
            }
        }
    }
}
