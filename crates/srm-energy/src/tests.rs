//! Check f and its derivatives against finite differences, libtorch's autograd and exact formulas.

use crate::{
    ConvNet, Curved, Energy, GaussianMixture, Precision, Quadratic, Replicate, Trainable, check, layer_shapes,
};
use srm_config::{Activation, EnergyConfig};
use srm_random::{Key, Purpose};
use tch::{Device, Kind, Tensor};

const ACTIVATIONS: [Activation; 6] = [
    Activation::LeakyRelu(0.2),
    Activation::LeakyRelu(0.05),
    Activation::Relu,
    Activation::Silu,
    Activation::Softplus,
    Activation::Gelu,
];

fn config(size: usize, activation: Activation) -> EnergyConfig {
    EnergyConfig::new(size, 3, 4, activation)
}

fn net(size: usize, activation: Activation) -> ConvNet {
    ConvNet::new(&config(size, activation), 5, Device::Cpu).unwrap()
}

/// Uniform numbers in [−1, 1), the same each time: tests that run beside one another share libtorch's generator.
pub(crate) fn uniform(shape: [i64; 4]) -> Tensor {
    let mut values = vec![0.0; shape.iter().product::<i64>() as usize];
    srm_random::uniform(&Key::new(3, Purpose::ChainStart), -1.0, 1.0, &mut values);
    Tensor::from_slice(&values).reshape(shape)
}

/// N(0, 1) numbers in the shape and kind of `like`.
pub(crate) fn normal_like(like: &Tensor) -> Tensor {
    check::direction(like, 5).unwrap()
}

fn image(b: i64, size: i64, kind: Kind) -> Tensor {
    uniform([b, 3, size, size]).to_kind(kind)
}

fn largest(a: &Tensor) -> f64 {
    a.abs().max().double_value(&[])
}

/// The same net written with libtorch's own operators, so that autograd differentiates it.
pub(crate) fn plain(config: &EnergyConfig, weights: &[Tensor], x: &Tensor) -> Tensor {
    let shapes = layer_shapes(config);
    let mut h = x.shallow_clone();
    for (i, (_, stride, padding)) in shapes.iter().enumerate() {
        let (weight, bias) = (&weights[2 * i], &weights[2 * i + 1]);
        h = h.conv2d(weight, Some(bias), [*stride; 2], [*padding; 2], [1, 1], 1);
        if i + 1 < shapes.len() {
            h = match config.activation {
                Activation::LeakyRelu(slope) => h.maximum(&(&h * slope)),
                Activation::Relu => h.relu(),
                Activation::Silu => h.silu(),
                Activation::Softplus => h.softplus(),
                Activation::Gelu => h.gelu("none"),
            };
        }
    }
    h.reshape([-1])
}

fn weights(net: &ConvNet) -> Vec<Tensor> {
    net.named_parameters().into_iter().map(|(_, weight)| weight).collect()
}

#[test]
fn shapes_are_the_published_ones() {
    let widths =
        |size| -> Vec<[i64; 4]> { layer_shapes(&config(size, Activation::Relu)).iter().map(|s| s.0).collect() };
    assert_eq!(widths(32), [[4, 3, 3, 3], [8, 4, 4, 4], [16, 8, 4, 4], [32, 16, 4, 4], [1, 32, 4, 4]]);
    assert_eq!(widths(64)[4..], [[32, 32, 4, 4], [1, 32, 4, 4]]);
    assert_eq!(widths(128).len(), 7);
}

#[test]
fn fresh_weights_have_conv2d_bounds_and_std() {
    let config = EnergyConfig { features: 32, ..config(32, Activation::Relu) };
    let net = ConvNet::new(&config, 1, Device::Cpu).unwrap();
    for (name, t) in net.named_parameters().iter().filter(|(name, _)| name.ends_with("weight")) {
        let size = t.size();
        let bound = 1.0 / ((size[1] * size[2] * size[3]) as f64).sqrt();
        assert!(largest(t) <= bound, "{name}");
        // std of a uniform is bound/√3; its relative standard error over N numbers is about 0.45/√N, at most 2 % here
        let std = t.std(false).double_value(&[]);
        assert!((std / (bound / 3f64.sqrt()) - 1.0).abs() < 0.08, "{name}: {std}");
    }
    let again = ConvNet::new(&config, 1, Device::Cpu).unwrap();
    let other = ConvNet::new(&config, 2, Device::Cpu).unwrap();
    assert_eq!(net.named_parameters()[0].1, again.named_parameters()[0].1);
    assert_ne!(net.named_parameters()[0].1, other.named_parameters()[0].1);
    assert_ne!(
        net.named_parameters()[2].1.flatten(0, -1).narrow(0, 0, 9),
        net.named_parameters()[4].1.flatten(0, -1).narrow(0, 0, 9)
    );
}

