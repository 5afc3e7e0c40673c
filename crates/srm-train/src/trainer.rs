//! Drive Algorithm 1: one update, and the loop around it.

use crate::{Adam, Result, Sink, StepRecord, TrainError};
use ndarray::Array4;
use srm_config::Config;
use srm_data::random::{Key, Purpose, hash, normal};
use srm_data::{Batcher, ImageSet, fill_batch, to_u8};
use srm_energy::{ConvNet, Energy, Trainable};
use srm_langevin::{ChainKey, Chains, Outcome, Sampler, SamplerOptions, Samples};
use std::time::Instant;
use tch::{Device, Kind, Tensor};

/// Seed of the sample grids: that of `srm sample --seed 1`.
pub const GRID_SEED: u64 = 1;
/// Images in a sample grid.
pub const GRID_COUNT: usize = 64;

/// Where and how wide a run computes.
#[derive(Clone, Copy, Debug)]
pub struct TrainerOptions {
    /// Where the net lives.
    pub device: Device,
    /// Worker threads on the CPU. Does not change any bit.
    pub threads: usize,
    /// Chains a block; what `langevin.block` says, resolved.
    pub block: usize,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum End {
    /// All updates are done.
    Finished,
    /// Somebody asked to stop; the state of `update` is saved.
    Interrupted {
        /// Last update done.
        update: u64,
    },
    /// Numbers stopped being finite.
    Diverged {
        /// The update that failed; the net is that of the update before.
        update: u64,
        /// The Langevin step; `None` where the chains were finite but the gradient was not.
        step: Option<usize>,
    },
}

/// A net in training.
pub struct Trainer {
    config: Config,
    net: ConvNet,
    adam: Adam,
    sampler: Sampler<ConvNet>,
    images: ImageSet,
    batcher: Batcher,
    batch_buffer: Vec<f32>,
    update: u64,
    begun: Instant,
}

impl Trainer {
    /// A fresh net for `config`, to be trained on `images`.
    ///
    /// # Errors
    /// [`TrainError::ImageShape`], [`TrainError::TooFewImages`].
    pub fn new(config: &Config, images: ImageSet, options: TrainerOptions) -> Result<Self> {
        let energy = &config.energy;
        let name = |h: usize, w: usize, c: usize| format!("{h}×{w}×{c}");
        let (expected, got) =
            (name(energy.size, energy.size, energy.channels), name(images.height(), images.width(), images.channels()));
        if expected != got {
            return Err(TrainError::ImageShape { expected, got });
        }
        if images.len() < config.train.batch {
            return Err(TrainError::TooFewImages { got: images.len(), batch: config.train.batch });
        }
        if options.device == Device::Cpu {
            // The workers do the work; a second pool of threads in this one would only fight them for the cores.
            tch::set_num_threads(1);
        }
        let net = ConvNet::new(energy, config.train.seed, options.device)?;
        let adam = Adam::new(net.named_parameters(), config.train.betas, config.train.epsilon)?;
        let image = [energy.channels, energy.size, energy.size].map(|side| side as i64);
        let spread = SamplerOptions { threads: options.threads, block: options.block };
        Ok(Self {
            sampler: Sampler::new(&net, &config.langevin, image, spread),
            batcher: Batcher::new(images.len(), config.train.batch, config.train.seed, config.data.flip),
            config: config.clone(),
            net,
            adam,
            images,
            batch_buffer: Vec::new(),
            update: 0,
            begun: Instant::now(),
        })
    }

    /// One update of Algorithm 1. `Ok(Err(end))` where numbers stopped being finite; the net is then unchanged.
    ///
    /// # Errors
    /// What data, chains or libtorch return.
    pub fn update(&mut self) -> Result<std::result::Result<StepRecord, End>> {
        let t = self.update + 1;
        let train = &self.config.train;
        let (rate, sigma, m) = (train.learning_rate.at(t), train.data_noise.at(t), train.batch);

        // Draw m observed images and put N(0, σ²) on them.
        let observed = self.observed(t, sigma)?;
        // Draw z ~ p_0 and run K Langevin steps.
        let chains = Chains { key: ChainKey { seed: self.config.train.seed, attempt: 0, update: t }, ids: 0..m as u64 };
        let (outcome, chain_grad_norm) = self.sampler.run_with_gradient_norm(&chains)?;
        let samples = match outcome {
            Outcome::Finished(Samples { x }) => x,
            Outcome::Diverged { step, .. } => return Ok(Err(End::Diverged { update: t, step: Some(step) })),
        };
        // Ascend mean f(x⁺) − mean f(x⁻).
        let sign = Tensor::f_from_slice(&[vec![1.0 / m as f32; m], vec![-1.0 / m as f32; m]].concat())?;
        let (f, gradients) = self.gradients(&Tensor::f_cat(&[&observed, &samples], 0)?, &sign)?;
        let mean = |first: usize| -> Result<f64> {
            Ok(f.f_narrow(0, first as i64, m as i64)?.f_mean(Kind::Double)?.f_double_value(&[])?)
        };
        let (f_data, f_sample) = (mean(0)?, mean(m)?);
        let theta_grad_norm = norm(&gradients)?;
        if !(f_data - f_sample).is_finite() || !theta_grad_norm.is_finite() {
            return Ok(Err(End::Diverged { update: t, step: None }));
        }
        self.adam.ascend(&gradients, rate)?;

        self.update = t;
        Ok(Ok(StepRecord {
            update: t,
            f_data,
            f_sample,
            gap: f_data - f_sample,
            chain_grad_norm,
            theta_grad_norm,
            sample_std: samples.f_std(false)?.f_double_value(&[])?,
            lr: rate,
            data_noise: sigma,
            seconds: self.begun.elapsed().as_secs_f64(),
            images_seen: t * m as u64,
        }))
    }

