//! Run whole nets through the kernels.

use super::edge::First;
use super::gradient::{FirstGradient, LastGradient, LayerGradient};
use super::kernels::Kernels;
use super::packed::{LayerWeights, Packed};
use super::product::Product;
use super::simd::PANEL;
use super::winograd::{Geometry, POINTS};
use srm_config::{Activation, EnergyConfig};

/// Tiles that a layer's products should at least have, where the batch holds enough images: each panel of weights is read
/// from memory once for so many rows.
const TILES: usize = 48;
/// Depth of a product before its sums go back to memory: a panel of weights of this depth takes half of a 32 kB cache.
const DEPTH: usize = 256;

/// The layers of a net as the kernels see them: widths filled up to whole vectors.
#[derive(Clone)]
pub(crate) struct Shape {
    pub(super) first: First,
    /// Features of the net before they were filled up.
    features: usize,
    pub(super) layers: Vec<Geometry>,
    pub(super) last_channels: usize,
}

/// One thread's way through a net: its layers and buffers, not its weights.
pub(crate) struct CpuNet {
    kernels: Kernels,
    shape: Shape,
    slope: f32,
    buffers: Buffers,
}

/// Activations of a batch and scratch of a layer; grown once, then reused.
#[derive(Default)]
struct Buffers {
    images: usize,
    /// The padded image, channels-last, then its gradient; one image.
    x: Vec<f32>,
    /// Padded activations of every layer.
    h: Vec<Vec<f32>>,
    v: Vec<f32>,
    m: Vec<f32>,
    row: Vec<f32>,
    zero: Vec<f32>,
}

impl CpuNet {
    /// `None` where the kernels do not serve: no AVX2, or an activation other than ReLU and LeakyReLU with a slope in [0, ∞),
    /// whose derivative the sign of the output gives.
    pub(crate) fn new(config: &EnergyConfig) -> Option<Self> {
        Self::with(config, Kernels::best_for(config.features)?)
    }

    /// A net on the given kernels.
    pub(crate) fn with(config: &EnergyConfig, kernels: Kernels) -> Option<Self> {
        let slope = match config.activation {
            Activation::Relu => 0.0,
            Activation::LeakyRelu(slope) if slope >= 0.0 => slope as f32,
            _ => return None,
        };
        let n = config.features.next_multiple_of(kernels.lanes);
        let first = First { size: config.size, channels: config.channels, features: n };
        let (mut layers, mut size, mut channels) = (Vec::new(), config.size, n);
        while size > 4 {
            let outputs = (2 * channels).min(8 * n);
            layers.push(Geometry { size, channels, outputs });
            (size, channels) = (size / 2, outputs);
        }
        let shape = Shape { first, features: config.features, layers, last_channels: channels };
        Some(Self { kernels, shape, slope, buffers: Buffers::default() })
    }

    /// The same net with buffers of its own.
    pub(crate) fn fresh(&self) -> Self {
        Self { kernels: self.kernels, shape: self.shape.clone(), slope: self.slope, buffers: Buffers::default() }
    }

    /// What [`Packed::set`] needs to know of the net.
    pub(crate) fn shape(&self) -> &Shape {
        &self.shape
    }

    /// f of each image of `x` `[b, c, h, w]`.
    pub(crate) fn f(&mut self, weights: &Packed, x: &[f32]) -> Vec<f32> {
        self.forward(weights, x)
    }

    /// f of each image of `x` `[b, c, h, w]`, and f' into `gradient` of the same shape.
    pub(crate) fn f_and_grad(&mut self, weights: &Packed, x: &[f32], gradient: &mut [f32]) -> Vec<f32> {
        let f = self.forward(weights, x);
        let images = f.len();
        self.top_backward(weights, &vec![1.0; images]);
        for l in (0..self.shape.layers.len()).rev() {
            self.layer_backward(weights, l, images, None);
        }
        let pixels = self.shape.first.pixels();
        let Buffers { x, h, row, .. } = &mut self.buffers;
        for (g, out) in h[0].chunks_exact(self.shape.first.output_len()).zip(gradient.chunks_exact_mut(pixels)) {
            x.fill(0.0);
            self.kernels.first_gradient(&self.shape.first, g, &weights.first.backward, row, x);
            unpad(&self.shape.first, x, out);
        }
        f
    }