#[test]
fn f_and_gradient_agree_with_autograd_for_every_activation_and_size() {
    for size in [32, 64, 128] {
        for activation in ACTIVATIONS {
            let net = net(size, activation);
            let x = image(2, size as i64, Kind::Float).set_requires_grad(true);
            let f = plain(net.config(), &weights(&net), &x);
            let expected = &Tensor::run_backward(&[f.sum(Kind::Float)], &[&x], false, false)[0];
            for (path, net) in net.on_every_path() {
                let (ours, grad) = net.f_and_grad(&x.detach()).unwrap();
                // one evaluation in f32: rounding of about 1e-7 a layer
                assert!(largest(&(ours - &f)) < 1e-6, "{path} {activation:?} {size}");
                assert!(largest(&(grad - expected)) <= 1e-5 * largest(expected), "{path} {activation:?} {size}");
            }
        }
    }
}

#[test]
fn gradient_agrees_with_finite_differences_in_f64() {
    for activation in ACTIVATIONS {
        let net = net(32, activation).to_kind(Kind::Double).unwrap();
        let x = image(2, 32, Kind::Double);
        let v = normal_like(&x);
        let (_, grad) = net.f_and_grad(&x).unwrap();
        let along = (&grad * &v).flatten(1, -1).sum_dim_intlist([1i64].as_slice(), false, Kind::Double);
        let h = 1e-6;
        let difference = (net.f(&(&x + &v * h)).unwrap() - net.f(&(&x - &v * h)).unwrap()) / (2.0 * h);
        // central differences: error h² f''' plus rounding 1e-16/h, and a few kinks crossed for the piecewise linear
        assert!(largest(&((&difference - &along) / &along)) < 2e-4, "{activation:?}");
    }
}

#[test]
fn hessian_vector_product_agrees_with_double_backward() {
    for activation in ACTIVATIONS {
        let net = net(32, activation).to_kind(Kind::Double).unwrap();
        let x = image(2, 32, Kind::Double).set_requires_grad(true);
        let v = normal_like(&x);
        let grad =
            &Tensor::run_backward(&[plain(net.config(), &weights(&net), &x).sum(Kind::Double)], &[&x], true, true)[0];
        let ours = net.hvp(&x.detach(), &v).unwrap();
        if net.is_piecewise_linear() {
            assert_eq!(largest(&ours), 0.0);
        } else {
            let expected = &Tensor::run_backward(&[(grad * &v).sum(Kind::Double)], &[&x], false, false)[0];
            assert!(largest(expected) > 0.0);
            assert!(largest(&(ours - expected)) < 1e-10 * largest(expected), "{activation:?}");
        }
    }
}

#[test]
fn parameter_gradient_agrees_with_autograd_of_the_plain_net() {
    for activation in ACTIVATIONS {
        let net = net(32, activation);
        let x = image(3, 32, Kind::Float);
        let coefficients = Tensor::from_slice(&[0.5f32, -1.0, 0.25]);
        let tracked: Vec<Tensor> =
            net.named_parameters().into_iter().map(|(_, t)| t.detach_copy().set_requires_grad(true)).collect();
        let expected =
            Tensor::run_backward(&[plain(net.config(), &tracked, &x).dot(&coefficients)], &tracked, false, false);
        for (path, net) in net.on_every_path() {
            let (_, grads) = net.f_and_parameter_grad(&x, &coefficients).unwrap();
            for ((ours, expected), (name, _)) in grads.iter().zip(&expected).zip(net.named_parameters()) {
                assert_eq!(ours.size(), expected.size());
                let difference = largest(&(ours - expected));
                assert!(difference <= 2e-5 * largest(expected).max(1e-3), "{path} {activation:?} {name}");
            }
        }
    }
}

