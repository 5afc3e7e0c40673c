//! Hold a net in training with everything that its next update reads.

use crate::resident::Resident;
use crate::team::{self, Alone, Team};
use crate::{Adam, Bank, Ema, Evaluation, Named, Result, Saved, Spectral, State, TrainError};
use ndarray::Array4;
use srm_config::{Config, Init};
use srm_data::{Batcher, ImageSet, to_u8};
use srm_energy::{ConvNet, Precision, Trainable};
use srm_langevin::{Chains, Outcome, Sampler, SamplerOptions, Samples, Stop};
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
    /// The numbers inside the net.
    pub precision: Precision,
    /// Worker threads on the CPU. Does not change any bit.
    pub threads: usize,
    /// Chains a block; what `langevin.block` says, resolved.
    pub block: usize,
}

/// What tests do to the gradients of an update.
#[cfg(test)]
pub(crate) type Fault = Box<dyn FnMut(u64, &mut [Tensor])>;

/// A net in training.
pub struct Trainer {
    pub(crate) config: Config,
    options: TrainerOptions,
    pub(crate) net: ConvNet,
    pub(crate) adam: Adam,
    pub(crate) ema: Option<Ema>,
    pub(crate) spectral: Option<Spectral>,
    pub(crate) bank: Option<Bank>,
    pub(crate) sampler: Sampler<ConvNet>,
    pub(crate) images: ImageSet,
    pub(crate) resident: Option<Resident>,
    pub(crate) batcher: Batcher,
    pub(crate) batch_buffer: Vec<f32>,
    pub(crate) state: State,
    /// When this process began to train, and the seconds of training before that.
    pub(crate) begun: (Instant, f64),
    pub(crate) team: Box<dyn Team>,
    pub(crate) evaluation: Option<Box<dyn Evaluation>>,
    stop: Stop,
    #[cfg(test)]
    pub(crate) fault: Option<Fault>,
}

impl Trainer {
    /// A fresh net for `config`, to be trained on `images`.
    ///
    /// # Errors
    /// [`TrainError::ImageShape`], [`TrainError::TooFewImages`].
    pub fn new(config: &Config, images: ImageSet, options: TrainerOptions) -> Result<Self> {
        check_images(config, &images)?;
        if options.device == Device::Cpu {
            // The workers do the work; a second pool of threads in this one would only fight them for the cores.
            tch::set_num_threads(1);
        }
        let net = ConvNet::new(&config.energy, config.train.seed, options.device)?.in_precision(options.precision)?;
        let mut trainer = Self {
            sampler: sampler(&net, config, options),
            batcher: Batcher::new(images.len(), config.train.batch, config.train.seed, config.data.flip),
            adam: Adam::new(Vec::new(), config.train.betas, config.train.epsilon, config.train.weight_decay)?,
            config: config.clone(),
            options,
            net,
            ema: None,
            spectral: None,
            bank: None,
            resident: Resident::new(&images, options.device)?,
            images,
            batch_buffer: Vec::new(),
            state: State::default(),
            begun: (Instant::now(), 0.0),
            team: Box::new(Alone),
            evaluation: None,
            stop: Stop::default(),
            #[cfg(test)]
            fault: None,
        };
        trainer.reset()?;
        Ok(trainer)
    }

    /// Back to the fresh net of update 0.
    pub(crate) fn reset(&mut self) -> Result<()> {
        let train = &self.config.train;
        let fresh = ConvNet::new(&self.config.energy, train.seed, self.options.device)?;
        crate::restore(&self.net.named_parameters(), &fresh.named_parameters())?;
        self.spectral = train.spectral_norm.map(|norm| Spectral::new(&self.net, norm, train.seed)).transpose()?;
        let parameters = match &self.spectral {
            Some(spectral) => spectral.parameters(&self.net),
            None => self.net.named_parameters(),
        };
        self.adam = Adam::new(parameters, train.betas, train.epsilon, train.weight_decay)?;
        self.ema = train.ema.map(|decay| Ema::new(&self.net, decay)).transpose()?;
        self.bank = match self.config.langevin.init {
            Init::Persistent(bank) => Some(Bank::new(bank, image(&self.config), train.seed)?),
            _ => None,
        };
        self.state = State::default();
        Ok(())
    }

