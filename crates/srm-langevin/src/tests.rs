//! Check the kernel against exact Gaussian formulas, and blocks and threads against each other.

use crate::{
    ChainKey, Chains, Dynamics, Kernel, KeyedNoise, NoNoise, Noise, Outcome, Path, Pool, RecordedNoise, Sampler,
    Spread, Start, Workers, short_run, start,
};
use srm_config::{Activation, Colours, Drift, EnergyConfig, Init, LangevinConfig};
use srm_energy::{ConvNet, Energy, GaussianMixture, Quadratic, Trainable};
use srm_random::{Key, Purpose, normal};
use tch::{Device, Kind, Tensor};

const KEY: ChainKey = ChainKey { seed: 11, attempt: 0, update: 0 };

fn kernel(gradient_scale: f64, noise_std: f64) -> Kernel {
    Kernel { gradient_scale, noise_std, clip: None }
}

fn dynamics(steps: usize, noise_std: f64) -> Dynamics {
    Dynamics::new(kernel(1.0, noise_std), steps, Start::Uniform)
}

fn net(features: usize) -> ConvNet {
    let config = EnergyConfig::new(32, 3, features, Activation::LeakyRelu(0.2));
    ConvNet::new(&config, 4, Device::Cpu).unwrap()
}

fn finished(outcome: Outcome) -> Tensor {
    match outcome {
        Outcome::Finished(samples) => samples.x,
        Outcome::Diverged { step, .. } => panic!("diverged at step {step}"),
    }
}

/// f = −(x−m)²/(2s²): with α = 1 − a/s² and ν = noise_std, after k steps each pixel started at x₀ has mean
/// m + αᵏ(x₀ − m) and variance ν²(1 − α²ᵏ)/(1 − α²).
#[test]
fn gaussian_case_has_the_exact_mean_and_variance() {
    let (m, s, a, nu) = (0.3, 0.5, 0.02, 0.1);
    let alpha: f64 = 1.0 - a / (s * s);
    let energy = Quadratic::new(Tensor::from(m as f32), s);
    let z = Tensor::full([64, 1, 32, 32], -0.8, (Kind::Float, Device::Cpu));
    for k in [1, 10, 100] {
        let mut noise = KeyedNoise::new(KEY, (0..64).collect());
        let x = finished(short_run(&energy, &kernel(a, nu).steps(k), &z, &mut noise, &mut ()).unwrap());
        let mean = m + alpha.powi(k as i32) * (-0.8 - m);
        let variance = nu * nu * (1.0 - alpha.powi(2 * k as i32)) / (1.0 - alpha * alpha);
        let n = x.numel() as f64; // four standard errors each
        assert!((x.mean(Kind::Double).double_value(&[]) - mean).abs() < 4.0 * (variance / n).sqrt(), "k = {k}");
        let got = x.to_kind(Kind::Double).var(false).double_value(&[]);
        assert!((got / variance - 1.0).abs() < 4.0 * (2.0 / n).sqrt(), "k = {k}: {got} against {variance}");
    }
}

/// Under N(0, s² I) alone, which is what a net of zeros leaves, eq. (4) has v ← (1 − Δτ/2s²)² v + Δτ for its variance v, and the
/// limit s²/(1 − Δτ/4s²): above s² by the bias of the step.
#[test]
fn a_net_of_zeros_leaves_the_reference_distribution_with_the_steps_own_bias() {
    let (s, delta_tau) = (0.4f64, 0.09);
    for activation in [Activation::LeakyRelu(0.2), Activation::Silu] {
        let config = EnergyConfig { any_size: true, reference_std: Some(s), ..EnergyConfig::new(8, 1, 4, activation) };
        let net = ConvNet::new(&config, 1, Device::Cpu).unwrap();
        for (_, mut parameter) in net.named_parameters() {
            let _ = parameter.zero_();
        }
        let z = start(&Start::Gaussian, &KEY, &(0..16).collect::<Vec<_>>(), &[1, 64, 48], Device::Cpu).unwrap();
        let step = |v: f64| (1.0 - delta_tau / (2.0 * s * s)).powi(2) * v + delta_tau;
        for k in [1, 10, 100] {
            let mut noise = KeyedNoise::new(KEY, (0..16).collect());
            let x = finished(short_run(&net, &Kernel::eq4(delta_tau).steps(k), &z, &mut noise, &mut ()).unwrap());
            let variance = (0..k).fold(1.0, |v, _| step(v));
            let n = x.numel() as f64; // four standard errors each
            assert!(x.mean(Kind::Double).double_value(&[]).abs() < 4.0 * (variance / n).sqrt(), "k = {k}");
            let got = x.to_kind(Kind::Double).var(false).double_value(&[]);
            assert!((got / variance - 1.0).abs() < 4.0 * (2.0 / n).sqrt(), "k = {k}: {got} against {variance}");
        }
        let limit = s * s / (1.0 - delta_tau / (4.0 * s * s));
        assert!(((0..100).fold(1.0, |v, _| step(v)) / limit - 1.0).abs() < 1e-9 && limit > 1.1 * s * s);
    }
}

