//! Run whole nets through the kernels.

use super::curve::{Curve, Inner, activate};
use super::edge::{pad, unpad};
use super::geometry::{Geometry, plane, wrap};
use super::gradient::{FirstGradient, LastGradient, LayerGradient, Parameters};
use super::kernels::Kernels;
use super::memory::Lines;
use super::packed::Packed;
use super::products::products;
use super::shape::Shape;
use super::simd::PANEL;
use srm_config::{Activation, EnergyConfig};

/// Tiles that a layer's products should at least have, where the batch holds enough images: each panel of weights is read
/// from memory once for so many rows.
const TILES: usize = 48;

/// What stands between the convolutions.
#[derive(Clone, Copy)]
enum Phi {
    /// LeakyReLU with a slope in [0, ∞): the convolutions' kernels apply it, and the sign of the output gives its derivative.
    Leaky(f32),
    /// A pass of its own after each convolution, which keeps φ' beside φ.
    Smooth(Curve),
}

/// One thread's way through a net: its layers and buffers, not its weights.
pub(crate) struct CpuNet {
    kernels: Kernels,
    shape: Shape,
    phi: Phi,
    buffers: Buffers,
}

/// Activations of a batch and scratch of a layer; grown once, then reused.
#[derive(Default)]
struct Buffers {
    /// Images that have room.
    images: usize,
    /// Whether their tangents have room, too.
    roomy: bool,
    /// Whether tangents are under way: they lie behind a batch's activations.
    tangents: bool,
    /// The padded image, channels-last, then its gradient; one image.
    x: Vec<f32>,
    /// Padded activations of every layer.
    h: Vec<Lines>,
    /// φ' of every layer, where it is smooth.
    first: Vec<Lines>,
    /// φ'' of every layer, then φ'' ȧ, where there are tangents.
    second: Vec<Lines>,
    v: Lines,
    m: Lines,
    row: Lines,
    zero: Lines,
    /// Weights that are made in a product.
    u: Lines,
    sums: LayerGradient,
}

impl CpuNet {
    /// `None` where the kernels do not serve: no AVX2, LeakyReLU with a negative slope, whose output does not tell the sign of its
    /// input, or a size that does not halve to 4.
    pub(crate) fn new(config: &EnergyConfig) -> Option<Self> {
        Self::with(config, Kernels::best_for(config.features)?)
    }

    /// A net on the given kernels.
    pub(crate) fn with(config: &EnergyConfig, kernels: Kernels) -> Option<Self> {
        if !config.size.is_power_of_two() || config.size < 4 {
            return None;
        }
        let phi = match config.activation {
            Activation::Relu => Phi::Leaky(0.0),
            Activation::LeakyRelu(slope) if slope >= 0.0 => Phi::Leaky(slope as f32),
            Activation::LeakyRelu(_) => return None,
            Activation::Silu => Phi::Smooth(Curve::Silu),
            Activation::Gelu => Phi::Smooth(Curve::Gelu),
            Activation::Softplus => Phi::Smooth(Curve::Softplus),
        };
        let shape = Shape::new(config, kernels.lanes);
        Some(Self { kernels, shape, phi, buffers: Buffers::default() })
    }

    /// The same net with buffers of its own.
    pub(crate) fn fresh(&self) -> Self {
        Self { kernels: self.kernels, shape: self.shape.clone(), phi: self.phi, buffers: Buffers::default() }
    }

    /// The same net on images whose opposite borders touch.
    pub(crate) fn on_torus(&self) -> Self {
        Self { shape: self.shape.clone().on_torus(), ..self.fresh() }
    }

    /// Height and width of the images.
    pub(crate) fn size(&self) -> [usize; 2] {
        self.shape.first.size
    }

    /// Whether images of these sides can be computed.
    pub(crate) fn serves(&self, size: [usize; 2]) -> bool {
        size == self.size() || self.shape.resized(size).is_some()
    }

    /// Compute images of these sides from now on, for which the weights are laid out anew.
    pub(crate) fn resize(&mut self, size: [usize; 2]) {
        if let Some(shape) = (size != self.size()).then(|| self.shape.resized(size)).flatten() {
            (self.shape, self.buffers) = (shape, Buffers::default());
        }
    }

    /// What [`Packed::set`] needs to know of the net.
    pub(crate) fn shape(&self) -> &Shape {
        &self.shape
    }

    /// f of each image of `x` `[b, c, h, w]`.
    pub(crate) fn f(&mut self, weights: &Packed, x: &[f32]) -> Vec<f32> {
        self.forward(weights, x, None)
    }

