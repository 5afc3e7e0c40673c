//! Check what each stabiliser and each start of the chains does, on one update.

use super::{Memory, Trainer, config, images, options};
use crate::{Adam, Ema, Step};
use srm_energy::{ConvNet, Trainable};
use srm_langevin::{Start, Stop};
use srm_run::StepRecord;
use std::path::Path;
use tch::{Device, Tensor};

fn first_record(folder: &Path, overrides: &[&str]) -> (StepRecord, Trainer) {
    let mut trainer = Trainer::from_config(&config(overrides), images(folder, 20), options(1)).unwrap();
    let _guard = tch::no_grad_guard();
    let Step::Done(record, _) = trainer.update().unwrap() else { panic!("a fresh net trains") };
    (record, trainer)
}

fn flat(net: &impl Trainable) -> Tensor {
    Tensor::cat(&net.named_parameters().iter().map(|(_, p)| p.reshape([-1])).collect::<Vec<_>>(), 0)
}

#[test]
fn weight_decay_shrinks_by_rate_times_decay() {
    // PyTorch's AdamW with a zero gradient: only the decay moves the weights
    let parameter = Tensor::from_slice(&[2.0f32, -4.0]);
    let mut adam = Adam::new(vec![("p".into(), parameter.shallow_clone())], [0.9, 0.999], 1e-8, 0.5).unwrap();
    adam.ascend(&[Tensor::zeros([2], (tch::Kind::Float, Device::Cpu))], 0.1).unwrap();
    let values = Vec::<f32>::try_from(parameter).unwrap();
    assert!((values[0] - 1.9).abs() < 1e-6 && (values[1] + 3.8).abs() < 1e-6, "{values:?}");
}

#[test]
fn the_average_follows_with_its_decay() {
    let config = config(&[]);
    let net = ConvNet::new(&config.energy, 1, Device::Cpu).unwrap();
    let mut ema = Ema::new(&net, 0.15).unwrap();
    let before = flat(&net);
    for (_, mut parameter) in net.named_parameters() {
        let _ = parameter.g_add_scalar_(1.0);
    }
    // the first decays are 2/11 = 0.18, 3/12, …: never above 0.15 here
    ema.absorb(&net).unwrap();
    ema.absorb(&net).unwrap();
    let moved = (flat(ema.net()) - before).mean(None).double_value(&[]);
    assert!((moved - (1.0 - 0.15 * 0.15)).abs() < 1e-5, "{moved}");
}

#[test]
fn a_clipped_gradient_moves_adam_as_a_short_one_and_is_recorded_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (free, loose) =
        (first_record(folder.path(), &[]), first_record(folder.path(), &["train.clip_parameter_gradient=1e6"]));
    assert_eq!(flat(free.1.net()), flat(loose.1.net()), "a clip that does not bind changes no bit");
    let (clipped, trainer) = first_record(folder.path(), &["train.clip_parameter_gradient=1e-3"]);
    assert_eq!(clipped.theta_grad_norm, free.0.theta_grad_norm);
    // after one update from zero, ADAM's first moment is (1 − β₁) times the gradient that it was given
    let moments = trainer.optimizer_tensors();
    let first: Vec<Tensor> =
        moments.iter().filter(|(n, _)| n.starts_with("first")).map(|(_, t)| t.reshape([-1])).collect();
    let length = Tensor::cat(&first, 0).norm().double_value(&[]);
    assert!((length - 0.1 * 1e-3).abs() < 1e-8, "{length}");
}

#[test]
fn the_penalty_on_f_has_the_gradient_of_its_formula() {
    // L = mean f⁺ − mean f⁻ − α mean(f⁺² + f⁻²), compared through the last bias, where ∂f/∂b = 1 for every image:
    // ∂L/∂b = −2α mean(f⁺ + f⁻)
    let folder = tempfile::tempdir().unwrap();
    let alpha = 3.0;
    let (record, trainer) = first_record(folder.path(), &["train.f_l2=3.0"]);
    let moments = trainer.optimizer_tensors();
    let (_, bias) = moments.iter().find(|(name, _)| name == "first.f.8.bias").unwrap();
    let expected = -2.0 * alpha * (record.f_data + record.f_sample);
    let found = bias.double_value(&[0]) / 0.1;
    assert!((found - expected).abs() < 1e-5 * expected.abs().max(1e-3), "{found} against {expected}");
}

