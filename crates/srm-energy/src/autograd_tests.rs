//! Hold the adapter to the ConvNet, to a module, and to clear words where it is used wrongly.

use crate::tests::{normal_like, plain, uniform};
use crate::{
    Autograd, ConvNet, Curved, Energy, EnergyError, Replicate, Trainable, check, fresh_weights, load_weights,
    load_weights_into, read_state_dict, save_weights,
};
use serde_json::json;
use srm_config::{Activation, EnergyConfig};
use std::path::Path;
use tch::nn::{self, Module as _};
use tch::{Device, Kind, Tensor};

fn config(activation: Activation) -> EnergyConfig {
    EnergyConfig::new(32, 3, 4, activation)
}

/// The ConvNet as somebody would write it who has tch alone.
fn adapted(net: &ConvNet) -> Autograd {
    let config = net.config().clone();
    Autograd::new(net.named_parameters(), move |w, x| {
        let last = 2 * crate::layer_shapes(&config).len();
        let named = |i| [format!("f.{i}.weight"), format!("f.{i}.bias")].map(|name| w[&*name].shallow_clone());
        plain(&config, &(0..last).step_by(2).flat_map(named).collect::<Vec<_>>(), x)
    })
    .unwrap()
}

fn images(b: i64) -> Tensor {
    uniform([b, 3, 32, 32])
}

fn points(b: i64) -> Tensor {
    normal_like(&Tensor::zeros([b, 2], (Kind::Double, Device::Cpu)))
}

fn apart(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.size(), b.size());
    (a - b).abs().max().double_value(&[]) / b.abs().max().double_value(&[]).max(1e-30)
}

/// An MLP on the plane.
fn mlp() -> Autograd {
    let weights = fresh_weights(1, &[("hidden", &[16, 2]), ("out", &[1, 16])]).unwrap();
    let weights = weights.into_iter().map(|(name, weight)| (name, weight.to_kind(Kind::Double))).collect();
    Autograd::new(weights, |w, x| {
        let h = x.linear(&w["hidden.weight"], Some(&w["hidden.bias"])).silu();
        h.linear(&w["out.weight"], Some(&w["out.bias"]))
    })
    .unwrap()
}

#[test]
fn the_adapter_is_the_convnet_to_1e_5() {
    for activation in [Activation::LeakyRelu(0.2), Activation::Silu, Activation::Gelu, Activation::Softplus] {
        let net = ConvNet::new(&config(activation), 5, Device::Cpu).unwrap();
        let (x, v) = (images(3), images(3).flip([2]));
        let adapted = adapted(&net);
        let ((f, slope), (expected_f, expected)) = (adapted.f_and_grad(&x).unwrap(), net.f_and_grad(&x).unwrap());
        assert!(apart(&f, &expected_f) < 1e-5 && apart(&slope, &expected) < 1e-5, "{activation:?}");
        assert!(apart(&adapted.f(&x).unwrap(), &expected_f) < 1e-5);
        let (product, expected) = (adapted.hvp(&x, &v).unwrap(), net.hvp(&x, &v).unwrap());
        assert!((&product - &expected).abs().max().double_value(&[]) <= 1e-5, "{activation:?}");
        let c = Tensor::from_slice(&[0.5f32, -1.0, 0.25]);
        let (_, ours) = adapted.f_and_parameter_grad(&x, &c).unwrap();
        let (_, expected) = net.f_and_parameter_grad(&x, &c).unwrap();
        for (ours, expected) in ours.iter().zip(&expected) {
            assert!((ours - expected).abs().max().double_value(&[]) <= 1e-5, "{activation:?}");
        }
    }
}

#[test]
fn the_adapter_makes_the_golden_steps() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/golden_32_trained.safetensors");
    let tensors = read_state_dict(&path, "f.0.weight").unwrap();
    let net = ConvNet::from_tensors(&config(Activation::LeakyRelu(0.2)), &tensors, Device::Cpu).unwrap();
    let recorded = |name: &str| tensors.iter().find(|(own, _)| own == name).unwrap().1.shallow_clone();
    for k in [0, 10, 39] {
        let x = recorded(&format!("x.{k}"));
        let (f, slope) = adapted(&net).f_and_grad(&x).unwrap();
        let next = &x + slope + recorded(&format!("noise.{k}")) * 0.01;
        assert!((next - recorded(&format!("next.{k}"))).abs().max().double_value(&[]) <= 1e-5);
        assert!(apart(&f, &recorded(&format!("value.{k}"))) <= 1e-5);
    }
}