    /// f of each image of `x` `[b, c, h, w]`, and f' into `gradient` of the same shape.
    pub(crate) fn f_and_grad(&mut self, weights: &Packed, x: &[f32], gradient: &mut [f32]) -> Vec<f32> {
        let f = self.forward(weights, x, None);
        self.backward(weights, f.len());
        self.gradient_of_pixels(weights, 0, gradient);
        f
    }

    /// ∇²f(x) v of each image of `x` and `v` `[b, c, h, w]`, into `product` of the same shape; for smooth activations.
    pub(crate) fn hvp(&mut self, weights: &Packed, x: &[f32], v: &[f32], product: &mut [f32]) {
        assert_eq!(x.len(), v.len(), "a tangent per image");
        let images = self.forward(weights, x, Some(v)).len();
        self.backward(weights, images);
        self.gradient_of_pixels(weights, images, product);
    }

    /// From the top down to the first activations: the gradients of f, and with tangents those of ⟨f', v⟩ behind them.
    fn backward(&mut self, weights: &Packed, images: usize) {
        self.top_backward(weights, &vec![1.0; images]);
        for l in (0..self.shape.layers.len()).rev() {
            self.layer_backward(weights, l, images, None);
        }
    }

    /// Wᵀ g of the first layer for the rows of h from `start` on.
    fn gradient_of_pixels(&mut self, weights: &Packed, start: usize, gradient: &mut [f32]) {
        let len = self.shape.first.output_len();
        let Buffers { x, h, row, .. } = &mut self.buffers;
        let rows = h[0][start * len..].chunks_exact(len);
        for (g, out) in rows.zip(gradient.chunks_exact_mut(self.shape.first.pixels())) {
            x.fill(0.0);
            self.kernels.first_gradient(&self.shape.first, g, &weights.first.backward, row, x);
            unpad(&self.shape.first, x, out);
        }
    }

    /// f of each image of `x` `[b, c, h, w]`, and ∇θ Σᵢ cᵢ f(xᵢ) into `gradients`, a place for each layer.
    pub(crate) fn f_and_parameter_grad(
        &mut self,
        weights: &Packed,
        x: &[f32],
        coefficients: &[f32],
        gradients: &mut [Parameters],
    ) -> Vec<f32> {
        let f = self.forward(weights, x, None);
        assert_eq!(f.len(), coefficients.len(), "a coefficient per image");
        let top = self.shape.layers.len();
        assert_eq!(gradients.len(), top + 2, "a place for each layer");
        let mut places = gradients.iter_mut().rev().map(|(weight, bias)| (&mut **weight, &mut **bias));
        let mut place = || places.next().expect("there are as many as layers");
        let mut last = LastGradient::new(self.shape.last_size, self.shape.last_channels, self.shape.first.torus);
        for (h, &by) in self.buffers.h[top].chunks_exact(self.top_len()).zip(coefficients) {
            last.add(h, by);
        }
        last.finish(place());
        self.top_backward(weights, coefficients);
        for l in (0..top).rev() {
            self.layer_backward(weights, l, f.len(), Some(place()));
        }
        let mut first = FirstGradient::new(&self.shape.first);
        let Buffers { x: padded, h, .. } = &mut self.buffers;
        padded.fill(0.0);
        for (x, g) in x.chunks_exact(self.shape.first.pixels()).zip(h[0].chunks_exact(self.shape.first.output_len())) {
            pad(&self.shape.first, x, padded);
            first.add(&self.kernels, &self.shape.first, padded, g);
        }
        first.finish(&self.shape.first, place());
        f
    }

    /// The gradient before the last activation, in place of its output: cᵢ w φ'. With tangents that of ⟨f', v⟩ starts from 0.
    fn top_backward(&mut self, weights: &Packed, coefficients: &[f32]) {
        let (len, top, images) = (self.top_len(), self.shape.layers.len(), coefficients.len());
        let slope = self.slope();
        let Shape { last_size, last_channels, .. } = self.shape;
        for (h, &by) in self.buffers.h[top].chunks_exact_mut(len).zip(coefficients) {
            self.kernels.last_gradient(last_size, last_channels, by, &weights.last_weight, slope, h);
        }
        if self.buffers.tangents {
            self.buffers.h[top][images * len..2 * images * len].fill(0.0);
        }
        self.bend(top, images);
    }

