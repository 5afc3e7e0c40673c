//! Make an energy of any net that libtorch can differentiate: f', Hessian-vector product and ∂θ by autograd.

use crate::{Curved, Energy, EnergyError, Replicate, Result, StateDict, Trainable, copies};
use serde_json::{Value as Json, json};
use srm_random::{Key, Purpose, uniform};
use std::{
    fmt,
    ops::Index,
    sync::{Arc, Mutex, PoisonError},
};
use tch::{Device, Tensor, nn};

/// The weights of a net by their names, as the function of an [`Autograd`] gets them: `w["hidden.weight"]`.
pub struct Parameters(StateDict);

impl Parameters {
    /// The weight of this name.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.0.iter().find_map(|(own, tensor)| (own == name).then_some(tensor))
    }
}

impl Index<&str> for Parameters {
    type Output = Tensor;

    /// # Panics
    /// There is no weight of this name.
    fn index(&self, name: &str) -> &Tensor {
        let names = || self.0.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
        self.get(name).unwrap_or_else(|| panic!("the net has no weight `{name}`; it has {}", names()))
    }
}

/// Fresh weights `NAME.weight` and biases `NAME.bias` for layers given by name and shape of the weight, `[out, in, …]`: uniform
/// in ±1/√fan_in, as PyTorch's Linear and Conv2d have them, keyed by (seed, name).
///
/// # Errors
/// [`EnergyError::Shape`] for a weight without axes, [`EnergyError::Torch`] for one that cannot be.
pub fn fresh_weights(seed: u64, layers: &[(&str, &[i64])]) -> Result<StateDict> {
    let mut weights = StateDict::new();
    for (name, shape) in layers {
        let Some(&out) = shape.first() else {
            return Err(EnergyError::Shape { what: "a weight", expected: vec![-1, -1], got: Vec::new() });
        };
        let fan_in: i64 = shape.iter().skip(1).product();
        let bound = 1.0 / (fan_in.max(1) as f32).sqrt();
        for (name, shape) in [(format!("{name}.weight"), shape.to_vec()), (format!("{name}.bias"), vec![out])] {
            let mut values = vec![0.0f32; shape.iter().product::<i64>().max(0) as usize];
            uniform(&Key { id: name_id(&name), ..Key::new(seed, Purpose::Weights) }, -bound, bound, &mut values);
            weights.push((name, Tensor::f_from_slice(&values)?.f_reshape(&shape)?));
        }
    }
    Ok(weights)
}