    /// Go on from a checkpoint. What the config has switched on since it was written begins anew.
    ///
    /// # Errors
    /// [`TrainError::MissingTensor`], [`TrainError::Torch`] where the checkpoint is of another net.
    pub fn restore(&mut self, saved: &Saved) -> Result<()> {
        let _guard = tch::no_grad_guard();
        crate::restore(&self.net.named_parameters(), &saved.weights)?;
        if let Some(spectral) = &mut self.spectral {
            spectral.restore(&saved.optimizer)?;
        }
        self.adam.restore(&saved.optimizer, saved.state.optimizer_step)?;
        if let Some(ema) = &mut self.ema {
            ema.restore(saved.ema.as_ref(), saved.state.ema_updates, &self.net)?;
        }
        if let Some(bank) = &mut self.bank {
            bank.restore(saved.bank.as_ref())?;
        }
        self.state = saved.state.clone();
        self.begun.1 = saved.state.seconds;
        Ok(())
    }

    /// The images of `srm sample --seed SEED --count COUNT` with the weights as they are, averaged where the average is
    /// on: u8 `[count, h, w, c]` at rank 0 of a team, its own part at the others.
    ///
    /// # Errors
    /// As in [`Trainer::update`]; images that diverged are shown as they are.
    pub fn samples(&self, seed: u64, count: usize) -> Result<Array4<u8>> {
        team::gather_images(&*self.team, self.own_samples(seed, count)?)
    }

    /// The grid of samples as the sink gets it, or `None` where a stop cuts it short at any rank.
    pub(crate) fn grid(&self) -> Result<Option<Array4<u8>>> {
        let own = match self.own_samples(GRID_SEED, GRID_COUNT) {
            Err(error) if error.is_stop() => None,
            own => Some(own?),
        };
        match own {
            own if self.any(own.is_none())? => Ok(None),
            own => own.map(|own| team::gather_images(&*self.team, own)).transpose(),
        }
    }

    /// This rank's part of [`Trainer::samples`].
    fn own_samples(&self, seed: u64, count: usize) -> Result<Array4<u8>> {
        let averaged = self.ema.as_ref().map(|ema| {
            let mut sampler = sampler(ema.net(), &self.config, self.options);
            sampler.stop_when(self.stop.clone());
            sampler
        });
        let sampler = averaged.as_ref().unwrap_or(&self.sampler);
        let mine = team::part(&*self.team, &Chains::samples(seed, count), sampler.block());
        let (outcome, _) = sampler.run(&mine, |_| ())?;
        let (Outcome::Finished(Samples { x }) | Outcome::Diverged { x, .. }) = outcome;
        to_bytes(&x)
    }

    /// Give up an update or samples in hand when `stop` is asked for.
    pub(crate) fn stop_when(&mut self, stop: &Stop) {
        self.stop = stop.clone();
        self.sampler.stop_when(stop.clone());
    }

    /// The way per pixel that a chain with r = 1 would go straight on: a K / √(c h w).
    pub(crate) fn travel(&self) -> f64 {
        let pixels: i64 = image(&self.config).iter().product();
        self.config.langevin.gradient_scale() * self.config.langevin.steps as f64 / (pixels as f64).sqrt()
    }

    /// The scalars as they are.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The net as it is.
    pub fn net(&self) -> &ConvNet {
        &self.net
    }

    /// The net with the averaged weights, where the average is on.
    pub fn averaged_net(&self) -> Option<&ConvNet> {
        self.ema.as_ref().map(Ema::net)
    }

    /// ADAM's moments, and the tensors of the spectral norm where it is on.
    pub fn optimizer_tensors(&self) -> Named {
        let spectral = self.spectral.as_ref().map(Spectral::tensors).unwrap_or_default();
        self.adam.moments().into_iter().chain(spectral).collect()
    }

    /// The bank of persistent chains, where there is one.
    pub fn bank(&self) -> Option<&Tensor> {
        self.bank.as_ref().map(Bank::images)
    }

    /// The images.
    pub fn images(&self) -> &ImageSet {
        &self.images
    }

    /// The ranks that share the run.
    pub fn team(&self) -> &dyn Team {
        &*self.team
    }

    /// The config of the run.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Wall-clock seconds of training so far, of all processes of the run.
    pub fn seconds(&self) -> f64 {
        self.begun.1 + self.begun.0.elapsed().as_secs_f64()
    }
}

fn check_images(config: &Config, images: &ImageSet) -> Result<()> {
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
    Ok(())
}

/// `[c, h, w]` of the images.
pub(crate) fn image(config: &Config) -> [i64; 3] {
    [config.energy.channels, config.energy.size, config.energy.size].map(|side| side as i64)
}

fn sampler(net: &ConvNet, config: &Config, options: TrainerOptions) -> Sampler<ConvNet> {
    let spread = SamplerOptions { threads: options.threads, block: options.block };
    Sampler::new(net, &config.langevin, image(config), spread)
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
