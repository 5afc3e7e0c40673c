//! Check chain diagnostics against exact answers, and broken runs against unbroken ones.

use crate::EvalError;
use crate::chains::*;
use srm_config::{Activation, Drift, EnergyConfig, Init, LangevinConfig};
use srm_energy::{ConvNet, Energy, Quadratic, Replicate};
use srm_langevin::{Chains, Dynamics, Pool, Sampler, Spread};
use srm_random::{Key, Purpose, normal};
use std::sync::Arc;
use tch::{Device, Kind, Tensor};

fn langevin(gradient_scale: f64, noise_std: f64) -> LangevinConfig {
    LangevinConfig {
        steps: 10,
        grids: Vec::new(),
        drift: Drift::Tempered { gradient_scale: gradient_scale.into(), noise_std: noise_std.into() },
        init: Init::Uniform,
        clip_gradient: None,
        block: None,
    }
}

fn settings(variant: Variant, langevin: LangevinConfig, chains: usize, image: [i64; 3]) -> LongRunSettings {
    let (weights, device) = ("none".to_owned(), "cpu".to_owned());
    LongRunSettings { variant, weights, langevin, seed: 3, chains, block: 4, image: image.to_vec(), device }
}

/// The run at its end, by one worker.
fn run_to_end<E: Replicate>(energy: &E, settings: LongRunSettings, steps: usize) -> LongRun {
    let mut run = LongRun::new(settings, Plan::logarithmic(steps, 10), Device::Cpu).unwrap();
    assert_eq!(run.run(&Pool::new(energy, 1), &mut |_| Ok(true)).unwrap(), LongRunEnd::Done);
    run
}

/// Variance of a pixel over independent chains after many steps on f = −x²/(2s²), s = 0.5, T = 0.1, and the acceptance.
fn spread(variant: Variant, step: f64) -> (f64, f64) {
    let (s, temperature) = (0.5f64, 0.1);
    let a = step * s * s;
    let langevin = langevin(a, (2.0 * a * temperature).sqrt());
    assert!((langevin.temperature() - temperature).abs() < 1e-12);
    let energy = Quadratic::new(Tensor::from(0.0f32), s);
    let settings = LongRunSettings { block: 4000, ..settings(variant, langevin, 4000, [1, 1, 1]) };
    let run = run_to_end(&energy, settings, 60);
    let variance = run.blocks[0].x.to_kind(Kind::Double).var(false).double_value(&[]);
    (variance / (temperature * s * s), run.table().unwrap().acceptance())
}

/// For f = −x²/(2s²) the target exp(f/T) has the variance T s². The plain chain with α = 1 − a/s² keeps b²/(1 − α²), which is
/// T s² / (1 − a/(2s²)): for a = s² twice, for a = 1.5 s² four times too much. The test makes both exact. Four standard errors
/// of 4,000 independent chains are 4 √(2/4000) = 9 %.
#[test]
fn metropolis_keeps_the_target_where_plain_langevin_is_biased() {
    for (step, biased) in [(1.0, 2.0), (1.5, 4.0)] {
        let (plain, accepted) = spread(Variant::Langevin, step);
        assert!((plain / biased - 1.0).abs() < 0.09, "step {step}: {plain}");
        assert_eq!(accepted, 0.0);
        let (adjusted, accepted) = spread(Variant::Metropolis, step);
        assert!((adjusted - 1.0).abs() < 0.09, "step {step}: {adjusted}");
        assert!((0.3..0.95).contains(&accepted), "step {step}: {accepted}");
    }
}

