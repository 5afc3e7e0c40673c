//! Check that a net of the user's own trains as the ConvNet does, on images and on points, and is kept like it.

use super::survive::{failing, trainer};
use super::{RunIn, config, create, images, options};
use crate::{Data, End, MemoryStore, Settings, Snapshot, Step, Store, TrainError, Trainer, Why};
use srm_energy::{Autograd, Trainable, fresh_weights};
use srm_langevin::{Dynamics, Kernel, Spread, Start, Stop};
use tch::{Device, Kind, Tensor};

/// The ConvNet with SiLU as somebody would write it who has tch alone.
fn adapted(net: &impl Trainable) -> Autograd {
    Autograd::new(net.named_parameters(), |w, x| {
        let conv = |x: &Tensor, layer: usize, stride: i64, padding: i64| {
            let (weight, bias) = (&w[&*format!("f.{layer}.weight")], &w[&*format!("f.{layer}.bias")]);
            x.conv2d(weight, Some(bias), [stride; 2], [padding; 2], [1, 1], 1)
        };
        let hidden = [(0, 1), (2, 2), (4, 2), (6, 2)];
        let h = hidden.iter().fold(x.shallow_clone(), |h, &(layer, stride)| conv(&h, layer, stride, 1).silu());
        conv(&h, 8, 1, 0)
    })
    .unwrap()
}

#[test]
fn an_adapter_of_the_convnet_makes_its_updates_teacher_forced() {
    let folder = tempfile::tempdir().unwrap();
    // an epsilon beside which rounding in a tiny gradient is nothing
    let config = config(&["energy.activation=silu", "train.epsilon=1e-3", "train.ema=0.9", "train.updates=30"]);
    let mut convnet = super::Trainer::from_config(&config, images(folder.path(), 20), options(2)).unwrap();
    let spread = Spread { threads: 2, block: 4 };
    let mut own = Trainer::new(adapted(convnet.net()), images(folder.path(), 20), &config, spread).unwrap();
    let _guard = tch::no_grad_guard();
    for t in 1..=30 {
        own.restore(&convnet.snapshot().copy().unwrap()).unwrap();
        let (Step::Done(theirs, _), Step::Done(ours, _)) = (convnet.update().unwrap(), own.update().unwrap()) else {
            panic!("a small run trains")
        };
        let pairs = [
            (ours.f_data, theirs.f_data),
            (ours.f_sample, theirs.f_sample),
            (ours.chain_grad_norm, theirs.chain_grad_norm),
            (ours.theta_grad_norm, theirs.theta_grad_norm),
            (ours.sample_std, theirs.sample_std),
        ];
        for (ours, theirs) in pairs {
            assert!((ours - theirs).abs() <= 1e-5 * theirs.abs().max(1.0), "update {t}: {ours} and {theirs}");
        }
        let (ours, theirs) = (own.snapshot(), convnet.snapshot());
        let groups = [(&ours.weights, &theirs.weights), (&ours.optimizer, &theirs.optimizer)];
        for (ours, theirs) in groups.into_iter().flat_map(|(ours, theirs)| ours.iter().zip(theirs)) {
            assert_eq!(ours.0, theirs.0);
            let difference = (&ours.1 - &theirs.1).abs().max().double_value(&[]);
            assert!(difference <= 1e-5, "update {t}, {}: {difference:.1e}", ours.0);
        }
    }
}

pub(super) fn ring(count: i64) -> Tensor {
    let angle = Tensor::arange(count, (Kind::Float, Device::Cpu)) * (std::f64::consts::TAU / count as f64);
    Tensor::stack(&[angle.cos() * 0.7, angle.sin() * 0.7], 1)
}

pub(super) fn mlp(seed: u64) -> Autograd {
    Autograd::new(fresh_weights(seed, &[("a", &[32, 2]), ("b", &[1, 32])]).unwrap(), |w, x| {
        let h = x.linear(&w["a.weight"], Some(&w["a.bias"])).silu();
        h.linear(&w["b.weight"], Some(&w["b.bias"]))
    })
    .unwrap()
}

pub(super) fn settings(updates: u64) -> Settings {
    let kernel = Kernel { gradient_scale: 0.02, noise_std: 0.05, clip: None };
    let dynamics = Dynamics::new(kernel, 15, Start::Uniform);
    let mut settings = Settings::new(dynamics, updates, 32, 2e-3);
    (settings.log.every, settings.checkpoint.every) = (10, 10);
    settings
}

pub(super) const SPREAD: Spread = Spread { threads: 2, block: 16 };

#[test]
fn points_are_learned_with_any_stabiliser_and_threads_change_no_bit() {
    let radius = |trainer: &Trainer<Autograd>| {
        let x = trainer.samples(1, 200).unwrap().to_kind(Kind::Double);
        x.square().sum_dim_intlist([1i64].as_slice(), false, Kind::Double).sqrt().mean(Kind::Double).double_value(&[])
    };
    let train = |threads, change: fn(&mut Settings)| {
        let mut settings = settings(300);
        change(&mut settings);
        let mut trainer = Trainer::new(mlp(1), ring(400), settings, Spread { threads, ..SPREAD }).unwrap();
        let before = radius(&trainer);
        assert_eq!(trainer.run(&mut MemoryStore::default(), &mut (), &Stop::default()).unwrap(), End::Finished);
        (trainer, before)
    };
    let (one, before) = train(1, |_| ());
    // the ring has radius 0.7 with N(0, 0.03²) on it; noise on the square and a fresh f give 0.76 with many near the middle
    let after = radius(&one);
    assert!((after - 0.7).abs() < 0.12, "{before} before, {after} after");
    let (two, _) = train(2, |_| ());
    for ((name, a), (_, b)) in one.net().named_parameters().iter().zip(two.net().named_parameters()) {
        assert_eq!(*a, b, "{name}");
    }
    let (averaged, _) = train(2, |settings| {
        settings.train.ema = Some(0.9);
        settings.train.spectral_norm = Some(1.0);
        settings.init = srm_config::Init::Persistent(srm_config::Bank { size: 64, restart: 0.2, zeros: false });
    });
    assert_eq!(averaged.replay_buffer().unwrap().size(), [64, 2]);
    assert!(
        averaged.averaged_net().is_some()
            && averaged.optimizer_tensors().iter().any(|(name, _)| name == "raw.a.weight")
    );
}

