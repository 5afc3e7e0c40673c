//! Hold a net in training with everything that its next update reads.

use crate::feed::{Data, Feed};
use crate::weights::Weights;
use crate::{Evaluation, Reason, ReplayBuffer, Result, Settings, Snapshot, Watch};
use srm_config::Init;
use srm_energy::{StateDict, Trainable};
use srm_langevin::{Chains, Outcome, Sampler, Samples, Spread, Stop, averaged};
use srm_ranks::{Ranks, SingleProcess};
use srm_run::{GridRecord, RunState};
use std::ops::Range;
use std::time::Instant;
use tch::{Device, Tensor};

/// Seed of the sample grids: that of `srm sample --seed 1`.
pub const GRID_SEED: u64 = 1;
/// Samples in a grid.
pub const GRID_COUNT: usize = 64;

/// What tests do to the gradients of an update.
#[cfg(test)]
pub(crate) type Fault = Box<dyn FnMut(u64, &mut [Tensor])>;

/// A net in training.
pub struct Trainer<E: Trainable> {
    pub(crate) settings: Settings,
    pub(crate) weights: Weights<E>,
    pub(crate) feed: Feed,
    pub(crate) sampler: Sampler<E>,
    pub(crate) replay_buffer: Option<ReplayBuffer>,
    pub(crate) state: RunState,
    pub(crate) ranks: Box<dyn Ranks>,
    pub(crate) evaluation: Option<Box<dyn Evaluation<E>>>,
    /// When this process began to train, and the seconds of training before that.
    pub(crate) begun: (Instant, f64),
    pub(crate) spread: Spread,
    pub(crate) stop: Stop,
    #[cfg(test)]
    pub(crate) fault: Option<Fault>,
}

impl<E: Trainable> Trainer<E> {
    /// Train `net`, as it is, on `data`: images or an array of samples `[n, …]`.
    ///
    /// # Errors
    /// [`crate::TrainError::Settings`], [`crate::TrainError::TooFewImages`], and what the net says of the first sample where it does
    /// not fit.
    pub fn new(net: E, data: impl Into<Data>, settings: impl Into<Settings>, spread: Spread) -> Result<Self> {
        let _guard = tch::no_grad_guard();
        let (settings, device) = (settings.into(), net.device());
        if let Some(problem) = settings.problem() {
            return Err(crate::TrainError::Settings { problem });
        }
        if device == Device::Cpu {
            // The workers do the work; a second pool of threads in this one would only fight them for the cores.
            tch::set_num_threads(1);
        }
        let train = &settings.train;
        let mut feed = Feed::new(data.into(), train.batch, train.seed, settings.flip, device)?;
        if let Some(problem) = settings.dynamics.problem(&feed.data().shape()) {
            return Err(crate::TrainError::Settings { problem });
        }
        let first = feed.first()?;
        for grid in (0..settings.dynamics.grid_count()).rev() {
            let _ = net.f(&averaged(&first, settings.dynamics.growth_from(grid))?)?;
        }
        let mut trainer = Self {
            sampler: Sampler::new(&net, settings.dynamics.clone(), &feed.data().shape(), spread),
            weights: Weights::new(net, train)?,
            settings,
            feed,
            replay_buffer: None,
            state: RunState::default(),
            ranks: Box::new(SingleProcess),
            evaluation: None,
            begun: (Instant::now(), 0.0),
            spread,
            stop: Stop::default(),
            #[cfg(test)]
            fault: None,
        };
        trainer.reset()?;
        Ok(trainer)
    }

    /// Back to the fresh net of update 0.
    pub(crate) fn reset(&mut self) -> Result<()> {
        let grow = &self.settings.grow;
        let joins = self.prefixes().into_iter().zip(grow).map(|(prefix, &from)| (prefix, from));
        self.weights.reset(&self.settings.train, &joins.collect::<Vec<_>>())?;
        self.replay_buffer = match &self.settings.init {
            Init::Persistent(bank) => {
                Some(ReplayBuffer::new(*bank, &self.feed.data().shape(), self.settings.train.seed)?)
            }
            _ => None,
        };
        self.state = RunState::default();
        self.stand();
        Ok(())
    }

    /// Go on from a snapshot. What the settings have switched on since it was made begins anew.
    ///
    /// # Errors
    /// [`crate::TrainError::MissingTensor`], [`crate::TrainError::Settings`] where the snapshot is of another net.
    pub fn restore(&mut self, saved: &Snapshot) -> Result<()> {
        let _guard = tch::no_grad_guard();
        let own = self.net().named_parameters();
        if let Some((name, _)) = saved.weights.iter().find(|(name, _)| own.iter().all(|(other, _)| other != name)) {
            let problem = format!("the snapshot holds a weight {name} that this net has not: it is of another net");
            return Err(crate::TrainError::Settings { problem });
        }
        self.weights.restore(saved)?;
        if let Some(replay_buffer) = &mut self.replay_buffer {
            replay_buffer.restore(saved.replay_buffer.as_ref())?;
        }
        self.state = saved.state.clone();
        self.begun.1 = saved.state.seconds;
        self.stand();
        Ok(())
    }

