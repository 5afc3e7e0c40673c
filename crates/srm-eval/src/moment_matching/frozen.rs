//! Learn the top layer alone over frozen features by the short run, and carry its chains further than K steps.

use crate::moment_matching::GroupedMean;
use crate::{EvalError, Result};
use srm_energy::{ConvNet, Energy, Replicate, Trainable};
use srm_langevin::{
    ChainKey, Chains, Dynamics, KeyedNoise, LangevinError, Outcome, Sampler, Samples, Spread, Workers, short_run_steps,
    start,
};
use std::ops::Range;
use tch::{Kind, Tensor};

/// How the top layer is learned.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct FrozenOptions {
    /// Updates.
    pub updates: u64,
    /// Chains per update, from p_0 each time.
    pub batch: usize,
    /// The first step size; see [`FrozenTop::rate`].
    pub rate: f64,
    /// Seed of the new top layer and of the chains.
    pub seed: u64,
}

/// A trained net's features under a top layer that is drawn anew and learned alone: f = ⟨w, h⟩ + b.
///
/// w ← w + rate (`E_data[h]` − `E_q[h]`), E_q from `batch` fresh chains, E_data once from many images; b has the gradient 0.
pub struct FrozenTop {
    net: ConvNet,
    sampler: Sampler<ConvNet>,
    options: FrozenOptions,
    /// `E_data[h]`, f32 `[d]`.
    target: Tensor,
    /// w, sharing storage with the net.
    top: Tensor,
    update: u64,
    /// Relative error of the first batch.
    first: Option<f64>,
}

/// Learning has run away when a batch is so many times further from the data than the first one, or than `E_data[h]` is long:
/// a healthy one swings by less than 2.
const RUN_AWAY: f64 = 10.0;

/// Chains at a step of their way.
#[derive(Debug)]
pub struct State {
    /// Steps from p_0.
    pub step: usize,
    /// x `[n, c, h, w]`, not finite everywhere where chains blew up.
    pub x: Tensor,
    /// `E[h]` over the chains.
    pub features: GroupedMean,
    /// Mean f.
    pub mean_f: f64,
    /// Whether all numbers are finite.
    pub finite: bool,
}

impl FrozenTop {
    /// Freeze `trained` but for its top layer, which takes the weight and bias of a net freshly drawn by the seed.
    /// `target`: `E_data[h]` of the data to learn from ([`add_features`] gathers it).
    ///
    /// # Errors
    /// [`EvalError::Energy`], [`EvalError::Dimension`].
    pub fn new(
        trained: &ConvNet,
        dynamics: impl Into<Dynamics>,
        spread: Spread,
        options: FrozenOptions,
        target: &GroupedMean,
    ) -> Result<Self> {
        let config = trained.config();
        let fresh = ConvNet::new(config, options.seed, trained.device())?.named_parameters();
        let mut tensors = trained.named_parameters();
        let hidden = tensors.len().saturating_sub(2);
        tensors.splice(hidden.., fresh.into_iter().skip(hidden));
        let net = ConvNet::from_tensors(config, &tensors, trained.device())?;
        let parameters = net.named_parameters();
        let top = parameters[hidden].1.shallow_clone();
        let target = target.mean()?.f_to_kind(Kind::Float)?.f_to_device(net.device())?;
        if target.numel() != top.numel() {
            return Err(EvalError::Dimension { expected: top.numel(), got: target.numel() });
        }
        let sampler = Sampler::new(&net, dynamics, &net.image(), spread);
        Ok(Self { net, sampler, options, target, top, update: 0, first: None })
    }

    /// Updates made.
    pub fn update(&self) -> u64 {
        self.update
    }

    /// The net as it stands.
    pub fn net(&self) -> &ConvNet {
        &self.net
    }

    /// The step size of update `t`, from 1: constant for a third of the updates, then falling to a hundredth in equal ratios.
    /// A constant one swings: the chains' answer to a change of w is strong.
    pub fn rate(&self, t: u64) -> f64 {
        let gone = t as f64 / self.options.updates.max(1) as f64;
        self.options.rate * 0.01f64.powf((1.5 * gone - 0.5).max(0.0))
    }

