//! Check that the nets of a ladder learn together, each as it would alone, and are watched one by one.

use super::{LADDER, Memory, Trainer, config, images, options};
use crate::{Data, End, GridRecord, MemoryStore, Reason, Settings, StepRecord, to_bytes};
use srm_config::{Activation, EnergyConfig, Init, Schedule};
use srm_energy::{Autograd, ConvNet, Energy, Ladder, Replicate, StateDict, Trainable, fresh_weights};
use srm_langevin::{Course, Dynamics, Kernel, Rise, Spread, Stop, averaged};
use tch::{Device, Kind, Tensor};

const SPREAD: Spread = Spread { threads: 2, block: 4 };

fn net(size: usize, seed: u64) -> ConvNet {
    let config = EnergyConfig::new(size, 1, 4, Activation::default());
    ConvNet::new(&config, seed, Device::Cpu).unwrap()
}

#[test]
fn the_coarsest_grid_learns_what_it_would_alone() {
    let folder = tempfile::tempdir().unwrap();
    let rows = Data::from(images(folder.path(), 20)).rows(0..20).unwrap();
    let coarse = averaged(&rows, 4).unwrap();
    let settings = |dynamics: Dynamics| {
        let mut settings = Settings::new(dynamics, 12, 10, 1e-3);
        settings.train.data_noise = Schedule::constant(0.0); // each grid has noise of its own
        settings
    };
    let kernel = Kernel::default();
    let climb = Course { rises: vec![Rise { step: 3, factor: 4 }], ..Course::default() };
    let ladder = Ladder::new(vec![(8, net(8, 1)), (32, net(32, 2))]).unwrap();
    let dynamics = Dynamics { course: climb, ..kernel.steps(8) };
    let mut both = crate::Trainer::new(ladder, rows, settings(dynamics), SPREAD).unwrap();
    let mut alone = crate::Trainer::new(net(8, 1), coarse, settings(kernel.steps(3)), SPREAD).unwrap();
    let mut memories = [Memory::default(), Memory::default()];
    assert_eq!(both.run(&mut (), &mut memories[0], &Stop::default()).unwrap(), End::Finished);
    assert_eq!(alone.run(&mut (), &mut memories[1], &Stop::default()).unwrap(), End::Finished);
    for ((name, tensor), (plain, expected)) in both.net().named_parameters().iter().zip(alone.net().named_parameters())
    {
        assert_eq!((name.strip_prefix("grid8."), tensor), (Some(&*plain), &expected));
    }
    assert_ne!(both.net().named_parameters()[6].1, net(32, 2).named_parameters()[0].1, "the other learns too");
    let [with_finer, alone] = memories.map(|memory| memory.0);
    for (ladder, plain) in with_finer.iter().zip(&alone) {
        let [GridRecord { size: 8, gap, chain_grad_norm, sample_std, .. }] = ladder.grids[..] else {
            panic!("one is coarser")
        };
        assert_eq!([gap, chain_grad_norm, sample_std], [plain.gap, plain.chain_grad_norm, plain.sample_std]);
    }
}

#[test]
fn threads_change_no_bit_of_a_ladder_and_every_grid_is_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let run = |threads| {
        let mut trainer = Trainer::from_config(&config(LADDER), images(folder.path(), 20), options(threads)).unwrap();
        let mut memory = Memory::default();
        assert_eq!(trainer.run(&mut (), &mut memory, &Stop::default()).unwrap(), End::Finished);
        (trainer.net().named_parameters(), memory.0)
    };
    let ((one, records), (two, _)) = (run(1), run(2));
    assert_eq!(one, two);
    assert_eq!(one.iter().filter(|(name, _)| name.starts_with("grid4.")).count(), 4);
    for record in records {
        assert_eq!(record.grids.iter().map(|grid| grid.size).collect::<Vec<_>>(), [4, 16]);
        assert!(record.grids.iter().all(|grid| grid.gap == grid.f_data - grid.f_sample && grid.sample_std > 0.3));
    }
}

