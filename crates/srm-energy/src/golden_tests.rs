//! Check f and single Langevin steps against what PyTorch recorded (scripts/make_golden.py), with autograd there.
//!
//! Steps are compared teacher-forced, from each recorded x_k: on trained nets rounding flips masks of LeakyReLU and whole
//! paths part after about ten steps (ARCHITECTURE.md, "How numbers are compared").

use crate::{ConvNet, Energy, layer_shapes, read_state_dict};
use srm_config::{Activation, EnergyConfig};
use std::path::PathBuf;
use tch::{Device, Kind, Tensor};

/// Std of the noise of one step, the published constant (enijkamp/short_run, train_cifar10_minimal.py).
const NOISE_STD: f64 = 0.01;

struct Golden {
    net: ConvNet,
    tensors: Vec<(String, Tensor)>,
}

fn golden(size: usize, weights: &str) -> Golden {
    let name = format!("fixtures/golden_{size}_{weights}.safetensors");
    let tensors = read_state_dict(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name), "f.0.weight").unwrap();
    let config = EnergyConfig::new(size, 3, 4, Activation::LeakyRelu(0.2));
    Golden { net: ConvNet::from_tensors(&config, &tensors, Device::Cpu).unwrap(), tensors }
}

impl Golden {
    fn tensor(&self, name: &str, step: usize) -> Tensor {
        let name = format!("{name}.{step}");
        self.tensors.iter().find(|(other, _)| *other == name).expect("recorded").1.shallow_clone()
    }
}

fn largest(difference: &Tensor) -> f64 {
    difference.abs().max().double_value(&[])
}

const RECORDED: [(usize, &[usize]); 2] = [(32, &[0, 10, 39]), (64, &[0, 39])];

#[test]
fn f_agrees_to_1e_5_relative() {
    for (size, steps) in RECORDED {
        for weights in ["fresh", "trained"] {
            let golden = golden(size, weights);
            for &step in steps {
                let expected = golden.tensor("value", step);
                for (path, net) in golden.net.on_every_path() {
                    let f = net.f(&golden.tensor("x", step)).unwrap();
                    let relative = largest(&((&f - &expected) / &expected));
                    assert!(relative <= 1e-5, "{path}, {size} px, {weights}, k = {step}: {relative:.2e}");
                }
            }
        }
    }
}

#[test]
fn each_step_agrees_to_1e_5_absolute() {
    for (size, steps) in RECORDED {
        for weights in ["fresh", "trained"] {
            let golden = golden(size, weights);
            for &step in steps {
                let (x, expected) = (golden.tensor("x", step), golden.tensor("next", step));
                for (path, net) in golden.net.on_every_path() {
                    let (_, grad) = net.f_and_grad(&x).unwrap();
                    let next = &x + &grad + golden.tensor("noise", step) * NOISE_STD;
                    let difference = largest(&(next - &expected));
                    assert!(difference <= 1e-5, "{path}, {size} px, {weights}, k = {step}: {difference:.2e}");
                    // The comparison sees f': it is far above the tolerance.
                    assert!(largest(&grad) > 2e-4, "{path}, {size} px, {weights}, k = {step}");
                }
            }
        }
    }
}

#[test]
fn the_fixtures_are_nets_of_the_published_shape() {
    for (size, _) in RECORDED {
        let fresh = golden(size, "fresh");
        let trained = golden(size, "trained");
        let layers = layer_shapes(fresh.net.config()).len();
        assert_eq!(fresh.tensors.iter().filter(|(name, _)| name.starts_with("f.")).count(), 2 * layers);
        let moved = largest(&(&fresh.tensors[0].1 - &trained.tensors[0].1));
        assert!(moved > 1e-3, "the training changed the weights by {moved}");
        assert_eq!(trained.tensors[0].1.kind(), Kind::Float);
    }
}
