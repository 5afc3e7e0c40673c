//! Sum the gradient in the weights over images, layer by layer.

use super::edge::First;
use super::kernels::Kernels;
use super::packed::LayerWeights;
use super::product::Product;
use super::simd::PANEL;
use super::winograd::{Geometry, POINTS};

/// ∂/∂U of a stride-2 layer: Winograd's algorithm transposed in its weights costs nine products per tile too.
pub(super) struct LayerGradient {
    /// `[9, depth, outputs]`
    u: Vec<f32>,
    bias: Vec<f32>,
}

impl LayerGradient {
    pub(super) fn new(g: &Geometry) -> Self {
        Self { u: vec![0.0; POINTS * g.depth() * g.outputs], bias: vec![0.0; g.outputs] }
    }

    /// Add Vᵀ G of `tiles` tiles: `v` = Bᵀ d B `[9, tiles, depth]`, `gradient` = A g Aᵀ `[9, tiles, outputs]`.
    pub(super) fn add(&mut self, kernels: &Kernels, g: &Geometry, tiles: usize, v: &[f32], gradient: &[f32]) {
        let (depth, outputs) = (g.depth(), g.outputs);
        let p = Product {
            rows: depth,
            a_row: 1,
            segments: 1,
            a_segment: 0,
            depth: tiles,
            a_step: depth,
            b_step: outputs,
            c_row: outputs,
            accumulate: true,
        };
        let planes = v.chunks_exact(tiles * depth).zip(gradient.chunks_exact(tiles * outputs));
        for ((v, gradient), u) in planes.zip(self.u.chunks_exact_mut(depth * outputs)) {
            for column in (0..outputs).step_by(PANEL) {
                kernels.product(&p, v, &gradient[column..], &mut u[column..]);
            }
        }
        // The middle point of A g Aᵀ is the sum of a tile's four gradients.
        for tile in gradient[4 * tiles * outputs..5 * tiles * outputs].chunks_exact(outputs) {
            for (sum, value) in self.bias.iter_mut().zip(tile) {
                *sum += value;
            }
        }
    }

    /// (`[outputs, channels, 4, 4]`, `[outputs]`) of the first `channels` and `outputs`: Gᵀ (∂/∂U) G.
    pub(super) fn finish(&self, g: &Geometry, channels: usize, outputs: usize) -> LayerWeights {
        let plane = g.depth() * g.outputs;
        let mut weight = vec![0.0; outputs * channels * 16];
        // Outputs run fastest: they are neighbours in u, and each writes the sixteen neighbours of its own kernel.
        for c in 0..channels {
            for o in 0..outputs {
                let weight = &mut weight[(o * channels + c) * 16..][..16];
                for phase in 0..4 {
                    let at = (phase * g.channels + c) * g.outputs + o;
                    let u: [f32; POINTS] = std::array::from_fn(|e| self.u[e * plane + at]);
                    for (i, j) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                        let e = 3 * i + j;
                        weight[(2 * i + phase / 2) * 4 + 2 * j + phase % 2] = u[e] + u[e + 1] + u[e + 3] + u[e + 4];
                    }
                }
            }
        }
        (weight, self.bias[..outputs].to_vec())
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