/// a = s²: the proposal is N(0, 2 T s²) whatever x is, an independence sampler. Its log ratio is the exact
/// log π(y)/π(x) − log q(y)/q(x) = (x² − y²)/(4 T s²).
#[test]
fn the_log_ratio_is_the_exact_one() {
    let (s, temperature) = (0.5f64, 0.1);
    let energy = Quadratic::new(Tensor::from(0.0f32), s);
    let kernel = Metropolis::new(Dynamics::from(&langevin(s * s, (2.0 * s * s * temperature).sqrt())).kernel).unwrap();
    let x = Tensor::from_slice(&[0.3f32, -0.1, 0.0]).reshape([3, 1, 1, 1]);
    let state = kernel.init(&energy, &x).unwrap();
    let u = Tensor::from_slice(&[0.5f32, 1.5, -1.0]).reshape([3, 1, 1, 1]);
    // log uniform −0.45: taken where the ratio is larger than that
    let bar = Tensor::from_slice(&[-0.45f64; 3]);
    let (next, info) = kernel.step(&energy, &state, &u, &bar).unwrap();
    let ratios = Vec::<f64>::try_from(&info.log_ratio).unwrap();
    let mut taken = Vec::new();
    for (ratio, (x, u)) in ratios.iter().zip([(0.3, 0.5), (-0.1, 1.5), (0.0, -1.0)]) {
        let y = (2.0 * s * s * temperature).sqrt() * u;
        let exact: f64 = (x * x - y * y) / (4.0 * temperature * s * s);
        // f32 rounds x, y and f to 1e-7 of at most 0.1, and T = 0.1 divides it
        assert!((ratio - exact).abs() < 1e-6, "{ratio} against {exact}");
        taken.push(exact > -0.45);
    }
    assert_eq!(Vec::<bool>::try_from(&info.accepted).unwrap(), taken);
    assert_eq!(taken, [true, false, false]);
    let moved = next.x.ne_tensor(&x).flatten(0, -1);
    assert_eq!(Vec::<bool>::try_from(moved).unwrap(), taken);
    assert_eq!(next.f, energy.f(&next.x).unwrap());
    assert_eq!(next.gradient, energy.f_and_grad(&next.x).unwrap().1);
}

#[test]
fn tiny_steps_are_taken_and_huge_ones_refused() {
    let accepted = |step| spread(Variant::Metropolis, step).1;
    assert!(accepted(1e-4) > 0.99);
    assert!(accepted(50.0) < 0.2);
    assert!(matches!(Metropolis::new(Dynamics::from(&langevin(1.0, 0.0)).kernel), Err(EvalError::NoTemperature)));
}

#[test]
fn the_tests_of_chains_are_uniform_and_their_own() {
    let key = srm_langevin::ChainKey { seed: 5, attempt: 0, update: 0 };
    let ids: Vec<u64> = (0..4000).collect();
    let logs = Vec::<f64>::try_from(log_uniform(&key, &ids, 7, Device::Cpu).unwrap()).unwrap();
    // mean of log U is −1, its std 1: four standard errors
    let mean = logs.iter().sum::<f64>() / 4000.0;
    assert!((mean + 1.0).abs() < 4.0 / 4000f64.sqrt(), "{mean}");
    let alone = Vec::<f64>::try_from(log_uniform(&key, &[17], 7, Device::Cpu).unwrap()).unwrap();
    assert_eq!(alone[0], logs[17]);
    assert_ne!(alone, Vec::<f64>::try_from(log_uniform(&key, &[17], 8, Device::Cpu).unwrap()).unwrap());
}

/// x ← φ x + e has the autocorrelation φˡ at lag l; and y = x three steps later correlates with x at lag 3 as x with itself at 0.
#[test]
fn an_ar_1_series_has_its_autocorrelation() {
    let (n, phi) = (20_000, 0.8f64);
    let mut noise = vec![0.0f32; n];
    normal(&Key::new(9, Purpose::Synthetic), &mut noise);
    let mut x = vec![0.0f64; n];
    for i in 1..n {
        x[i] = phi * x[i - 1] + f64::from(noise[i]);
    }
    let found = autocorrelation(&x, 6);
    assert_eq!(found[0], 1.0);
    for (lag, value) in found.iter().enumerate() {
        // Bartlett: the standard error is at most √((1 + φ²)/(1 − φ²)/n) = 0.015; four of them
        assert!((value - phi.powi(lag as i32)).abs() < 0.06, "lag {lag}: {value}");
    }
    let crossed = cross_correlation(&x[3..], &x[..n - 3], 5);
    assert_eq!(crossed.len(), 11);
    let largest = (0..11).max_by(|&i, &j| crossed[i].total_cmp(&crossed[j])).unwrap();
    assert_eq!(largest, 5 + 3); // lag 3
    assert!(crossed[8] > 0.99, "{crossed:?}");
    assert!(autocorrelation(&[2.0; 5], 2)[1].is_nan());
}