#[test]
fn chains_from_data_start_where_the_data_are() {
    // one tiny step from the data stays at the data: f agrees, which it does not from noise
    let folder = tempfile::tempdir().unwrap();
    let still = ["langevin.steps=1", "langevin.noise_std=0", "langevin.gradient_scale=1e-9"];
    let (data, _) = first_record(folder.path(), &[&still[..], &["langevin.init=data"]].concat());
    let (noise, _) = first_record(folder.path(), &still);
    assert!(data.gap.abs() < 1e-7 && noise.gap.abs() > 1e-5, "{} {}", data.gap, noise.gap);
}

#[test]
fn persistent_chains_go_on_where_they_ended() {
    let folder = tempfile::tempdir().unwrap();
    let still =
        ["langevin.steps=1", "langevin.noise_std=0.25", "langevin.gradient_scale=1e-9", "train.learning_rate=1e-9"];
    let std = |init: &str| {
        let init = format!("langevin.init={init}");
        let config = config(&[&still[..], &[&init, "train.updates=24", "log.every=24"]].concat());
        let mut trainer = Trainer::from_config(&config, images(folder.path(), 20), options(1)).unwrap();
        let mut memory = Memory::default();
        trainer.run(&mut (), &mut memory, &Stop::default()).unwrap();
        memory.0.last().unwrap().sample_std
    };
    // from uniform noise (variance 1/3) a chain gains 0.25² per visit; 6 slots, all taken each time, 24 visits
    let kept = std(r#"{"persistent":{"size":6,"restart":0.0}}"#);
    let expected = (1.0f64 / 3.0 + 24.0 * 0.0625).sqrt();
    assert!((kept - expected).abs() < 0.05, "{kept} against {expected}"); // 6,144 pixels: well over four standard errors
    let anew = std(r#"{"persistent":{"size":6,"restart":1.0}}"#);
    let short_run = std("uniform");
    assert!((anew - short_run).abs() < 0.02 && anew < 0.7, "{anew} {short_run}");
}

#[test]
fn a_clip_along_the_chain_bounds_each_step() {
    let folder = tempfile::tempdir().unwrap();
    let still = ["langevin.noise_std=0", "langevin.gradient_scale=1.0", "langevin.steps=4"];
    let moved = |clip: &[&str]| {
        let config = config(&[&still[..], clip].concat());
        let trainer = Trainer::from_config(&config, images(folder.path(), 20), options(1)).unwrap();
        let _guard = tch::no_grad_guard();
        let path = crate::tests::stabilisers::path(&trainer, &config);
        path.windows(2).map(|pair| (&pair[1] - &pair[0]).norm().double_value(&[])).fold(0.0, f64::max)
    };
    let (free, clipped) = (moved(&[]), moved(&["langevin.clip_gradient=1e-4"]));
    assert!(free > 1e-3, "{free}");
    assert!((clipped - 1e-4).abs() < 2e-6, "{clipped}"); // f32 images of size 1 round steps of 1e-4 to a per cent
}

/// The states of one noise-free chain.
fn path(trainer: &Trainer, config: &srm_config::Config) -> Vec<Tensor> {
    use srm_langevin::{ChainKey, NoNoise, Path, short_run, start};
    let key = ChainKey { seed: 1, attempt: 0, update: 0 };
    let z = start(&Start::from(&config.langevin.init), &key, &[0], &[1, 32, 32], Device::Cpu).unwrap();
    let mut path = Path::new(1);
    short_run(trainer.net(), &(&config.langevin).into(), &z, &mut NoNoise, &mut path).unwrap();
    path.states().iter().map(|x| x.to_kind(tch::Kind::Double)).collect()
}
