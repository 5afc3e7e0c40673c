//! Take a batch from libtorch to the CPU kernels and back, and notice when the weights change.

use crate::convnet::Layer;
use crate::cpu::CpuNet;
use crate::{EnergyError, Result};
use srm_config::EnergyConfig;
use std::cell::RefCell;
use tch::{Device, Kind, Tensor};

/// A net's weights as the kernels like them. Each replica has its own, so no thread waits for another.
pub(crate) struct FastPath {
    prepared: RefCell<Prepared>,
}

struct Prepared {
    net: CpuNet,
    /// libtorch's counters of changes in place, of every weight and bias, when the weights were laid out.
    versions: Vec<i64>,
}

impl FastPath {
    /// `None` where the kernels do not serve the net, its numbers or its device.
    pub(crate) fn new(config: &EnergyConfig, layers: &[Layer]) -> Option<Self> {
        Self::with(layers, || CpuNet::new(config))
    }

    /// The path on one set of kernels.
    #[cfg(test)]
    pub(crate) fn on(config: &EnergyConfig, layers: &[Layer], kernels: crate::cpu::Kernels) -> Option<Self> {
        Self::with(layers, || CpuNet::with(config, kernels))
    }

    fn with(layers: &[Layer], net: impl FnOnce() -> Option<CpuNet>) -> Option<Self> {
        let fits = |t: &Tensor| t.device() == Device::Cpu && t.kind() == Kind::Float;
        let net = layers.iter().all(|layer| fits(&layer.weight) && fits(&layer.bias)).then(net)??;
        Some(Self { prepared: RefCell::new(Prepared { net, versions: Vec::new() }) })
    }

    /// Whether `x` is what the kernels read. Where somebody asks autograd to follow x, libtorch must do the work.
    pub(crate) fn takes(&self, x: &Tensor) -> bool {
        x.kind() == Kind::Float && x.device() == Device::Cpu && !x.requires_grad()
    }

    pub(crate) fn f(&self, layers: &[Layer], x: &Tensor) -> Result<Tensor> {
        let mut prepared = self.prepared.borrow_mut();
        prepared.follow(layers)?;
        Ok(Tensor::f_from_slice(&prepared.net.f(&floats(x)?))?)
    }

    pub(crate) fn f_and_grad(&self, layers: &[Layer], x: &Tensor) -> Result<(Tensor, Tensor)> {
        let mut prepared = self.prepared.borrow_mut();
        prepared.follow(layers)?;
        let x_values = floats(x)?;
        let mut gradient = vec![0.0; x_values.len()];
        let f = prepared.net.f_and_grad(&x_values, &mut gradient);
        Ok((Tensor::f_from_slice(&f)?, Tensor::f_from_slice(&gradient)?.f_reshape(x.size())?))
    }

    /// f `[b]` and ∇θ Σᵢ cᵢ f(xᵢ), weight and bias of each layer in turn.
    pub(crate) fn f_and_parameter_grad(
        &self,
        layers: &[Layer],
        x: &Tensor,
        coefficients: &Tensor,
    ) -> Result<(Tensor, Vec<Tensor>)> {
        let mut prepared = self.prepared.borrow_mut();
        prepared.follow(layers)?;
        let (f, gradients) = prepared.net.f_and_parameter_grad(&floats(x)?, &floats(coefficients)?);
        let mut tensors = Vec::with_capacity(2 * layers.len());
        for (layer, (weight, bias)) in layers.iter().zip(&gradients) {
            tensors.push(Tensor::f_from_slice(weight)?.f_reshape(layer.weight.size())?);
            tensors.push(Tensor::f_from_slice(bias)?);
        }
        Ok((Tensor::f_from_slice(&f)?, tensors))
    }
}

impl Prepared {
    /// Lay the weights out anew if one of them has changed since the last time.
    fn follow(&mut self, layers: &[Layer]) -> Result<()> {
        let tensors = layers.iter().flat_map(|layer| [&layer.weight, &layer.bias]);
        let versions = tensors.map(|t| Ok(t.f_internal_version()?)).collect::<Result<Vec<i64>>>()?;
        if versions != self.versions {
            let values = layers.iter().map(|layer| Ok((floats(&layer.weight)?, floats(&layer.bias)?)));
            self.net.set_weights(&values.collect::<Result<Vec<_>>>()?);
            self.versions = versions;
        }
        Ok(())
    }
}

/// The numbers of a tensor in the order of its indices.
fn floats(t: &Tensor) -> Result<Vec<f32>> {
    let flat = t.f_detach()?.f_contiguous()?.f_view([-1])?;
    Vec::try_from(flat).map_err(EnergyError::from)
}
