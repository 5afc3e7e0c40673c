//! Lay the weights out for the kernels: once per change of the weights, not once per step.

use super::edge::First;
use super::net::Shape;
use super::simd::PANEL;
use super::winograd::{Geometry, POINTS};

/// Weight and bias of one layer, in the order of their indices.
pub(crate) type LayerWeights = (Vec<f32>, Vec<f32>);

/// All weights of a net, laid out; the replicas of a net share one.
#[derive(Default)]
pub(crate) struct Packed {
    pub(super) first: PackedFirst,
    pub(super) layers: Vec<PackedLayer>,
    /// `[4, 4, channels]`
    pub(super) last_weight: Vec<f32>,
    pub(super) last_bias: f32,
}

impl Packed {
    /// Take new weights: `layer(i)` gives (weight, bias) of layer i in the shapes of the net, one layer at a time.
    ///
    /// # Errors
    /// What `layer` returns.
    pub(crate) fn set<E>(
        &mut self,
        shape: &Shape,
        mut layer: impl FnMut(usize) -> Result<LayerWeights, E>,
    ) -> Result<(), E> {
        let (weight, bias) = layer(0)?;
        self.first.set(&shape.first, &weight, &bias);
        self.layers.resize_with(shape.layers.len(), PackedLayer::default);
        for (l, (g, packed)) in shape.layers.iter().zip(&mut self.layers).enumerate() {
            let (weight, bias) = layer(l + 1)?;
            packed.set(g, &weight, &bias);
        }
        let (weight, bias) = layer(shape.layers.len() + 1)?;
        // [channels, 16] to [16, channels]
        let channels = shape.last_channels;
        let at = |i: usize| weight.get(i % channels * 16 + i / channels).copied().unwrap_or(0.0);
        self.last_weight.clear();
        self.last_weight.extend((0..16 * channels).map(at));
        self.last_bias = bias[0];
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

/// U = G w Gᵀ of one stride-2 layer in both directions.
#[derive(Default)]
pub(super) struct PackedLayer {
    /// `[9, outputs / 16, depth, 16]`.
    pub forward: Vec<f32>,
    /// `[9, depth / 16, outputs, 16]`.
    pub backward: Vec<f32>,
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
        let plane = depth * outputs;
        self.forward.resize(POINTS * plane, 0.0);
        self.backward.resize(POINTS * plane, 0.0);
        let real_channels = weight.len() / 16 / bias.len();
        for c in 0..real_channels {
            for o in 0..bias.len() {
                let w = &weight[(o * real_channels + c) * 16..][..16];
                for phase in 0..4 {
                    // Tap (i, j) of this phase is the kernel's element (2i + ry, 2j + rx).
                    let tap = |i: usize, j: usize| w[(2 * i + phase / 2) * 4 + 2 * j + phase % 2];
                    let rows = |j: usize| [tap(0, j), tap(0, j) + tap(1, j), tap(1, j)];
                    let (left, right) = (rows(0), rows(1));
                    let k = phase * g.channels + c;
                    for i in 0..3 {
                        for (j, value) in [left[i], left[i] + right[i], right[i]].into_iter().enumerate() {
                            let e = 3 * i + j;
                            self.forward[e * plane + (o / PANEL * depth + k) * PANEL + o % PANEL] = value;
                            self.backward[e * plane + (k / PANEL * outputs + o) * PANEL + k % PANEL] = value;
                        }
                    }
                }
            }
        }
        self.bias.clear();
        self.bias.extend_from_slice(bias);
        self.bias.resize(outputs, 0.0);
    }
}
