//! Check the generator's derivative against autograd and finite differences, and what it is used for.

use crate::{ChainNoise, Latent, LatentError, Method, ReconstructOptions, ShortRun, ShortRunOptions, mix, rhos};
use srm_config::{Activation, Colours, EnergyConfig};
use srm_energy::check::direction;
use srm_energy::{ConvNet, Curved, Energy, Quadratic, Replicate, Trainable};
use srm_langevin::{ChainKey, Dynamics, Kernel, KeyedNoise, Noise as _, Spread, Start};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tch::{Device, Kind, Tensor};

fn config(steps: usize) -> Dynamics {
    let kernel = Kernel { gradient_scale: 0.7, noise_std: 0.01, clip: None };
    Dynamics::new(kernel, steps, Start::Uniform)
}

fn options(noise: ChainNoise, block: usize) -> ShortRunOptions {
    ShortRunOptions { noise, spread: Spread { threads: 2, block }, keep_every: 1 }
}

/// A net whose gradient moves an image visibly: fresh weights times 3.
fn net(activation: Activation, kind: Kind) -> ConvNet {
    let config = EnergyConfig::new(32, 1, 4, activation);
    let fresh = ConvNet::new(&config, 3, Device::Cpu).unwrap();
    let grown: Vec<_> = fresh.named_parameters().into_iter().map(|(n, p)| (n, p.to_kind(kind) * 3.0)).collect();
    ConvNet::from_tensors(&config, &grown, Device::Cpu).unwrap()
}

fn close(a: &Tensor, b: &Tensor) -> f64 {
    ((a - b).norm() / b.norm()).double_value(&[])
}

/// x_K by autograd through the whole chain, with the same noise.
fn through_the_chain(net: &ConvNet, config: &Dynamics, z: &Tensor, noise: ChainNoise, ids: &[u64]) -> Tensor {
    let mut x = z.shallow_clone();
    for step in 0..config.steps {
        let inner = net.f(&x).unwrap().sum(x.kind());
        let gradient = Tensor::run_backward(&[inner], &[&x], true, true).remove(0);
        x = &x + gradient * config.kernel.gradient_scale;
        if let ChainNoise::Fixed(seed) = noise {
            let key = ChainKey { seed, attempt: 0, update: 0 };
            let u = KeyedNoise::new(key, ids.to_vec()).draw(step, &x).unwrap().unwrap();
            x += u * config.kernel.noise_std;
        }
    }
    x
}

#[test]
fn the_adjoint_is_what_autograd_gives_through_the_chain() {
    for activation in [Activation::Silu, Activation::Softplus, Activation::LeakyRelu(0.2)] {
        let (net, config) = (net(activation, Kind::Float), config(10));
        for noise in [ChainNoise::Off, ChainNoise::Fixed(5)] {
            let ids = [0, 1, 2];
            let run = ShortRun::new(&net, &config, options(noise, 3));
            let z = run.start(1, &ids, &[1, 32, 32]).unwrap();
            let v = direction(&z, 1).unwrap();
            let (x, pulled) = run.vjp(&z, &v, &ids).unwrap();
            let tracked = z.detach().set_requires_grad(true);
            let end = through_the_chain(&net, &config, &tracked, noise, &ids);
            let expected = Tensor::run_backward(&[(&end * &v).sum(Kind::Float)], &[&tracked], false, false).remove(0);
            assert!(close(&x, &end.detach()) < 1e-5, "{activation:?} {noise:?}");
            let off = close(&pulled, &expected);
            assert!(off < 1e-4, "{activation:?} {noise:?}: {off}");
            if activation == Activation::LeakyRelu(0.2) {
                assert_eq!(pulled, v, "the almost-everywhere derivative is the identity");
            } else {
                assert!(close(&pulled, &v) > 1e-2, "{activation:?}: the case is not trivial");
            }
        }
    }
}