/// A number for a tensor's name (FNV-1a, 64 bits).
fn name_id(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// A net of your own as an energy.
///
/// ```
/// use srm_energy::{Autograd, Energy, check, fresh_weights};
/// use tch::{Device, Kind, Tensor};
///
/// // f: the plane → ℝ, one hidden layer
/// let weights = fresh_weights(1, &[("hidden", &[16, 2]), ("out", &[1, 16])])?;
/// let net = Autograd::new(weights, |w, x| {
///     let h = x.linear(&w["hidden.weight"], Some(&w["hidden.bias"])).silu();
///     h.linear(&w["out.weight"], Some(&w["out.bias"]))
/// })?;
/// let x = Tensor::randn([5, 2], (Kind::Float, Device::Cpu));
/// assert_eq!(net.f(&x)?.size(), [5]);
/// check::contract(&net, &x)?;
/// # Ok::<(), srm_energy::EnergyError>(())
/// ```
pub struct Autograd {
    weights: StateDict,
    net: Net,
    curved: bool,
    description: Json,
}

type Function = dyn Fn(&Parameters, &Tensor) -> Tensor + Send + Sync;

/// What computes f.
#[derive(Clone)]
enum Net {
    Function(Arc<Function>),
    Module(Arc<Mutex<Module>>),
}

/// A module and the variables it reads, in the order of the weights.
struct Module {
    variables: Vec<Tensor>,
    module: Box<dyn nn::Module>,
}

impl Autograd {
    /// The net that `f` computes from its weights and a batch. Each replica and copy calls `f` with weights of its own.
    ///
    /// # Shapes
    /// `f(weights, x)`: `[b]` or `[b, 1, …]` for x `[b, …]`.
    ///
    /// # Errors
    /// [`EnergyError::Torch`].
    pub fn new(weights: StateDict, f: impl Fn(&Parameters, &Tensor) -> Tensor + Send + Sync + 'static) -> Result<Self> {
        Self::with(weights, Net::Function(Arc::new(f)))
    }

    /// The net of a module whose trainable variables are in `vs`. All replicas share the module and take turns at it, so on the
    /// CPU [`Autograd::new`] is the faster way for several threads.
    ///
    /// # Errors
    /// [`EnergyError::Torch`].
    pub fn of_module(vs: nn::VarStore, module: impl nn::Module + 'static) -> Result<Self> {
        let mut named: StateDict =
            vs.variables().into_iter().filter(|(_, variable)| variable.requires_grad()).collect();
        named.sort_by(|(one, _), (other, _)| one.cmp(other));
        let variables = named.iter().map(|(_, variable)| variable.shallow_clone()).collect();
        Self::with(named, Net::Module(Arc::new(Mutex::new(Module { variables, module: Box::new(module) }))))
    }

    fn with(weights: StateDict, net: Net) -> Result<Self> {
        // a copy: the weights change in place
        Ok(Self { weights: copies(&weights)?, net, curved: true, description: Json::Null })
    }

    /// The same net with ∇²f taken for zero, as it is almost everywhere for a net of linear layers and ReLU or LeakyReLU: the
    /// adjoint of a chain then costs nothing.
    pub fn piecewise_linear(self) -> Self {
        Self { curved: false, ..self }
    }

    /// The same net with words or settings that say what it is; weights files carry them.
    pub fn described(self, description: impl Into<Json>) -> Self {
        Self { description: description.into(), ..self }
    }

    /// Call `compute` with f(x) `[b]` and the weights that it came from, which autograd has followed where `tracked`.
    fn forward<T>(
        &self,
        x: &Tensor,
        tracked: bool,
        compute: impl FnOnce(&Tensor, &[Tensor]) -> Result<T>,
    ) -> Result<T> {
        match &self.net {
            Net::Function(f) => {
                let fresh = |(name, weight): &(String, Tensor)| {
                    Ok((name.clone(), weight.f_detach()?.f_set_requires_grad(tracked)?))
                };
                let weights = Parameters(self.weights.iter().map(fresh).collect::<Result<_>>()?);
                let f = batch_of(f(&weights, x), x)?;
                compute(&f, &weights.0.into_iter().map(|(_, weight)| weight).collect::<Vec<_>>())
            }
            Net::Module(module) => {
                // until the derivatives are there: another net's weights would get into this one's graph
                let mut module = module.lock().unwrap_or_else(PoisonError::into_inner);
                for (variable, (_, weight)) in module.variables.iter_mut().zip(&self.weights) {
                    tch::no_grad(|| variable.f_set_data(weight))?;
                    let _ = variable.f_requires_grad_(tracked)?;
                }
                let f = batch_of(module.module.forward(x), x)?;
                compute(&f, &module.variables)
            }
        }
    }
}

/// The output of a net as f `[b]`.
fn batch_of(output: Tensor, x: &Tensor) -> Result<Tensor> {
    let b = x.size().first().copied().unwrap_or(0);
    let got = output.size();
    match got.first() == Some(&b) && got.iter().skip(1).all(|&axis| axis == 1) {
        true => Ok(output.f_reshape([b])?),
        false => Err(EnergyError::OutputShape { b, got }),
    }
}

/// The derivative of `y`, a number, in `leaves`; that of a leaf on which y does not depend is `None`.
fn derivative(y: &Tensor, leaves: &[Tensor], twice: bool) -> Result<Vec<Option<Tensor>>> {
    if !y.requires_grad() {
        return Ok(leaves.iter().map(|_| None).collect());
    }
    let found = Tensor::f_run_backward(&[y], leaves, twice, twice)?;
    Ok(found.into_iter().map(|tensor| tensor.defined().then_some(tensor)).collect())
}

/// x for autograd to follow.
fn followed(x: &Tensor) -> Result<Tensor> {
    Ok(x.f_detach()?.f_set_requires_grad(true)?)
}

impl Energy for Autograd {
    fn f(&self, x: &Tensor) -> Result<Tensor> {
        tch::no_grad(|| self.forward(&x.f_detach()?, false, |f, _| Ok(f.f_detach()?)))
    }

    fn f_and_grad(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        tch::with_grad(|| {
            let x = followed(x)?;
            self.forward(&x, false, |f, _| {
                let gradient = derivative(&f.f_sum(f.kind())?, std::slice::from_ref(&x), false)?.remove(0);
                Ok((f.f_detach()?, gradient.ok_or(EnergyError::NoGradient { of: "x" })?))
            })
        })
    }
}

impl Curved for Autograd {
    fn hvp(&self, x: &Tensor, v: &Tensor) -> Result<Tensor> {
        if v.size() != x.size() {
            return Err(EnergyError::Shape { what: "v", expected: x.size(), got: v.size() });
        }
        if !self.curved {
            return Ok(v.f_zeros_like()?);
        }
        tch::with_grad(|| {
            let x = followed(x)?;
            let leaf = std::slice::from_ref(&x);
            self.forward(&x, false, |f, _| {
                let gradient = derivative(&f.f_sum(f.kind())?, leaf, true)?.remove(0);
                let gradient = gradient.ok_or(EnergyError::NoGradient { of: "x" })?;
                let along = gradient.f_mul(v)?.f_sum(v.kind())?;
                derivative(&along, leaf, false)?.remove(0).map_or_else(|| Ok(v.f_zeros_like()?), Ok)
            })
        })
    }

    fn has_curvature(&self) -> bool {
        self.curved
    }
}

impl Replicate for Autograd {
    fn replica(&self) -> Self {
        let weights = self.weights.iter().map(|(name, weight)| (name.clone(), weight.detach())).collect();
        Self { weights, net: self.net.clone(), curved: self.curved, description: self.description.clone() }
    }

    fn device(&self) -> Device {
        self.weights.first().map_or(Device::Cpu, |(_, weight)| weight.device())
    }
}

impl Trainable for Autograd {
    fn f_and_parameter_grad(&self, x: &Tensor, coefficients: &Tensor) -> Result<(Tensor, Vec<Tensor>)> {
        tch::with_grad(|| {
            self.forward(&x.f_detach()?, true, |f, weights| {
                let found = derivative(&f.f_dot(coefficients)?, weights, false)?;
                if found.iter().all(Option::is_none) {
                    return Err(EnergyError::NoGradient { of: "its weights" });
                }
                let or_zero = |(gradient, weight): (Option<Tensor>, &Tensor)| match gradient {
                    Some(gradient) => Ok(gradient),
                    None => Ok(weight.f_detach()?.f_zeros_like()?),
                };
                Ok((f.f_detach()?, found.into_iter().zip(weights).map(or_zero).collect::<Result<_>>()?))
            })
        })
    }

    fn named_parameters(&self) -> StateDict {
        self.weights.iter().map(|(name, weight)| (name.clone(), weight.shallow_clone())).collect()
    }

    fn fork(&self) -> Result<Self> {
        let copy = Self::with(self.named_parameters(), self.net.clone())?;
        Ok(Self { curved: self.curved, description: self.description.clone(), ..copy })
    }

    fn describe(&self) -> Json {
        json!({ "net": self.description })
    }
}

impl fmt::Debug for Autograd {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: usize = self.weights.iter().map(|(_, weight)| weight.numel()).sum();
        write!(out, "Autograd({} weights, {numbers} numbers, {})", self.weights.len(), self.description)
    }
}
