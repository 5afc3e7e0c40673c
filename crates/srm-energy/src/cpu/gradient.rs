//! Sum the gradient in the weights over images, layer by layer.

use super::edge::First;
use super::geometry::{Geometry, Sides, element, places, plane, stride};
use super::kernels::Kernels;
use super::memory::Lines;
use super::product::Product;
use super::simd::PANEL;

/// Weight and bias of a layer, in the order of their indices in the net.
pub(crate) type Parameters<'a> = (&'a mut [f32], &'a mut [f32]);

/// ∂/∂U of one stride-2 layer at a time: Winograd's algorithm transposed in its weights costs the same products.
#[derive(Default)]
pub(super) struct LayerGradient {
    /// `[outputs / 16, depth, points, 16]`: what becomes one kernel lies together, an odd number of cache lines.
    u: Lines,
    bias: Vec<f32>,
    /// Whether u holds sums already.
    begun: bool,
}

impl LayerGradient {
    /// Begin the sums of a layer anew.
    pub(super) fn begin(&mut self, g: &Geometry) {
        let len = g.points() * g.depth() * g.outputs;
        self.u.resize(len.max(self.u.len())); // never less: what grows again is filled with zeros that nobody reads
        self.bias.clear();
        self.bias.resize(g.outputs, 0.0);
        self.begun = false;
    }

    /// Add Vᵀ G of the tiles of some images: `v` = Bᵀ d B `[points, tiles, depth]`, `gradient` = A g Aᵀ `[points, tiles, outputs]`,
    /// their tiles [`stride`] and their points [`plane`] apart.
    pub(super) fn add(&mut self, kernels: &Kernels, g: &Geometry, images: usize, v: &[f32], gradient: &[f32]) {
        let (depth, outputs, tiles) = (g.depth(), g.outputs, images * g.tiles());
        let apart = plane(g, images, outputs);
        let p = Product {
            rows: depth,
            a_row: 1,
            segments: 1,
            a_segment: 0,
            depth: tiles,
            a_step: stride(depth),
            b_step: stride(outputs),
            c_row: g.points() * PANEL,
            accumulate: self.begun,
            goes_on: false,
        };
        let planes = v.chunks(plane(g, images, depth)).zip(gradient.chunks(apart));
        for (e, (v, gradient)) in planes.take(g.points()).enumerate() {
            for column in (0..outputs).step_by(PANEL) {
                kernels.product(&p, v, &gradient[column..], &mut self.u[column * depth * g.points() + e * PANEL..]);
            }
        }
        self.begun = true;
        // The point (1, 1) of A g Aᵀ is the sum of a tile's gradients.
        let all = g.scheme().len() + 1;
        for tile in gradient[all * apart..][..tiles * stride(outputs)].chunks_exact(stride(outputs)) {
            for (sum, value) in self.bias.iter_mut().zip(tile) {
                *sum += value;
            }
        }
    }

    /// Gᵀ (∂/∂U) G into the net's `[outputs, channels, 4, 4]` and `[outputs]`; those that fill the vectors up are cut off.
    pub(super) fn finish(&self, g: &Geometry, (weight, bias): Parameters) {
        let channels = weight.len() / 16 / bias.len();
        for (panel, of_panel) in weight.chunks_mut(PANEL * channels * 16).enumerate() {
            for c in 0..channels {
                // The kernels' sixteen elements, each for a panel's outputs.
                let mut elements = [[0.0; PANEL]; 16];
                for phase in 0..4 {
                    let row = panel * g.depth() + phase * g.channels + c;
                    let mut points = self.u[row * g.points() * PANEL..].chunks_exact(PANEL);
                    let mut taps = [[[0.0; PANEL]; 2]; 2];
                    for down in g.scheme() {
                        let mut row = [[0.0; PANEL]; 2];
                        for (across, u) in g.scheme().iter().zip(&mut points) {
                            row.iter_mut().zip(across).for_each(|(row, factor)| add(row, *factor, u));
                        }
                        for (taps, factor) in taps.iter_mut().zip(down) {
                            taps.iter_mut().zip(&row).for_each(|(taps, row)| add(taps, *factor, row));
                        }
                    }
                    for (i, j) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                        elements[element(phase, i, j)] = taps[i][j];
                    }
                }
                for (o, weight) in of_panel.chunks_exact_mut(channels * 16).enumerate() {
                    for (weight, element) in weight[c * 16..][..16].iter_mut().zip(&elements) {
                        *weight = element[o];
                    }
                }
            }
        }
        bias.copy_from_slice(&self.bias[..bias.len()]);
    }
}