    /// The run as it is. The tensors share storage with the trainer's, which the next update changes.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            state: RunState { seconds: self.seconds(), ..self.state.clone() },
            weights: self.net().named_parameters(),
            net: self.description(),
            optimizer: self.optimizer_tensors(),
            ema: self.averaged_net().map(E::named_parameters),
            replay_buffer: self.replay_buffer().map(Tensor::shallow_clone),
            calm: self.is_calm(),
            regular: self.state.update.is_multiple_of(self.settings.checkpoint.every),
        }
    }

    /// The samples of `srm sample --seed SEED --count COUNT` with the weights as they are, averaged where the average is on:
    /// `[count, …]` at every rank.
    ///
    /// # Errors
    /// As in [`Trainer::update`]; samples that diverged are given as they are.
    pub fn samples(&self, seed: u64, count: usize) -> Result<Tensor> {
        Ok(self.ranks.gather_rows(&self.own_samples(seed, count)?)?)
    }

    /// The grid of samples as the sink gets it, or `None` where a stop cuts it short at any rank.
    pub(crate) fn grid(&self) -> Result<Option<Tensor>> {
        let own = match self.own_samples(GRID_SEED, GRID_COUNT) {
            Err(error) if error.is_stop() => None,
            own => Some(own?),
        };
        match own {
            own if self.ranks.any(own.is_none())? => Ok(None),
            own => Ok(own.map(|own| self.ranks.gather_rows(&own)).transpose()?),
        }
    }

    /// This rank's part of [`Trainer::samples`].
    fn own_samples(&self, seed: u64, count: usize) -> Result<Tensor> {
        let averaged = self.averaged_net().map(|net| {
            let mut sampler = Sampler::new(net, self.dynamics(), &self.shape(), self.spread);
            sampler.stop_when(self.stop.clone());
            sampler
        });
        let sampler = averaged.as_ref().unwrap_or(&self.sampler);
        let mine = Chains::samples(seed, count).part(self.ranks.own_rows(count, sampler.block()));
        let (outcome, _) = sampler.run(&mine, |_| ())?;
        let (Outcome::Finished(Samples { x }) | Outcome::Diverged { x, .. }) = outcome;
        Ok(x)
    }

    /// Give up an update or samples in hand when `stop` is asked for.
    pub(crate) fn stop_when(&mut self, stop: &Stop) {
        self.stop = stop.clone();
        self.sampler.stop_when(stop.clone());
    }

    /// The rule by which each grid is watched, coarse to fine. A chain with r = 1 would go a K / √(c h w) per coordinate, straight on,
    /// and as many times as far as f has places, by which r was divided.
    pub(crate) fn watches(&self) -> Vec<Watch<'_>> {
        let (dynamics, shapes) = (self.dynamics(), self.shapes());
        let is_ladder = !self.settings.dynamics.course.rises.is_empty();
        let watch = |(steps, shape): (Range<usize>, &Vec<i64>)| {
            let coordinates = shape.iter().product::<i64>() as f64;
            let way = match dynamics.course.gradient_scale {
                None => dynamics.kernel.gradient_scale * steps.len() as f64,
                Some(_) => steps.map(|step| dynamics.kernel_at(step).gradient_scale).sum(),
            };
            let grid = shape.last().filter(|_| is_ladder).map(|&width| width as u64);
            let way = way * self.net().places(shape);
            Watch { config: &self.settings.watch, travel: way / coordinates.sqrt(), grid }
        };
        dynamics.grids().into_iter().zip(&shapes).map(watch).collect()
    }

    /// Take in the numbers of an update on all grids, coarse to fine, and say what is trouble, the coarsest first.
    pub(crate) fn see(&mut self, grids: &[GridRecord]) -> Option<Reason> {
        let mut state = std::mem::take(&mut self.state);
        let watches = self.watches();
        let seen = state.watch_coarser.iter_mut().chain([&mut state.watch]);
        let numbers = watches.iter().zip(seen).zip(grids);
        let found: Vec<_> = numbers.filter_map(|((watch, seen), grid)| watch.see(seen, grid)).collect();
        self.state = state;
        found.into_iter().next()
    }

    /// Whether the watches take the run for healthy.
    fn is_calm(&self) -> bool {
        let seen = self.state.watch_coarser.iter().chain([&self.state.watch]);
        self.watches().iter().zip(seen).all(|(watch, seen)| watch.is_calm(seen))
    }

    /// The scalars as they are.
    pub fn state(&self) -> &RunState {
        &self.state
    }

    /// The net as it is.
    pub fn net(&self) -> &E {
        self.weights.net()
    }

    /// The net with the averaged weights, where the average is on.
    pub fn averaged_net(&self) -> Option<&E> {
        self.weights.averaged()
    }

    /// ADAM's moments, and the tensors of the spectral norm where it is on.
    pub fn optimizer_tensors(&self) -> StateDict {
        self.weights.optimizer_tensors()
    }

    /// The replay buffer of persistent chains, where there is one.
    pub fn replay_buffer(&self) -> Option<&Tensor> {
        self.replay_buffer.as_ref().map(ReplayBuffer::images)
    }

    /// What the run learns from.
    pub fn data(&self) -> &Data {
        self.feed.data()
    }

    /// The ranks that share the run.
    pub fn ranks(&self) -> &dyn Ranks {
        &*self.ranks
    }

    /// The settings of the run.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Wall-clock seconds of training so far, of all processes of the run.
    pub fn seconds(&self) -> f64 {
        self.begun.1 + self.begun.0.elapsed().as_secs_f64()
    }
}
