//! Name the table's rows and build both sides of each.

use crate::measure::median;
use crate::published::Published;
use srm_config::{Activation, Config, EnergyConfig};
use srm_data::{ImageSet, synthetic, write_npy};
use srm_energy::{ConvNet, Energy, Ladder, Precision, layer_shapes};
use srm_langevin::{
    ChainKey, Chains, DEFAULT_CPU_BLOCK, Dynamics, Kernel, NoNoise, Outcome, Path, Sampler, Spread, Start, short_run,
};
use srm_latent::{ChainNoise, Latent, Method, ReconstructOptions, ShortRun, ShortRunOptions};
use srm_train::{Step, Trainer, TrainerOptions};
use std::sync::{Arc, Barrier};
use tch::{Device, Kind, Tensor};

/// What a row measures.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// One Langevin step of m chains.
    Step,
    /// One update of Algorithm 1.
    Update,
    /// One reconstruction of m images.
    Reconstruct,
    /// m images sampled.
    Sample,
}

/// One row: a net, a batch and what is done.
#[derive(Clone, Copy)]
pub struct Row {
    pub name: &'static str,
    pub work: Work,
    pub size: usize,
    pub features: usize,
    pub activation: Activation,
    pub batch: usize,
    /// Langevin steps of one timed run.
    pub steps: usize,
    /// Pairs of timed runs.
    pub pairs: usize,
}

/// How far one step of the two sides may differ, absolute, in pixels on [-1, 1].
const TOLERANCE: f64 = 1e-5;
/// The same on a GPU, where both sides may cut products to TF32's 10 bits or bf16's 7; scripts/gpu_check.sh holds true f32
/// against the CPU to 1e-5.
const GPU_TOLERANCE: f64 = 1e-3;
/// Starts that are tried for it.
const DRAWS: u64 = 4;

/// Images on which they are compared.
const COMPARED: usize = 16;

/// With the slope that libtorch's LeakyReLU has where none is given, since tch passes none on; no path's speed depends on it.
const LEAKY: Activation = Activation::LeakyRelu(0.01);

/// Step size of the reconstruction.
const RATE: f64 = 0.1;
/// Its iterations.
const ITERATIONS: usize = 10;

/// What most rows share.
const STEP: Row =
    Row { name: "", work: Work::Step, size: 32, features: 32, activation: LEAKY, batch: 64, steps: 10, pairs: 7 };

/// The rows of the CPU. Steps and pairs: a timed run of the baseline takes 0.3 to 4 seconds.
pub const ROWS: [Row; 11] = [
    Row { name: "32px-n16", features: 16, pairs: 9, ..STEP },
    Row { name: "32px-n32", ..STEP },
    Row { name: "32px-n64", features: 64, steps: 6, ..STEP },
    Row { name: "64px-n32", size: 64, batch: 32, steps: 8, ..STEP },
    Row { name: "64px-n64", size: 64, features: 64, batch: 16, steps: 6, ..STEP },
    Row { name: "16px-n32", size: 16, steps: 20, ..STEP },
    Row { name: "32px-n32-silu", activation: Activation::Silu, ..STEP },
    Row { name: "update-n32", work: Work::Update, steps: 20, pairs: 5, ..STEP },
    Row { name: "reconstruct", work: Work::Reconstruct, batch: 8, steps: 20, pairs: 5, ..STEP },
    Row {
        name: "reconstruct-silu",
        work: Work::Reconstruct,
        activation: Activation::Silu,
        batch: 8,
        steps: 20,
        pairs: 5,
        ..STEP
    },
    Row { name: "sample-256", work: Work::Sample, batch: 256, pairs: 5, ..STEP },
];

/// The rows of a GPU: the headline net, and small ones whose cost is the starting of kernels; the last is for a rehearsal.
pub const GPU_ROWS: [Row; 5] = [
    Row { name: "gpu-64px-n64", size: 64, features: 64, batch: 100, steps: 40, ..STEP },
    Row { name: "gpu-32px-n64", features: 64, steps: 100, ..STEP },
    Row { name: "gpu-32px-n32", steps: 100, ..STEP },
    Row { name: "gpu-update", work: Work::Update, size: 64, features: 64, batch: 100, steps: 40, pairs: 5, ..STEP },
    Row { name: "gpu-rehearsal", features: 4, batch: 8, pairs: 3, ..STEP },
];

/// Where a row runs.
#[derive(Clone, Copy)]
pub struct Place {
    pub device: Device,
    /// The numbers of srm's side; the published loop computes as libtorch does by default.
    pub precision: Precision,
    pub threads: usize,
}

