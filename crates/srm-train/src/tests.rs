//! Check ADAM against PyTorch's formula, and small training runs end to end.

mod earlier;
mod ladder;
mod own_nets;
mod own_run;
mod ranks;
mod scores;
mod stabilisers;
mod stops;
mod survive;

use crate::{Adam, End, RunFolder, Sink, Snapshot, TrainError, TrainerOptions, snapshot_file, to_bytes};
use srm_config::Config;
use srm_data::{DataError, ImageSet, synthetic, write_npy};
use srm_energy::{ConvNet, Ladder, Precision, Trainable, load_weights};
use srm_langevin::Stop;
use srm_run::{Checkpoint, Environment, Lock, PerImage, StepRecord};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tch::{Device, Tensor};

#[test]
fn a_rate_or_an_epsilon_at_the_end_of_f32_makes_no_nan() {
    let _guard = tch::no_grad_guard();
    for (rate, epsilon) in [(1e-40, 1e-8), (1e-45, 1e-8), (1e-3, 1.2e-38), (1e-40, 1.2e-38), (3e38, 1.2e-38)] {
        let weights = Tensor::from_slice(&[1.0f32, -2.0, 0.0]);
        let mut adam = Adam::new(vec![("w".into(), weights.shallow_clone())], [0.9, 0.999], epsilon, 0.0).unwrap();
        // the last has no gradient at all, as a weight behind a ReLU that is never open
        for gradient in [[0.5f32, -1.0, 0.0], [1e-20, 1e20, 0.0]] {
            adam.ascend(&[Tensor::from_slice(&gradient)], rate).unwrap();
        }
        let found = Vec::<f32>::try_from(&weights).unwrap();
        assert_eq!(found[2], 0.0, "rate {rate}, epsilon {epsilon}");
        if rate < 1e-38 {
            assert_eq!(found, [1.0, -2.0, 0.0], "next to no rate is next to no move");
        }
        assert!(rate > 1.0 || found.iter().all(|weight| weight.is_finite()), "{found:?}");
    }
}

fn config(overrides: &[&str]) -> Config {
    let text = r#"{
      "data":     { "images": "blobs.npy", "flip": true },
      "energy":   { "size": 32, "channels": 1, "features": 4 },
      "langevin": { "steps": 8, "gradient_scale": 1.0, "noise_std": 0.01 },
      "train":    { "updates": 12, "batch": 6, "learning_rate": [[0, 1e-3], [12, 1e-4]] },
      "log":      { "every": 5, "samples_every": 6 },
      "checkpoint": { "every": 4, "keep_last": 2 } }"#;
    let overrides: Vec<String> = overrides.iter().map(|o| (*o).to_owned()).collect();
    Config::from_json(text, &overrides).unwrap()
}

/// Three grids, with what works on all of them.
const LADDER: &[&str] = &[
    "langevin.steps=null",
    r#"langevin.grids=[{"size":4,"steps":3,"features":3},{"size":16,"steps":2},{"size":32,"steps":4}]"#,
    "langevin.noise_std=[[0,0.02],[8,0]]",
    "train.spectral_norm=1.0",
    "train.ema=0.9",
];

/// The same, where the finer grids join later: the first at a checkpoint, the last between two.
const GROWING: &[&str] = &[
    "langevin.steps=null",
    r#"langevin.grids=[{"size":8,"steps":3},{"size":16,"steps":2,"from":4},{"size":32,"steps":4,"from":7}]"#,
    "langevin.noise_std=[[0,0.02],[8,0]]",
    "train.spectral_norm=1.0",
    "train.ema=0.9",
];

fn images(folder: &Path, count: usize) -> ImageSet {
    let pixels = synthetic::blobs(count, 32, 1, 1);
    let path = folder.join("blobs.npy");
    write_npy(&path, &ndarray::ArrayView4::from_shape((count, 32, 32, 1), &pixels).unwrap()).unwrap();
    ImageSet::open(&path).unwrap()
}

fn options(threads: usize) -> TrainerOptions {
    TrainerOptions { device: Device::Cpu, precision: Precision::F32, threads, block: 4 }
}

type Net = Ladder<ConvNet>;
type Trainer = crate::Trainer<Net>;

/// A run folder, and the fingerprint of twenty images.
fn create(run: &Path, config: &Config) -> RunFolder {
    let pixels = ndarray::Array4::from_shape_vec((20, 32, 32, 1), synthetic::blobs(20, 32, 1, 1)).unwrap();
    let fingerprint = ImageSet::from_array(Path::new("blobs"), pixels).unwrap().fingerprint();
    RunFolder::create(Lock::take(run).unwrap(), config, Environment::default(), &fingerprint).unwrap()
}