    /// f of each image of `x` `[b, c, h, w]`, and ∇θ Σᵢ cᵢ f(xᵢ): (weight, bias) of each layer in the shapes of the net.
    pub(crate) fn f_and_parameter_grad(
        &mut self,
        weights: &Packed,
        x: &[f32],
        coefficients: &[f32],
    ) -> (Vec<f32>, Vec<LayerWeights>) {
        let f = self.forward(weights, x);
        let images = f.len();
        let top = self.shape.layers.len();
        let mut last = LastGradient::new(4, self.shape.last_channels);
        for (h, &by) in self.buffers.h[top].chunks_exact(self.top_len()).zip(coefficients) {
            last.add(h, by);
        }
        self.top_backward(weights, coefficients);
        let mut gradients: Vec<LayerGradient> = self.shape.layers.iter().map(LayerGradient::new).collect();
        for l in (0..top).rev() {
            self.layer_backward(weights, l, images, Some(&mut gradients[l]));
        }
        let mut first = FirstGradient::new(&self.shape.first);
        let Buffers { x: padded, h, .. } = &mut self.buffers;
        padded.fill(0.0);
        for (x, g) in x.chunks_exact(self.shape.first.pixels()).zip(h[0].chunks_exact(self.shape.first.output_len())) {
            pad(&self.shape.first, x, padded);
            first.add(&self.kernels, &self.shape.first, padded, g);
        }
        let n = self.shape.features;
        let mut all = vec![first.finish(&self.shape.first, n)];
        for (g, gradient) in self.shape.layers.iter().zip(&gradients) {
            // Channels that fill the vectors up are cut off again.
            let real = |padded: usize| padded / self.shape.first.features * n;
            all.push(gradient.finish(g, real(g.channels), real(g.outputs)));
        }
        all.push(last.finish(self.shape.last_channels / self.shape.first.features * n));
        (f, all)
    }

    /// The gradient before the last activation, in place of its output: cᵢ w φ'.
    fn top_backward(&mut self, weights: &Packed, coefficients: &[f32]) {
        let len = self.top_len();
        for (h, &by) in self.buffers.h[self.shape.layers.len()].chunks_exact_mut(len).zip(coefficients) {
            self.kernels.last_gradient(4, self.shape.last_channels, by, &weights.last_weight, self.slope, h);
        }
    }

    fn top_len(&self) -> usize {
        36 * self.shape.last_channels
    }

    fn forward(&mut self, weights: &Packed, x: &[f32]) -> Vec<f32> {
        let pixels = self.shape.first.pixels();
        let images = x.len() / pixels;
        self.make_room(images);
        let Buffers { x: padded, h, row, .. } = &mut self.buffers;
        padded.fill(0.0);
        let (packed, slope) = (&weights.first, self.slope);
        for (x, h) in x.chunks_exact(pixels).zip(h[0].chunks_exact_mut(self.shape.first.output_len())) {
            pad(&self.shape.first, x, padded);
            self.kernels.first(&self.shape.first, padded, (&packed.forward, &packed.bias), slope, row, h);
        }
        for l in 0..self.shape.layers.len() {
            self.layer_forward(weights, l, images);
        }
        let len = self.top_len();
        let top = self.buffers.h[self.shape.layers.len()][..images * len].chunks_exact(len);
        top.map(|h| weights.last_bias + self.kernels.last(4, self.shape.last_channels, h, &weights.last_weight))
            .collect()
    }

    /// Images whose tiles go through a layer's products together.
    fn images_at_once(g: &Geometry, images: usize) -> usize {
        TILES.div_ceil(g.tiles()).min(images)
    }

    fn layer_forward(&mut self, weights: &Packed, l: usize, images: usize) {
        let (g, packed, kernels) = (&self.shape.layers[l], &weights.layers[l], &self.kernels);
        let Buffers { h, v, m, .. } = &mut self.buffers;
        let (below, above) = h.split_at_mut(l + 1);
        let at_once = Self::images_at_once(g, images);
        let inputs = below[l][..images * g.input_len()].chunks(at_once * g.input_len());
        for (x, h) in inputs.zip(above[0].chunks_mut(at_once * g.output_len())) {
            let images = x.len() / g.input_len();
            kernels.input(g, images, x, v);
            products(kernels, images * g.tiles(), g.depth(), g.outputs, v, &packed.forward, m);
            kernels.output(g, images, m, &packed.bias, self.slope, h);
        }
    }