    /// One update: fresh chains, `E_q[h]`, the step. Returns ‖`E_data[h]` − `E_q[h]`‖ / ‖`E_data[h]`‖ of the batch, with all the
    /// noise of its few chains.
    ///
    /// # Errors
    /// [`EvalError::ChainsDiverged`] where chains blow up, [`EvalError::MomentsRanAway`] where learning does; the weights are
    /// then unchanged.
    pub fn step(&mut self) -> Result<f64> {
        let t = self.update + 1;
        let key = ChainKey { seed: self.options.seed, attempt: 0, update: t };
        let x = self.run(key, 0..self.options.batch as u64)?;
        let mut mean = GroupedMean::new(self.options.batch);
        add_features(self.sampler.workers(), &mut mean, &x)?;
        let sampled = mean.mean()?.f_to_kind(Kind::Float)?.f_to_device(self.target.device())?;
        let gradient = self.target.f_sub(&sampled)?;
        let relative = gradient.f_norm()?.f_double_value(&[])? / self.target.f_norm()?.f_double_value(&[])?;
        let first = *self.first.get_or_insert(relative);
        // not a number is no healthy batch either
        if !relative.is_finite() || relative > RUN_AWAY * first.max(1.0) {
            return Err(EvalError::MomentsRanAway { update: self.update, relative, first });
        }
        let step = gradient.f_mul_scalar(self.rate(t))?.f_reshape(self.top.size())?;
        let _ = self.top.f_add_(&step)?;
        self.update = t;
        Ok(relative)
    }

    /// Chains that no update has seen, the same ones whenever it is asked: x_K `[ids, c, h, w]`.
    ///
    /// # Errors
    /// [`EvalError::ChainsDiverged`].
    pub fn fresh(&self, ids: Range<u64>) -> Result<Tensor> {
        self.run(self.fresh_key(), ids)
    }

    /// Chains per block.
    pub fn block(&self) -> usize {
        self.sampler.block()
    }

    /// Add h of images `[b, c, h, w]` to a mean.
    ///
    /// # Errors
    /// What the net returns.
    pub fn add_features(&self, mean: &mut GroupedMean, x: &Tensor) -> Result<()> {
        add_features(self.sampler.workers(), mean, x)
    }

    /// Carry the first `count` chains of [`FrozenTop::fresh`] on, and look at them after each of `steps`, which rise.
    ///
    /// # Errors
    /// What the net returns. Chains that blow up are a state that is not finite.
    pub fn carry(&self, count: usize, steps: &[usize]) -> Result<Vec<State>> {
        let (key, stops, workers, image) = (self.fresh_key(), steps.to_vec(), self.sampler.workers(), self.net.image());
        let (dynamics, device) = (self.sampler.dynamics().clone(), workers.device());
        let ids: Vec<u64> = (0..count as u64).collect();
        let blocks = workers.full_blocks(&ids, &[], move |energy, block| {
            let mut x = start(&dynamics.start, &key, &block.ids, &image, device)?;
            let mut noise = KeyedNoise::new(key, block.ids);
            let (mut at, mut states) = (0, Vec::with_capacity(stops.len()));
            for &stop in &stops {
                x = match short_run_steps(energy, &dynamics, at..stop, &x, &mut noise, &mut ())? {
                    Outcome::Finished(Samples { x }) | Outcome::Diverged { x, .. } => x,
                };
                states.push((x.shallow_clone(), energy.f(&x)?));
                at = stop;
            }
            Ok(states)
        })?;
        let state = |(i, &step): (usize, &usize)| {
            let part = |pick: fn(&(Tensor, Tensor)) -> &Tensor| {
                blocks.iter().map(|states| pick(&states[i]).shallow_clone()).collect::<Vec<_>>()
            };
            let x = workers.join(&part(|state| &state.0), count, &self.net.image())?;
            let f = workers.join(&part(|state| &state.1), count, &[])?;
            let mean_f = f.f_mean(Kind::Double)?.f_double_value(&[])?;
            let finite = mean_f.is_finite() && x.f_isfinite()?.f_all()?.f_int64_value(&[])? == 1;
            let mut features = GroupedMean::new(count);
            self.add_features(&mut features, &x)?;
            Ok(State { step, x, features, mean_f, finite })
        };
        steps.iter().enumerate().map(state).collect()
    }

    /// Updates count from 1, so no update has this key.
    fn fresh_key(&self) -> ChainKey {
        ChainKey { seed: self.options.seed, attempt: 0, update: 0 }
    }

    fn run(&self, key: ChainKey, ids: Range<u64>) -> Result<Tensor> {
        let (outcome, _) = self.sampler.run(&Chains { key, ids }, |_| ())?;
        match outcome {
            Outcome::Finished(Samples { x }) => Ok(x),
            Outcome::Diverged { step, .. } => Err(EvalError::ChainsDiverged { update: self.update, step }),
        }
    }
}

/// Add h of images `[b, c, h, w]` to a mean, block by block on workers that hold the net.
///
/// # Errors
/// What the net returns.
pub fn add_features(workers: &Workers<ConvNet>, mean: &mut GroupedMean, x: &Tensor) -> Result<()> {
    let blocks = workers.parts(x, |net, x| {
        let features = net.top_features(&x)?;
        let sum = features.f_sum_dim_intlist([0i64].as_slice(), false, Kind::Float).map_err(LangevinError::from)?;
        Ok((sum, x.size()[0] as usize))
    })?;
    blocks.iter().try_for_each(|(sum, count)| mean.add(sum, *count))
}
