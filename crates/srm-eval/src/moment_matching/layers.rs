//! Gather E[∂f/∂θ] over images, layer by layer; the last layer's is `E[h]`.

use crate::moment_matching::GroupedMean;
use crate::{EvalError, Result};
use srm_energy::Trainable;
use srm_langevin::Workers;
use tch::{Kind, Tensor};

/// Means over images of f, and of its gradient in the weights of each layer.
///
/// Memory: 10 groups of as many f32 as the net has weights, 28 MB for 32 px and n = 16, 110 MB for n = 64.
#[derive(Debug)]
pub struct LayerMoments {
    /// Layers by name (`f.0`, `f.2`, …), weight and bias as one vector. Of the last the weight alone, h: its bias has
    /// the gradient 1, whatever x is.
    pub layers: Vec<(String, GroupedMean)>,
    /// f, `[1]`.
    pub f: GroupedMean,
}

impl LayerMoments {
    /// Means of `planned` images.
    pub fn new(net: &impl Trainable, planned: usize) -> Self {
        let mut names: Vec<String> = net.named_parameters().iter().map(|(name, _)| layer(name).to_owned()).collect();
        names.dedup();
        let layers = names.into_iter().map(|name| (name, GroupedMean::new(planned))).collect();
        Self { layers, f: GroupedMean::new(planned) }
    }

    /// Add samples `[b, …]`, block by block on the workers, which hold the net that [`LayerMoments::new`]
    /// was given.
    ///
    /// # Errors
    /// What the net returns.
    pub fn add<E: Trainable>(&mut self, workers: &Workers<E>, x: &Tensor) -> Result<()> {
        let blocks = workers.parts(x, |net, x| {
            let (f, gradients) =
                net.f_and_parameter_grad(&x, &Tensor::f_ones([x.size()[0]], (x.kind(), x.device()))?)?;
            let names = net.named_parameters().into_iter().map(|(name, _)| name);
            Ok((f, names.zip(gradients).collect::<Vec<_>>()))
        })?;
        for (f, gradients) in blocks {
            let count = f.numel();
            self.f.add(&f.f_sum(Kind::Float)?.f_reshape([1])?, count)?;
            let last = self.layers.len().saturating_sub(1);
            for (i, (name, mean)) in self.layers.iter_mut().enumerate() {
                let parts = gradients.iter().filter(|(parameter, _)| layer(parameter) == name);
                let flat = parts.map(|(_, part)| Ok(part.f_contiguous()?.f_view([-1])?)).collect::<Result<Vec<_>>>()?;
                let used = if i == last { &flat[..flat.len().min(1)] } else { &flat[..] };
                mean.add(&Tensor::f_cat(used, 0)?, count)?;
            }
        }
        Ok(())
    }

    /// `E[h]` of the top layer.
    ///
    /// # Errors
    /// [`EvalError::TooFewImages`] for a net without layers.
    pub fn top(&self) -> Result<&GroupedMean> {
        let none = EvalError::TooFewImages { what: "a net's moments", needed: 1, got: 0 };
        self.layers.last().map(|(_, mean)| mean).ok_or(none)
    }

    /// Both sets of images as one.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let pairs = self.layers.iter().zip(&other.layers);
        let layers = pairs.map(|((name, a), (_, b))| (name.clone(), a.and(b))).collect();
        Self { layers, f: self.f.and(&other.f) }
    }
}

/// `f.0.weight` and `f.0.bias` belong to the layer `f.0`.
fn layer(parameter: &str) -> &str {
    parameter.rsplit_once('.').map_or(parameter, |(layer, _)| layer)
}
