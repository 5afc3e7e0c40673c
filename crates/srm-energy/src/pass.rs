//! Go forward and backward through the net's layers with libtorch: the plain path.

use crate::Result;
use crate::activation::{apply, times_first};
use srm_config::Activation;
use tch::Tensor;

/// One convolution and what the derivatives need of its geometry.
pub(crate) struct Layer {
    pub(crate) weight: Tensor, // [out, in, k, k]
    pub(crate) bias: Tensor,   // [out]
    pub(crate) stride: i64,
    pub(crate) padding: i64,
}

impl Layer {
    fn forward(&self, h: &Tensor) -> Result<Tensor> {
        let (stride, padding) = ([self.stride; 2], [self.padding; 2]);
        Ok(h.f_conv2d(&self.weight, Some(&self.bias), stride, padding, [1, 1], 1)?)
    }

    /// W v, without bias: the forward pass of a tangent.
    pub(crate) fn tangent(&self, v: &Tensor) -> Result<Tensor> {
        let (stride, padding) = ([self.stride; 2], [self.padding; 2]);
        Ok(v.f_conv2d(&self.weight, None::<&Tensor>, stride, padding, [1, 1], 1)?)
    }

    /// Wᵀ g.
    pub(crate) fn backward(&self, g: &Tensor) -> Result<Tensor> {
        let (stride, padding) = ([self.stride; 2], [self.padding; 2]);
        Ok(g.f_conv_transpose2d(&self.weight, None::<&Tensor>, stride, padding, [0, 0], 1, [1, 1])?)
    }
}

/// One evaluation of the net on given layers.
pub(crate) struct Pass<'a> {
    pub(crate) layers: &'a [Layer],
    pub(crate) activation: Activation,
}

impl<'a> Pass<'a> {
    pub(crate) fn hidden(&self) -> &'a [Layer] {
        &self.layers[..self.layers.len() - 1]
    }

    fn last(&self) -> &'a Layer {
        &self.layers[self.layers.len() - 1]
    }

    /// f(x) `[b]` and the inputs a_l of the activations.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<(Tensor, Vec<Tensor>)> {
        let mut inputs = Vec::with_capacity(self.layers.len());
        let mut h = x.shallow_clone();
        for layer in self.hidden() {
            let a = layer.forward(&h)?;
            h = apply(self.activation, &a)?;
            inputs.push(a);
        }
        let f = self.last().forward(&h)?.f_reshape([x.size()[0]])?;
        Ok((f, inputs))
    }

    /// f(x) and f'(x).
    pub(crate) fn f_and_grad(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        let (f, inputs) = self.forward(x)?;
        let mut g = self.top_gradient(x.size()[0])?;
        for (layer, a) in self.hidden().iter().zip(&inputs).rev() {
            g = layer.backward(&times_first(self.activation, &g, a)?)?;
        }
        Ok((f, g))
    }

    /// g_L = w, for each of b images.
    pub(crate) fn top_gradient(&self, b: i64) -> Result<Tensor> {
        let w = &self.last().weight; // [1, 8n, 4, 4]
        let size = w.size();
        Ok(w.f_expand([b, size[1], size[2], size[3]], false)?)
    }
}