    /// Take the gradients at the outputs of the activations `l` to their inputs, where the kernels have not done so.
    fn bend(&mut self, l: usize, images: usize) {
        let Phi::Smooth(_) = self.phi else { return };
        let inner = self.inner(l);
        let Buffers { h, first, second, tangents, .. } = &mut self.buffers;
        let (g, g_dot) = h[l].split_at_mut(images * inner.len());
        let slopes = first[l].chunks_exact(inner.len()).zip(g.chunks_exact_mut(inner.len()));
        if !*tangents {
            return slopes.for_each(|(slope, g)| self.kernels.times(&inner, slope, g));
        }
        let bent = second[l].chunks_exact(inner.len()).zip(g_dot.chunks_exact_mut(inner.len()));
        for ((slope, g), (bent, g_dot)) in slopes.zip(bent) {
            self.kernels.bend(&inner, slope, bent, g, g_dot);
        }
    }

    /// The slope that the convolutions' kernels apply.
    fn slope(&self) -> f32 {
        match self.phi {
            Phi::Leaky(slope) => slope,
            Phi::Smooth(_) => 1.0,
        }
    }

    /// The activations `l`: 0 above the first convolution.
    fn inner(&self, l: usize) -> Inner {
        match self.shape.layers.get(l) {
            Some(g) => Inner { size: g.size, channels: g.channels },
            None => Inner { size: self.shape.last_size, channels: self.shape.last_channels },
        }
    }

    fn top_len(&self) -> usize {
        self.inner(self.shape.layers.len()).len()
    }

    /// f of each image, its activations kept, and the tangents of a motion `v` of the pixels behind them.
    fn forward(&mut self, weights: &Packed, x: &[f32], v: Option<&[f32]>) -> Vec<f32> {
        let pixels = self.shape.first.pixels();
        let images = x.len() / pixels;
        self.make_room(images, v.is_some());
        let (slope, len) = (self.slope(), self.shape.first.output_len());
        let (inner, phi) = (self.inner(0), self.phi);
        let Buffers { x: padded, h, row, zero, first, second, tangents, .. } = &mut self.buffers;
        padded.fill(0.0);
        let bias: &[f32] = match phi {
            Phi::Leaky(_) => &weights.first.bias,
            Phi::Smooth(_) => zero,
        };
        let rows = x.chunks_exact(pixels).chain(v.unwrap_or_default().chunks_exact(pixels));
        for (i, (x, h)) in rows.zip(h[0].chunks_exact_mut(len)).enumerate() {
            pad(&self.shape.first, x, padded);
            self.kernels.first(&self.shape.first, padded, (&weights.first.forward, bias), slope, row, h);
            if let Phi::Smooth(curve) = phi {
                let second = if *tangents { Some(&mut *second[0]) } else { None };
                activate(&self.kernels, curve, &inner, &weights.first.bias, (i, images), h, &mut first[0], second);
            }
        }
        self.close_up(0, images);
        for l in 0..self.shape.layers.len() {
            self.layer_forward(weights, l, images);
            self.close_up(l + 1, images);
        }
        let len = self.top_len();
        let top = self.buffers.h[self.shape.layers.len()][..images * len].chunks_exact(len);
        let Shape { last_size, last_channels, .. } = self.shape;
        top.map(|h| weights.last_bias + self.kernels.last(last_size, last_channels, h, &weights.last_weight)).collect()
    }

    /// On a torus, take to the padding of the activations `l` what lies at the opposite border.
    fn close_up(&mut self, l: usize, images: usize) {
        let (inner, rows) = (self.inner(l), self.rows(images));
        if self.shape.first.torus {
            let images = self.buffers.h[l].chunks_exact_mut(inner.len()).take(rows);
            images.for_each(|image| wrap(inner.size, inner.channels, image));
        }
    }

    /// Rows of h for so many images: with tangents twice as many.
    fn rows(&self, images: usize) -> usize {
        if self.buffers.tangents { 2 * images } else { images }
    }

    /// Images whose tiles go through a layer's products together.
    fn images_at_once(g: &Geometry, images: usize) -> usize {
        TILES.div_ceil(g.tiles()).min(images)
    }

    fn layer_forward(&mut self, weights: &Packed, l: usize, images: usize) {
        let (slope, rows, inner) = (self.slope(), self.rows(images), self.inner(l + 1));
        let (g, packed, kernels) = (&self.shape.layers[l], &weights.layers[l], &self.kernels);
        let Buffers { h, v, m, zero, u, first, second, tangents, .. } = &mut self.buffers;
        let (below, above) = h.split_at_mut(l + 1);
        let at_once = Self::images_at_once(g, rows);
        let inputs = below[l][..rows * g.input_len()].chunks(at_once * g.input_len());
        for (part, (x, h)) in inputs.zip(above[0].chunks_mut(at_once * g.output_len())).enumerate() {
            let count = x.len() / g.input_len();
            kernels.input(g, count, x, v);
            products(kernels, g, count, (g.depth(), g.outputs), v, (&packed.forward, u), m);
            match self.phi {
                Phi::Leaky(_) => kernels.output(g, count, m, &packed.bias, slope, h),
                Phi::Smooth(curve) => {
                    kernels.output(g, count, m, zero, slope, h);
                    for (i, h) in h.chunks_exact_mut(g.output_len()).take(count).enumerate() {
                        let second = if *tangents { Some(&mut *second[l + 1]) } else { None };
                        let at = (part * at_once + i, images);
                        activate(kernels, curve, &inner, &packed.bias, at, h, &mut first[l + 1], second);
                    }
                }
            }
        }
    }

