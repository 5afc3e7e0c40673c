//! Check the derivative of a ladder's generator against autograd and finite differences, and what it is used for.

use crate::{ChainNoise, Latent, Method, ReconstructOptions, ShortRun, ShortRunOptions, rhos};
use srm_config::{Activation, EnergyConfig};
use srm_energy::check::direction;
use srm_energy::{ConvNet, Curved, Energy, Ladder, Trainable};
use srm_langevin::{ChainKey, Course, Dynamics, Kernel, KeyedNoise, Noise as _, Rise, Spread, block_sums};
use tch::{Device, Kind, Tensor};

const IMAGE: [i64; 3] = [1, 16, 16];
const IDS: [u64; 2] = [4, 9];

/// Three grids of 4, 8 and 16 pixels, whose gradients move an image visibly: fresh weights times 3.
fn ladder(activation: Activation, kind: Kind) -> Ladder<ConvNet> {
    let net = |size: usize| {
        let config = EnergyConfig::new(size, 1, 4, activation);
        let fresh = ConvNet::new(&config, size as u64, Device::Cpu).unwrap();
        let grown: Vec<_> = fresh.named_parameters().into_iter().map(|(n, p)| (n, p.to_kind(kind) * 3.0)).collect();
        (size as i64, ConvNet::from_tensors(&config, &grown, Device::Cpu).unwrap())
    };
    Ladder::new([4, 8, 16].map(net).into()).unwrap()
}

fn dynamics() -> Dynamics {
    let rises = vec![Rise { step: 3, factor: 2 }, Rise { step: 7, factor: 2 }];
    let kernel = Kernel { gradient_scale: 0.7, noise_std: 0.01, clip: None };
    Dynamics { course: Course { rises, ..Course::default() }, ..kernel.steps(10) }
}

fn generator(net: &Ladder<ConvNet>, noise: ChainNoise, keep_every: usize) -> ShortRun<Ladder<ConvNet>> {
    ShortRun::new(net, dynamics(), ShortRunOptions { noise, spread: Spread { threads: 2, block: 2 }, keep_every })
}

fn close(a: &Tensor, b: &Tensor) -> f64 {
    ((a - b).norm() / b.norm()).double_value(&[])
}

/// x_K by autograd through the whole chain, with the same noise.
fn through_the_chain(net: &Ladder<ConvNet>, z: &Tensor, seed: u64) -> Tensor {
    let dynamics = dynamics();
    let mut x = z.shallow_clone();
    for step in 0..dynamics.steps {
        if let Some(factor) = dynamics.rise_at(step) {
            let side = x.size()[3];
            x = x.reshape([-1, 1, side, 1, side, 1]).expand([-1, 1, side, factor, side, factor], false);
            x = x.reshape([-1, 1, side * factor, side * factor]);
        }
        let gradient = Tensor::run_backward(&[net.f(&x).unwrap().sum(x.kind())], &[&x], true, true).remove(0);
        let key = ChainKey { seed, attempt: 0, update: 0 };
        let u = KeyedNoise::new(key, IDS.to_vec()).draw(step, &x).unwrap().unwrap();
        x = &x + gradient * dynamics.kernel.gradient_scale + u * dynamics.kernel.noise_std;
    }
    x
}

#[test]
fn the_adjoint_through_grids_is_what_autograd_gives() {
    for activation in [Activation::Silu, Activation::LeakyRelu(0.2)] {
        let net = ladder(activation, Kind::Float);
        let run = generator(&net, ChainNoise::Fixed(5), 1);
        let z = run.start(1, &IDS, &IMAGE).unwrap();
        assert_eq!(z.size(), [2, 1, 4, 4]);
        let v = direction(&run.generate(&z, &IDS).unwrap(), 1).unwrap();
        let (x, pulled) = run.vjp(&z, &v, &IDS).unwrap();
        let tracked = z.detach().set_requires_grad(true);
        let end = through_the_chain(&net, &tracked, 5);
        let expected = Tensor::run_backward(&[(&end * &v).sum(Kind::Float)], &[&tracked], false, false).remove(0);
        assert!(close(&x, &end.detach()) < 1e-5, "{activation:?}");
        assert!(close(&pulled, &expected) < 1e-4, "{activation:?}: {}", close(&pulled, &expected));
        let straight = block_sums(&v, 4).unwrap();
        match net.has_curvature() {
            false => assert_eq!(pulled, straight, "the almost-everywhere derivative repeats pixels alone"),
            true => assert!(close(&pulled, &straight) > 1e-2, "the case is not trivial"),
        }
    }
}

