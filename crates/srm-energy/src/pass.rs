//! Go forward and backward through the net's layers with libtorch: the plain path.

use crate::Result;
use crate::activation::{apply, times_first};
use crate::cuda::bias_leaky_relu;
use srm_config::{Activation, EnergyConfig};
use tch::Tensor;

/// One convolution and what the derivatives need of its geometry.
pub(crate) struct Layer {
    pub(crate) weight: Tensor, // [out, in, k, k]
    pub(crate) bias: Tensor,   // [out]
    pub(crate) stride: i64,
    /// Zeros on each side, or on a torus what lies at the opposite border.
    pub(crate) padding: i64,
    pub(crate) torus: bool,
}

/// Shape `[out, in, k, k]`, stride and padding of each convolution of the net.
pub fn layer_shapes(config: &EnergyConfig) -> Vec<([i64; 4], i64, i64)> {
    let n = config.features as i64;
    let mut shapes = vec![([n, config.channels as i64, 3, 3], 1, 1)];
    let (mut width, mut pixels) = (n, config.size);
    while pixels > 4 {
        let next = (2 * width).min(8 * n);
        shapes.push(([next, width, 4, 4], 2, 1));
        (width, pixels) = (next, pixels / 2);
    }
    shapes.push(([1, width, 4, 4], 1, 0));
    shapes
}

impl Layer {
    fn forward(&self, h: &Tensor) -> Result<Tensor> {
        self.convolve(h, Some(&self.bias))
    }

    /// W v, without bias: the forward pass of a tangent.
    pub(crate) fn tangent(&self, v: &Tensor) -> Result<Tensor> {
        self.convolve(v, None)
    }

    fn convolve(&self, h: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
        let (stride, no_padding) = ([self.stride; 2], [0; 2]);
        if !self.torus {
            return Ok(h.f_conv2d(&self.weight, bias, stride, [self.padding; 2], [1, 1], 1)?);
        }
        let [before, behind] = self.around();
        let around = h.f_pad([before, behind, before, behind], "circular", None)?;
        Ok(around.f_conv2d(&self.weight, bias, stride, no_padding, [1, 1], 1)?)
    }

    /// Wᵀ g.
    pub(crate) fn backward(&self, g: &Tensor) -> Result<Tensor> {
        let (stride, padding) = ([self.stride; 2], [if self.torus { 0 } else { self.padding }; 2]);
        let mut x = g.f_conv_transpose2d(&self.weight, None::<&Tensor>, stride, padding, [0, 0], 1, [1, 1])?;
        for axis in if self.torus { 2..4 } else { 0..0 } {
            let [before, behind] = self.around();
            let side = x.size()[axis as usize] - before - behind;
            let inner = x.f_narrow(axis, before, side)?;
            let _ = inner.f_narrow(axis, side - before, before)?.f_add_(&x.f_narrow(axis, 0, before)?)?;
            let _ = inner.f_narrow(axis, 0, behind)?.f_add_(&x.f_narrow(axis, before + side, behind)?)?;
            x = inner;
        }
        Ok(x)
    }

    /// On a torus, pixels of the opposite border that the kernel reads before the first and behind the last.
    fn around(&self) -> [i64; 2] {
        match self.padding {
            0 => [0, self.weight.size()[3] - 1],
            padding => [padding; 2],
        }
    }
}

/// One evaluation of the net on given layers.
pub(crate) struct Pass<'a> {
    pub(crate) layers: &'a [Layer],
    pub(crate) activation: Activation,
    /// Whether bias and activation are one pass of a GPU; what stands for a_l is then h_l, whose signs are the same.
    pub(crate) fused: bool,
}

impl<'a> Pass<'a> {
    pub(crate) fn hidden(&self) -> &'a [Layer] {
        &self.layers[..self.layers.len() - 1]
    }

    fn last(&self) -> &'a Layer {
        &self.layers[self.layers.len() - 1]
    }

    /// h_l of what [`Pass::forward`] gives as a_l.
    pub(crate) fn activated(&self, a: &Tensor) -> Result<Tensor> {
        if self.fused { Ok(a.shallow_clone()) } else { apply(self.activation, a) }
    }

    /// f(x) `[b]` and the inputs a_l of the activations.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<(Tensor, Vec<Tensor>)> {
        let mut inputs = Vec::with_capacity(self.layers.len());
        let mut h = x.shallow_clone();
        for layer in self.hidden() {
            let a = match (self.fused, self.activation) {
                (true, Activation::LeakyRelu(slope)) => bias_leaky_relu(&layer.tangent(&h)?, &layer.bias, slope)?,
                (true, Activation::Relu) => bias_leaky_relu(&layer.tangent(&h)?, &layer.bias, 0.0)?,
                _ => layer.forward(&h)?,
            };
            h = self.activated(&a)?;
            inputs.push(a);
        }
        let places = self.last().forward(&h)?;
        let f = match places.size()[2..] {
            [1, 1] => places.f_reshape([x.size()[0]])?,
            _ => places.f_sum_dim_intlist([1i64, 2, 3].as_slice(), false, None)?,
        };
        Ok((f, inputs))
    }

    /// f(x) and f'(x).
    pub(crate) fn f_and_grad(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        let (f, inputs) = self.forward(x)?;
        let mut g = self.top_gradient(inputs.last().expect("a net has hidden layers"))?;
        for (layer, a) in self.hidden().iter().zip(&inputs).rev() {
            g = layer.backward(&times_first(self.activation, &g, a)?)?;
        }
        Ok((f, g))
    }

    /// g_L for maps like `a` `[b, 8n, h, w]`: w on one of 4×4 pixels, on a larger one the sum of w at all its places.
    pub(crate) fn top_gradient(&self, a: &Tensor) -> Result<Tensor> {
        let (last, size) = (self.last(), a.size()); // its weight: [1, 8n, 4, 4]
        if size[2..] == last.weight.size()[2..] && !last.torus {
            return Ok(last.weight.f_expand(size, false)?);
        }
        let beyond = if last.torus { 0 } else { 3 };
        let ones = a.f_new_ones([1, 1, size[2] - beyond, size[3] - beyond], (a.kind(), a.device()))?;
        Ok(last.backward(&ones)?.f_expand(size, false)?)
    }
}
