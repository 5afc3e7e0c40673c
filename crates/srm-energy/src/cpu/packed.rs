//! Lay the weights out for the kernels: once per change of the weights, not once per step.

use super::edge::First;
use super::geometry::{Geometry, element, places};
use super::memory::Lines;
use super::shape::Shape;
use super::simd::PANEL;
use std::ops::Deref;

/// All weights of a net, laid out; the replicas of a net share one.
#[derive(Default)]
pub(crate) struct Packed {
    pub(super) first: PackedFirst,
    pub(super) layers: Vec<PackedLayer>,
    /// What the last layer's weights add up to at each pixel of the map, over the places where they are laid on: `[height, width,
    /// channels]`, on a map of 4×4 pixels the weights themselves.
    pub(super) last_weight: Vec<f32>,
    /// Of all places.
    pub(super) last_bias: f32,
}

impl Packed {
    /// Take new weights: `layer(i)` gives (weight, bias) of layer i in the shapes of the net, one layer at a time.
    ///
    /// # Errors
    /// What `layer` returns.
    pub(crate) fn set<N: Deref<Target = [f32]>, E>(
        &mut self,
        shape: &Shape,
        layer: impl Fn(usize) -> Result<(N, N), E>,
    ) -> Result<(), E> {
        let (weight, bias) = layer(0)?;
        self.first.set(&shape.first, &weight, &bias);
        self.layers.resize_with(shape.layers.len(), PackedLayer::default);
        for (l, (g, packed)) in shape.layers.iter().zip(&mut self.layers).enumerate() {
            let (weight, bias) = layer(l + 1)?;
            packed.set(g, &weight, &bias);
        }
        let (weight, bias) = layer(shape.layers.len() + 1)?;
        let ([down, across], channels, width) =
            (places(shape.last_size, shape.first.torus), shape.last_channels, shape.last_size[1]);
        self.last_weight.clear();
        self.last_weight.resize(shape.last_size[0] * width * channels, 0.0);
        for tap in 0..16 {
            // on a torus each tap comes to lie on each pixel
            let (top, left) = if shape.first.torus { (0, 0) } else { (tap / 4, tap % 4) };
            for y in 0..down {
                let row = &mut self.last_weight[((y + top) * width + left) * channels..][..across * channels];
                for pixel in row.chunks_exact_mut(channels) {
                    pixel.iter_mut().zip(weight.chunks_exact(16)).for_each(|(sum, taps)| *sum += taps[tap]);
                }
            }
        }
        self.last_bias = bias[0] * (down * across) as f32;
        Ok(())
    }
}

/// The first layer's weights in both directions.
#[derive(Default)]
pub(super) struct PackedFirst {
    /// `[panels, taps, 16]`, taps in the order row, column, channel.
    pub forward: Vec<f32>,
    /// `[panels, features, 16]` over the taps.
    pub backward: Vec<f32>,
    /// Padded to whole panels.
    pub bias: Vec<f32>,
}

/// The weights of one stride-2 layer in both directions: U = G w Gᵀ, or the taps of which it is made.
#[derive(Default)]
pub(super) struct PackedLayer {
    /// U `[points, outputs / 16, depth, 16]`, points [`Geometry::weights_apart`] apart, or taps `[outputs / 16, depth, 4, 16]`.
    pub forward: Lines,
    /// U `[points, depth / 16, outputs, 16]`, likewise, or taps `[depth / 16, outputs, 4, 16]`.
    pub backward: Lines,
    pub bias: Vec<f32>,
}

impl PackedFirst {
    /// From `weight` `[real features, channels, 3, 3]` and `bias` `[real features]`; features beyond the real ones stay 0.
    pub(super) fn set(&mut self, f: &First, weight: &[f32], bias: &[f32]) {
        let (taps, features) = (f.taps(), f.features);
        self.forward.clear();
        self.forward.resize(taps * features.next_multiple_of(PANEL), 0.0);
        self.backward.clear();
        self.backward.resize(features * taps.next_multiple_of(PANEL), 0.0);
        for o in 0..bias.len() {
            for c in 0..f.channels {
                for at in 0..9 {
                    let value = weight[(o * f.channels + c) * 9 + at];
                    let tap = at * f.channels + c;
                    self.forward[(o / PANEL * taps + tap) * PANEL + o % PANEL] = value;
                    self.backward[(tap / PANEL * features + o) * PANEL + tap % PANEL] = value;
                }
            }
        }
        self.bias.clear();
        self.bias.extend_from_slice(bias);
        self.bias.resize(features.next_multiple_of(PANEL), 0.0);
    }
}

impl PackedLayer {
    /// From `weight` `[real outputs, real channels, 4, 4]` and `bias` `[real outputs]`; others stay 0.
    pub(super) fn set(&mut self, g: &Geometry, weight: &[f32], bias: &[f32]) {
        let (depth, outputs) = (g.depth(), g.outputs);
        let (real_outputs, real_channels) = (bias.len(), weight.len() / 16 / bias.len());
        self.forward.resize(g.packed_len());
        self.backward.resize(g.packed_len());
        let tap = |o: usize, k: usize, at: usize| {
            let (phase, c) = (k / g.channels, k % g.channels);
            match o < real_outputs && c < real_channels {
                true => weight[(o * real_channels + c) * 16 + element(phase, at / 2, at % 2)],
                false => 0.0,
            }
        };
        for first in (0..outputs).step_by(PANEL) {
            for k in 0..depth {
                let taps = |at| std::array::from_fn(|o| tap(first + o, k, at));
                lay(g, taps, first / PANEL * depth + k, &mut self.forward);
            }
        }
        for first in (0..depth).step_by(PANEL) {
            for o in 0..outputs {
                let taps = |at| std::array::from_fn(|k| tap(o, first + k, at));
                lay(g, taps, first / PANEL * outputs + o, &mut self.backward);
            }
        }
        self.bias.clear();
        self.bias.extend_from_slice(bias);
        self.bias.resize(outputs, 0.0);
    }
}

/// Write a panel's row, which is row `row` of all: its taps (0, 0), (0, 1), (1, 0), (1, 1), or what G w Gᵀ makes of them.
fn lay(g: &Geometry, taps: impl Fn(usize) -> [f32; PANEL], row: usize, to: &mut [f32]) {
    let taps: [[f32; PANEL]; 4] = std::array::from_fn(taps);
    if !g.kept {
        return to[4 * PANEL * row..][..4 * PANEL].copy_from_slice(taps.as_flattened());
    }
    let mut points = to[PANEL * row..].chunks_mut(g.weights_apart());
    for down in g.scheme() {
        let rows: [[f32; PANEL]; 2] =
            std::array::from_fn(|j| std::array::from_fn(|i| down[0] * taps[j][i] + down[1] * taps[2 + j][i]));
        for (across, to) in g.scheme().iter().zip(&mut points) {
            for (i, to) in to[..PANEL].iter_mut().enumerate() {
                *to = across[0] * rows[0][i] + across[1] * rows[1][i];
            }
        }
    }
}
