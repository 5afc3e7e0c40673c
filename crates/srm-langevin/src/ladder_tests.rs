//! Check chains that climb through grids against exact Gaussian formulas, and what goes up against what goes down.

use crate::{
    ChainKey, Chains, Course, Dynamics, Kernel, KeyedNoise, Outcome, Path, Rise, Sampler, Spread, Start, averaged,
    block_sums, short_run, short_run_steps, up_sampled, up_to,
};
use srm_config::{Config, Schedule};
use srm_energy::{Ladder, Quadratic};
use srm_random::{Key, Purpose, normal};
use tch::{Device, Kind, Tensor};

const KEY: ChainKey = ChainKey { seed: 7, attempt: 0, update: 0 };
/// Of the two grids: m and s of f = −(x − m)²/(2 s²).
const HILLS: [(f64, f64); 2] = [(0.5, 0.4), (-0.3, 0.7)];
const STEPS: [usize; 2] = [7, 5];
const A: f64 = 0.05;

fn draw(shape: &[i64], id: u64) -> Tensor {
    let mut values = vec![0.0; shape.iter().product::<i64>() as usize];
    normal(&Key { id, ..Key::new(3, Purpose::ChainStart) }, &mut values);
    Tensor::from_slice(&values).reshape(shape)
}

fn hills() -> Ladder<Quadratic> {
    let hill = |(m, s): (f64, f64)| Quadratic::new(Tensor::from(m as f32), s);
    Ladder::new(vec![(4, hill(HILLS[0])), (8, hill(HILLS[1]))]).unwrap()
}

/// Noise from 0.2 to 0.05 over the first ten steps, none in the last.
fn noise() -> Schedule {
    Schedule::from_knots(vec![(0, 0.2), (9, 0.05)]).unwrap().zero_from(11)
}

fn dynamics() -> Dynamics {
    let course =
        Course { gradient_scale: None, noise_std: Some(noise()), rises: vec![Rise { step: STEPS[0], factor: 2 }] };
    Dynamics { course, ..Kernel { gradient_scale: A, noise_std: 9.0, clip: None }.steps(STEPS[0] + STEPS[1]) }
}

fn finished(outcome: Outcome) -> Tensor {
    match outcome {
        Outcome::Finished(samples) => samples.x,
        Outcome::Diverged { step, .. } => panic!("diverged at step {step}"),
    }
}

#[test]
fn up_sampling_and_block_sums_are_each_others_transposes() {
    for (factor, [h, w]) in [(2, [4, 4]), (3, [5, 2]), (4, [1, 1])] {
        let (x, y) = (draw(&[2, 3, h, w], 1), draw(&[2, 3, factor * h, factor * w], 2));
        let (x, y) = (x.to_kind(Kind::Double), y.to_kind(Kind::Double));
        let up = up_sampled(&x, factor).unwrap();
        assert_eq!(up.size(), y.size());
        let (one, other) = ((&up * &y).sum(Kind::Double), (&x * block_sums(&y, factor).unwrap()).sum(Kind::Double));
        assert!((one.double_value(&[]) - other.double_value(&[])).abs() < 1e-12);
        assert!((averaged(&up, factor).unwrap() - &x).abs().max().double_value(&[]) < 1e-15);
        // pixel (i, j) stands at all of (factor i.., factor j..)
        assert_eq!(up.double_value(&[1, 2, factor * h - 1, 0]), x.double_value(&[1, 2, h - 1, 0]));
        assert_eq!(up_to(&x, &up.size()).unwrap(), up);
    }
    let x = draw(&[2, 5], 1);
    assert_eq!((averaged(&x, 1).unwrap(), up_to(&x, &[5]).unwrap()), (x.shallow_clone(), x));
}

#[test]
fn a_ladder_of_gaussians_has_the_exact_mean_and_variance() {
    // x ← x + A (m − x)/s² + ν u on each grid: the mean goes to m by α = 1 − A/s², v ← α² v + ν². Up-sampling keeps both.
    let (chains, start) = (400, -0.8);
    let z = Tensor::full([chains, 1, 4, 4], start, (Kind::Float, Device::Cpu));
    let mut path = Path::new(1);
    let mut source = KeyedNoise::new(KEY, (0..chains as u64).collect());
    let x = finished(short_run(&hills(), &dynamics(), &z, &mut source, &mut path).unwrap());
    assert_eq!(x.size(), [chains, 1, 8, 8]);
    assert_eq!(path.states()[6].size(), [chains, 1, 4, 4]);
    assert_eq!(path.states()[7].size(), [chains, 1, 8, 8], "a state stands on its step's grid");
    let (mut mean, mut variance) = (start, 0.0);
    for step in 0..12 {
        let (m, s) = HILLS[usize::from(step >= STEPS[0])];
        let alpha = 1.0 - A / (s * s);
        mean = m + alpha * (mean - m);
        variance = alpha * alpha * variance + noise().at(step as u64).powi(2);
    }
    // as few as the coarse pixels are independent: four standard errors each
    let n = (chains * 16) as f64;
    assert!((x.mean(Kind::Double).double_value(&[]) - mean).abs() < 4.0 * (variance / n).sqrt());
    let got = x.to_kind(Kind::Double).var(false).double_value(&[]);
    assert!((got / variance - 1.0).abs() < 4.0 * (2.0 / n).sqrt(), "{got} against {variance}");
}