#[test]
fn the_adjoint_is_what_finite_differences_give() {
    for activation in [Activation::Silu, Activation::Softplus] {
        let (net, config) = (net(activation, Kind::Double), config(10));
        let run = ShortRun::new(&net, &config, options(ChainNoise::Fixed(2), 2));
        let ids = [4, 9];
        let z = run.start(1, &ids, &[1, 32, 32]).unwrap().to_kind(Kind::Double);
        let (v, direction) = (direction(&z, 1).unwrap(), direction(&z, 2).unwrap());
        let (_, pulled) = run.vjp(&z, &v, &ids).unwrap();
        let step = 1e-5;
        let ahead = run.generate(&(&z + &direction * step), &ids).unwrap();
        let behind = run.generate(&(&z - &direction * step), &ids).unwrap();
        let found = (((ahead - behind) / (2.0 * step)) * &v).sum(Kind::Double).double_value(&[]);
        let expected = (pulled * direction).sum(Kind::Double).double_value(&[]);
        assert!((found - expected).abs() < 1e-6 * expected.abs().max(1.0), "{activation:?}: {found} {expected}");
    }
}

#[test]
fn a_clip_along_the_chain_is_part_of_the_derivative() {
    let net = net(Activation::Silu, Kind::Double);
    let mut clipped = config(6);
    clipped.kernel.clip = Some(0.5);
    let run = ShortRun::new(&net, clipped, options(ChainNoise::Off, 1));
    let z = run.start(1, &[0], &[1, 32, 32]).unwrap().to_kind(Kind::Double);
    let free = ShortRun::new(&net, config(6), options(ChainNoise::Off, 1));
    assert!(close(&run.generate(&z, &[0]).unwrap(), &free.generate(&z, &[0]).unwrap()) > 1e-3, "the clip binds");
    let (v, direction) = (direction(&z, 1).unwrap(), direction(&z, 2).unwrap());
    let (_, pulled) = run.vjp(&z, &v, &[0]).unwrap();
    let step = 1e-5;
    let difference =
        run.generate(&(&z + &direction * step), &[0]).unwrap() - run.generate(&(&z - &direction * step), &[0]).unwrap();
    let found = (difference / (2.0 * step) * &v).sum(Kind::Double).double_value(&[]);
    let expected = (pulled * direction).sum(Kind::Double).double_value(&[]);
    assert!((found - expected).abs() < 1e-5 * expected.abs().max(1.0), "{found} {expected}");
}

#[test]
fn keeping_every_third_state_gives_the_same_bits() {
    let (net, config) = (net(Activation::Silu, Kind::Float), config(10));
    let ids = [0, 1];
    let all: Vec<Tensor> = [1, 3, 4, 10, 99]
        .into_iter()
        .map(|keep_every| {
            let run = ShortRun::new(&net, &config, ShortRunOptions { keep_every, ..options(ChainNoise::Fixed(1), 2) });
            let z = run.start(1, &ids, &[1, 32, 32]).unwrap();
            run.vjp(&z, &z, &ids).unwrap().1
        })
        .collect();
    for one in &all[1..] {
        assert_eq!(*one, all[0]);
    }
}

/// Counts calls of an energy.
struct Counted<E> {
    inner: E,
    gradients: Arc<AtomicUsize>,
    products: Arc<AtomicUsize>,
}

impl<E: Energy> Energy for Counted<E> {
    fn f(&self, x: &Tensor) -> srm_energy::Result<Tensor> {
        self.inner.f(x)
    }

    fn f_and_grad(&self, x: &Tensor) -> srm_energy::Result<(Tensor, Tensor)> {
        self.gradients.fetch_add(1, Ordering::Relaxed);
        self.inner.f_and_grad(x)
    }
}

impl<E: Curved> Curved for Counted<E> {
    fn hvp(&self, x: &Tensor, v: &Tensor) -> srm_energy::Result<Tensor> {
        self.products.fetch_add(1, Ordering::Relaxed);
        self.inner.hvp(x, v)
    }

    fn has_curvature(&self) -> bool {
        self.inner.has_curvature()
    }
}

