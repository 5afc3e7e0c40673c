//! Hold every block to what pytorch-fid computes with the same weights (scripts/make_inception_fixture.py).
//!
//! The weights are not in the fixture: both sides make them from one hash of (tensor name, element).

use super::Inception;
use crate::EvalError;
use srm_energy::read_state_dict;
use std::collections::HashMap;
use std::path::Path;
use tch::{Device, Kind, Tensor};

const IMAGES: [i64; 4] = [2, 3, 48, 64];
const LARGE: [i64; 4] = [2, 3, 320, 400];

/// The script's `hashed`: FNV-1a of the name, then the finaliser of SplitMix64.
fn hashed(name: &str) -> impl Fn(u64) -> u64 + use<> {
    let seed = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |seed: u64, byte| (seed ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    move |element| {
        let mut h = seed.wrapping_add((element + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        h = (h ^ (h >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        h = (h ^ (h >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        h ^ (h >> 31)
    }
}

/// The script's `values`.
fn weight(name: String, shape: &[i64]) -> (String, Tensor) {
    let kind =
        if name.starts_with("fc.") { name.as_str() } else { name.split_once(".bn.").map_or("", |(_, part)| part) };
    let (low, high) = match kind {
        "weight" => (0.75, 1.25),
        "bias" => (-0.5, 0.25),
        "running_mean" => (-0.25, 0.25),
        "running_var" => (0.125, 0.375),
        "fc.bias" => (-1.0, 1.0),
        _ => {
            let bound = (1.5 / shape[1..].iter().product::<i64>() as f64).sqrt();
            (-bound, bound)
        }
    };
    let (hash, count) = (hashed(&name), shape.iter().product::<i64>());
    let unit = |element| (hash(element) >> 40) as f64 / f64::from(1 << 24);
    let values: Vec<f32> = (0..count as u64).map(|element| (low + (high - low) * unit(element)) as f32).collect();
    let tensor = Tensor::from_slice(&values).reshape(shape);
    (name, tensor)
}

/// The script's `grey_levels`.
fn grey_levels(name: &str, shape: [i64; 4]) -> Tensor {
    let (hash, count) = (hashed(name), shape.iter().product::<i64>() as u64);
    let source = |element| if element < count / 2 { element } else { element - element % 8 };
    let levels: Vec<f32> = (0..count).map(|element| (hash(source(element)) >> 56) as f32).collect();
    Tensor::from_slice(&levels).reshape(shape)
}

fn fixture() -> Vec<(String, Tensor)> {
    read_state_dict(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/inception.safetensors"),
        "Conv2d_1a_3x3.values",
    )
    .unwrap()
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    tensor.to_kind(Kind::Double).reshape([-1]).try_into().unwrap()
}

/// Every tensor of pytorch-fid's network, as `make` makes it from its name and shape.
fn state_dict<T>(make: impl Fn(String, &[i64]) -> T) -> Vec<T> {
    let mut tensors = vec![make("fc.weight".into(), &[1008, 2048]), make("fc.bias".into(), &[1008])];
    for (name, shape) in fixture() {
        let Some(layer) = name.strip_suffix(".conv.weight.shape") else { continue };
        let shape: Vec<i64> = numbers(&shape).into_iter().map(|side| side as i64).collect();
        tensors.push(make(format!("{layer}.conv.weight"), &shape));
        for part in ["weight", "bias", "running_mean", "running_var"] {
            tensors.push(make(format!("{layer}.bn.{part}"), &shape[..1]));
        }
    }
    tensors
}

fn network() -> Inception {
    Inception::from_tensors(&state_dict(weight), Device::Cpu).unwrap()
}

#[test]
fn every_block_agrees_with_pytorch_fid_to_1e_4_of_its_largest_output() {
    let recorded: HashMap<String, Tensor> = fixture().into_iter().collect();
    let number = |name: String| recorded[&name].double_value(&[0]);
    let mut blocks = Vec::new();
    let mut seen = |name: &'static str, output: &Tensor| {
        let (expected, ours) = (numbers(&recorded[&format!("{name}.values")]), numbers(output));
        let (largest, std) = (number(format!("{name}.largest")), number(format!("{name}.std")));
        let (whole, hash) = (output.dim() == 2, hashed(&format!("{name}.places")));
        let place = |i: usize| if whole { i } else { (hash(i as u64) % ours.len() as u64) as usize };
        assert!(expected.len() >= 400 && (!whole || expected.len() == ours.len()), "{name}");
        // Rounding gives up to 2e-6, with batch norm folded here and not there. Average pools that count the padding
        // give 0.06, a mean in the last block 0.1, two swapped kernels 0.7, another eps in one layer 7e-4.
        let error = (0..expected.len()).map(|i| (ours[place(i)] - expected[i]).abs()).fold(0.0, f64::max) / largest;
        let our_largest = output.abs().max().double_value(&[]);
        assert!(error <= 1e-4, "{name}: {error:.1e}");
        assert!((our_largest / largest - 1.0).abs() <= 1e-4, "{name}: {our_largest} is not {largest}");
        // What has vanished or grown without bounds would agree, or disagree, whatever the block does.
        assert!((0.1..=10.0).contains(&std), "{name}: {std}");
        blocks.push(name);
    };
    let network = network();
    seen("shrunk", &network.prepare(&grey_levels("large images", LARGE)).unwrap());
    let (features, _) = network.run(&grey_levels("images", IMAGES), &mut seen).unwrap();
    assert_eq!(features.size(), [2, Inception::DIMENSION as i64]);
    assert_eq!(blocks.len(), 22, "{blocks:?}");
    assert_eq!(blocks.len(), recorded.keys().filter(|name| name.ends_with(".values")).count());
}

#[test]
fn a_row_of_a_batch_depends_on_its_image_alone() {
    let (network, images) = (network(), grey_levels("images", IMAGES));
    let (features, logits) = network.features_and_logits(&images).unwrap();
    assert_eq!((features.size(), logits.size()), (vec![2, 2048], vec![2, 1008]));
    assert!(!features.requires_grad() && !logits.requires_grad());
    for row in 0..2 {
        let (alone, alone_logits) = network.features_and_logits(&images.narrow(0, row, 1)).unwrap();
        // A batch of another size may be summed in another order.
        for (whole, alone) in [(&features, alone), (&logits, alone_logits)] {
            let error = (whole.narrow(0, row, 1) - alone).abs().max() / whole.abs().max();
            assert!(error.double_value(&[]) <= 1e-5, "row {row}: {error}");
        }
    }
    let wrong = network.features_and_logits(&images.narrow(1, 0, 1)).unwrap_err();
    assert!(
        matches!(&wrong, EvalError::TensorShape { name, expected, .. } if name == "input" && expected[..] == IMAGES),
        "{wrong}"
    );
}

#[test]
fn a_tensor_that_is_missing_or_of_another_shape_is_named() {
    let zeros = |name: String, shape: &[i64]| (name, Tensor::zeros(shape, (Kind::Float, Device::Cpu)));
    let mut tensors = state_dict(zeros);
    for name in ["Conv2d_1a_3x3.bn.running_var", "Mixed_5b.branch_pool.conv.weight", "fc.bias"] {
        let index = tensors.iter().position(|(other, _)| other == name).unwrap();
        let (_, tensor) = tensors.swap_remove(index);
        match Inception::from_tensors(&tensors, Device::Cpu).err() {
            Some(EvalError::MissingTensor { name: missing, .. }) => assert_eq!(missing, name),
            other => panic!("{name}: {other:?}"),
        }
        tensors.push((name.to_owned(), tensor.unsqueeze(0)));
        match Inception::from_tensors(&tensors, Device::Cpu).err() {
            Some(EvalError::TensorShape { name: wrong, expected, got }) => {
                assert_eq!((wrong.as_str(), expected, got[0]), (name, tensor.size(), 1));
            }
            other => panic!("{name}: {other:?}"),
        }
        tensors.pop();
        tensors.push((name.to_owned(), tensor));
    }
}

#[test]
fn the_network_may_move_to_another_thread() {
    fn moves<T: Send>() {}
    moves::<Inception>();
}