#[test]
fn a_run_of_an_own_net_goes_on_from_memory_to_the_same_bits() {
    let train = |updates, store: &mut MemoryStore, from: Option<Snapshot>| {
        let mut trainer = Trainer::new(mlp(1), ring(400), settings(updates), SPREAD).unwrap();
        if let Some(saved) = from {
            trainer.restore(&saved).unwrap();
        }
        assert_eq!(trainer.run(store, &mut (), &Stop::default()).unwrap(), End::Finished);
        trainer.net().named_parameters()
    };
    let whole = train(40, &mut MemoryStore::default(), None);
    let mut store = MemoryStore::default();
    train(20, &mut store, None);
    let half = store.newest(None).unwrap();
    assert_eq!(half.as_ref().map(|snapshot| snapshot.state.update), Some(20));
    for ((name, a), (_, b)) in whole.iter().zip(train(40, &mut store, half)) {
        assert_eq!(*a, b, "{name}");
    }
}

#[test]
fn a_rollback_from_memory_goes_where_one_from_the_disk_goes() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&["log.every=1"]);
    let run = folder.path().join("run");
    let mut on_disk = failing(folder.path(), &config, 2);
    on_disk.run_in(create(&run, &config), &Stop::default()).unwrap();
    let (mut in_memory, mut store) = (failing(folder.path(), &config, 2), MemoryStore::default());
    assert_eq!(in_memory.run(&mut store, &mut (), &Stop::default()).unwrap(), End::Finished);
    assert_eq!(in_memory.state().last_rollback, on_disk.state().last_rollback);
    assert_eq!(in_memory.state().rollbacks, 2);
    let last = store.last().unwrap();
    assert_eq!(last.state.update, 12);
    for ((name, kept), (_, live)) in last.weights.iter().zip(on_disk.net().named_parameters()) {
        assert_eq!(*kept, live, "{name}");
    }
    // a trainer made anew goes on from what the store has
    let mut again = trainer(folder.path(), &config);
    again.restore(last).unwrap();
    assert_eq!(again.state().update, 12);
}

#[test]
fn a_memory_store_keeps_the_newest_the_calm_and_the_best() {
    let trainer = Trainer::new(mlp(1), ring(40), settings(10), SPREAD).unwrap();
    let at = |update, calm| {
        let mut snapshot = trainer.snapshot();
        snapshot.state.update = update;
        Snapshot { calm, regular: false, ..snapshot }
    };
    let mut store = MemoryStore::default();
    store.save(&at(10, true), Why::Regular).unwrap();
    for update in [20, 30, 40, 50] {
        store.save(&at(update, false), Why::Regular).unwrap();
    }
    store.save(&at(55, true), Why::Interrupt).unwrap();
    let newest = |store: &mut MemoryStore, before| store.newest(before).unwrap().map(|found| found.state.update);
    assert_eq!(newest(&mut store, None), Some(10), "the last calm one has stayed");
    assert_eq!(newest(&mut store, Some(10)), None);
    assert_eq!(store.last().unwrap().state.update, 55);
    // an interrupt at an update whose turn it was takes nothing from a later rollback
    let kept = Snapshot { regular: true, ..at(60, true) };
    store.save(&kept, Why::Regular).unwrap();
    store.save(&kept, Why::Interrupt).unwrap();
    assert_eq!(newest(&mut store, None), Some(60));
    store.save(&at(7, true), Why::Best).unwrap();
    store.save(&at(10, true), Why::RolledBack).unwrap();
    assert_eq!((store.last().unwrap().state.update, newest(&mut store, Some(10))), (10, None));
    assert_eq!(store.best().unwrap().state.update, 7);
}

#[test]
fn what_does_not_fit_an_own_net_is_refused_before_the_run() {
    let wide = Tensor::zeros([40, 3], (Kind::Float, Device::Cpu));
    let net =
        Autograd::new(fresh_weights(1, &[("a", &[2, 3])]).unwrap(), |w, x| x.linear(&w["a.weight"], None::<&Tensor>));
    let error = Trainer::new(net.unwrap(), wide, settings(1), SPREAD).map(drop).unwrap_err();
    assert!(matches!(error, TrainError::Energy(_)), "{error}");
    assert!(error.to_string().contains("[1, 2]"), "{error}");
    let few = Trainer::new(mlp(1), ring(31), settings(1), SPREAD).map(drop).unwrap_err().to_string();
    assert!(few.contains("31") && few.contains("32"), "{few}");
    let changes: [fn(&mut Settings); 3] = [
        |settings| settings.train.batch = 0,
        |settings| settings.dynamics.steps = 0,
        |settings| {
            settings.init = srm_config::Init::Persistent(srm_config::Bank { size: 3, restart: 0.0, zeros: false })
        },
    ];
    for (change, word) in changes.into_iter().zip(["batch of 0", "0 steps", "bank of 3"]) {
        let mut settings = settings(1);
        change(&mut settings);
        let error = Trainer::new(mlp(1), ring(40), settings, SPREAD).map(drop).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
    assert_eq!((Data::from(ring(5)).len(), Data::from(ring(5)).rows(1..3).unwrap().size()), (5, vec![2, 2]));
}