impl<E: Replicate> Replicate for Counted<E> {
    fn replica(&self) -> Self {
        Self { inner: self.inner.replica(), gradients: self.gradients.clone(), products: self.products.clone() }
    }

    fn device(&self) -> Device {
        self.inner.device()
    }
}

#[test]
fn a_piecewise_linear_net_costs_k_gradients_and_no_product() {
    for (activation, products) in [(Activation::LeakyRelu(0.2), 0), (Activation::Relu, 0), (Activation::Silu, 10)] {
        let (gradients, counted) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let energy =
            Counted { inner: net(activation, Kind::Float), gradients: gradients.clone(), products: counted.clone() };
        let run = ShortRun::new(&energy, config(10), options(ChainNoise::Off, 2));
        let z = run.start(1, &[0, 1], &[1, 32, 32]).unwrap();
        let _ = run.vjp(&z, &z, &[0, 1]).unwrap();
        assert_eq!(
            (gradients.load(Ordering::Relaxed), counted.load(Ordering::Relaxed)),
            (10, products),
            "{activation:?}"
        );
    }
}

#[test]
fn the_ends_of_a_row_are_the_images_of_its_codes_bit_for_bit() {
    let net = net(Activation::LeakyRelu(0.2), Kind::Float);
    let run = ShortRun::new(&net, config(12), options(ChainNoise::Fixed(1), 4));
    let z = run.start(1, &[0, 1], &[1, 32, 32]).unwrap();
    let row = run.interpolate(&z.get(0), &z.get(1), &rhos(7), 0).unwrap();
    assert_eq!(row.x.get(0), run.generate(&z.narrow(0, 0, 1), &[0]).unwrap().get(0));
    assert_eq!(row.x.get(6), run.generate(&z.narrow(0, 1, 1), &[0]).unwrap().get(0));
    assert_eq!(row.steps.len(), 6);
    let walked: f64 = row.steps.iter().sum();
    assert!(row.ends > 0.0 && walked >= row.ends * 0.999, "{walked} {}", row.ends);
}

#[test]
fn swapping_the_codes_and_turning_rho_gives_the_same_code() {
    let key = ChainKey { seed: 3, attempt: 0, update: 0 };
    let z = srm_langevin::start(&Start::Gaussian, &key, &[0, 1], &[1, 8, 8], Device::Cpu).unwrap();
    for rho in [0.0, 0.1, 0.5, 0.9, 1.0f64] {
        let one = mix(&z.get(0), &z.get(1), rho).unwrap();
        let other = mix(&z.get(1), &z.get(0), (1.0 - rho * rho).sqrt()).unwrap();
        assert!((one - other).abs().max().double_value(&[]) < 1e-6, "{rho}");
    }
    let path = rhos(9);
    assert_eq!((path[0], path[8]), (1.0, 0.0));
    assert!(path.windows(2).all(|pair| pair[0] > pair[1]));
}

fn search(method: Method, step: f64) -> ReconstructOptions {
    ReconstructOptions {
        iterations: 200,
        method,
        step,
        latent: Latent::Free,
        starts: 1,
        seed: 7,
        target_mse: None,
        offset: 0,
        snapshots: vec![0, 200],
    }
}

#[test]
fn a_quadratic_is_reconstructed_by_every_method() {
    // M(z) = m + aᴷ(z − m) is linear: the code of x is m + (x − m)/aᴷ, and every method must find it.
    let (mean, steps) = (0.2, 4);
    let m = Tensor::full([1, 6, 6], mean, (Kind::Double, Device::Cpu));
    let energy = Quadratic::new(m, 2.0);
    let run = ShortRun::new(&energy, config(steps), options(ChainNoise::Off, 4));
    let x = run.start(7, &[0, 1, 2], &[1, 6, 6]).unwrap().to_kind(Kind::Double) * 0.25;
    let shrink = (1.0 - 0.7 / 4.0f64).powi(steps as i32);
    let code = mean + (&x - mean) / shrink;
    for (method, step) in [(Method::Gradient, 0.5), (Method::Residual, 0.3), (Method::Adam, 0.05)] {
        let found = run.reconstruct(&x, None, &search(method, step), &mut |_| true).unwrap();
        assert!(found.mse.iter().all(|&mse| mse < 1e-5), "{method:?} {:?}", found.mse);
        assert!((&found.z - &code).abs().max().double_value(&[]) < 0.05, "{method:?}");
        assert!(found.curve()[0] > 0.05 && found.curve().len() == 201 && found.kept.len() == 2);
    }
}