#[test]
fn a_grid_that_joins_begins_as_the_one_below_it_where_its_layers_allow() {
    let folder = tempfile::tempdir().unwrap();
    let free = ["train.spectral_norm=null", "train.ema=0.5"];
    let still = ["train.learning_rate=[[0,1e-3],[4,1e-3],[4,0]]"]; // nothing moves from update 4 on, where a grid joins after it
    let config = config(&[super::GROWING, &free, &still, &["log.every=1"]].concat());
    let mut trainer = Trainer::from_config(&config, images(folder.path(), 20), options(2)).unwrap();
    let fresh: Vec<Tensor> = trainer.net().named_parameters().iter().map(|(_, tensor)| tensor.copy()).collect();
    assert_eq!(trainer.samples(1, 2).unwrap().size(), [2, 1, 8, 8], "a chain ends on the finest grid that has joined");
    let mut memory = Memory::default();
    assert_eq!(trainer.run(&mut (), &mut memory, &Stop::default()).unwrap(), End::Finished);
    let named = trainer.net().named_parameters();
    let of = |name: &str| &named.iter().find(|(other, _)| other == name).unwrap().1;
    // 8 px: f.0, f.2 and the top f.4; 16 px has one more layer below its top
    for same in ["f.0.weight", "f.0.bias", "f.2.weight", "f.2.bias"] {
        assert_eq!(of(&format!("grid16.{same}")), of(&format!("grid8.{same}")));
        assert_eq!(of(&format!("grid32.{same}")), of(&format!("grid8.{same}")), "what the second took over");
    }
    assert_eq!(of("grid32.f.4.weight"), of("grid16.f.4.weight"));
    assert_ne!(of("grid32.f.4.weight"), &fresh[12]);
    // where shapes differ it is fresh; the top's bias of 8 px has no gradient
    let fresh_ones = ["grid16.f.4", "grid16.f.6", "grid32.f.6", "grid32.f.8", "grid8.f.4.bias"];
    for ((name, tensor), fresh) in named.iter().zip(&fresh) {
        assert_eq!(tensor == fresh, fresh_ones.iter().any(|one| name.starts_with(one)), "{name}");
    }
    let sizes = |record: &StepRecord| record.grids.iter().map(|grid| grid.size).collect::<Vec<_>>();
    let expected = |update: u64| [8, 16][..usize::from(update > 4) + usize::from(update > 7)].to_vec();
    assert!(memory.0.len() == 12 && memory.0.iter().all(|record| sizes(record) == expected(record.update)));
    let average = trainer.averaged_net().unwrap().named_parameters();
    assert_eq!(average.iter().find(|(name, _)| name == "grid32.f.0.weight").unwrap().1, *of("grid32.f.0.weight"));
    assert_eq!(trainer.samples(1, 2).unwrap().size(), [2, 1, 32, 32]);
}

#[test]
fn a_ladder_teaches_its_samples_the_images_statistics() {
    // as for one grid: noise has mean 0, the blobs are 62 grey levels below
    let folder = tempfile::tempdir().unwrap();
    let overrides = [
        "train.updates=150",
        "train.learning_rate=[[0,1e-3],[100,1e-3],[150,1e-4]]",
        "train.betas=[0.5,0.999]",
        "train.batch=12",
    ];
    let images = images(folder.path(), 64);
    let data_mean = (0..64).flat_map(|i| images.image(i)).map(|&byte| f64::from(byte)).sum::<f64>() / (64.0 * 1024.0);
    let mut trainer = Trainer::from_config(&config(&[LADDER, &overrides].concat()), images, options(2)).unwrap();
    let mean = |trainer: &Trainer| {
        let bytes = to_bytes(&trainer.samples(1, 32).unwrap()).unwrap();
        bytes.iter().map(|&byte| f64::from(byte)).sum::<f64>() / bytes.len() as f64
    };
    let before = (mean(&trainer) - data_mean).abs();
    assert_eq!(trainer.run(&mut MemoryStore::default(), &mut (), &Stop::default()).unwrap(), End::Finished);
    let after = (mean(&trainer) - data_mean).abs();
    assert!(after < 0.6 * before, "grey levels off before {before}, after {after}");
}

#[test]
fn trouble_on_one_grid_is_named_with_the_grid() {
    let folder = tempfile::tempdir().unwrap();
    let mut trainer = Trainer::from_config(&config(LADDER), images(folder.path(), 20), options(1)).unwrap();
    let healthy = |size| GridRecord { size, sample_std: 0.5, ..GridRecord::default() };
    let wild = |size| GridRecord { sample_std: 7.0, ..healthy(size) };
    assert_eq!(trainer.see(&[healthy(4), healthy(16), healthy(32)]), None);
    let found = trainer.see(&[healthy(4), wild(16), wild(32)]).unwrap();
    assert!(matches!(found, Reason::Strayed { grid: Some(16), what: "sample_std", .. }), "{found}");
    assert!(
        found.to_string().starts_with("on the grid of 16 px the samples' mean standard deviation of the last"),
        "{found}"
    );
    assert!(!trainer.snapshot().calm && trainer.state().watch_coarser.len() == 2);
    // the travel of each grid goes by its own steps and pixels
    let travels: Vec<f64> = trainer.watches().iter().map(|watch| watch.travel).collect();
    assert_eq!(travels, [3.0 / 4.0, 2.0 / 16.0, 4.0 / 32.0]);
}