#[test]
fn the_adjoint_through_grids_is_what_finite_differences_give() {
    let net = ladder(Activation::Silu, Kind::Double);
    let run = generator(&net, ChainNoise::Fixed(2), 1);
    let z = run.start(1, &IDS, &IMAGE).unwrap().to_kind(Kind::Double);
    let (v, way) = (direction(&run.generate(&z, &IDS).unwrap(), 1).unwrap(), direction(&z, 2).unwrap());
    let (_, pulled) = run.vjp(&z, &v, &IDS).unwrap();
    let step = 1e-5;
    let ahead = run.generate(&(&z + &way * step), &IDS).unwrap();
    let behind = run.generate(&(&z - &way * step), &IDS).unwrap();
    let found = (((ahead - behind) / (2.0 * step)) * &v).sum(Kind::Double).double_value(&[]);
    let expected = (pulled * way).sum(Kind::Double).double_value(&[]);
    assert!((found - expected).abs() < 1e-6 * expected.abs().max(1.0), "{found} {expected}");
}

#[test]
fn keeping_few_states_gives_the_same_bits_wherever_the_grids_meet() {
    let net = ladder(Activation::Silu, Kind::Float);
    let pulled = |keep_every| {
        let run = generator(&net, ChainNoise::Fixed(1), keep_every);
        let z = run.start(1, &IDS, &IMAGE).unwrap();
        let v = direction(&Tensor::zeros([2, 1, 16, 16], (Kind::Float, Device::Cpu)), 1).unwrap();
        run.vjp(&z, &v, &IDS).unwrap().1
    };
    let all = pulled(1);
    for keep_every in [2, 3, 4, 5, 7, 8, 99] {
        assert_eq!(pulled(keep_every), all, "every {keep_every}");
    }
}

#[test]
fn the_adjoint_in_the_start_of_each_grid_is_what_finite_differences_give() {
    for activation in [Activation::Silu, Activation::LeakyRelu(0.2)] {
        let net = ladder(activation, Kind::Double);
        let zeros = |side: i64| Tensor::zeros([2, 1, side, side], (Kind::Double, Device::Cpu));
        let run = generator(&net, ChainNoise::Fixed(2), 3);
        let z = run.start(1, &IDS, &IMAGE).unwrap().to_kind(Kind::Double);
        let starts =
            [z.shallow_clone(), direction(&zeros(8), 3).unwrap() * 0.1, direction(&zeros(16), 4).unwrap() * 0.1];
        let v = direction(&zeros(16), 1).unwrap();
        let held = v.shallow_clone();
        let all: Vec<&Tensor> = starts.iter().collect();
        let (x, pulled) = run.pull_back(&all, &IDS, &[&held], |_, with| Ok(with[0].shallow_clone())).unwrap();
        assert_eq!(x, run.generate_from(&all, &IDS).unwrap());
        assert!(close(&x, &run.generate(&z, &IDS).unwrap()) > 1e-3, "the starts on finer grids move the images");
        for grid in 0..3 {
            let way = direction(&starts[grid], 5).unwrap();
            let step = 1e-6;
            let moved = |by: f64| {
                let there = &starts[grid] + &way * by;
                let at = |other: usize| if other == grid { &there } else { &starts[other] };
                run.generate_from(&[at(0), at(1), at(2)], &IDS).unwrap()
            };
            let found = (((moved(step) - moved(-step)) / (2.0 * step)) * &v).sum(Kind::Double).double_value(&[]);
            let expected = (&pulled[grid] * &way).sum(Kind::Double).double_value(&[]);
            match activation {
                Activation::Silu => {
                    assert!((found - expected).abs() < 1e-5 * expected.abs().max(1.0), "{grid}: {found} {expected}")
                }
                // the derivative almost everywhere: pixels repeated
                _ => assert_eq!(pulled[grid], block_sums(&v, 16 / starts[grid].size()[3]).unwrap()),
            }
        }
    }
}

