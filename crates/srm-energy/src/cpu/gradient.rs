//! Sum the gradient in the weights over images, layer by layer.

use super::edge::First;
use super::geometry::{Geometry, element, plane, stride};
use super::kernels::Kernels;
use super::memory::Lines;
use super::packed::LayerWeights;
use super::product::Product;
use super::simd::PANEL;

/// ∂/∂U of a stride-2 layer: Winograd's algorithm transposed in its weights costs the same products.
pub(super) struct LayerGradient {
    /// `[points, depth, outputs]`, points [`Geometry::weights_apart`] apart.
    u: Lines,
    bias: Vec<f32>,
}

impl LayerGradient {
    pub(super) fn new(g: &Geometry) -> Self {
        Self { u: Lines::zeros(g.weights()), bias: vec![0.0; g.outputs] }
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
            c_row: outputs,
            accumulate: true,
            goes_on: false,
        };
        let planes = v.chunks(plane(g, images, depth)).zip(gradient.chunks(apart));
        for ((v, gradient), u) in planes.zip(self.u.chunks_exact_mut(g.weights_apart())) {
            for column in (0..outputs).step_by(PANEL) {
                kernels.product(&p, v, &gradient[column..], &mut u[column..]);
            }
        }
        // The point (1, 1) of A g Aᵀ is the sum of a tile's gradients.
        let all = g.scheme().len() + 1;
        for tile in gradient[all * apart..][..tiles * stride(outputs)].chunks_exact(stride(outputs)) {
            for (sum, value) in self.bias.iter_mut().zip(tile) {
                *sum += value;
            }
        }
    }

    /// (`[outputs, channels, 4, 4]`, `[outputs]`) of the first `channels` and `outputs`: Gᵀ (∂/∂U) G.
    pub(super) fn finish(&self, g: &Geometry, channels: usize, outputs: usize) -> LayerWeights {
        let mut weight = vec![0.0; outputs * channels * 16];
        for c in 0..channels {
            for first in (0..outputs).step_by(PANEL) {
                // The kernels' sixteen elements, each for a panel's outputs.
                let mut elements = [[0.0; PANEL]; 16];
                for phase in 0..4 {
                    let at = (phase * g.channels + c) * g.outputs + first;
                    let mut points = self.u[at..].chunks(g.weights_apart());
                    let mut taps = [[[0.0; PANEL]; 2]; 2];
                    for down in g.scheme() {
                        let mut row = [[0.0; PANEL]; 2];
                        for (across, u) in g.scheme().iter().zip(&mut points) {
                            row.iter_mut().zip(across).for_each(|(row, factor)| add(row, *factor, &u[..PANEL]));
                        }
                        for (taps, factor) in taps.iter_mut().zip(down) {
                            taps.iter_mut().zip(&row).for_each(|(taps, row)| add(taps, *factor, row));
                        }
                    }
                    for (i, j) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                        elements[element(phase, i, j)] = taps[i][j];
                    }
                }
                for o in first..outputs.min(first + PANEL) {
                    let weight = &mut weight[(o * channels + c) * 16..][..16];
                    for (weight, element) in weight.iter_mut().zip(&elements) {
                        *weight = element[o - first];
                    }
                }
            }
        }
        (weight, self.bias[..outputs].to_vec())
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
        let (row, reach) = ((f.size + 2) * f.channels, 3 * f.channels);
        let p = Product {
            rows: reach,
            a_row: 1,
            segments: 1,
            a_segment: 0,
            depth: f.size,
            a_step: f.channels,
            b_step: f.features,
            c_row: padded,
            accumulate: true,
            goes_on: false,
        };
        for y in 0..f.size {
            let g = &g[((y + 1) * (f.size + 2) + 1) * f.features..];
            for ky in 0..3 {
                for column in (0..f.features).step_by(PANEL) {
                    // A last panel past the features reads the next pixel's, into columns that nobody asks for.
                    let w = &mut self.w[ky * reach * padded + column..];
                    kernels.product(&p, &x[(y + ky) * row..], &g[column..], w);
                }
            }
            for pixel in g[..f.size * f.features].chunks_exact(f.features) {
                for (sum, value) in self.bias.iter_mut().zip(pixel) {
                    *sum += value;
                }
            }
        }
    }

    /// (`[features, channels, 3, 3]`, `[features]`) of the first `features`.
    pub(super) fn finish(&self, f: &First, features: usize) -> LayerWeights {
        let padded = f.features.next_multiple_of(PANEL);
        let mut weight = Vec::with_capacity(features * f.taps());
        for o in 0..features {
            for c in 0..f.channels {
                weight.extend((0..9).map(|at| self.w[(at * f.channels + c) * padded + o]));
            }
        }
        (weight, self.bias[..features].to_vec())
    }
}

/// The gradient in the last layer's weights, Σ cᵢ hᵢ.
pub(super) struct LastGradient {
    size: usize,
    channels: usize,
    /// `[size, size, channels]`
    w: Vec<f32>,
    bias: f32,
}

impl LastGradient {
    pub(super) fn new(size: usize, channels: usize) -> Self {
        Self { size, channels, w: vec![0.0; size * size * channels], bias: 0.0 }
    }

    /// Add `by` times one padded image of activations.
    pub(super) fn add(&mut self, h: &[f32], by: f32) {
        let row = self.size * self.channels;
        for (y, w) in self.w.chunks_exact_mut(row).enumerate() {
            let h = &h[((y + 1) * (self.size + 2) + 1) * self.channels..][..row];
            for (sum, value) in w.iter_mut().zip(h) {
                *sum += by * value;
            }
        }
        self.bias += by;
    }

    /// (`[1, channels, size, size]`, `[1]`) of the first `channels`.
    pub(super) fn finish(&self, channels: usize) -> LayerWeights {
        let pixels = self.size * self.size;
        let weight = (0..channels).flat_map(|c| (0..pixels).map(move |at| (at, c)));
        (weight.map(|(at, c)| self.w[at * self.channels + c]).collect(), vec![self.bias])
    }
}
