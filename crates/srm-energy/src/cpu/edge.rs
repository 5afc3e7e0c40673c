//! Compute the first convolution, 3×3 on the image's few channels, and the last, one number an image, with their transposes.

#![allow(unsafe_code)] // SIMD kernels; `Kernels` checks every slice before a pointer is used

use super::geometry::{Sides, padded, unwrap, wrap};
use super::product::{Product, product};
use super::simd::{PANEL, Simd};

/// The first layer: `[height, width, channels]` to `[height, width, features]`, both padded and channels-last in memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct First {
    pub size: Sides,
    pub channels: usize,
    pub features: usize,
    /// Whether the padding is what lies at the opposite border, and not zeros.
    pub torus: bool,
}

impl First {
    /// Products per output: nine taps of each channel.
    pub(super) fn taps(&self) -> usize {
        9 * self.channels
    }

    /// Numbers per image.
    pub(super) fn pixels(&self) -> usize {
        self.size[0] * self.size[1] * self.channels
    }

    /// Numbers per padded image.
    pub(super) fn input_len(&self) -> usize {
        padded(self.size) * self.channels
    }

    /// Numbers per padded image of features.
    pub(super) fn output_len(&self) -> usize {
        padded(self.size) * self.features
    }
}

/// h = φ(W x + bias) of one image; `w` is packed `[panels, taps, 16]`, `bias` and `scratch`'s rows are padded to whole panels.
#[inline(always)]
pub(super) unsafe fn first<S: Simd>(
    g: &First,
    x: *const f32,
    w: *const f32,
    bias: *const f32,
    slope: f32,
    scratch: *mut f32,
    h: *mut f32,
) {
    let padded = g.features.next_multiple_of(PANEL);
    let [height, width] = g.size;
    let row = (width + 2) * g.channels;
    let p = Product {
        rows: width,
        a_row: g.channels,
        segments: 3,
        a_segment: row,
        depth: 3 * g.channels,
        a_step: 1,
        b_step: PANEL,
        c_row: padded,
        accumulate: false,
        goes_on: false,
    };
    for y in 0..height {
        // SAFETY: the caller's slices hold whole padded images, panels and one row of scratch.
        unsafe {
            for panel in 0..padded / PANEL {
                product::<S>(&p, x.add(y * row), w.add(panel * g.taps() * PANEL), scratch.add(panel * PANEL));
            }
            let slope = S::splat(slope);
            let h = h.add(((y + 1) * (width + 2) + 1) * g.features);
            for x in 0..width {
                for c in (0..g.features).step_by(S::LANES) {
                    let a = S::add(S::load(scratch.add(x * padded + c)), S::load(bias.add(c)));
                    S::store(h.add(x * g.features + c), S::leaky(a, a, slope));
                }
            }
        }
    }
}

/// Wᵀ g of one image, added to the zeroed padded `dx`; `w` is packed `[panels, features, 16]` over the taps (row, column,
/// channel), `scratch` one row of `[size, panels · 16]`.
#[inline(always)]
pub(super) unsafe fn first_gradient<S: Simd>(f: &First, g: *const f32, w: *const f32, scratch: *mut f32, dx: *mut f32) {
    let padded = f.taps().next_multiple_of(PANEL);
    let [height, width] = f.size;
    let (row, reach) = ((width + 2) * f.channels, 3 * f.channels);
    let p = Product::dense(width, f.features, f.features, padded);
    for y in 0..height {
        // SAFETY: the caller's slices hold whole padded images, panels and one row of scratch.
        unsafe {
            let g = g.add(((y + 1) * (width + 2) + 1) * f.features);
            for panel in 0..padded / PANEL {
                product::<S>(&p, g, w.add(panel * f.features * PANEL), scratch.add(panel * PANEL));
            }
            for ky in 0..3 {
                let to = dx.add((y + ky) * row);
                // Taps of every third pixel abut without overlap, so no addition waits for the store before it.
                for first in 0..3 {
                    for x in (first..width).step_by(3) {
                        let (to, from) = (to.add(x * f.channels), scratch.add(x * padded + ky * reach));
                        for q in 0..reach {
                            *to.add(q) += *from.add(q);
                        }
                    }
                }
            }
        }
    }
}

/// w·h of one padded image `[height + 2, width + 2, channels]`, the inner pixels; `w` is `[height, width, channels]`.
#[inline(always)]
pub(super) unsafe fn last<S: Simd>([height, width]: Sides, channels: usize, h: *const f32, w: *const f32) -> f32 {
    // SAFETY: the caller's slices hold a whole padded image and the weights.
    unsafe {
        let mut sums = [S::zero(); 2];
        for y in 0..height {
            let h = h.add(((y + 1) * (width + 2) + 1) * channels);
            let w = w.add(y * width * channels);
            for i in (0..width * channels).step_by(2 * S::LANES) {
                // a row of an odd number of vectors ends with one
                for (v, sum) in sums.iter_mut().take((width * channels - i) / S::LANES).enumerate() {
                    let at = i + v * S::LANES;
                    *sum = S::fma(S::load(h.add(at)), S::load(w.add(at)), *sum);
                }
            }
        }
        let mut lanes = [0.0f32; PANEL];
        S::store(lanes.as_mut_ptr(), S::add(sums[0], sums[1]));
        lanes.iter().sum()
    }
}

/// coefficient · w · φ'(a) in place of h = φ(a), for the same image.
#[inline(always)]
pub(super) unsafe fn last_gradient<S: Simd>(
    [height, width]: Sides,
    channels: usize,
    coefficient: f32,
    w: *const f32,
    slope: f32,
    h: *mut f32,
) {
    // SAFETY: as in `last`.
    unsafe {
        let (slope, coefficient) = (S::splat(slope), S::splat(coefficient));
        for y in 0..height {
            let h = h.add(((y + 1) * (width + 2) + 1) * channels);
            let w = w.add(y * width * channels);
            for i in (0..width * channels).step_by(S::LANES) {
                let gradient = S::mul(S::load(w.add(i)), coefficient);
                S::store(h.add(i), S::leaky(gradient, S::load(h.add(i)), slope));
            }
        }
    }
}

/// `[c, h, w]` into the inner pixels of `[h + 2, w + 2, c]`, and on a torus beyond them.
pub(super) fn pad(f: &First, x: &[f32], padded: &mut [f32]) {
    let ([height, width], channels) = (f.size, f.channels);
    for (c, plane) in x.chunks_exact(height * width).enumerate() {
        for (y, row) in plane.chunks_exact(width).enumerate() {
            let to = &mut padded[((y + 1) * (width + 2) + 1) * channels + c..];
            for (to, &value) in to.iter_mut().step_by(channels).zip(row) {
                *to = value;
            }
        }
    }
    if f.torus {
        wrap(f.size, f.channels, padded);
    }
}

/// A gradient on `[h + 2, w + 2, c]` as one in `[c, h, w]`, the transpose of [`pad`].
pub(super) fn unpad(f: &First, padded: &mut [f32], x: &mut [f32]) {
    let ([height, width], channels) = (f.size, f.channels);
    if f.torus {
        unwrap(f.size, f.channels, padded);
    }
    for (c, plane) in x.chunks_exact_mut(height * width).enumerate() {
        for (y, row) in plane.chunks_exact_mut(width).enumerate() {
            let from = &padded[((y + 1) * (width + 2) + 1) * channels + c..];
            for (value, from) in row.iter_mut().zip(from.iter().step_by(channels)) {
                *value = *from;
            }
        }
    }
}