/// Add `factor` times the numbers to the sums.
fn add(sums: &mut [f32; PANEL], factor: f32, numbers: &[f32]) {
    for (sum, number) in sums.iter_mut().zip(numbers) {
        *sum += factor * number;
    }
}

/// The gradient in the first layer's weights.
pub(super) struct FirstGradient {
    /// `[taps, features padded to whole panels]`
    w: Vec<f32>,
    bias: Vec<f32>,
}

impl FirstGradient {
    pub(super) fn new(f: &First) -> Self {
        Self { w: vec![0.0; f.taps() * f.features.next_multiple_of(PANEL)], bias: vec![0.0; f.features] }
    }

    /// Add one image: `x` and the gradient `g`, both padded.
    pub(super) fn add(&mut self, kernels: &Kernels, f: &First, x: &[f32], g: &[f32]) {
        let padded = f.features.next_multiple_of(PANEL);
        let [height, width] = f.size;
        let (row, reach) = ((width + 2) * f.channels, 3 * f.channels);
        let p = Product {
            rows: reach,
            a_row: 1,
            segments: 1,
            a_segment: 0,
            depth: width,
            a_step: f.channels,
            b_step: f.features,
            c_row: padded,
            accumulate: true,
            goes_on: false,
        };
        for y in 0..height {
            let g = &g[((y + 1) * (width + 2) + 1) * f.features..];
            for ky in 0..3 {
                for column in (0..f.features).step_by(PANEL) {
                    // A last panel past the features reads the next pixel's, into columns that nobody asks for.
                    let w = &mut self.w[ky * reach * padded + column..];
                    kernels.product(&p, &x[(y + ky) * row..], &g[column..], w);
                }
            }
            for pixel in g[..width * f.features].chunks_exact(f.features) {
                for (sum, value) in self.bias.iter_mut().zip(pixel) {
                    *sum += value;
                }
            }
        }
    }

    /// Into the net's `[features, channels, 3, 3]` and `[features]`.
    pub(super) fn finish(&self, f: &First, (weight, bias): Parameters) {
        let padded = f.features.next_multiple_of(PANEL);
        for (i, kernel) in weight.chunks_exact_mut(9).enumerate() {
            let (o, c) = (i / f.channels, i % f.channels);
            for (at, weight) in kernel.iter_mut().enumerate() {
                *weight = self.w[(at * f.channels + c) * padded + o];
            }
        }
        bias.copy_from_slice(&self.bias[..bias.len()]);
    }
}

/// The gradient in the last layer's weights: Σ cᵢ hᵢ over the places where it is laid on.
pub(super) struct LastGradient {
    size: Sides,
    torus: bool,
    channels: usize,
    /// Σ cᵢ hᵢ, `[height, width, channels]`.
    sums: Vec<f32>,
    bias: f32,
}

impl LastGradient {
    pub(super) fn new(size: Sides, channels: usize, torus: bool) -> Self {
        Self { size, torus, channels, sums: vec![0.0; size[0] * size[1] * channels], bias: 0.0 }
    }

    /// Add `by` times one padded image of activations.
    pub(super) fn add(&mut self, h: &[f32], by: f32) {
        let row = self.size[1] * self.channels;
        for (y, sums) in self.sums.chunks_exact_mut(row).enumerate() {
            let h = &h[((y + 1) * (self.size[1] + 2) + 1) * self.channels..][..row];
            for (sum, value) in sums.iter_mut().zip(h) {
                *sum += by * value;
            }
        }
        self.bias += by;
    }

    /// Into the net's `[1, channels, 4, 4]` and `[1]`.
    pub(super) fn finish(&self, (weight, bias): Parameters) {
        let [down, across] = places(self.size, self.torus);
        for (c, weight) in weight.chunks_exact_mut(16).enumerate() {
            for (tap, weight) in weight.iter_mut().enumerate() {
                let (top, left) = if self.torus { (0, 0) } else { (tap / 4, tap % 4) };
                let row = |y: usize| {
                    let first = ((y + top) * self.size[1] + left) * self.channels + c;
                    self.sums[first..].iter().step_by(self.channels).take(across)
                };
                *weight = (0..down).flat_map(row).sum();
            }
        }
        bias[0] = self.bias * (down * across) as f32;
    }
}