    /// The gradient at the layer's outputs becomes, in place of its inputs, the gradient before their activation. Into `gradient` goes
    /// the one in the weights.
    fn layer_backward(&mut self, weights: &Packed, l: usize, images: usize, gradient: Option<Parameters>) {
        let (slope, rows) = (self.slope(), self.rows(images));
        let (g, packed, kernels) = (&self.shape.layers[l], &weights.layers[l], &self.kernels);
        let Buffers { h, v, m, zero, u, sums, .. } = &mut self.buffers;
        let (below, above) = h.split_at_mut(l + 1);
        let at_once = Self::images_at_once(g, rows);
        let inputs = below[l][..rows * g.input_len()].chunks_mut(at_once * g.input_len());
        if gradient.is_some() {
            sums.begin(&g.of_sums());
        }
        for (h, g_out) in inputs.zip(above[0].chunks(at_once * g.output_len())) {
            let count = h.len() / g.input_len();
            if gradient.is_some() {
                add_images(sums, kernels, &g.of_sums(), (h, g_out), (v, m));
            }
            // Where the sums have the same tile, v holds it.
            if gradient.is_none() || !g.kept {
                kernels.output_gradient(g, count, g_out, v);
            }
            products(kernels, g, count, (g.outputs, g.depth()), v, (&packed.backward, u), m);
            kernels.input_gradient(g, count, m, zero, slope, h);
        }
        if let Some(gradient) = gradient {
            sums.finish(&g.of_sums(), gradient);
        }
        self.bend(l, images);
    }

    fn make_room(&mut self, images: usize, tangents: bool) {
        let Buffers { images: most, roomy, .. } = self.buffers;
        self.buffers.tangents = tangents;
        if images <= most && (roomy || !tangents) {
            return;
        }
        let (images, roomy) = (images.max(most), tangents || roomy);
        let lens: Vec<usize> = (0..=self.shape.layers.len()).map(|l| self.inner(l).len()).collect();
        let b = &mut self.buffers;
        *b = Buffers { images, roomy, tangents, ..Buffers::default() };
        b.x.resize(self.shape.first.input_len(), 0.0);
        let room = |rows: usize| lens.iter().map(|len| Lines::zeros(rows * len)).collect();
        let smooth = matches!(self.phi, Phi::Smooth(_));
        let rows = if roomy { 2 * images } else { images };
        b.h = room(rows);
        b.first = if smooth { room(images) } else { Vec::new() };
        b.second = if roomy { room(images) } else { Vec::new() };
        let width = |g: &Geometry| g.depth().max(g.outputs);
        let points = |g: &Geometry| g.points() * plane(g, Self::images_at_once(g, rows), width(g));
        let most = self.shape.layers.iter().map(|g| points(g).max(points(&g.of_sums()))).max();
        let widest = self.shape.layers.iter().map(width).max();
        b.v.resize(most.unwrap_or(0));
        b.m.resize(most.unwrap_or(0));
        let features = self.shape.first.features.next_multiple_of(PANEL);
        b.row.resize(self.shape.first.size[1] * features.max(self.shape.first.taps().next_multiple_of(PANEL)));
        b.zero.resize(widest.unwrap_or(0).max(features));
    }
}

/// Add what the images `h` and the gradient at their outputs give to the sums on `g`; v holds the last of them then.
fn add_images(
    sums: &mut LayerGradient,
    kernels: &Kernels,
    g: &Geometry,
    (h, gradient): (&[f32], &[f32]),
    (v, m): (&mut Lines, &mut Lines),
) {
    let at_once = CpuNet::images_at_once(g, h.len() / g.input_len());
    for (h, gradient) in h.chunks(at_once * g.input_len()).zip(gradient.chunks(at_once * g.output_len())) {
        let count = h.len() / g.input_len();
        kernels.output_gradient(g, count, gradient, v);
        kernels.input(g, count, h, m);
        sums.add(kernels, g, count, m, v);
    }
}