#[test]
fn both_forms_of_the_step_are_eq_4() {
    let (x, g, u) = (Tensor::from(1.0), Tensor::from(2.0), Tensor::from(-3.0));
    let step = Kernel::eq4(0.04).step(&x, &g, Some(&u)).unwrap();
    // 1 + 0.04/2 · 2 + 0.2 · (−3)
    assert!((step.double_value(&[]) - 0.44).abs() < 1e-12);
    assert_eq!(Kernel::default().step(&x, &g, None).unwrap().double_value(&[]), 3.0);
    assert!((Kernel::eq4(0.04).temperature() - 1.0).abs() < 1e-12);
    assert!((Kernel::default().temperature() - 5e-5).abs() < 1e-16);
    // the same from a config
    let config = LangevinConfig {
        steps: 7,
        grids: Vec::new(),
        drift: Drift::DeltaTau { delta_tau: 0.04 },
        init: Init::Gaussian,
        clip_gradient: Some(2.0),
        block: None,
    };
    let expected = Dynamics::new(Kernel { clip: Some(2.0), ..Kernel::eq4(0.04) }, 7, Start::Gaussian);
    assert_eq!(Dynamics::from(&config), expected);
}

#[test]
fn starts_follow_p0_and_each_chain_has_its_own() {
    let ids: Vec<u64> = (0..40).collect();
    let uniform = start(&Start::Uniform, &KEY, &ids, &[3, 32, 32], Device::Cpu).unwrap();
    let gaussian = start(&Start::Gaussian, &KEY, &ids, &[3, 32, 32], Device::Cpu).unwrap();
    let std = |t: &Tensor| t.std(false).double_value(&[]);
    assert!((std(&uniform) - (1.0f64 / 3.0).sqrt()).abs() < 0.005 && uniform.abs().max().double_value(&[]) <= 1.0);
    assert!((std(&gaussian) - 1.0).abs() < 0.01);
    assert_ne!(uniform.get(0), uniform.get(1));
    let later = start(&Start::Uniform, &ChainKey { update: 1, ..KEY }, &ids, &[3, 32, 32], Device::Cpu).unwrap();
    assert_ne!(uniform.get(0), later.get(0));
    // a law of images of 2 px, one grey level to the left and its opposite to the right: each pixel a block
    let row = [0.04, -0.04, 0.04, -0.04];
    let covariance = [0, 1, 0, 1].map(|odd| row.map(|one| if odd == 1 { -one } else { one }).to_vec());
    let law = Colours::new(2, &[0.5; 4], &covariance).unwrap();
    let z = start(&Start::Colours(law), &KEY, &ids, &[1, 16, 32], Device::Cpu).unwrap() - 0.5;
    let left = z.narrow(3, 0, 16);
    assert_eq!(left, left.narrow(2, 0, 1).narrow(3, 0, 1).expand_as(&left));
    assert!((&left + z.narrow(3, 16, 16)).abs().max().double_value(&[]) < 1e-6);
    assert!((std(&z) - 0.2).abs() < 0.05);
}

#[test]
fn blocks_start_alike_draw_alike_and_agree_step_by_step() {
    let net = net(8);
    let kernel = Kernel::default();
    let ids: Vec<u64> = (0..16).collect();
    let mut path = Path::new(1);
    let z = start(&Start::Uniform, &KEY, &ids, &[3, 32, 32], Device::Cpu).unwrap();
    short_run(&net, &kernel.steps(12), &z, &mut KeyedNoise::new(KEY, ids.clone()), &mut path).unwrap();
    let whole = path.states();
    assert_eq!(whole.len(), 13);
    for block in [1usize, 4, 16] {
        for first in (0..16).step_by(block) {
            let ids: Vec<u64> = (first as u64..(first + block) as u64).collect();
            let cut = |t: &Tensor| t.narrow(0, first as i64, block as i64);
            let z_block = start(&Start::Uniform, &KEY, &ids, &[3, 32, 32], Device::Cpu).unwrap();
            assert_eq!(z_block, cut(&z));
            let mut noise = KeyedNoise::new(KEY, ids);
            let mut whole_noise = KeyedNoise::new(KEY, (0..16).collect());
            for k in [0, 5, 11] {
                let x = cut(&whole[k]);
                let u = noise.draw(k, &x).unwrap().unwrap();
                assert_eq!(u, cut(&whole_noise.draw(k, &whole[k]).unwrap().unwrap()));
                let gradient = net.f_and_grad(&x).unwrap().1;
                let next = kernel.step(&x, &gradient, Some(&u)).unwrap();
                // teacher-forced: one step's rounding
                assert!((next - cut(&whole[k + 1])).abs().max().double_value(&[]) <= 1e-5, "block {block}, k {k}");
            }
        }
    }
}

