//! Hold the kernels against libtorch, width by width, and their promises about batches and bad numbers.

use crate::{ConvNet, Energy, Replicate, Trainable};
use srm_config::{Activation, EnergyConfig};
use tch::{Device, Kind, Tensor};

fn net(size: usize, channels: usize, features: usize, activation: Activation) -> ConvNet {
    ConvNet::new(&EnergyConfig { size, channels, features, activation }, 7, Device::Cpu).unwrap()
}

fn images(b: i64, channels: i64, size: i64) -> Tensor {
    tch::manual_seed(4);
    Tensor::rand([b, channels, size, size], (Kind::Float, Device::Cpu)) * 2 - 1
}

fn largest(a: &Tensor) -> f64 {
    a.abs().max().double_value(&[])
}

/// What a set of kernels has to keep: f' to 1e-4 of its largest element (the bound that the design sets for any path; rounding
/// alone is near 1e-6 and a flipped mask of LeakyReLU moves single elements), f and the weights' gradient to rounding.
#[test]
fn every_set_of_kernels_agrees_with_libtorch_for_every_width_and_batch() {
    let cases = [
        (8, 3, 8, 5, 0.2),
        (16, 1, 24, 3, 0.2),
        (32, 3, 3, 2, 0.2),
        (32, 3, 16, 13, 0.2),
        (32, 1, 20, 9, 0.0),
        (32, 4, 32, 4, 1.5),
        (64, 3, 16, 2, 0.2),
        (128, 3, 8, 1, 0.05),
    ];
    let mut kernels_seen = 0;
    for (size, channels, features, b, slope) in cases {
        let paths = net(size, channels, features, Activation::LeakyRelu(slope)).on_every_path();
        let x = images(b, channels as i64, size as i64);
        let coefficients = Tensor::linspace(-1.0, 0.7, b, (Kind::Float, Device::Cpu));
        let (f, gradient) = paths[0].1.f_and_grad(&x).unwrap();
        let (_, weights) = paths[0].1.f_and_parameter_grad(&x, &coefficients).unwrap();
        for (name, net) in &paths[1..] {
            let case = format!("{name}, {size} px, {channels} channels, n {features}, {b} images");
            let (ours, ours_gradient) = net.f_and_grad(&x).unwrap();
            assert!(largest(&(&ours - &f)) <= 1e-6, "{case}");
            assert!(largest(&(&ours_gradient - &gradient)) <= 1e-4 * largest(&gradient), "{case}");
            assert_eq!(ours, net.f(&x).unwrap(), "{case}");
            let (again, ours_weights) = net.f_and_parameter_grad(&x, &coefficients).unwrap();
            assert_eq!(ours, again, "{case}");
            for ((ours, expected), (parameter, _)) in ours_weights.iter().zip(&weights).zip(net.named_parameters()) {
                let difference = largest(&(ours - expected));
                assert!(difference <= 5e-5 * largest(expected), "{case}, {parameter}: {difference:.1e}");
            }
            kernels_seen += 1;
        }
    }
    // On a processor without AVX2 there is nothing to compare, and the test must not look as if it had.
    #[cfg(all(target_arch = "x86_64", not(srm_portable)))]
    assert_eq!(kernels_seen > 0, is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"));
    #[cfg(any(not(target_arch = "x86_64"), srm_portable))]
    assert_eq!((kernels_seen, crate::cpu_kernels(16)), (0, "libtorch"));
}

#[test]
fn an_image_has_the_same_bits_in_any_batch() {
    for (name, net) in net(32, 3, 16, Activation::LeakyRelu(0.2)).on_every_path().into_iter().skip(1) {
        let x = images(19, 3, 32);
        let (f, gradient) = net.f_and_grad(&x).unwrap();
        for (first, count) in [(0, 1), (3, 4), (18, 1), (2, 16)] {
            let (f_part, gradient_part) = net.f_and_grad(&x.narrow(0, first, count)).unwrap();
            assert_eq!(f_part, f.narrow(0, first, count), "{name}");
            assert_eq!(gradient_part, gradient.narrow(0, first, count), "{name}");
        }
    }
}

#[test]
fn numbers_that_are_not_finite_come_through() {
    for (name, net) in net(32, 3, 8, Activation::LeakyRelu(0.2)).on_every_path() {
        for bad in [f64::NAN, f64::INFINITY] {
            let x = images(3, 3, 32);
            let _ = x.get(1).narrow(1, 5, 1).fill_(bad);
            let (f, gradient) = net.f_and_grad(&x).unwrap();
            assert!(!f.double_value(&[1]).is_finite(), "{name} {bad}");
            for other in [0, 2] {
                assert!(f.double_value(&[other]).is_finite(), "{name} {bad}");
                assert!(largest(&gradient.get(other)).is_finite(), "{name} {bad}");
            }
        }
    }
}

#[test]
fn a_change_of_any_weight_is_seen_at_once_and_by_replicas() {
    let net = net(32, 3, 8, Activation::Relu);
    let (replica, x) = (net.replica(), images(2, 3, 32));
    for (name, mut parameter) in net.named_parameters() {
        let before = net.f(&x).unwrap();
        assert_eq!(before, replica.f(&x).unwrap());
        let _ = parameter.f_mul_scalar_(1.25).unwrap();
        let after = net.f(&x).unwrap();
        assert_ne!(before, after, "{name}");
        assert_eq!(after, replica.f(&x).unwrap(), "{name}");
    }
}