#[test]
fn nets_of_a_function_and_of_a_module_keep_the_contract() {
    let net = mlp();
    check::contract(&net, &points(4)).unwrap();
    check::training(&net, &points(4)).unwrap();

    let mut vs = nn::VarStore::new(Device::Cpu);
    let root = vs.root();
    let seq = nn::seq()
        .add(nn::linear(&root / "hidden", 2, 16, Default::default()))
        .add_fn(Tensor::silu)
        .add(nn::linear(&root / "out", 16, 1, Default::default()));
    vs.double();
    let expected = seq.forward(&points(4)).detach();
    let module = Autograd::of_module(vs, seq).unwrap();
    let names: Vec<String> = module.named_parameters().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["hidden.bias", "hidden.weight", "out.bias", "out.weight"]);
    assert_eq!(module.f(&points(4)).unwrap(), expected.reshape([4]));
    check::contract(&module, &points(4)).unwrap();
    check::training(&module, &points(4)).unwrap();
    // a copy and its origin take turns at one module
    let fork = module.fork().unwrap();
    let _ = tch::no_grad(|| fork.named_parameters()[3].1.shallow_clone().g_mul_scalar_(2.0));
    assert_ne!(fork.f(&points(4)).unwrap(), module.f(&points(4)).unwrap());
    assert_eq!(module.f(&points(4)).unwrap(), expected.reshape([4]));
}

#[test]
fn a_piecewise_linear_net_needs_no_second_derivative() {
    let weights = fresh_weights(2, &[("a", &[8, 2]), ("b", &[1, 8])]).unwrap();
    let net = Autograd::new(weights, |w, x| {
        x.linear(&w["a.weight"], Some(&w["a.bias"])).relu().linear(&w["b.weight"], Some(&w["b.bias"]))
    });
    let (net, x) = (net.unwrap(), points(3).to_kind(Kind::Float));
    // libtorch finds the same zero by double backward
    assert!(net.has_curvature());
    assert_eq!(net.hvp(&x, &x).unwrap(), x.zeros_like());
    let net = net.piecewise_linear();
    assert!(!net.has_curvature() && !net.replica().has_curvature() && !net.fork().unwrap().has_curvature());
    assert_eq!(net.hvp(&x, &x).unwrap(), x.zeros_like());
}

#[test]
fn wrong_use_is_named() {
    let weights = || fresh_weights(1, &[("w", &[3, 2])]).unwrap();
    let x = points(4).to_kind(Kind::Float);
    let wide = Autograd::new(weights(), |w, x| x.linear(&w["w.weight"], None::<&Tensor>)).unwrap();
    let message = wide.f(&x).unwrap_err().to_string();
    assert!(message.contains("[4, 3]") && message.contains("[4] or [4, 1]"), "{message}");
    let detached = Autograd::new(weights(), |w, x| {
        x.detach().linear(&w["w.weight"], None::<&Tensor>).sum_dim_intlist([1i64].as_slice(), false, Kind::Float)
    })
    .unwrap();
    assert!(matches!(detached.f_and_grad(&x), Err(EnergyError::NoGradient { of: "x" })));
    assert!(detached.f_and_parameter_grad(&x, &Tensor::ones([4], (Kind::Float, Device::Cpu))).is_ok());
    let weightless = Autograd::new(weights(), |_, x| x.square().sum_dim_intlist([1i64].as_slice(), false, Kind::Float));
    let ones = Tensor::ones([4], (Kind::Float, Device::Cpu));
    let error = weightless.unwrap().f_and_parameter_grad(&x, &ones).unwrap_err().to_string();
    assert!(error.contains("its weights"), "{error}");
    assert!(matches!(mlp().hvp(&points(3), &points(2)), Err(EnergyError::Shape { .. })));
}