#[test]
fn threads_change_no_bit_and_count_is_a_prefix() {
    let net = net(8);
    let run = |threads, count| {
        let sampler = Sampler::new(&net, dynamics(20, 0.01), &[3, 32, 32], Spread { threads, block: 4 });
        finished(sampler.run(&Chains::samples(1, count), |_| ()).unwrap().0)
    };
    let one = run(1, 18);
    assert_eq!(one.size(), [18, 3, 32, 32]);
    assert_eq!(one, run(2, 18));
    assert_eq!(one.narrow(0, 0, 5), run(2, 5));
    assert_eq!(run(2, 0).size(), [0, 3, 32, 32]);
}

#[test]
fn replica_sees_updates_of_the_weights_in_place() {
    let net = net(4);
    let sampler = Sampler::new(&net, dynamics(2, 0.0), &[3, 32, 32], Spread { threads: 2, block: 4 });
    let run = || finished(sampler.run(&Chains::samples(1, 4), |_| ()).unwrap().0);
    let before = run();
    for (_, mut parameter) in net.named_parameters() {
        let _ = parameter.g_mul_scalar_(2.0);
    }
    assert_ne!(before, run());
}

#[test]
fn a_worker_has_one_thread_and_no_autograd() {
    let pool = Pool::new(&net(4), 2);
    let seen = pool
        .map(vec![0, 1, 2, 3], |energy, _| {
            let weight = energy.named_parameters()[0].1.detach().set_requires_grad(true);
            Ok((tch::get_num_threads(), (&weight * 2).requires_grad()))
        })
        .unwrap();
    assert_eq!(seen, vec![(1, false); 4]);
}

#[test]
fn a_panic_in_a_worker_is_an_error_and_the_pool_goes_on() {
    let pool = Pool::new(&net(4), 1);
    let error = pool.map(vec![1, 0], |_, i: i32| if i == 1 { panic!("on purpose") } else { Ok(i) }).unwrap_err();
    assert!(error.to_string().contains("worker thread stopped"), "{error}");
    assert_eq!(pool.map(vec![7], |_, i: i32| Ok(i)).unwrap(), [7]);
}

#[test]
fn divergence_is_an_outcome_with_its_step() {
    // α = 1 − a/s² = −99: x grows a hundredfold a step, past f32's 3e38 squared in f after about ten.
    let energy = Quadratic::new(Tensor::from(0.0f32), 0.1);
    let z = Tensor::ones([2, 1, 4, 4], (Kind::Float, Device::Cpu));
    match short_run(&energy, &Kernel::default().steps(60), &z, &mut NoNoise, &mut ()).unwrap() {
        Outcome::Diverged { step, x } => {
            assert!((5..15).contains(&step), "{step}");
            assert_eq!(x.size(), [2, 1, 4, 4]);
        }
        Outcome::Finished(_) => panic!("finished"),
    }
}

#[test]
fn recorded_noise_is_used_and_its_end_is_an_error() {
    let energy = Quadratic::new(Tensor::from(0.0f32), 1e9);
    let z = Tensor::zeros([1, 1, 2, 2], (Kind::Float, Device::Cpu));
    let mut noise = RecordedNoise((0..3).map(|_| Tensor::ones([1, 1, 2, 2], (Kind::Float, Device::Cpu))).collect());
    let x = finished(short_run(&energy, &kernel(1.0, 0.5).steps(3), &z, &mut noise, &mut ()).unwrap());
    assert_eq!(x.double_value(&[0, 0, 0, 0]), 1.5);
    let error = short_run(&energy, &kernel(1.0, 0.5).steps(4), &z, &mut noise, &mut ()).unwrap_err();
    assert!(error.to_string().contains("holds 3 steps"), "{error}");
}

