//! Check moment matching against formulas, known shifts and a net small enough for seconds.

use super::*;
use srm_config::{Activation, EnergyConfig, LangevinConfig};
use srm_data::{ImageSet, synthetic, write_npy};
use srm_energy::{ConvNet, Trainable};
use srm_langevin::{ChainKey, Dynamics, Kernel, Spread, Start, Workers};
use srm_random::{Key, Purpose, normal};
use tch::{Device, Kind, Tensor};

/// `count` draws of N(shift, I) in 50 dimensions, 5 at a time.
fn draws(count: usize, shift: f64, seed: u64) -> GroupedMean {
    let mut mean = GroupedMean::new(count);
    for first in (0..count).step_by(5) {
        let mut values = vec![0.0; 5 * 50];
        normal(&Key { id: first as u64, ..Key::new(seed, Purpose::Synthetic) }, &mut values);
        let x = Tensor::from_slice(&values).reshape([5, 50]) + shift;
        mean.add(&x.sum_dim_intlist([0i64].as_slice(), false, Kind::Float), 5).unwrap();
    }
    mean
}

#[test]
fn the_relative_error_is_zero_for_itself_and_known_for_a_shift() {
    let (a, b) = (draws(2000, 1.0, 1), draws(2000, 1.5, 1));
    assert_eq!(a.count(), 2000);
    let itself = relative_error(&a, &a).unwrap();
    assert_eq!((itself.relative, itself.beyond_noise), (0.0, 0.0));
    // The same noise moved by 0.5 in each of 50 dimensions: ‖E_a‖ = √50 to a relative 1/√(50 · 2000) = 0.003, times four.
    let moved = relative_error(&b, &a).unwrap();
    assert!((moved.relative - 0.5).abs() < 0.5 * 0.0127, "{moved:?}");
    // Two means of 2000 draws: √(2 · 50/2000) of √50 = 0.0316; ten groups know it to 1/√(2 · 9 · 50) = 3 %, times five.
    assert!((moved.noise / 0.0316 - 1.0).abs() < 0.17, "{moved:?}");
    // Along the shift the error's std is √(1/2000 · (1 + 0.5²))/√50 = 0.0035; from twenty groups to 25 %, times four.
    let other = relative_error(&draws(2000, 1.5, 2), &a).unwrap();
    assert!((0.0..0.0071).contains(&other.standard_error), "{other:?}");
    assert!((other.beyond_noise - 0.5).abs() < 4.0 * 0.0035 + 0.001, "{other:?}");
    let both = a.and(&b);
    assert_eq!(both.count(), 4000);
    let middle = (both.mean().unwrap() - (a.mean().unwrap() + b.mean().unwrap()) / 2.0).abs().max().double_value(&[]);
    assert!(middle < 1e-12, "{middle}");
    assert!(relative_error(&GroupedMean::new(5), &a).is_err());
    let mut short = GroupedMean::new(1);
    short.add(&Tensor::from_slice(&[1.0f32]), 1).unwrap();
    assert!(relative_error(&short, &a).unwrap_err().to_string().contains("dimension 1"));
}

#[test]
fn the_floor_falls_with_the_root_of_the_count() {
    // Mean over eight pairs of sets: each error has a relative spread of 1/√(2 · 50) = 10 %, their mean 3.5 %, a ratio 5 %.
    let floor = |count: usize| {
        let pair = |i: u64| relative_error(&draws(count, 1.0, 2 * i), &draws(count, 1.0, 2 * i + 1)).unwrap().relative;
        (0..8).map(pair).sum::<f64>() / 8.0
    };
    let ratio = floor(200) / floor(3200);
    assert!((ratio - 4.0).abs() < 0.8, "{ratio}"); // four of those 5 %
}

fn plane(steps: usize) -> PlaneFamily {
    let kernel = Kernel { gradient_scale: 0.05, noise_std: 0.1f64.sqrt(), clip: None };
    let dynamics = Dynamics::new(kernel, steps, Start::Gaussian);
    PlaneFamily { stiffness: 4.0, start: 0.1, data: [2.2, 0.2], dynamics }
}

