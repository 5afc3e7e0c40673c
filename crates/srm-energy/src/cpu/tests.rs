//! Hold the kernels against libtorch, width by width, and their promises about batches and bad numbers.

use crate::tests::uniform;
use crate::{ConvNet, Curved, Energy, Replicate, Trainable};
use srm_config::{Activation, EnergyConfig};
use tch::{Device, Kind, Tensor};

fn net(size: usize, channels: usize, features: usize, activation: Activation) -> ConvNet {
    ConvNet::new(&EnergyConfig::new(size, channels, features, activation), 7, Device::Cpu).unwrap()
}

fn images(b: i64, channels: i64, size: i64) -> Tensor {
    uniform([b, channels, size, size])
}

fn largest(a: &Tensor) -> f64 {
    a.abs().max().double_value(&[])
}

const SMOOTH: [Activation; 3] = [Activation::Silu, Activation::Gelu, Activation::Softplus];

/// What a set of kernels has to keep: f' to 1e-4 of its largest element (the bound that the design sets for any path; rounding
/// alone is near 1e-6 and a flipped mask of LeakyReLU moves single elements), f and the weights' gradient to rounding.
#[test]
fn every_set_of_kernels_agrees_with_libtorch_for_every_width_and_batch() {
    let leaky = Activation::LeakyRelu;
    let cases = [
        (8, 3, 8, 5, leaky(0.2)),
        (16, 1, 24, 3, leaky(0.2)),
        (32, 3, 3, 2, leaky(0.2)),
        (32, 3, 16, 13, leaky(0.2)),
        (32, 1, 20, 9, leaky(0.0)),
        (32, 4, 32, 4, leaky(1.5)),
        (64, 3, 16, 2, leaky(0.2)),
        // weights made from taps in each product
        (32, 3, 80, 7, leaky(0.2)),
        (128, 3, 8, 1, leaky(0.05)),
        (16, 1, 24, 3, Activation::Silu),
        (32, 3, 3, 2, Activation::Silu),
        (64, 3, 16, 5, Activation::Silu),
        (32, 3, 16, 13, Activation::Gelu),
        (32, 1, 20, 9, Activation::Softplus),
    ];
    let mut kernels_seen = 0;
    for (size, channels, features, b, activation) in cases {
        let paths = net(size, channels, features, activation).on_every_path();
        let x = images(b, channels as i64, size as i64);
        let coefficients = Tensor::linspace(-1.0, 0.7, b, (Kind::Float, Device::Cpu));
        let (f, gradient) = paths[0].1.f_and_grad(&x).unwrap();
        let (_, weights) = paths[0].1.f_and_parameter_grad(&x, &coefficients).unwrap();
        for (name, net) in &paths[1..] {
            let case = format!("{name}, {size} px, {channels} channels, n {features}, {b} images, {activation:?}");
            let (ours, ours_gradient) = net.f_and_grad(&x).unwrap();
            let apart = largest(&(&ours - &f));
            // softplus is about log 2 everywhere, and f the small difference of large sums
            let bound = if activation == Activation::Softplus { 3e-6 } else { 1e-6 };
            assert!(apart <= bound, "{case}: {apart:.1e}");
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

/// The Hessian's product in f32 to 2e-5 of its largest element, the bound of the net's own tests against f64; gradients and
/// products may take turns on the same buffers.
#[test]
fn products_with_the_hessian_agree_with_f64_and_leave_gradients_alone() {
    for activation in SMOOTH {
        for (size, channels, features, b) in
            [(4, 3, 12, 4), (8, 1, 8, 3), (16, 3, 24, 9), (32, 3, 16, 5), (64, 3, 20, 2)]
        {
            let net = net(size, channels, features, activation);
            let x = images(b, channels as i64, size as i64);
            let v = x.flip([0, 3]) * 0.5 + 0.1;
            let double = |t: &Tensor| t.to_kind(Kind::Double);
            let expected = net.to_kind(Kind::Double).unwrap().hvp(&double(&x), &double(&v)).unwrap();
            for (name, net) in net.on_every_path() {
                let case = format!("{name}, {size} px, n {features}, {activation:?}");
                let before = net.f_and_grad(&x).unwrap();
                let product = net.hvp(&x, &v).unwrap();
                let difference = largest(&(double(&product) - &expected));
                assert!(difference <= 2e-5 * largest(&expected), "{case}: {difference:.1e}");
                assert_eq!(net.f_and_grad(&x).unwrap(), before, "{case}");
                assert_eq!(net.hvp(&x, &v).unwrap(), product, "{case}");
            }
        }
    }
}

/// A batch that the kernels would take wrongly goes to libtorch, which broadcasts it or refuses it.
#[test]
fn batches_that_do_not_match_are_not_the_kernels() {
    for (name, net) in net(32, 3, 8, Activation::Silu).on_every_path() {
        let (x, one) = (images(3, 3, 32), images(1, 3, 32));
        let all = net.hvp(&x, &one.expand_as(&x).contiguous()).unwrap();
        assert!(largest(&(net.hvp(&x, &one).unwrap() - &all)) <= 1e-5 * largest(&all), "{name}");
        assert!(net.hvp(&x, &images(2, 3, 32)).is_err(), "{name}");
        assert!(net.f_and_parameter_grad(&x, &Tensor::ones([2], (Kind::Float, Device::Cpu))).is_err(), "{name}");
        assert_eq!(net.f(&x.narrow(0, 0, 0)).unwrap().size(), [0], "{name}");
    }
}

#[test]
fn an_image_has_the_same_bits_in_any_batch() {
    for activation in [Activation::LeakyRelu(0.2), Activation::Silu, Activation::Gelu, Activation::Softplus] {
        let nets = [16, 32].map(|features| net(32, 3, features, activation).on_every_path().into_iter().skip(1));
        for (name, net) in nets.into_iter().flatten() {
            let (x, v) = (images(19, 3, 32), images(19, 3, 32).flip([1]));
            let (f, gradient) = net.f_and_grad(&x).unwrap();
            let product = net.hvp(&x, &v).unwrap();
            for (first, count) in [(0, 1), (3, 4), (18, 1), (2, 16)] {
                let part = |t: &Tensor| t.narrow(0, first, count);
                let case = format!("{name}, {activation:?}");
                assert_eq!(net.f_and_grad(&part(&x)).unwrap(), (part(&f), part(&gradient)), "{case}");
                assert_eq!(net.hvp(&part(&x), &part(&v)).unwrap(), part(&product), "{case}");
            }
        }
    }
}

#[test]
fn numbers_that_are_not_finite_come_through() {
    let activations = SMOOTH.into_iter().chain([Activation::LeakyRelu(0.2)]);
    let nets = activations.flat_map(|activation| [8, 32].map(|features| net(32, 3, features, activation)));
    for (name, net) in nets.flat_map(|net| net.on_every_path()) {
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

#[test]
fn a_size_that_does_not_halve_to_four_is_libtorchs() {
    for (size, served) in [(36, false), (24, false), (2, false), (32, crate::cpu_kernels(8) != "libtorch")] {
        let config = EnergyConfig::new(size, 3, 8, Activation::Relu);
        assert_eq!(crate::cpu::CpuNet::new(&config).is_some(), served, "{size} px");
    }
}

/// Nets for images of 16 px and larger ones, whose kernels have lanes to fill up and whole ones.
fn of_any_size(activation: Activation) -> [ConvNet; 2] {
    [12, 16].map(|features| {
        let config = EnergyConfig { any_size: true, ..EnergyConfig::new(16, 3, features, activation) };
        ConvNet::new(&config, 7, Device::Cpu).unwrap()
    })
}

/// f is a sum over places, and its error grows with their number at most; the rest as for images of one size.
#[test]
fn images_of_any_size_agree_with_f64_on_every_path() {
    for activation in [Activation::LeakyRelu(0.2), Activation::Silu] {
        for net in of_any_size(activation) {
            let exact = net.to_kind(Kind::Double).unwrap();
            for [height, width] in [[16, 16], [16, 40], [48, 24], [20, 16], [64, 96]] {
                let x = uniform([3, 3, height, width]);
                let v = x.flip([0, 3]) * 0.5 + 0.1;
                let [x_exact, v_exact] = [&x, &v].map(|t| t.to_kind(Kind::Double));
                let coefficients = Tensor::from_slice(&[0.7f32, -1.0, 0.2]);
                let places = ((height / 4 - 3) * (width / 4 - 3)) as f64;
                let (f, gradient) = exact.f_and_grad(&x_exact).unwrap();
                let weights = exact.f_and_parameter_grad(&x_exact, &coefficients.to_kind(Kind::Double)).unwrap().1;
                let product = exact.hvp(&x_exact, &v_exact).unwrap();
                let near = |case: &str, ours: &Tensor, expected: &Tensor, bound: f64| {
                    let apart = largest(&(ours.to_kind(Kind::Double) - expected));
                    assert!(apart <= bound, "{case}: {apart:.1e}, not within {bound:.1e}");
                };
                for (name, net) in net.on_every_path() {
                    let case = format!("{name}, {height} × {width}, {activation:?}");
                    let (ours, ours_gradient) = net.f_and_grad(&x).unwrap();
                    near(&case, &ours, &f, 1e-6 * places);
                    near(&case, &ours_gradient, &gradient, 1e-4 * largest(&gradient));
                    assert_eq!(net.f(&x).unwrap(), ours, "{case}");
                    let (again, ours_weights) = net.f_and_parameter_grad(&x, &coefficients).unwrap();
                    near(&case, &again, &f, 1e-6 * places);
                    for (ours, expected) in ours_weights.iter().zip(&weights) {
                        near(&case, ours, expected, 5e-5 * largest(expected));
                    }
                    near(&case, &net.hvp(&x, &v).unwrap(), &product, 2e-5 * largest(&product));
                    let one = net.f_and_grad(&x.narrow(0, 1, 1)).unwrap();
                    let same = one == (ours.narrow(0, 1, 1), ours_gradient.narrow(0, 1, 1));
                    assert!(same || name == "libtorch" || !net.kernels_take(&x), "{case}: a batch alters bits");
                }
            }
        }
    }
}

#[test]
fn a_net_of_any_size_is_that_of_one_size_there_and_refuses_what_its_stride_does_not_divide() {
    for (larger, features) in of_any_size(Activation::Silu).into_iter().zip([12, 16]) {
        let one = net(16, 3, features, Activation::Silu);
        let (x, v) = (images(3, 3, 16), images(3, 3, 16).flip([1]));
        let c = Tensor::from_slice(&[1.0f32, 2.0, -0.5]);
        assert_eq!(larger.f_and_grad(&x).unwrap(), one.f_and_grad(&x).unwrap());
        assert_eq!(larger.f_and_parameter_grad(&x, &c).unwrap(), one.f_and_parameter_grad(&x, &c).unwrap());
        assert_eq!(larger.hvp(&x, &v).unwrap(), one.hvp(&x, &v).unwrap());
        let told = larger.f(&uniform([1, 3, 18, 16])).unwrap_err().to_string();
        assert!(told.contains("[b, 3, 16, 16] or larger, their sides multiples of 4"), "{told}");
        assert!(larger.f(&uniform([1, 3, 12, 16])).is_err() && one.f(&uniform([1, 3, 32, 32])).is_err());
    }
}

/// What lies farther from the border of a crop than the net sees, 24 px here, does not know that it is a crop.
#[test]
fn two_sizes_agree_on_what_lies_within_a_crop() {
    for net in of_any_size(Activation::Silu) {
        let x = uniform([1, 3, 104, 120]);
        let whole = net.f_and_grad(&x).unwrap().1;
        let crop = net.f_and_grad(&x.narrow(2, 16, 72).narrow(3, 8, 80)).unwrap().1;
        let inner = |t: &Tensor, top: i64, left: i64| t.narrow(2, top, 24).narrow(3, left, 32);
        let apart = largest(&(inner(&whole, 16 + 24, 8 + 24) - inner(&crop, 24, 24)));
        assert!(apart <= 1e-5 * largest(&whole), "{apart:.1e}");
        assert!(largest(&(inner(&whole, 16, 8) - inner(&crop, 0, 0))) > 1e-2 * largest(&whole), "the border does");
    }
}

#[test]
fn sizes_may_take_turns_on_replicas_of_one_net() {
    let net = of_any_size(Activation::LeakyRelu(0.2)).into_iter().next().unwrap();
    let sizes = [16i64, 32, 24].map(|size| (uniform([2, 3, size, 32]), net.replica()));
    let expected = sizes.iter().map(|(x, _)| net.f_and_grad(x).unwrap()).collect::<Vec<_>>();
    let threads = sizes.map(|(x, replica)| {
        std::thread::spawn(move || (0..20).map(|_| replica.f_and_grad(&x).unwrap()).collect::<Vec<_>>())
    });
    for (thread, expected) in threads.into_iter().zip(&expected) {
        assert!(thread.join().unwrap().iter().all(|found| found == expected));
    }
}

#[test]
fn nets_of_any_size_with_a_reference_keep_the_contract_on_rectangles() {
    for activation in [Activation::LeakyRelu(0.2), Activation::Silu] {
        for net in of_any_size(activation) {
            let config = EnergyConfig { reference_std: Some(0.6), ..net.config().clone() };
            let net = ConvNet::from_tensors(&config, &net.named_parameters(), Device::Cpu).unwrap();
            let double = net.to_kind(Kind::Double).unwrap();
            for [height, width] in [[16, 16], [24, 40]] {
                let x = uniform([3, 3, height, width]);
                crate::check::contract(&double, &x.to_kind(Kind::Double)).unwrap();
                crate::check::training(&double, &x.to_kind(Kind::Double)).unwrap();
                for (name, net) in net.on_every_path() {
                    let (f, gradient) = net.f_and_grad(&x).unwrap();
                    let (exact, exact_gradient) = double.f_and_grad(&x.to_kind(Kind::Double)).unwrap();
                    assert!(largest(&(f.to_kind(Kind::Double) / exact - 1.0)) < 1e-5, "{name}");
                    let apart = largest(&(gradient.to_kind(Kind::Double) - &exact_gradient));
                    assert!(apart <= 1e-4 * largest(&exact_gradient), "{name}: {apart:.1e}");
                }
            }
        }
    }
}

/// On a torus every pixel has the same neighbours wherever it lies: derivatives against f64, and f under shifts by the stride.
#[test]
fn opposite_borders_touch_on_a_torus() {
    let sides = [[16, 16], [36, 16], [24, 40]];
    for activation in [Activation::LeakyRelu(0.2), Activation::Silu] {
        for plain in of_any_size(activation) {
            let (open, mut exact) = (plain.to_kind(Kind::Double).unwrap(), plain.to_kind(Kind::Double).unwrap());
            let mut net = plain;
            exact.close_borders();
            net.close_borders();
            for [height, width] in sides {
                let (x, v) = (uniform([3, 3, height, width]), uniform([3, 3, height, width]).flip([1]));
                let coefficients = Tensor::from_slice(&[1.0f32, -2.0, 0.5]);
                let (x_exact, v_exact) = (x.to_kind(Kind::Double), v.to_kind(Kind::Double));
                let (f, gradient) = exact.f_and_grad(&x_exact).unwrap();
                let by_autograd = |t: &Tensor| {
                    let t = t.detach().set_requires_grad(true);
                    let sum = exact.pass().forward(&t).unwrap().0.sum(Kind::Double);
                    Tensor::run_backward(&[sum], &[&t], false, false).remove(0)
                };
                assert!(largest(&(&gradient - by_autograd(&x_exact))) <= 1e-12 * largest(&gradient));
                // the derivative in the weights is that of crops, which have borders
                let weights = open.f_and_parameter_grad(&x_exact, &coefficients.to_kind(Kind::Double)).unwrap().1;
                assert_eq!(net.places(&[3, height, width]), ((height / 4 - 3) * (width / 4 - 3)) as f64);
                let product = exact.hvp(&x_exact, &v_exact).unwrap();
                let places = (height / 4 * width / 4) as f64;
                for (name, net) in net.on_every_path() {
                    let case = format!("{name}, {height} × {width}, {activation:?}");
                    let near = |ours: &Tensor, expected: &Tensor, bound: f64| {
                        let apart = largest(&(ours.to_kind(Kind::Double) - expected));
                        assert!(apart <= bound, "{case}: {apart:.1e}, not within {bound:.1e}");
                    };
                    let (ours, ours_gradient) = net.f_and_grad(&x).unwrap();
                    near(&ours, &f, 1e-6 * places);
                    near(&ours_gradient, &gradient, 1e-4 * largest(&gradient));
                    let (_, ours_weights) = net.f_and_parameter_grad(&x, &coefficients).unwrap();
                    for (ours, expected) in ours_weights.iter().zip(&weights) {
                        near(ours, expected, 5e-5 * largest(expected));
                    }
                    near(&net.hvp(&x, &v).unwrap(), &product, 2e-5 * largest(&product));
                    let (shifted, moved) = net.f_and_grad(&x.roll([8, 12], [2, 3])).unwrap();
                    near(&shifted, &f, 1e-6 * places);
                    near(&moved, &gradient.roll([8, 12], [2, 3]), 1e-4 * largest(&gradient));
                    assert!(name == "libtorch" || height == 36 || net.kernels_take(&x), "{case}");
                }
            }
        }
    }
}
