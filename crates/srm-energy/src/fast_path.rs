//! Take a batch from libtorch to the CPU kernels and back, and notice when the weights change.

#![allow(unsafe_code)] // one view of a tensor as numbers

use crate::cpu::{CpuNet, Packed};
use crate::pass::Layer;
use crate::precision::versions;
use crate::{EnergyError, Result};
use srm_config::EnergyConfig;
use std::cell::RefCell;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use tch::{Device, Kind, Tensor};

/// The kernels of one replica of a net. Replicas share the laid-out weights and nothing else.
pub(crate) struct FastPath {
    net: RefCell<CpuNet>,
    weights: Arc<RwLock<Weights>>,
}

/// A net's weights as the kernels like them.
#[derive(Default)]
struct Weights {
    packed: Packed,
    /// libtorch's counters of changes in place, of every weight and bias, when they were laid out.
    versions: Vec<i64>,
    /// Height and width of the images that they were laid out for.
    size: [usize; 2],
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
        warn_once_if_slow(env!("SRM_OPT_LEVEL"));
        Some(Self { net: RefCell::new(net), weights: Arc::default() })
    }

    /// The path of a replica, whose tensors share storage and counters with those of this net.
    pub(crate) fn replica(&self) -> Self {
        Self { net: RefCell::new(self.net.borrow().fresh()), weights: Arc::clone(&self.weights) }
    }

    /// The path on images whose opposite borders touch.
    pub(crate) fn on_torus(&self) -> Self {
        Self { net: RefCell::new(self.net.borrow().on_torus()), weights: Arc::default() }
    }

    /// Whether `x` is what the kernels read: one image or more. Where somebody asks autograd to follow x, libtorch must do the work.
    pub(crate) fn takes(&self, x: &Tensor) -> bool {
        let plain = x.kind() == Kind::Float && x.device() == Device::Cpu && !x.requires_grad() && x.size()[0] > 0;
        plain && self.net.borrow().serves(sides(x))
    }

    pub(crate) fn f(&self, layers: &[Layer], x: &Tensor) -> Result<Tensor> {
        let weights = self.weights(layers, x)?;
        Ok(Tensor::f_from_slice(&self.net.borrow_mut().f(&weights.packed, &Floats::of(x)?))?)
    }

    pub(crate) fn f_and_grad(&self, layers: &[Layer], x: &Tensor) -> Result<(Tensor, Tensor)> {
        let weights = self.weights(layers, x)?;
        let x_values = Floats::of(x)?;
        let (f, gradient) =
            filled(&x.size(), |gradient| self.net.borrow_mut().f_and_grad(&weights.packed, &x_values, gradient))?;
        Ok((Tensor::f_from_slice(&f)?, gradient))
    }

    /// ∇²f(x) v, for smooth activations.
    pub(crate) fn hvp(&self, layers: &[Layer], x: &Tensor, v: &Tensor) -> Result<Tensor> {
        let weights = self.weights(layers, x)?;
        let (x_values, v) = (Floats::of(x)?, Floats::of(v)?);
        Ok(filled(&x.size(), |product| self.net.borrow_mut().hvp(&weights.packed, &x_values, &v, product))?.1)
    }

    /// f `[b]` and ∇θ Σᵢ cᵢ f(xᵢ), weight and bias of each layer in turn.
    pub(crate) fn f_and_parameter_grad(
        &self,
        layers: &[Layer],
        x: &Tensor,
        coefficients: &Tensor,
    ) -> Result<(Tensor, Vec<Tensor>)> {
        let weights = self.weights(layers, x)?;
        let (x, coefficients) = (Floats::of(x)?, Floats::of(coefficients)?);
        let parameters = || layers.iter().flat_map(|layer| [&layer.weight, &layer.bias]);
        let lengths: Vec<i64> = parameters().map(|t| t.numel() as i64).collect();
        let (f, flat) = filled(&[lengths.iter().sum()], |mut rest| {
            let mut place = |like: &Tensor| rest.split_off_mut(..like.numel()).expect("flat has them all");
            let mut places: Vec<_> = layers.iter().map(|layer| (place(&layer.weight), place(&layer.bias))).collect();
            self.net.borrow_mut().f_and_parameter_grad(&weights.packed, &x, &coefficients, &mut places)
        })?;
        let parts = flat.f_split_with_sizes(lengths, 0)?;
        let shaped = parts.iter().zip(parameters()).map(|(part, like)| Ok(part.f_view(like.size().as_slice())?));
        Ok((Tensor::f_from_slice(&f)?, shaped.collect::<Result<_>>()?))
    }

    /// The weights for images like x, laid out anew by the first thread that finds one changed or needs them for another size. Whoever
    /// changes weights does so while no thread computes with them, as always with tensors that share storage.
    fn weights(&self, layers: &[Layer], x: &Tensor) -> Result<RwLockReadGuard<'_, Weights>> {
        let (versions, size) = (versions(layers)?, sides(x));
        self.net.borrow_mut().resize(size);
        loop {
            let weights = self.weights.read().unwrap_or_else(PoisonError::into_inner);
            if weights.versions == versions && weights.size == size {
                return Ok(weights);
            }
            drop(weights);
            let mut weights = self.weights.write().unwrap_or_else(PoisonError::into_inner);
            if weights.versions != versions || weights.size != size {
                let layer =
                    |i: usize| Ok::<_, EnergyError>((Floats::of(&layers[i].weight)?, Floats::of(&layers[i].bias)?));
                weights.packed.set(self.net.borrow().shape(), layer)?;
                (weights.versions, weights.size) = (versions.clone(), size);
            }
        }
    }
}