    /// The gradient at the layer's outputs becomes, in place of its inputs, the gradient before their activation. `sums`
    /// takes up what the images give to the gradient in the weights.
    fn layer_backward(&mut self, weights: &Packed, l: usize, images: usize, mut sums: Option<&mut LayerGradient>) {
        let (g, packed, kernels) = (&self.shape.layers[l], &weights.layers[l], &self.kernels);
        let Buffers { h, v, m, zero, .. } = &mut self.buffers;
        let (below, above) = h.split_at_mut(l + 1);
        let at_once = Self::images_at_once(g, images);
        let inputs = below[l][..images * g.input_len()].chunks_mut(at_once * g.input_len());
        for (h, gradient) in inputs.zip(above[0].chunks(at_once * g.output_len())) {
            let images = h.len() / g.input_len();
            kernels.output_gradient(g, images, gradient, v);
            if let Some(sums) = &mut sums {
                kernels.input(g, images, h, m);
                sums.add(kernels, g, images * g.tiles(), m, v);
            }
            products(kernels, images * g.tiles(), g.outputs, g.depth(), v, &packed.backward, m);
            kernels.input_gradient(g, images, m, zero, self.slope, h);
        }
    }

    fn make_room(&mut self, images: usize) {
        let b = &mut self.buffers;
        if images <= b.images {
            return;
        }
        b.images = images;
        b.x.resize(self.shape.first.input_len(), 0.0);
        let lens =
            std::iter::once(self.shape.first.output_len()).chain(self.shape.layers.iter().map(Geometry::output_len));
        b.h = lens.map(|len| vec![0.0; images * len]).collect();
        let width = |g: &Geometry| g.depth().max(g.outputs);
        let most =
            self.shape.layers.iter().map(|g| POINTS * Self::images_at_once(g, images) * g.tiles() * width(g)).max();
        b.v.resize(most.unwrap_or(0), 0.0);
        b.m.resize(most.unwrap_or(0), 0.0);
        let columns =
            self.shape.first.features.next_multiple_of(PANEL).max(self.shape.first.taps().next_multiple_of(PANEL));
        b.row.resize(self.shape.first.size * columns, 0.0);
        b.zero.resize(self.shape.layers.iter().map(Geometry::depth).max().unwrap_or(0), 0.0);
    }
}

/// m[e] = v[e] u[e] for the nine points: v `[9, rows, depth]`, u `[9, columns / 16, depth, 16]`, m `[9, rows, columns]`.
fn products(kernels: &Kernels, rows: usize, depth: usize, columns: usize, v: &[f32], u: &[f32], m: &mut [f32]) {
    let planes = v.chunks_exact(rows * depth).zip(u.chunks_exact(depth * columns));
    for ((v, u), m) in planes.zip(m.chunks_exact_mut(rows * columns)).take(POINTS) {
        for (panel, u) in u.chunks_exact(depth * PANEL).enumerate() {
            for start in (0..depth).step_by(DEPTH) {
                let p =
                    Product { accumulate: start > 0, ..Product::dense(rows, DEPTH.min(depth - start), depth, columns) };
                kernels.product(&p, &v[start..], &u[start * PANEL..], &mut m[panel * PANEL..]);
            }
        }
    }
}

/// `[c, h, w]` into the inner pixels of `[h + 2, w + 2, c]`.
fn pad(f: &First, x: &[f32], padded: &mut [f32]) {
    let (size, channels) = (f.size, f.channels);
    for (c, plane) in x.chunks_exact(size * size).enumerate() {
        for (y, row) in plane.chunks_exact(size).enumerate() {
            let to = &mut padded[((y + 1) * (size + 2) + 1) * channels + c..];
            for (to, &value) in to.iter_mut().step_by(channels).zip(row) {
                *to = value;
            }
        }
    }
}

/// The inner pixels of `[h + 2, w + 2, c]` as `[c, h, w]`.
fn unpad(f: &First, padded: &[f32], x: &mut [f32]) {
    let (size, channels) = (f.size, f.channels);
    for (c, plane) in x.chunks_exact_mut(size * size).enumerate() {
        for (y, row) in plane.chunks_exact_mut(size).enumerate() {
            let from = &padded[((y + 1) * (size + 2) + 1) * channels + c..];
            for (value, from) in row.iter_mut().zip(from.iter().step_by(channels)) {
                *value = *from;
            }
        }
    }
}
