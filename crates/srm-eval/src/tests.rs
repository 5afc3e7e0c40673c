//! Check every score against what scripts/make_eval_fixture.py computed in other ways, and what bad input says.

use crate::*;
use serde_json::Value;
use tch::{Device, Kind, Tensor};

fn fixture() -> Value {
    serde_json::from_str(include_str!("../fixtures/scores.json")).unwrap()
}

fn matrix(value: &Value) -> Tensor {
    let rows: Vec<Vec<f32>> = serde_json::from_value(value.clone()).unwrap();
    let flat: Vec<f32> = rows.concat();
    Tensor::from_slice(&flat).reshape([rows.len() as i64, -1])
}

fn moments(x: &Tensor) -> Moments {
    let mut sums = MomentSums::new(x.size()[1] as usize);
    for part in x.split(3, 0) {
        sums.add(&part).unwrap();
    }
    sums.finish().unwrap()
}

fn rows(x: &Tensor) -> Rows {
    let mut rows = Rows::new(x.size()[1] as usize).unwrap();
    for part in x.split(7, 0) {
        rows.add(&part).unwrap();
    }
    rows.finish().unwrap();
    rows
}

fn close(got: f64, expected: &Value, relative: f64) {
    let expected = expected.as_f64().unwrap();
    assert!((got / expected - 1.0).abs() <= relative, "{got} against {expected}");
}

#[test]
fn frechet_distance_is_scipys_for_any_rank() {
    let f = fixture();
    let (x, y) = (matrix(&f["x"]), matrix(&f["y"]));
    let few = |t: &Tensor, i: usize| t.narrow(0, 0, f["few"][i].as_i64().unwrap());
    let distance = |a: &Tensor, b: &Tensor| frechet_distance(&moments(a), &moments(b)).unwrap();
    close(distance(&x, &y), &f["frechet"], 1e-6);
    close(distance(&few(&x, 0), &few(&y, 1)), &f["frechet_few"], 1e-6);
    close(distance(&few(&x, 0), &y), &f["frechet_few_against_all"], 1e-6);
    close(distance(&y, &few(&x, 0)), &f["frechet_few_against_all"], 1e-6);
    // Under the root stand eigenvalues of Σ², whose rounding is ε of the largest: √ε = 1.5e-8 of a variance of some 30, for
    // each of twelve.
    let itself = distance(&x, &x);
    assert!(itself < 1e-5, "{itself:.1e}");
}

#[test]
fn kernel_distance_inception_score_precision_and_recall_are_those_of_loops() {
    let f = fixture();
    let (x, y) = (rows(&matrix(&f["x"])), rows(&matrix(&f["y"])));
    // Subsets of all 40 images are the whole sets in another order.
    let kernel = kernel_distance(&x, &y, 1000, 3, 1).unwrap();
    close(kernel.mean, &f["kernel_distance"], 1e-6);
    assert!(kernel.std < 1e-9 * kernel.mean && kernel.subset == 40);
    assert!(kernel_distance(&x, &y, 20, 10, 1).unwrap().std > 0.0);
    let score = inception_score(&rows(&matrix(&f["logits"])), f["splits"].as_u64().unwrap() as usize).unwrap();
    close(score.mean, &f["inception_score"], 1e-6);
    close(score.std, &f["inception_score_std"], 1e-6);
    let pr = precision_recall(&x, &y, 3).unwrap();
    close(pr.precision, &f["precision"], 1e-12);
    close(pr.recall, &f["recall"], 1e-12);
}

#[test]
fn statistics_survive_a_file_as_numpy_writes_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stats.npz");
    let before = moments(&matrix(&fixture()["x"]));
    let network = FeatureNetwork::open("random-conv", Device::Cpu).unwrap();
    let network = Identity { dimension: before.dimension(), ..network.identity().clone() };
    before.save(&path, &network).unwrap();
    let after = Moments::load(&path, &network).unwrap();
    assert_eq!((&before.mean, &before.covariance), (&after.mean, &after.covariance));
    assert_eq!((before.count, after.count), (Some(40), Some(40)));
    std::fs::write(&path, b"no zip").unwrap();
    assert!(Moments::load(&path, &network).unwrap_err().to_string().contains("stats.npz"));
}

#[test]
fn far_from_zero_the_covariance_keeps_its_digits() {
    // Features at 1e6 with a spread of 1: raw squares in f64 would leave four digits.
    tch::manual_seed(1);
    let x = Tensor::randn([500, 3], (Kind::Double, Device::Cpu));
    let (near, far) = (moments(&x), moments(&(&x + 1e6)));
    assert!((near.covariance - far.covariance).abs().max().double_value(&[]) < 1e-8);
}

#[test]
fn bad_features_are_refused_by_name() {
    let x = matrix(&fixture()["x"]);
    let mut sums = MomentSums::new(12);
    assert!(matches!(sums.finish(), Err(EvalError::TooFewImages { got: 0, .. })));
    sums.add(&x).unwrap();
    let bad = x.copy();
    let _ = bad.get(2).get(5).fill_(f64::NAN);
    assert!(matches!(sums.add(&bad), Err(EvalError::NotFinite { image: 42, .. })));
    assert!(matches!(sums.add(&x.narrow(1, 0, 3)), Err(EvalError::Dimension { expected: 12, got: 3 })));
    let other = moments(&x.narrow(1, 0, 3));
    assert!(matches!(frechet_distance(&moments(&x), &other), Err(EvalError::Dimension { .. })));
    let few = rows(&x.narrow(0, 0, 3));
    assert!(matches!(precision_recall(&few, &rows(&x), 3), Err(EvalError::TooFewImages { needed: 4, got: 3, .. })));
    assert!(matches!(inception_score(&few, 10), Err(EvalError::TooFewImages { needed: 10, .. })));
}

#[test]
fn random_conv_is_the_same_everywhere_and_tells_textures_apart() {
    let net = FeatureNetwork::open("random-conv", Device::Cpu).unwrap();
    let bytes = Tensor::arange(2 * 32 * 32, (Kind::Int64, Device::Cpu)).reshape([2, 32, 32, 1]).remainder(251);
    let bytes = bytes.to_kind(Kind::Uint8);
    let features = net.run(&bytes).unwrap().features;
    assert_eq!(features.size(), [2, net.identity().dimension as i64]);
    // Recorded once: the weights are part of the name, and a change of them must not go unseen.
    let sum = features.sum(Kind::Double).double_value(&[]);
    assert!((sum - RANDOM_CONV_SUM).abs() < 1e-4 * RANDOM_CONV_SUM, "{sum}");
    let colour = bytes.expand([-1, -1, -1, 3], false).contiguous();
    assert!((net.run(&colour).unwrap().features - &features).abs().max().double_value(&[]) < 1e-5);
    let flat = bytes.full_like(100);
    let apart = (net.run(&flat).unwrap().features - features).abs().max().double_value(&[]);
    assert!(apart > 0.1, "{apart}");
}

const RANDOM_CONV_SUM: f64 = 82.044;