#[test]
fn noise_along_a_chain_holds_at_its_knots_and_a_quiet_tail_has_none() {
    let dynamics = dynamics();
    for (step, expected) in [(0, 0.2), (9, 0.05), (10, 0.05), (11, 0.0), (40, 0.0)] {
        assert!((dynamics.kernel_at(step).noise_std - expected).abs() < 1e-12, "step {step}");
    }
    assert!((dynamics.kernel_at(3).noise_std - 0.15).abs() < 1e-12, "a third of the way");
    assert_eq!(dynamics.kernel_at(3).gradient_scale, A);
    assert_eq!(Schedule::constant(0.1).zero_from(0), Schedule::constant(0.0));
    let jump = Schedule::from_knots(vec![(0, 1.0), (10, 1.0), (10, 5.0)]).unwrap().zero_from(11);
    assert_eq!([5, 10, 11].map(|step| jump.at(step)), [1.0, 5.0, 0.0]);
    // without noise in any step, no chain differs from another
    let z = Tensor::ones([2, 1, 4, 4], (Kind::Float, Device::Cpu));
    let quiet = Course { noise_std: Some(noise().zero_from(0)), ..dynamics.course.clone() };
    let mut source = KeyedNoise::new(KEY, vec![0, 1]);
    let x = finished(short_run(&hills(), &Dynamics { course: quiet, ..dynamics }, &z, &mut source, &mut ()).unwrap());
    assert_eq!(x.get(0), x.get(1));
}

#[test]
fn a_run_broken_anywhere_goes_on_to_the_same_bits() {
    let (hills, dynamics) = (hills(), dynamics());
    let z = draw(&[3, 1, 4, 4], 4);
    let noise = || KeyedNoise::new(KEY, vec![0, 1, 2]);
    let whole = finished(short_run(&hills, &dynamics, &z, &mut noise(), &mut ()).unwrap());
    for cut in 1..12 {
        let run =
            |steps, x: &Tensor| finished(short_run_steps(&hills, &dynamics, steps, x, &mut noise(), &mut ()).unwrap());
        assert_eq!(run(cut..12, &run(0..cut, &z)), whole, "cut before step {cut}");
    }
}

#[test]
fn threads_and_counts_change_no_bit_and_each_grid_leaves_what_it_would_alone() {
    let sampler = |threads| Sampler::new(&hills(), dynamics(), &[1, 8, 8], Spread { threads, block: 4 });
    let (one, two) = (sampler(1), sampler(2));
    let (outcome, grids) = one.climb(None, &Chains::samples(1, 10)).unwrap();
    let x = finished(outcome);
    assert_eq!(x, finished(two.run(&Chains::samples(1, 10), |_| ()).unwrap().0));
    assert_eq!(x.narrow(0, 0, 3), finished(two.run(&Chains::samples(1, 3), |_| ()).unwrap().0));
    assert_eq!(grids.iter().map(|grid| grid.x.size()).collect::<Vec<_>>(), [[10, 1, 4, 4], [10, 1, 8, 8]]);
    assert_eq!(grids[1].x, x);
    let alone = Dynamics { steps: STEPS[0], ..dynamics() };
    let alone = Dynamics { course: Course { rises: Vec::new(), ..alone.course.clone() }, ..alone };
    let coarse = Sampler::new(&hills(), alone, &[1, 4, 4], Spread { threads: 2, block: 4 });
    let (outcome, alone) = coarse.climb(None, &Chains::samples(1, 10)).unwrap();
    assert_eq!((&grids[0].x, &grids[0].r), (&finished(outcome), &alone[0].r));
    assert!(grids.iter().all(|grid| grid.r.size() == [10] && grid.r.min().double_value(&[]) > 0.0));
    let (_, none) = one.climb(None, &Chains::samples(1, 0)).unwrap();
    assert_eq!(none[0].x.size(), [0, 1, 4, 4]);
}

#[test]
fn a_config_with_grids_climbs_through_them() {
    let text = r#"{ "data": { "images": "a" }, "energy": { "size": 32, "channels": 1 },
        "langevin": { "gradient_scale": [[0, 2], [5, 1]], "noise_std": 0.01,
            "grids": [{ "size": 4, "steps": 3 }, { "size": 16, "steps": 2 }, { "size": 32, "steps": 6 }] },
        "train": { "updates": 1, "batch": 1, "learning_rate": 1 } }"#;
    let dynamics = Dynamics::from(&Config::from_json(text, &[]).unwrap().langevin);
    assert_eq!(dynamics.course.rises, [Rise { step: 3, factor: 4 }, Rise { step: 5, factor: 2 }]);
    assert_eq!((dynamics.steps, dynamics.growth(), dynamics.start.clone()), (11, 8, Start::Uniform));
    assert_eq!(dynamics.grids(), [0..3, 3..5, 5..11]);
    assert_eq!(dynamics.shapes(&[1, 32, 32]), [[1, 4, 4], [1, 16, 16], [1, 32, 32]]);
    assert_eq!([0, 5, 10].map(|step| dynamics.kernel_at(step).gradient_scale), [2.0, 1.0, 1.0]);
    assert!((dynamics.kernel_at(1).gradient_scale - 1.8).abs() < 1e-12);
}