/// A net whose description is no object.
struct Says(Autograd);

impl Energy for Says {
    fn f_and_grad(&self, x: &Tensor) -> srm_energy::Result<(Tensor, Tensor)> {
        self.0.f_and_grad(x)
    }
}

impl Replicate for Says {
    fn replica(&self) -> Self {
        Self(self.0.replica())
    }
}

impl Trainable for Says {
    fn f_and_parameter_grad(&self, x: &Tensor, coefficients: &Tensor) -> srm_energy::Result<(Tensor, Vec<Tensor>)> {
        self.0.f_and_parameter_grad(x, coefficients)
    }

    fn named_parameters(&self) -> StateDict {
        self.0.named_parameters()
    }

    fn fork(&self) -> srm_energy::Result<Self> {
        self.0.fork().map(Self)
    }

    fn describe(&self) -> serde_json::Value {
        "mine".into()
    }
}

#[test]
fn nets_of_ones_own_grow_whatever_they_say_of_themselves() {
    let own = |width: i64| {
        let weights = fresh_weights(1, &[("top", &[1, width * width])]).unwrap();
        let net =
            Autograd::new(weights, |w, x| x.flatten(1, -1).linear(&w["top.weight"], Some(&w["top.bias"]))).unwrap();
        (width, Says(net))
    };
    let rows = Tensor::linspace(-1.0, 1.0, 8 * 64, (Kind::Float, Device::Cpu)).reshape([8, 1, 8, 8]);
    let climb = Course { rises: vec![Rise { step: 2, factor: 2 }], ..Course::default() };
    let dynamics = Dynamics { course: climb, ..Kernel::default().steps(4) };
    let settings = Settings { grow: vec![0, 2], ..Settings::new(dynamics, 3, 4, 1e-3) };
    let net = Ladder::new(vec![own(4), own(8)]).unwrap();
    let mut trainer = crate::Trainer::new(net, rows, settings, SPREAD).unwrap();
    assert_eq!(trainer.snapshot().net, serde_json::json!({ "net": "mine", "joined": 1 }));
    let mut store = MemoryStore::default();
    assert_eq!(trainer.run(&mut store, &mut (), &Stop::default()).unwrap(), End::Finished);
    assert_eq!(store.last().unwrap().net, serde_json::json!("mine"));
}

#[test]
fn what_makes_no_ladder_is_refused() {
    let rows = || Tensor::zeros([8, 1, 32, 32], (Kind::Float, Device::Cpu));
    let refused = |net: Ladder<ConvNet>, rises: Vec<Rise>, init: Init| {
        let dynamics = Dynamics { course: Course { rises, ..Course::default() }, ..Kernel::default().steps(4) };
        let settings = Settings { init, ..Settings::new(dynamics, 1, 4, 1e-3) };
        crate::Trainer::new(net, rows(), settings, SPREAD).map(drop).unwrap_err().to_string()
    };
    let nets = || Ladder::new(vec![(16, net(16, 1)), (32, net(32, 1))]).unwrap();
    let rise = |step, factor| vec![Rise { step, factor }];
    for (found, said) in [
        (refused(nets(), rise(2, 4), Init::Uniform), "takes images of [16, 32] pixels, got shape [1, 1, 8, 8]"),
        (refused(net(32, 1).into(), rise(2, 2), Init::Uniform), "got [1, 1, 16, 16]"),
        (refused(nets(), rise(2, 2), Init::Data), "start from noise on its coarsest grid"),
        (refused(nets(), rise(4, 2), Init::Uniform), "a grid of 0 steps"),
        (refused(nets(), rise(0, 2), Init::Uniform), "a grid of 0 steps"),
        (refused(nets(), rise(9, 2), Init::Uniform), "a grid of 0 steps"),
    ] {
        assert!(found.contains(said), "{said:?} is not in {found}");
    }
    let dynamics = Dynamics { course: Course { rises: rise(2, 2), ..Course::default() }, ..Kernel::default().steps(4) };
    for grow in [vec![0], vec![1, 2], vec![0, 3, 5]] {
        let settings = Settings { grow, ..Settings::new(&dynamics, 9, 4, 1e-3) };
        let found = crate::Trainer::new(nets(), rows(), settings, SPREAD).map(drop).unwrap_err().to_string();
        assert!(found.contains("give one a grid, from 0, none before a coarser"), "{found}");
    }
}