    /// Update until `train.updates` are done, `stop` says so, or numbers stop being finite.
    ///
    /// # Errors
    /// What an update or the sink returns.
    pub fn run(&mut self, sink: &mut dyn Sink, stop: &dyn Fn() -> bool) -> Result<End> {
        let _guard = tch::no_grad_guard();
        let Config { log, checkpoint, train, .. } = self.config.clone();
        self.begun = Instant::now();
        while self.update < train.updates {
            let record = match self.update()? {
                Ok(record) => record,
                Err(end) => return Ok(end),
            };
            let (t, last) = (self.update, self.update == train.updates);
            let stopping = !last && stop();
            sink.progress(t, train.updates);
            if t == 1 || t.is_multiple_of(log.every) || last {
                sink.record(&record)?;
            }
            if t.is_multiple_of(log.samples_every) || last {
                sink.samples(t, &self.samples(GRID_SEED, GRID_COUNT)?)?;
            }
            if t.is_multiple_of(checkpoint.every) || last || stopping {
                sink.checkpoint(self)?;
            }
            if stopping {
                return Ok(End::Interrupted { update: t });
            }
        }
        Ok(End::Finished)
    }

    /// The images of `srm sample --seed SEED --count COUNT` with the net as it is: u8 `[count, h, w, c]`.
    ///
    /// # Errors
    /// As in [`Trainer::update`]; images that diverged are shown as they are.
    pub fn samples(&self, seed: u64, count: usize) -> Result<Array4<u8>> {
        let (outcome, _) = self.sampler.run(&Chains::samples(seed, count), |_| ())?;
        let (Outcome::Finished(Samples { x }) | Outcome::Diverged { x, .. }) = outcome;
        to_bytes(&x)
    }

    /// The last update done; 0 before the first.
    pub fn updates_done(&self) -> u64 {
        self.update
    }

    /// The net as it is.
    pub fn net(&self) -> &ConvNet {
        &self.net
    }

    /// The optimiser as it is.
    pub fn adam(&self) -> &Adam {
        &self.adam
    }

    /// The config of the run.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// x⁺: batch t with N(0, σ²) on it, `[m, c, h, w]`.
    fn observed(&mut self, t: u64, sigma: f64) -> Result<Tensor> {
        fill_batch(&self.images, &self.batcher.batch_at(t), &mut self.batch_buffer)?;
        let (size, channels, m) = (self.config.energy.size, self.config.energy.channels, self.config.train.batch);
        let shape = [m, channels, size, size].map(|side| side as i64);
        let clean = Tensor::f_from_slice(&self.batch_buffer)?.f_reshape(shape)?.f_to_device(self.net.device())?;
        let key = |id| Key { update: t, id, ..Key::new(self.config.train.seed, Purpose::DataNoise) };
        let noise = if self.net.device() == Device::Cpu {
            let mut values = vec![0.0; self.batch_buffer.len()];
            for (id, image) in values.chunks_mut(channels * size * size).enumerate() {
                normal(&key(id as u64), image);
            }
            Tensor::f_from_slice(&values)?.f_reshape(shape)?
        } else {
            tch::manual_seed(hash(&key(0)) as i64);
            clean.f_randn_like()?
        };
        Ok(clean.f_add(&noise.f_mul_scalar(sigma)?)?)
    }

    /// f `[b]` and ∇θ Σ cᵢ f(xᵢ), block by block on the workers; the sum runs in block order, so threads change no bit.
    fn gradients(&self, x: &Tensor, coefficients: &Tensor) -> Result<(Tensor, Vec<Tensor>)> {
        let (block, device) = (self.sampler.block() as i64, self.net.device());
        let blocks: Vec<_> =
            x.f_split(block, 0)?.into_iter().zip(coefficients.f_to_device(device)?.f_split(block, 0)?).collect();
        let results = self.sampler.pool().map(blocks, |net, (x, c)| Ok(net.f_and_parameter_grad(&x, &c)?))?;
        let mut f = Vec::with_capacity(results.len());
        let mut total: Vec<Tensor> = Vec::new();
        for (f_block, gradients) in results {
            f.push(f_block);
            if total.is_empty() {
                total = gradients;
                continue;
            }
            for (sum, gradient) in total.iter_mut().zip(&gradients) {
                *sum = sum.f_add(gradient)?;
            }
        }
        Ok((Tensor::f_cat(&f, 0)?, total))
    }
}

/// The 2-norm over all tensors.
fn norm(tensors: &[Tensor]) -> Result<f64> {
    let norms = tensors.iter().map(|t| Ok(t.f_norm()?)).collect::<Result<Vec<_>>>()?;
    Ok(Tensor::f_stack(&norms, 0)?.f_norm()?.f_double_value(&[])?)
}

/// Pixels in [-1, 1] as bytes.
///
/// # Shapes
/// `x`: `[n, c, h, w]`; out: u8 `[n, h, w, c]`.
///
/// # Errors
/// [`TrainError::Torch`] where `x` has not four axes.
pub fn to_bytes(x: &Tensor) -> Result<Array4<u8>> {
    let (n, c, h, w) = x.size4()?;
    let planar = x.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?.f_contiguous()?.f_view([-1i64])?;
    let values = Vec::<f32>::try_from(planar)?;
    Ok(to_u8(&values, [n, c, h, w].map(|side| side as usize)))
}