/// Two starts, three noises, one pixel: 1 2 3 and 5 6 10. Means 2 and 7; within = (2/2 + 14/2)/2 = 4;
/// variance of the means 12.5; between = 12.5 − 4/3.
#[test]
fn variance_is_split_as_by_hand() {
    let images = Tensor::from_slice(&[1.0f32, 2.0, 3.0, 5.0, 6.0, 10.0]).reshape([2, 3, 1, 1, 1]);
    let parts = variance_components(&images).unwrap();
    let between = 12.5 - 4.0 / 3.0;
    assert!((parts.within - 4.0).abs() < 1e-12 && (parts.between - between).abs() < 1e-12, "{parts:?}");
    assert!((parts.intraclass - between / (between + 4.0)).abs() < 1e-12);
    let error = variance_components(&images.narrow(1, 0, 1)).unwrap_err().to_string();
    assert!(error.contains("within starts") && error.contains("at least 2"), "{error}");
}

/// 200 starts with std 2 and 3 noises each with std 1 on 50 pixels: between 4, within 1. The standard error of "between" is
/// about 4 √(2/(200·50)) = 0.06 and of "within" 0.01; five of each.
#[test]
fn variance_components_are_unbiased() {
    let draw = |id: u64, count: usize| {
        let mut values = vec![0.0f32; count];
        normal(&Key { id, ..Key::new(4, Purpose::Synthetic) }, &mut values);
        Tensor::from_slice(&values)
    };
    let starts = draw(0, 200 * 50).reshape([200, 1, 50]) * 2.0;
    let parts = variance_components(&(starts + draw(1, 200 * 3 * 50).reshape([200, 3, 50]))).unwrap();
    assert!((parts.between - 4.0).abs() < 0.3 && (parts.within - 1.0).abs() < 0.05, "{parts:?}");
}

fn net() -> ConvNet {
    let config = EnergyConfig::new(32, 1, 8, Activation::LeakyRelu(0.2));
    ConvNet::new(&config, 4, Device::Cpu).unwrap()
}

/// Everything that a run has, to the bit.
fn everything(run: &LongRun) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    run.save(&folder.path().join("run.safetensors")).unwrap();
    std::fs::read(folder.path().join("run.safetensors")).unwrap()
}

/// Stop at step 200 and go on with another number of workers; end at 130 and go on to 350: always the unbroken run.
fn check_that_broken_runs_are_whole<E: Replicate>(energy: &E, settings: &LongRunSettings) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    let unbroken = run_to_end(energy, settings.clone(), 350);
    let taken = unbroken.table().unwrap().acceptance();
    let some = settings.variant == Variant::Langevin || (0.2..0.95).contains(&taken);
    assert!(some, "{taken} of the proposals are taken, so the test of each decides nothing");
    let plan = || Plan::logarithmic(350, 10);
    let mut begun = LongRun::new(settings.clone(), plan(), Device::Cpu).unwrap();
    let stopped = begun.run(&Pool::new(energy, 2), &mut |run| run.save(&path).map(|()| run.step() < 200)).unwrap();
    assert_eq!((stopped, begun.step()), (LongRunEnd::Stopped, 200));
    drop(begun);
    let mut resumed = LongRun::load(&path, settings.clone(), plan(), Device::Cpu).unwrap();
    resumed.run(&Pool::new(energy, 1), &mut |_| Ok(true)).unwrap();
    assert!(everything(&resumed) == everything(&unbroken), "{:?}: the resumed run differs", settings.variant);
    run_to_end(energy, settings.clone(), 130).save(&path).unwrap();
    let mut longer = LongRun::load(&path, settings.clone(), plan(), Device::Cpu).unwrap();
    longer.run(&Pool::new(energy, 2), &mut |_| Ok(true)).unwrap();
    assert!(everything(&longer) == everything(&unbroken), "{:?}: the longer run differs", settings.variant);
}

/// Five chains: a full block and a padded one. Metropolis chains on a Gaussian of 1,024 pixels with a/s² = 0.1, where theory
/// (Roberts and Rosenthal 1998) has about two of three proposals taken.
#[test]
fn a_run_that_is_stopped_and_resumed_is_the_unbroken_one_bit_for_bit() {
    let image = [1, 32, 32];
    check_that_broken_runs_are_whole(&net(), &settings(Variant::Langevin, langevin(1.0, 0.01), 5, image));
    let gaussian = Quadratic::new(Tensor::from(0.0f32), 1.0);
    let steps = langevin(0.1, (2.0f64 * 0.1 * 0.3).sqrt());
    check_that_broken_runs_are_whole(&gaussian, &settings(Variant::Metropolis, steps, 5, image));
}