/// What a checkpoint holds.
fn snapshot(path: &Path) -> Snapshot {
    let checkpoint = Checkpoint::new(path);
    snapshot_file::read(&checkpoint, &checkpoint.state().unwrap()).unwrap()
}

trait RunIn {
    /// Run with a folder as sink and store.
    fn run_in(&mut self, folder: RunFolder, stop: &Stop) -> crate::Result<End>;
}

impl RunIn for Trainer {
    fn run_in(&mut self, mut folder: RunFolder, stop: &Stop) -> crate::Result<End> {
        self.run(&mut folder.clone(), &mut folder, stop)
    }
}

/// Asks `trainer`'s run to stop once it has made so many updates.
fn stop_after(trainer: &mut Trainer, updates: usize) -> Stop {
    let made = Arc::new(AtomicUsize::new(0));
    let stop = Stop::when({
        let made = Arc::clone(&made);
        move || made.load(Ordering::Relaxed) >= updates
    });
    let mut other = trainer.fault.take();
    // where the gradient is there, an update is dropped no more
    trainer.fault = Some(Box::new(move |update, gradients| {
        made.fetch_add(1, Ordering::Relaxed);
        if let Some(other) = &mut other {
            other(update, gradients);
        }
    }));
    stop
}

#[derive(Default)]
struct Memory(Vec<StepRecord>);

impl Sink for Memory {
    fn record(&mut self, record: &StepRecord, _per_image: &PerImage) -> crate::Result<()> {
        self.0.push(record.clone());
        Ok(())
    }
}

/// PyTorch 2.11:
/// ```python
/// p = torch.nn.Parameter(torch.tensor([1., -2., 3.]))
/// opt = torch.optim.Adam([p], lr=0.1, betas=(0.9, 0.99), eps=1e-8, maximize=True)
/// for g in ([0.5, -1., 2.], [0.1, 0.2, -4.], [-3., 0., 1.]):
///     p.grad = torch.tensor(g); opt.step()
/// print(p)  # 1.097, -2.1595, 3.0594 to four digits
/// ```
/// The same numbers follow from the formula in f64, computed here.
#[test]
fn adam_follows_its_formula() {
    let start = [1.0f64, -2.0, 3.0];
    let gradients = [[0.5f64, -1.0, 2.0], [0.1, 0.2, -4.0], [-3.0, 0.0, 1.0]];
    let parameter = Tensor::from_slice(&start.map(|x| x as f32));
    let mut adam = Adam::new(vec![("p".into(), parameter.shallow_clone())], [0.9, 0.99], 1e-8, 0.0).unwrap();
    let (mut p, mut m, mut v) = (start, [0.0; 3], [0.0; 3]);
    for (t, g) in gradients.iter().enumerate() {
        adam.ascend(&[Tensor::from_slice(&g.map(|x| x as f32))], 0.1).unwrap();
        let t = t as i32 + 1;
        for i in 0..3 {
            m[i] = 0.9 * m[i] + 0.1 * g[i];
            v[i] = 0.99 * v[i] + 0.01 * g[i] * g[i];
            p[i] += 0.1 * (m[i] / (1.0 - 0.9f64.powi(t))) / ((v[i] / (1.0 - 0.99f64.powi(t))).sqrt() + 1e-8);
        }
    }
    for i in 0..3 {
        assert!((parameter.double_value(&[i as i64]) - p[i]).abs() < 1e-6, "{i}: {parameter} against {p:?}");
    }
    assert_eq!(adam.step(), 3);
    let names: Vec<_> = adam.moments().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["first.p", "second.p"]);
}

#[test]
fn threads_change_no_bit_of_a_training_run() {
    let folder = tempfile::tempdir().unwrap();
    let run = |threads| {
        let mut trainer = Trainer::from_config(&config(&[]), images(folder.path(), 20), options(threads)).unwrap();
        let mut memory = Memory::default();
        assert_eq!(trainer.run(&mut (), &mut memory, &Stop::default()).unwrap(), End::Finished);
        (trainer, memory.0)
    };
    let ((one, one_records), (two, two_records)) = (run(1), run(2));
    for ((name, a), (_, b)) in one.net().named_parameters().iter().zip(two.net().named_parameters().iter()) {
        assert_eq!(a, b, "{name}");
    }
    let updates: Vec<u64> = one_records.iter().map(|record| record.update).collect();
    assert_eq!(updates, [1, 5, 10, 12]);
    for (a, b) in one_records.iter().zip(&two_records) {
        assert_eq!(StepRecord { seconds: 0.0, ..a.clone() }, StepRecord { seconds: 0.0, ..b.clone() });
        assert_eq!(a.gap, a.f_data - a.f_sample);
        assert!(a.chain_grad_norm > 0.0 && a.theta_grad_norm > 0.0 && a.sample_std > 0.3);
    }
    assert_eq!(one_records[3].images_seen, 72);
    assert!((one_records[3].lr - 1e-4).abs() < 1e-12);
}