#[test]
fn only_observed_pixels_count_and_bad_images_are_refused() {
    let m = Tensor::zeros([1, 6, 6], (Kind::Double, Device::Cpu));
    let energy = Quadratic::new(m, 2.0);
    let run = ShortRun::new(&energy, config(3), options(ChainNoise::Off, 2));
    let x = run.start(7, &[0, 1], &[1, 6, 6]).unwrap().to_kind(Kind::Double) * 0.5;
    let mask = Tensor::ones([2, 1, 6, 6], (Kind::Double, Device::Cpu));
    let _ = mask.narrow(3, 3, 3).fill_(0.0);
    let wild = x.copy();
    let _ = wild.narrow(3, 3, 3).fill_(1e3);
    let options = search(Method::Gradient, 0.5);
    let seen = run.reconstruct(&x, Some(&mask), &options, &mut |_| true).unwrap();
    let hidden = run.reconstruct(&wild, Some(&mask), &options, &mut |_| true).unwrap();
    assert_eq!(seen.x, hidden.x, "what is not observed has no effect");
    assert!(seen.mse.iter().all(|&mse| mse < 1e-5));

    let nothing = mask.zeros_like();
    let error = run.reconstruct(&x, Some(&nothing), &options, &mut |_| true).err().unwrap();
    assert!(matches!(error, LatentError::EmptyMask { image: 0 }), "{error}");
    let broken = x.copy();
    let _ = broken.get(1).get(0).get(2).fill_(f64::NAN);
    let error = run.reconstruct(&broken, None, &options, &mut |_| true).err().unwrap();
    assert!(matches!(error, LatentError::NotFinite { image: 1 }), "{error}");
}

#[test]
fn support_bounds_the_code_and_more_starts_are_no_worse() {
    let net = net(Activation::LeakyRelu(0.2), Kind::Float);
    let run = ShortRun::new(&net, config(6), options(ChainNoise::Fixed(1), 4));
    let x = run.start(7, &[0, 1], &[1, 32, 32]).unwrap();
    let short = ReconstructOptions { iterations: 20, step: 0.1, ..search(Method::Gradient, 0.1) };
    let bound = ReconstructOptions { latent: Latent::Support, ..short.clone() };
    let inside = run.reconstruct(&x, None, &bound, &mut |_| true).unwrap();
    assert!(inside.z.abs().max().double_value(&[]) <= 1.0);
    let one = run.reconstruct(&x, None, &short, &mut |_| true).unwrap();
    let three = run.reconstruct(&x, None, &ReconstructOptions { starts: 3, ..short.clone() }, &mut |_| true).unwrap();
    // start 0 of image 0 is the same start in both
    assert!(three.mse[0] <= one.mse[0]);
    // it can be stopped, and it stops by itself where it is asked for no better than the noise
    let mut calls = 0;
    run.reconstruct(&x, None, &short, &mut |_| {
        calls += 1;
        calls < 3
    })
    .unwrap();
    assert_eq!(calls, 3);
    let enough = ReconstructOptions { target_mse: Some(0.1), ..short };
    let early = run.reconstruct(&x, None, &enough, &mut |_| true).unwrap();
    assert!(early.curve().len() < 21 && early.mse.iter().all(|&mse| mse <= 0.1), "{:?}", early.curve());
}