impl Row {
    /// Products and sums that the row asks for by the plain definition of its convolutions, in 10⁹: two per weight and output
    /// for f, as many again for f', and as many again for the weights' gradient.
    pub fn gflop(&self) -> f64 {
        let energy = self.energy();
        let mut pixels = self.size;
        let mut forward = 0.0;
        for (shape, stride, padding) in layer_shapes(&energy) {
            pixels = if padding == 0 { 1 } else { pixels / stride as usize };
            forward += 2.0 * shape.iter().product::<i64>() as f64 * (pixels * pixels) as f64;
        }
        let chain = 2.0 * forward * (self.batch * self.steps) as f64;
        let total = match self.work {
            Work::Update => chain + 3.0 * forward * 2.0 * self.batch as f64,
            Work::Reconstruct => chain * ITERATIONS as f64,
            Work::Step | Work::Sample => chain,
        };
        total / 1e9
    }

    /// What the kernels could reach at most if all tiles went by F(2×2, 2×2) and nothing but products took time: sixteen ninths of the
    /// multipliers' rate, all threads at once, in GFLOP/s; the median of five. F(4×4, 2×2) has a limit 1.44 times as high.
    pub fn limit(&self, place: Place) -> Option<f64> {
        if place.device.is_cuda() {
            return None;
        }
        let round = || {
            let (barrier, features) = (Arc::new(Barrier::new(place.threads)), self.features);
            let threads = (0..place.threads).map(|_| {
                let barrier = Arc::clone(&barrier);
                std::thread::spawn(move || {
                    barrier.wait();
                    srm_energy::cpu_multiplier_rate(features)
                })
            });
            let threads: Vec<_> = threads.collect();
            threads.into_iter().map(|thread| thread.join().ok().flatten()).sum::<Option<f64>>()
        };
        let rates = (0..5).map(|_| round()).collect::<Option<Vec<f64>>>()?;
        Some(median(rates) * 16.0 / 9.0)
    }

    /// Width of the matrices whose product the row is held against: large enough for the device, and for the row's work.
    pub fn matrix(&self, place: Place) -> i64 {
        if place.device.is_cuda() && self.gflop() > 100.0 { 8192 } else { 1536 }
    }

    /// What one timed run counts as: the steps of a step row, one otherwise.
    pub fn units(&self) -> usize {
        if self.work == Work::Step { self.steps } else { 1 }
    }

    fn energy(&self) -> EnergyConfig {
        EnergyConfig::new(self.size, 3, self.features, self.activation)
    }

    fn image(&self) -> [i64; 3] {
        [3, self.size as i64, self.size as i64]
    }

    fn net(&self, place: Place) -> anyhow::Result<ConvNet> {
        Ok(ConvNet::new(&self.energy(), 1, place.device)?.in_precision(place.precision)?)
    }

    fn dynamics(&self) -> Dynamics {
        Dynamics::new(Kernel::default(), self.steps, Start::Uniform)
    }

    /// Start noise of `seed` for `count` chains.
    fn start(&self, seed: u64, count: usize, device: Device) -> anyhow::Result<Tensor> {
        let (key, ids) = (ChainKey { seed, attempt: 0, update: 0 }, (0..count as u64).collect::<Vec<_>>());
        Ok(srm_langevin::start(&Start::Uniform, &key, &ids, &self.image(), device)?)
    }

    fn spread(&self, place: Place) -> Spread {
        let most = if place.device.is_cuda() { self.batch } else { DEFAULT_CPU_BLOCK };
        Spread { threads: place.threads, block: most.min(self.batch.div_ceil(place.threads)) }
    }

    /// How far the states of both sides are apart, absolute, after one step without noise.
    ///
    /// Where an activation lies within rounding of 0, its mask may fall either way, which moves an image by up to 1e-4: then
    /// other starts are drawn. An error in a formula shows on every start.
    pub fn one_step_apart(&self, place: Place) -> anyhow::Result<f64> {
        let (net, device) = (self.net(place)?, place.device);
        let (published, kernel) = (Published::of(&net, device), Kernel::default());
        let tolerance = if device.is_cuda() { GPU_TOLERANCE } else { TOLERANCE };
        let mut apart = f64::INFINITY;
        for seed in 1..=DRAWS {
            let z = self.start(seed, self.batch.min(COMPARED), device)?;
            let mut path = Path::new(1);
            short_run(&net, &kernel.steps(1), &z, &mut NoNoise, &mut path)?;
            let theirs = kernel.step(&z, &published.gradient(&z), None)?;
            apart = (&path.states()[1] - theirs).abs().max().to_kind(Kind::Double).double_value(&[]);
            if apart <= tolerance {
                return Ok(apart);
            }
        }
        anyhow::bail!("{}: one step differs by {apart:.1e}", self.name)
    }