#[test]
fn training_teaches_the_samples_the_images_statistics() {
    // Noise has mean 0 and the blobs are dark, 62 grey levels below. 200 updates bring the samples there: with a
    // low rate and little momentum, since at 1e-3 the mean still swings by as much. Seeds 1 to 6 end 0.8 to 19 levels off.
    let folder = tempfile::tempdir().unwrap();
    let overrides = [
        "train.updates=200",
        "train.learning_rate=[[0,2e-4],[150,2e-4],[200,2e-5]]",
        "train.betas=[0.5,0.999]",
        "train.data_noise=[[0,0.1],[200,0.05]]",
        "train.batch=12",
        "langevin.steps=16",
        "energy.features=8",
    ];
    let images = images(folder.path(), 64);
    let data_mean = (0..64).flat_map(|i| images.image(i)).map(|&byte| f64::from(byte)).sum::<f64>() / (64.0 * 1024.0);
    let mut trainer = Trainer::from_config(&config(&overrides), images, options(2)).unwrap();
    let mean = |trainer: &Trainer| {
        to_bytes(&trainer.samples(1, 32).unwrap()).unwrap().iter().map(|&b| f64::from(b)).sum::<f64>() / (32.0 * 1024.0)
    };
    let before = (mean(&trainer) - data_mean).abs();
    assert_eq!(trainer.run(&mut (), &mut (), &Stop::default()).unwrap(), End::Finished);
    let after = (mean(&trainer) - data_mean).abs();
    assert!(after < 0.6 * before, "grey levels off before {before}, after {after}");
}

#[test]
fn the_run_folder_holds_config_metrics_grids_and_the_last_checkpoints() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let config = config(&[]);
    let mut trainer = Trainer::from_config(&config, images(folder.path(), 20), options(2)).unwrap();
    let sink = create(&run, &config);
    trainer.run_in(sink, &Stop::default()).unwrap();
    assert_eq!(Config::load(run.join("config.json"), &[]).unwrap(), config);
    let metrics = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let records: Vec<StepRecord> = metrics.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records.len(), 4);
    assert!(run.join("samples/x_000006.png").is_file() && run.join("samples/x_000012.png").is_file());
    assert!(!run.join("checkpoints/000004").exists() && run.join("checkpoints/000008").exists());
    let newest = srm_run::newest_weights(&run).unwrap().unwrap().path().to_owned();
    assert!(newest.ends_with("000012"));
    let weights = load_weights(&newest.join("weights.safetensors"), Device::Cpu).unwrap();
    assert_eq!(weights.langevin.as_ref(), Some(&config.langevin));
    for ((name, saved), (_, live)) in weights.net.named_parameters().iter().zip(trainer.net().named_parameters()) {
        assert_eq!(*saved, live, "{name}");
    }
    let optimizer = std::fs::read(newest.join("optimizer.safetensors")).unwrap();
    let moments = safetensors::SafeTensors::deserialize(&optimizer).unwrap();
    assert_eq!(moments.len(), 2 * trainer.net().named_parameters().len());
}

#[test]
fn an_interrupted_run_saves_where_it_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let mut trainer = Trainer::from_config(&config(&[]), images(folder.path(), 20), options(2)).unwrap();
    let sink = create(&run, &config(&[]));
    let stop = stop_after(&mut trainer, 1);
    let end = trainer.run_in(sink, &stop).unwrap();
    assert_eq!(end, End::Interrupted { update: 1 });
    assert!(run.join("checkpoints/000001/weights.safetensors").is_file());
}

#[test]
fn images_that_do_not_fit_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |overrides: &[&str], count| {
        Trainer::from_config(&config(overrides), images(folder.path(), count), options(1)).err().unwrap()
    };
    let error = refused(&["energy.size=64"], 20);
    assert!(matches!(error, TrainError::Data(DataError::ImageShape { .. })));
    assert!(error.to_string().contains("64×64×1") && error.to_string().contains("32×32×1"), "{error}");
    assert!(matches!(refused(&[], 3), TrainError::TooFewImages { got: 3, batch: 6 }));
}