#[test]
fn a_long_run_begins_as_srm_sample_does() {
    let net = net();
    let config = langevin(1.0, 0.01);
    let run = run_to_end(&net, settings(Variant::Langevin, config.clone(), 8, [1, 32, 32]), 20);
    let sampler = Sampler::new(&net, &config, &[1, 32, 32], Spread { threads: 1, block: 4 });
    let (outcome, _) = sampler.run(&Chains::samples(3, 8), |_| ()).unwrap();
    let srm_langevin::Outcome::Finished(samples) = outcome else { panic!("diverged") };
    let pictures = run.pictures().unwrap();
    assert_eq!(pictures.iter().map(|(step, _)| *step).collect::<Vec<_>>(), [0, 10, 20]);
    assert_eq!(pictures[1].1, samples.x);
}

#[test]
fn other_settings_and_damaged_files_are_refused_by_name() {
    let net = net();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    let settings = settings(Variant::Langevin, langevin(1.0, 0.01), 4, [1, 32, 32]);
    run_to_end(&net, settings.clone(), 50).save(&path).unwrap();
    let refused = |settings: LongRunSettings, steps| {
        let plan = Plan::logarithmic(steps, 10);
        LongRun::load(&path, settings, plan, Device::Cpu).err().expect("refused").to_string()
    };
    let said = refused(LongRunSettings { seed: 4, ..settings.clone() }, 50);
    assert!(said.contains("seed = 3, now it is 4") && said.contains("delete the file"), "{said}");
    let said = refused(LongRunSettings { langevin: langevin(1.0, 0.02), ..settings.clone() }, 50);
    assert!(said.contains("noise_std = 0.01, now it is 0.02"), "{said}");
    let said = refused(settings.clone(), 40);
    assert!(said.contains("gone 50 steps already, 40 are asked for"), "{said}");
    let bytes = std::fs::read(&path).unwrap();
    for length in [0, 4, 200, bytes.len() - 1] {
        std::fs::write(&path, &bytes[..length]).unwrap();
        let said = refused(settings.clone(), 50);
        assert!(said.contains("delete it to begin anew"), "{length} bytes: {said}");
    }
}

/// α = −99: x grows a hundredfold a step, and f = −‖x‖²/(2s²) leaves f32 after about ten steps; a chain that starts at the mean
/// without noise stays there.
#[test]
fn a_chain_that_blows_up_is_reported_with_its_step_and_the_others_count_on() {
    let energy = Quadratic::new(Tensor::from(0.0f32), 0.1);
    let mut log = ChainLog::new(Arc::new(Plan::every_step(20, &[])), 2, Device::Cpu);
    let z = Tensor::from_slice(&[0.0f32, 1.0]).reshape([2, 1, 1, 1]);
    let config = LangevinConfig { steps: 20, ..langevin(1.0, 0.0) };
    srm_langevin::short_run(&energy, &(&config).into(), &z, &mut srm_langevin::NoNoise, &mut log).unwrap();
    let table = ChainTable::new(&[&log], 2).unwrap();
    let blown = table.blown_up();
    assert!(blown.len() == 1 && blown[0].0 == 1 && (5..15).contains(&blown[0].1), "{blown:?}");
    let statistics = table.statistics();
    assert_eq!(statistics.iter().map(|one| one.chains).collect::<Vec<_>>()[..2], [2, 2]);
    let last = statistics.last().unwrap();
    assert_eq!((last.step, last.chains, last.f, last.largest), (19, 1, 0.0, 0.0));
    assert!(table.largest() > 1e9 && table.largest().is_finite(), "{}", table.largest());
    // at step 1: x = 0 and −99; f = 0 and −99²/(2·0.01); ‖f'‖ = 0 and 9900; distance from z 0 and 100
    let one = statistics[1];
    assert!((one.f + 99f64.powi(2) / 0.04).abs() < 0.1 && (one.gradient_norm - 4950.0).abs() < 0.01, "{one:?}");
    assert!((one.std - 49.5).abs() < 1e-3 && (one.distance - 50.0).abs() < 1e-3, "{one:?}");
    let all = LongRunSettings { block: 2, ..settings(Variant::Langevin, langevin(1.0, 0.01), 2, [1, 4, 4]) };
    let mut run = LongRun::new(all, Plan::logarithmic(500, 10), Device::Cpu).unwrap();
    assert_eq!(run.run(&Pool::new(&energy, 1), &mut |_| Ok(true)).unwrap(), LongRunEnd::AllBlownUp);
    assert_eq!((run.step(), run.table().unwrap().blown_up().len()), (SEGMENT, 2));
}