/// An energy with one fault.
struct Faulty(&'static str);

impl Energy for Faulty {
    fn f_and_grad(&self, x: &Tensor) -> crate::Result<(Tensor, Tensor)> {
        let (mut f, mut slope) = (x.square().sum_dim_intlist([1i64].as_slice(), false, Kind::Double) * -0.5, -x);
        match self.0 {
            "rows" => f = &f - f.mean(Kind::Double),
            "slope" => slope = &slope * 1.1,
            "shape" => f = f.unsqueeze(1),
            _ => {}
        }
        Ok((f, slope))
    }
}

impl Curved for Faulty {
    fn hvp(&self, _x: &Tensor, v: &Tensor) -> crate::Result<Tensor> {
        let swap = Tensor::from_slice(&[0.0, 1.0, 0.0, -1.0]).reshape([2, 2]);
        Ok(if self.0 == "symmetry" { v.matmul(&swap) } else { -v })
    }
}

impl Replicate for Faulty {
    fn replica(&self) -> Self {
        Self(if self.0 == "replica" { "slope" } else { self.0 })
    }
}

#[test]
fn the_check_names_the_rule_that_is_broken() {
    check::contract(&Faulty(""), &points(4)).unwrap();
    for (fault, word) in [
        ("rows", "row j of the batch does not affect f of row i"),
        ("slope", "f' is the derivative of f"),
        ("shape", "f(x) has shape [4, 1], expected [4]"),
        ("symmetry", "is symmetric"),
        ("replica", "a replica on another thread gives the same f'"),
    ] {
        let message = check::contract(&Faulty(fault), &points(4)).unwrap_err().to_string();
        assert!(message.contains(word), "{fault}: {message}");
    }
    let one = check::contract(&Faulty(""), &points(1)).unwrap_err().to_string();
    assert!(one.contains("two or more samples"), "{one}");
}

#[test]
fn weights_of_an_own_net_are_saved_with_what_it_is_and_loaded_into_a_net_like_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("own.safetensors");
    let f32_net = |seed| {
        let weights = fresh_weights(seed, &[("hidden", &[8, 2]), ("out", &[1, 8])]).unwrap();
        Autograd::new(weights, |w, x| {
            let h = x.linear(&w["hidden.weight"], Some(&w["hidden.bias"])).tanh();
            h.linear(&w["out.weight"], Some(&w["out.bias"]))
        })
        .unwrap()
        .described(json!({ "name": "mlp", "hidden": 8 }))
    };
    let (one, other) = (f32_net(1), f32_net(2));
    save_weights(&path, &one, None).unwrap();
    let x = points(3).to_kind(Kind::Float);
    assert_ne!(one.f(&x).unwrap(), other.f(&x).unwrap());
    let description = load_weights_into(&path, &other).unwrap();
    assert_eq!((description.net, description.langevin), (json!({ "name": "mlp", "hidden": 8 }), None));
    assert_eq!(one.f(&x).unwrap(), other.f(&x).unwrap());

    let error = load_weights(&path, Device::Cpu).map(drop).unwrap_err().to_string();
    assert!(error.contains("own.safetensors") && error.contains(r#""name":"mlp""#), "{error}");
    let wider = Autograd::new(fresh_weights(1, &[("hidden", &[9, 2])]).unwrap(), |_, x| x.shallow_clone()).unwrap();
    let error = load_weights_into(&path, &wider).unwrap_err().to_string();
    assert!(
        error.contains("own.safetensors") && error.contains("hidden.weight") && error.contains("[9, 2]"),
        "{error}"
    );
    assert!(matches!(fresh_weights(1, &[("a", &[])]), Err(EnergyError::Shape { .. })));
    let stranger = Autograd::new(fresh_weights(1, &[("deep", &[9, 2])]).unwrap(), |_, x| x.shallow_clone()).unwrap();
    let error = load_weights_into(&path, &stranger).unwrap_err().to_string();
    assert!(error.contains("deep.weight") && error.contains("hidden.bias"), "{error}");
}

/// A net whose description is an object with names of its own.
struct Described(Autograd);

impl Energy for Described {
    fn f_and_grad(&self, x: &Tensor) -> crate::Result<(Tensor, Tensor)> {
        self.0.f_and_grad(x)
    }
}

impl Replicate for Described {
    fn replica(&self) -> Self {
        Self(self.0.replica())
    }
}

impl Trainable for Described {
    fn f_and_parameter_grad(&self, x: &Tensor, coefficients: &Tensor) -> crate::Result<(Tensor, Vec<Tensor>)> {
        self.0.f_and_parameter_grad(x, coefficients)
    }

    fn named_parameters(&self) -> crate::StateDict {
        self.0.named_parameters()
    }

    fn fork(&self) -> crate::Result<Self> {
        Ok(Self(self.0.fork()?))
    }

    fn describe(&self) -> serde_json::Value {
        json!({ "hidden": 16, "langevin": "of its own" })
    }
}

#[test]
fn a_description_of_any_form_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("own.safetensors");
    let net = Described(mlp());
    check::training(&net, &points(4)).unwrap();
    save_weights(&path, &net, None).unwrap();
    let found = load_weights_into(&path, &net).unwrap();
    assert_eq!((found.net, found.langevin), (net.describe(), None));
    assert!(matches!(load_weights(&path, Device::Cpu), Err(EnergyError::OwnNet { .. })));
}