fn langevin(steps: usize) -> LangevinConfig {
    let text = format!(
        r#"{{"data":{{"images":"synthetic:blobs"}},"energy":{{"size":32,"channels":1}},
            "langevin":{{"steps":{steps},"gradient_scale":1.0,"noise_std":0.01}},"train":{{"updates":1,"batch":1,"learning_rate":1e-4}}}}"#
    );
    srm_config::Config::from_json(&text, &[]).unwrap().langevin
}

#[test]
fn the_runs_variances_are_the_sampled_ones() {
    let family = plane(10);
    for theta in [0.1, 0.7, 2.0] {
        let exact = family.run(theta);
        let sampled = family.sampled(theta, ChainKey { seed: 1, attempt: 0, update: 3 }, 100_000).unwrap();
        for (exact, sampled) in exact.into_iter().zip(sampled) {
            // a variance of n Gaussians is known to √(2/n) = 0.45 %, times four
            assert!((sampled / exact - 1.0).abs() < 0.018, "{theta}: {sampled} against {exact}");
        }
    }
}

#[test]
fn learning_lands_on_the_moment_matching_estimate_and_long_runs_on_maximum_likelihood() {
    let family = plane(10);
    let (exact, likely) = (family.moment_matching().unwrap(), family.maximum_likelihood());
    let matched = family.moment(family.run(exact)) - family.moment(family.data);
    assert!(matched.abs() < 1e-9, "{matched}");
    let on_model = family.moment(family.model(likely)) - family.moment(family.data);
    assert!(on_model.abs() < 1e-12, "{on_model}");
    let (path, learned) = family.learn(1.5, 200, 1000, 1).unwrap();
    assert_eq!(path.len(), 200);
    // h has a std of about 1.5 and dE_q[h]/dθ is about 2.4 there: 100 updates of 1000 chains know θ to 1.5/2.4/√1e5 = 0.002;
    // times four, and as much again for the way that the rate has not yet forgotten. The other estimate is at 0.667.
    assert!((learned - exact).abs() < 0.016, "{learned} against {exact}");
    assert!((likely - exact).abs() > 0.2, "{likely} and {exact}");
    // With many steps the run converges, and only the step size keeps the two estimates apart: 1/(1 − aθc/2) is 7 % at most.
    let long = plane(400);
    let apart = long.moment_matching().unwrap() / long.maximum_likelihood() - 1.0;
    assert!(apart.abs() < 0.07, "{apart}");
    let cold = PlaneFamily { start: 0.01, data: [9.0, 9.0], ..plane(2) };
    assert!(cold.moment_matching().unwrap_err().to_string().contains("E[h]"));
}

fn net() -> ConvNet {
    let config = EnergyConfig::new(32, 1, 4, Activation::LeakyRelu(0.2));
    ConvNet::new(&config, 3, Device::Cpu).unwrap()
}

/// 200 grey blobs.
fn blobs(folder: &std::path::Path) -> ImageSet {
    let path = folder.join("x.npy");
    let pixels = synthetic::blobs(200, 32, 1, 1);
    write_npy(&path, &ndarray::ArrayView4::from_shape((200, 32, 32, 1), &pixels).unwrap()).unwrap();
    ImageSet::open(&path).unwrap()
}

#[test]
fn an_observed_image_is_the_same_in_any_batch_and_carries_its_noise() {
    let folder = tempfile::tempdir().unwrap();
    let images = blobs(folder.path());
    let (clean, noisy) = (Observed::new(&images, 1, 0.0, false), Observed::new(&images, 1, 0.2, false));
    let (all, some) = (noisy.batch(0, 200).unwrap(), noisy.batch(30, 7).unwrap());
    assert_eq!(all.size(), [200, 1, 32, 32]);
    assert_eq!(all.narrow(0, 30, 7), some);
    let noise = (&all - clean.batch(0, 200).unwrap()).std(true).double_value(&[]);
    assert!((noise / 0.2 - 1.0).abs() < 0.01, "{noise}"); // 204,800 numbers: 0.16 %, times six
    let mirrored = Observed::new(&images, 1, 0.0, true).batch(0, 200).unwrap();
    let straight = clean.batch(0, 200).unwrap();
    let differ = (0..200).filter(|&i| mirrored.get(i) != straight.get(i)).count();
    assert!((58..142).contains(&differ), "{differ} of 200"); // six standard deviations
    assert!(noisy.batch(199, 2).is_err());
}