/// Height and width of images `[b, c, h, w]`.
fn sides(x: &Tensor) -> [usize; 2] {
    let size = x.size();
    [size[2], size[3]].map(|side| side as usize)
}

/// Say, once in a process, that the kernels were compiled without optimisation; whether it was said now.
fn warn_once_if_slow(level: &str) -> bool {
    static SAID: AtomicBool = AtomicBool::new(false);
    let now = ["0", "1"].contains(&level) && !SAID.swap(true, Ordering::Relaxed);
    if now {
        tracing::warn!(
            "srm's kernels were compiled at opt-level {level} and are dozens of times slower than they could be; add to Cargo.toml: \
             [profile.dev.package.srm-energy] opt-level = 3, debug-assertions = false, overflow-checks = false"
        );
    }
    now
}

/// The numbers of a tensor in the order of its indices.
struct Floats(Tensor);

impl Floats {
    /// A view of `t`; a copy where its numbers lie in another order.
    fn of(t: &Tensor) -> Result<Self> {
        Ok(Self(t.f_detach()?.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?.f_contiguous()?))
    }
}

impl Deref for Floats {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match self.0.numel() {
            0 => &[], // such a tensor has no address
            // SAFETY: a contiguous f32 tensor in this machine's memory, which it keeps. Whoever changes x or the weights in place does
            // so while no thread computes with them.
            len => unsafe { std::slice::from_raw_parts(self.0.data_ptr().cast(), len) },
        }
    }
}

/// What `fill` returns, and the tensor of this shape whose numbers, zeros at first, it has set.
fn filled<T>(shape: &[i64], fill: impl FnOnce(&mut [f32]) -> T) -> Result<(T, Tensor)> {
    let tensor = Tensor::f_zeros(shape, (Kind::Float, Device::Cpu))?;
    // SAFETY: as above; `takes` has seen images in x, and nobody else has the tensor yet.
    let numbers = unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr().cast(), tensor.numel()) };
    Ok((fill(numbers), tensor))
}

#[cfg(test)]
mod tests {
    #[test]
    fn slow_kernels_are_told_of_once() {
        assert!(!super::warn_once_if_slow("3") && !super::warn_once_if_slow(env!("SRM_OPT_LEVEL")));
        assert!(super::warn_once_if_slow("0") && !super::warn_once_if_slow("0"));
    }
}