#[test]
fn with_a_start_on_each_grid_a_ladder_finds_images_that_are_not_its_own() {
    for activation in [Activation::LeakyRelu(0.2), Activation::Silu] {
        let net = ladder(activation, Kind::Float);
        let run = generator(&net, ChainNoise::Fixed(1), 1);
        let images = Tensor::from_slice(&(0..512).map(|k| ((k * 37 % 64) as f32 / 32.0) - 1.0).collect::<Vec<_>>());
        let images = images.reshape([2, 1, 16, 16]);
        let found = |latent| {
            let options = ReconstructOptions { latent, ..ReconstructOptions::new(Method::Adam, 300, 1) };
            run.reconstruct(&images, None, &options, &mut |_| true).unwrap()
        };
        let (coarse, all) = (found(Latent::Free), found(Latent::Grids));
        // 16 numbers hold next to nothing of 256 pixels that repeat nowhere
        let tenth = all.mse.iter().zip(&coarse.mse).all(|(all, coarse)| all < &(coarse / 10.0));
        assert!(tenth, "{activation:?}: {:?} {:?}", all.mse, coarse.mse);
        assert_eq!((coarse.z.size(), all.z.size()), (vec![2, 1, 4, 4], vec![2, 16 + 64 + 256]));
        // the code gives the image
        let parts = [(0, 4), (16, 8), (80, 16)]
            .map(|(first, side)| all.z.narrow(1, first, side * side).reshape([2, 1, side, side]));
        let again = run.generate_from(&[&parts[0], &parts[1], &parts[2]], &[0, 1]).unwrap();
        assert_eq!(again, all.x);
        let still: Tensor = parts.iter().map(|part| srm_langevin::up_to(part, &[1, 16, 16]).unwrap()).sum();
        let moved = (again - still).square().mean_dim([1i64, 2, 3].as_slice(), false, Kind::Double).sqrt();
        assert!((moved.double_value(&[0]) - all.displacement[0]).abs() < 1e-6);
    }
}

#[test]
fn a_part_without_images_is_reconstructed_to_nothing() {
    let net = ladder(Activation::LeakyRelu(0.2), Kind::Float);
    let run = generator(&net, ChainNoise::Fixed(1), 1);
    let none = Tensor::zeros([0, 1, 16, 16], (Kind::Float, Device::Cpu));
    for (latent, code) in [(Latent::Free, vec![0, 1, 4, 4]), (Latent::Grids, vec![0, 16 + 64 + 256])] {
        for method in [Method::Adam, Method::Residual] {
            let options = ReconstructOptions { latent, ..ReconstructOptions::new(method, 3, 1) };
            let found = run.reconstruct(&none, None, &options, &mut |_| true).unwrap();
            assert_eq!((found.x.size(), found.z.size()), (vec![0, 1, 16, 16], code.clone()));
        }
    }
}

#[test]
fn a_ladder_interpolates_and_finds_its_own_images_again() {
    let net = ladder(Activation::Silu, Kind::Float);
    let run = generator(&net, ChainNoise::Fixed(1), 1);
    let z = run.start(1, &[0, 1], &IMAGE).unwrap();
    let row = run.interpolate(&z.get(0), &z.get(1), &rhos(5), 0).unwrap();
    assert_eq!((row.x.size(), row.steps.len()), (vec![5, 1, 16, 16], 4));
    assert_eq!(row.x.get(0), run.generate(&z.narrow(0, 0, 1), &[0]).unwrap().get(0), "rho = 1 is the first");
    let states = run.path(&z, &[0, 1], 3).unwrap();
    assert!(states.len() == 5 && states.iter().all(|x| x.size() == [2, 1, 16, 16]));
    let targets = run.generate(&z, &[0, 1]).unwrap();
    let found = run.reconstruct(&targets, None, &ReconstructOptions::new(Method::Adam, 200, 1), &mut |_| true).unwrap();
    assert_eq!((found.z.size(), found.x.size()), (z.size(), targets.size()));
    let first = found.errors.iter().map(|errors| errors[0]).fold(f64::INFINITY, f64::min);
    assert!(found.mse.iter().all(|&mse| mse < 0.02 * first), "{:?} from {first}", found.mse);
    assert!(found.mean_displacement() > 0.01);
    let error = run.vjp(&z, &z, &[0, 1]).unwrap_err().to_string();
    assert!(error.contains("[2, 1, 16, 16]") && error.contains("[2, 1, 4, 4]"), "{error}");
}