#[test]
fn long_chains_find_the_modes_of_a_mixture_in_proportion() {
    // Two modes at ±1 on a line, s = 0.5, weights 1:3, plain Langevin (T = 1): chains mix, so the share of x > 0 is
    // the mixture's, Φ(2)·0.75 + (1 − Φ(2))·0.25 = 0.739; four standard errors of 4,000 chains are 0.028, and the
    // step size adds less than 0.01.
    let means = Tensor::from_slice(&[-1.0f32, 1.0]).reshape([2, 1]);
    let energy = GaussianMixture::new(&means, &Tensor::from_slice(&[0.25f32, 0.75]), 0.5).unwrap();
    let z = start(&Start::Uniform, &KEY, &(0..4000).collect::<Vec<_>>(), &[1], Device::Cpu).unwrap();
    let x = finished(
        short_run(&energy, &Kernel::eq4(0.05).steps(800), &z, &mut KeyedNoise::new(KEY, (0..4000).collect()), &mut ())
            .unwrap(),
    );
    let share = x.gt(0.0).to_kind(Kind::Double).mean(Kind::Double).double_value(&[]);
    assert!((share - 0.739).abs() < 0.04, "{share}");
}

#[test]
fn step_noise_is_the_keyed_stream() {
    let x = Tensor::zeros([1, 3, 8, 8], (Kind::Float, Device::Cpu));
    let u = KeyedNoise::new(KEY, vec![6]).draw(2, &x).unwrap().unwrap();
    let mut expected = vec![0.0; 192];
    normal(&Key { id: 6, step: 2, ..Key::new(11, Purpose::ChainStep) }, &mut expected);
    assert_eq!(Vec::<f32>::try_from(u.flatten(0, -1)).unwrap(), expected);
}

#[test]
fn a_clip_shortens_each_sample_by_itself_whatever_its_shape() {
    for shape in [&[2, 3, 4, 4][..], &[2, 48], &[2, 6, 8]] {
        let gradient = Tensor::ones(shape, (Kind::Double, Device::Cpu));
        let _ = gradient.get(1).f_mul_scalar_(0.01).unwrap();
        let kernel = Kernel { clip: Some(2.0), ..Kernel::default() };
        let drift = kernel.drift(&gradient).unwrap();
        let norm = |row: i64| drift.get(row).norm().double_value(&[]);
        assert!((norm(0) - 2.0).abs() < 1e-12 && (norm(1) - 0.01 * 48f64.sqrt()).abs() < 1e-12);
        // along a clipped gradient nothing of v is left, and a short one leaves v as it is
        let back = kernel.drift_transpose(&gradient, &gradient).unwrap();
        assert!(back.get(0).norm().double_value(&[]) < 1e-12);
        assert_eq!(back.get(1), gradient.get(1));
    }
}

#[test]
fn rows_of_any_shape_are_padded_spread_joined_and_cut() {
    let workers = Workers::new(&Quadratic::new(Tensor::from(0.0f32), 1.0), Spread { threads: 2, block: 4 });
    let x = Tensor::arange(10, (Kind::Float, Device::Cpu)).reshape([10, 1]);
    let ids: Vec<u64> = (100..110).collect();
    let blocks = workers
        .full_blocks(&ids, &[&x], |_, block| {
            assert_eq!((block.ids.len(), block.with[0].size()), (4, vec![4, 1]));
            Ok(&block.with[0] * 2 + block.ids[0] as f64)
        })
        .unwrap();
    let joined = workers.join(&blocks, 10, &[1]).unwrap();
    let first = |row: i64| 100.0 + (row / 4 * 4) as f64;
    assert!((0..10).all(|row| joined.double_value(&[row, 0]) == 2.0 * row as f64 + first(row)));
    assert_eq!(workers.parts(&x, |_, part| Ok(part.size()[0])).unwrap(), [4, 4, 2]);
    assert_eq!(workers.join(&[], 0, &[3, 2]).unwrap().size(), [0, 3, 2]);
    let error = workers.full_blocks(&ids[1..], &[&x], |_, _| Ok(())).unwrap_err().to_string();
    assert!(error.contains("[10, 1]") && error.contains("[9, 1]"), "{error}");
}

#[test]
fn chains_without_rows_are_refused() {
    let z = Tensor::zeros([5], (Kind::Float, Device::Cpu));
    let energy = Quadratic::new(Tensor::from(0.0f32), 1.0);
    let error = short_run(&energy, &Kernel::default().steps(1), &z, &mut NoNoise, &mut ()).unwrap_err().to_string();
    assert!(error.contains("[5]") && error.contains("[b, 1]"), "{error}");
}