    /// How far a step on the CPU and one on the GPU are apart, on the first start without a flipped mask.
    pub fn devices_apart(&self, place: Place) -> anyhow::Result<f64> {
        let cpu = Place { device: Device::Cpu, precision: Precision::F32, ..place };
        let (net, gpu_net) = (self.net(cpu)?, self.net(place)?);
        let mut least = f64::INFINITY;
        for seed in 1..=DRAWS {
            let z = self.start(seed, self.batch.min(COMPARED), Device::Cpu)?;
            let ours = net.f_and_grad(&z)?.1;
            let theirs = gpu_net.f_and_grad(&z.to_device(place.device))?.1.to_device(Device::Cpu);
            least = least.min((ours - theirs).abs().max().to_kind(Kind::Double).double_value(&[]));
        }
        Ok(least)
    }

    /// The published loop, ready to run.
    pub fn baseline(&self, place: Place) -> anyhow::Result<Box<dyn FnMut()>> {
        let (row, device, threads) = (*self, place.device, place.threads as i32);
        let published = Published::of(&self.net(Place { precision: Precision::F32, ..place })?, device);
        let z = self.start(1, self.batch, device)?;
        Ok(match self.work {
            Work::Step | Work::Sample => Box::new(move || {
                tch::set_num_threads(threads);
                let _ = published.short_run(&z, row.steps);
            }),
            Work::Update => {
                let bytes = synthetic::blobs(self.batch, self.size, 3, 1);
                let pixels: Vec<f32> = bytes.iter().map(|&byte| f32::from(byte) / 127.5 - 1.0).collect();
                let [c, h, w] = self.image();
                let images = Tensor::from_slice(&pixels).reshape([-1, h, w, c]).permute([0, 3, 1, 2]).contiguous();
                let (images, mut adam) = (images.to_device(device), published.adam());
                Box::new(move || {
                    tch::set_num_threads(threads);
                    published.update(&mut adam, &images, row.steps);
                })
            }
            Work::Reconstruct => {
                let target = self.start(2, self.batch, device)?;
                Box::new(move || {
                    tch::set_num_threads(threads);
                    let _ = published.reconstruct(&target, &z, row.steps, ITERATIONS, RATE);
                })
            }
        })
    }

    /// The same work by srm, ready to run.
    pub fn srm(&self, place: Place) -> anyhow::Result<Box<dyn FnMut()>> {
        let (device, spread, dynamics) = (place.device, self.spread(place), self.dynamics());
        Ok(match self.work {
            Work::Step | Work::Sample => {
                let sampler = Sampler::new(&self.net(place)?, dynamics, &self.image(), spread);
                let chains = Chains::samples(1, self.batch);
                let z = self.start(1, self.batch, device)?;
                Box::new(move || match sampler.run_from(Some(&z), &chains, |_| ()) {
                    Ok((Outcome::Finished(_), _)) => {}
                    _ => panic!("the chains of a fresh net stay finite"),
                })
            }
            Work::Update => {
                let mut trainer = trainer(self, place, spread)?;
                Box::new(move || {
                    tch::set_num_threads(1); // as the trainer does
                    let update = trainer.update().expect("the batch fits the net");
                    assert!(matches!(update, Step::Done(..)), "a fresh net trains");
                })
            }
            Work::Reconstruct => {
                let options = ShortRunOptions { noise: ChainNoise::Off, spread, keep_every: 1 };
                let run = ShortRun::new(&self.net(place)?, dynamics, options);
                let target = self.start(2, self.batch, device)?;
                let search = ReconstructOptions {
                    iterations: ITERATIONS,
                    method: Method::Gradient,
                    step: RATE,
                    latent: Latent::Free,
                    starts: 1,
                    seed: 1,
                    target_mse: None,
                    offset: 0,
                    snapshots: Vec::new(),
                };
                Box::new(move || {
                    run.reconstruct(&target, None, &search, &mut |_| true).expect("the images fit the net");
                })
            }
        })
    }
}

fn trainer(row: &Row, place: Place, spread: Spread) -> anyhow::Result<Trainer<Ladder<ConvNet>>> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("blobs.npy");
    let count = 2 * row.batch;
    let pixels = synthetic::blobs(count, row.size, 3, 1);
    write_npy(&file, &ndarray::ArrayView4::from_shape((count, row.size, row.size, 3), &pixels)?)?;
    let text = format!(
        r#"{{ "data": {{ "images": {file:?} }},
             "energy": {{ "size": {}, "channels": 3, "features": {}, "activation": {} }},
             "langevin": {{ "steps": {}, "gradient_scale": 1.0, "noise_std": 0.01 }},
             "train": {{ "updates": 1000, "batch": {}, "learning_rate": 1e-4, "data_noise": 0.03 }} }}"#,
        row.size,
        row.features,
        serde_json::to_string(&row.activation)?,
        row.steps,
        row.batch
    );
    let config = Config::from_json(&text, &[])?;
    // The map of the images outlives the folder's name.
    Ok(Trainer::from_config(
        &config,
        ImageSet::open(&file)?,
        TrainerOptions {
            device: place.device,
            precision: place.precision,
            threads: spread.threads,
            block: spread.block,
        },
    )?)
}