#[test]
fn gradient_moments_are_those_of_one_batch_and_the_last_layers_are_h() {
    let folder = tempfile::tempdir().unwrap();
    let (images, net) = (blobs(folder.path()), net());
    let x = Observed::new(&images, 1, 0.1, false).batch(0, 40).unwrap();
    let workers = Workers::new(&net, Spread { threads: 2, block: 8 });
    let mut moments = LayerMoments::new(&net, 40);
    for part in x.split(16, 0) {
        moments.add(&workers, &part).unwrap();
    }
    let names: Vec<&str> = moments.layers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["f.0", "f.2", "f.4", "f.6", "f.8"]);
    let (f, gradients) =
        net.f_and_parameter_grad(&x, &(Tensor::ones([40], (Kind::Float, Device::Cpu)) / 40.0)).unwrap();
    let near = |mean: &GroupedMean, expected: &Tensor| {
        assert_eq!(mean.count(), 40);
        let expected = expected.contiguous().view([-1]).to_kind(Kind::Double);
        let apart = (mean.mean().unwrap() - &expected).abs().max().double_value(&[]);
        // f32 sums in another order
        assert!(apart <= 1e-5 * expected.abs().max().double_value(&[]), "{apart}");
    };
    near(&moments.f, &f.mean(Kind::Float).view([1]));
    near(&moments.layers[1].1, &Tensor::cat(&[gradients[2].contiguous().view([-1]), gradients[3].view([-1])], 0));
    let h = net.top_features(&x).unwrap();
    near(moments.top().unwrap(), &h.mean_dim([0i64].as_slice(), false, Kind::Float));
    let halves = moments.and(&moments);
    assert_eq!(halves.top().unwrap().count(), 80);
}

#[test]
fn the_frozen_experiment_matches_the_moments_of_blobs() {
    let folder = tempfile::tempdir().unwrap();
    let (images, net, spread) = (blobs(folder.path()), net(), Spread { threads: 2, block: 8 });
    let x = Observed::new(&images, 1, 0.03, false).batch(0, 200).unwrap();
    let mut target = GroupedMean::new(200);
    target.add(&net.top_features(&x).unwrap().sum_dim_intlist([0i64].as_slice(), false, Kind::Float), 200).unwrap();
    let options = FrozenOptions { updates: 60, batch: 16, rate: 100.0, seed: 1 };
    let mut frozen = FrozenTop::new(&net, &langevin(10), spread, options, &target).unwrap();
    let error = |frozen: &FrozenTop| {
        let mut mean = GroupedMean::new(200);
        frozen.add_features(&mut mean, &frozen.fresh(0..200).unwrap()).unwrap();
        relative_error(&mean, &target).unwrap().relative
    };
    let before = error(&frozen);
    for _ in 0..60 {
        frozen.step().unwrap();
    }
    // Measured on several rates and batches: 0.41 falls to 0.05 to 0.07, of which 0.04 is the noise of 200 chains. The net's
    // features are those of random weights: what is learned is w alone.
    let after = error(&frozen);
    assert!(after * 4.0 < before, "{before} to {after}");
    let (learned, drawn) = (frozen.net().named_parameters(), net.named_parameters());
    assert_eq!(learned[..8], drawn[..8]);
    assert_ne!(learned[8], drawn[8]);
    // The chains are those of the short run as far as it goes, and no converged ones: further on the moments leave.
    let states = frozen.carry(64, &[10, 100]).unwrap();
    assert_eq!(states[0].x, frozen.fresh(0..64).unwrap());
    let [early, late] = [0, 1].map(|i: usize| relative_error(&states[i].features, &target).unwrap().relative);
    assert!(late > 2.0 * early, "{early} to {late}");

    let wild = FrozenOptions { rate: 1e9, ..options };
    let mut wild = FrozenTop::new(&net, &langevin(10), spread, wild, &target).unwrap();
    let end = (0..10).find_map(|_| wild.step().err()).unwrap().to_string();
    assert!(end.contains("lower the rate"), "{end}");
}