#[test]
fn chains_of_images_of_any_sides_start_and_mix_and_stay_within_the_law_of_coarse_images() {
    let law = Colours::new(2, &[0.5, -0.25, 0.0, 0.25], &[[0.01; 4]; 4].map(|row| row.to_vec())).unwrap();
    let mean = Tensor::from_slice(law.mean()).to_kind(Kind::Float).reshape([1, 2, 2]);
    let energy = Quadratic::new(Tensor::zeros([1, 4, 8], (Kind::Float, Device::Cpu)), 2.0);
    let dynamics = Dynamics { start: Start::Colours(law), ..config(3) };
    let run = ShortRun::new(&energy, dynamics, options(ChainNoise::Off, 2));
    let z = run.start(7, &[0, 1], &[1, 4, 8]).unwrap();
    let blocks = |z: &Tensor| z.reshape([-1, 1, 2, 2, 2, 4]).mean_dim([3i64, 5].as_slice(), false, Kind::Float);
    let between = run.mix(&z.get(0), &z.get(1), 0.6).unwrap();
    let expected = mix(&(blocks(&z).get(0) - &mean), &(blocks(&z).get(1) - &mean), 0.6).unwrap() + &mean;
    assert!(close(&blocks(&between).get(0), &expected) < 1e-6);
    let x = run.generate(&z, &[0, 1]).unwrap() * 0.5;
    let bound = ReconstructOptions { latent: Latent::Support, ..search(Method::Gradient, 0.3) };
    let found = run.reconstruct(&x, None, &bound, &mut |_| true).unwrap().z;
    let spread = found.reshape([2, 1, 2, 2, 2, 4]) - blocks(&found).reshape([2, 1, 2, 1, 2, 1]);
    assert!(spread.abs().max().double_value(&[]) < 1e-6 && close(&found, &z) > 0.1);
}

#[test]
fn a_part_of_a_set_has_the_bits_of_the_whole_and_a_finished_image_stays() {
    let net = net(Activation::LeakyRelu(0.2), Kind::Float);
    let run = ShortRun::new(&net, config(6), options(ChainNoise::Fixed(1), 2));
    let x = run.start(7, &[0, 1, 2, 3, 4], &[1, 32, 32]).unwrap();
    let short = ReconstructOptions { iterations: 8, snapshots: vec![0, 3, 8], ..search(Method::Adam, 0.02) };
    // images that are done after different numbers of iterations
    let errors = run.reconstruct(&x, None, &short, &mut |_| true).unwrap().errors;
    let target_mse = Some(0.5 * (errors[0][2] + errors[0][3]));
    // a fault is named by the number in the whole set
    let mask = x.ones_like();
    let _ = mask.narrow(0, 3, 1).fill_(0.0);
    let part = ReconstructOptions { offset: 2, ..short.clone() };
    let error = run.reconstruct(&x.narrow(0, 2, 3), Some(&mask.narrow(0, 2, 3)), &part, &mut |_| true).err().unwrap();
    assert!(matches!(error, LatentError::EmptyMask { image: 3 }), "{error}");
    for options in
        [short.clone(), ReconstructOptions { target_mse, ..short.clone() }, ReconstructOptions { starts: 2, ..short }]
    {
        let whole = run.reconstruct(&x, None, &options, &mut |_| true).unwrap();
        for part in [0..2i64, 2..5, 4..5, 5..5] {
            let length = part.end - part.start;
            let options = ReconstructOptions { offset: part.start as usize, ..options.clone() };
            let images = x.narrow(0, part.start, length);
            let found = run.reconstruct(&images, None, &options, &mut |_| true).unwrap();
            assert_eq!(found.x, whole.x.narrow(0, part.start, length), "{part:?}");
            let expected = &whole.errors[part.start as usize..part.end as usize];
            for (own, all) in found.errors.iter().zip(expected) {
                assert_eq!(own[..], all[..own.len()], "{part:?}");
                assert!(all[own.len()..].iter().all(|error| error == &own[own.len() - 1]), "{part:?}");
            }
            for ((t, own), (_, all)) in found.kept.iter().zip(&whole.kept) {
                assert_eq!(own, &all.narrow(0, part.start, length), "{part:?} at {t}");
            }
        }
    }
}