#[test]
fn f_is_the_top_layer_on_its_features() {
    for activation in ACTIVATIONS {
        let net = net(32, activation);
        let x = image(3, 32, Kind::Float);
        let features = net.top_features(&x).unwrap();
        assert_eq!(features.size(), [3, 32 * 16]);
        let parameters = net.named_parameters();
        let (w, b) = (&parameters[parameters.len() - 2].1, &parameters[parameters.len() - 1].1);
        let f = features.mv(&w.contiguous().view([-1])) + b;
        // sums of 512 products of size 0.01 in another order
        assert!(largest(&(f - net.f(&x).unwrap())) < 1e-6, "{activation:?}");
        let ones = Tensor::ones([3], (Kind::Float, Device::Cpu));
        let (_, gradients) = net.f_and_parameter_grad(&x, &ones).unwrap();
        let sum = features.sum_dim_intlist([0i64].as_slice(), false, Kind::Float);
        let gradient = gradients[gradients.len() - 2].contiguous().view([-1]);
        assert!(largest(&(gradient - &sum)) < 1e-5 * largest(&sum), "{activation:?}");
    }
    assert!(net(32, Activation::Relu).top_features(&image(1, 64, Kind::Float)).is_err());
}

#[test]
fn every_energy_keeps_the_contract() {
    let x = image(3, 32, Kind::Double);
    for activation in ACTIVATIONS {
        let net = net(32, activation).to_kind(Kind::Double).unwrap();
        check::contract(&net, &x).unwrap();
        check::training(&net, &x).unwrap();
        check::contract(&self::net(32, activation), &x.to_kind(Kind::Float)).unwrap();
    }
    let means = image(2, 32, Kind::Double).flip([3]);
    check::contract(&Quadratic::new(means.get(0), 0.7), &x).unwrap();
    let weights = Tensor::from_slice(&[0.3, 0.7]);
    // a width at which both modes count
    check::contract(&GaussianMixture::new(&means, &weights, 20.0).unwrap(), &x).unwrap();
    // points in the plane
    let means = Tensor::from_slice(&[-1.0, 0.5, 1.0, 0.0]).reshape([2, 2]);
    let points = Tensor::from_slice(&[0.1, 0.2, -0.7, 0.9, 1.2, -0.3]).reshape([3, 2]);
    check::contract(&GaussianMixture::new(&means, &weights, 0.8).unwrap(), &points).unwrap();
}

#[test]
fn images_of_another_shape_are_refused_by_name() {
    let net = net(32, Activation::Relu);
    let message = net.f(&image(1, 64, Kind::Float)).unwrap_err().to_string();
    assert!(message.contains("[b, 3, 32, 32]") && message.contains("[1, 3, 64, 64]"), "{message}");
}

#[test]
fn bf16_keeps_f32_outside_and_follows_the_weights() {
    for activation in [Activation::LeakyRelu(0.2), Activation::Silu] {
        let exact = net(32, activation);
        let low = exact.replica().in_precision(Precision::Bf16).unwrap();
        let x = image(4, 32, Kind::Float);
        for scale in [1.0, 1.5] {
            for (_, mut parameter) in exact.named_parameters() {
                let _ = parameter.g_mul_scalar_(scale);
            }
            let ((f, gradient), (low_f, low_gradient)) = (exact.f_and_grad(&x).unwrap(), low.f_and_grad(&x).unwrap());
            assert_eq!((low_f.kind(), low_gradient.kind()), (Kind::Float, Kind::Float));
            // Eight bits of a number are 0.4 %; five layers each way, and masks that flip, give some 5 % of f'.
            let apart = (&low_gradient - &gradient).square().sum(Kind::Float).sqrt()
                / gradient.square().sum(Kind::Float).sqrt();
            let apart = apart.double_value(&[]);
            assert!(apart < 0.1 && apart > 1e-4, "{activation:?}: {apart}");
            let apart = largest(&(low_f - &f)) / largest(&f);
            assert!(apart < 0.05, "{activation:?}: {apart}");
        }
        // The weights' gradient is that of f32.
        let c = Tensor::ones([4], (Kind::Float, Device::Cpu));
        let pairs =
            exact.f_and_parameter_grad(&x, &c).unwrap().1.into_iter().zip(low.f_and_parameter_grad(&x, &c).unwrap().1);
        for (exact, low) in pairs {
            assert_eq!(exact, low);
        }
    }
}
