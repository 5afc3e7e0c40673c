//! Make one update of Algorithm 1.

use crate::measured::Measured;
use crate::trainer::GRID_COUNT;
use crate::{Reason, Result, Trainer, Trouble, Watch};
use srm_config::Init;
use srm_energy::Trainable;
use srm_langevin::{ChainKey, Chains, Outcome, Samples, sample_axes};
use srm_random::{Key, Purpose, hash, normal};
use srm_ranks::PartialSum;
use srm_run::{PerImage, StepRecord};
use std::ops::Range;
use tch::{Device, Kind, Tensor};

/// How an update ended.
#[derive(Debug)]
pub enum Step {
    /// The weights have moved.
    Done(StepRecord, PerImage),
    /// Its numbers are not those of a healthy run; the weights are unchanged.
    Refused(Trouble),
    /// Somebody asked to stop before it was whole; nothing has changed.
    Dropped,
}

/// The numbers of update t.
struct Now {
    t: u64,
    /// m.
    batch: usize,
    /// ADAM's rate.
    rate: f64,
    /// σ.
    sigma: f64,
    /// Each rank observes as many samples as it runs chains.
    mine: Range<usize>,
}

/// What the K steps have made.
struct Run {
    /// x⁻.
    samples: Tensor,
    /// r of each chain.
    norms: Tensor,
    /// The earliest step at which a chain was no longer finite.
    bad_step: Option<usize>,
    /// Where in the replay buffer the chains have started, where there is one.
    slots: Option<Tensor>,
}

/// What the numbers of an update say.
enum Verdict {
    Healthy(StepRecord),
    /// Why not, and the numbers where they are finite.
    Trouble(Reason, Option<StepRecord>),
}

/// What an update knows before the weights move: what it measured, and its part of the gradient.
struct Estimate {
    measured: Measured,
    /// Terms of ∇θ [mean f(x⁺) − mean f(x⁻)].
    gradient: PartialSum,
    run: Run,
}

impl<E: Trainable> Trainer<E> {
    /// One update of Algorithm 1.
    ///
    /// # Errors
    /// What data, chains or libtorch return.
    pub fn update(&mut self) -> Result<Step> {
        let _guard = tch::no_grad_guard();
        let now = self.now();
        // Draw m observed samples x⁺ and put N(0, σ²) on them; draw z ~ p_0 and run K Langevin steps to x⁻; differentiate.
        let estimate = self.observe(&now).and_then(|x_plus| {
            let run = self.run_chains(&now, &x_plus)?;
            self.differentiate(&now, &x_plus, run)
        });
        let Some(Estimate { measured, gradient, run }) = self.gathered(estimate)? else { return Ok(Step::Dropped) };
        if let Some(step) = measured.bad_step {
            return self.refuse(&now, Reason::ChainNotFinite { step }, None, &run);
        }
        let gradients = self.total(gradient)?;
        // Is this a healthy update?
        let record = match self.judge(&now, &measured, norm(&gradients)?) {
            Verdict::Healthy(record) => record,
            Verdict::Trouble(reason, record) => return self.refuse(&now, reason, record, &run),
        };
        // Ascend mean f(x⁺) − mean f(x⁻).
        self.weights.ascend(gradients, record.theta_grad_norm, now.rate, &mut self.state)?;
        self.give_back(&run)?;
        (self.state.update, self.state.images_seen) = (now.t, record.images_seen);
        Ok(Step::Done(record, measured.per_image()))
    }

    fn now(&self) -> Now {
        let (t, train) = (self.state.update + 1, &self.settings.train);
        Now {
            t,
            batch: train.batch,
            rate: train.learning_rate.at(t) * self.state.rate_factor,
            sigma: train.data_noise.at(t) + self.state.extra_noise,
            mine: self.ranks.own_rows(train.batch, self.sampler.block()),
        }
    }

    /// x⁺: this rank's samples of batch t with N(0, σ²) on them, `[mine, …]`.
    fn observe(&mut self, now: &Now) -> Result<Tensor> {
        let clean = self.feed.batch(now.t, self.state.images_seen, &now.mine)?;
        let (shape, device, block) = (clean.size(), clean.device(), self.sampler.block());
        let (attempt, seed) = (self.state.attempt, self.settings.train.seed);
        let key = |id: usize| Key { update: now.t, attempt, id: id as u64, ..Key::new(seed, Purpose::DataNoise) };
        let noise = if device == Device::Cpu {
            let mut values = vec![0.0; clean.numel()];
            let size = (clean.numel() / now.mine.len().max(1)).max(1);
            now.mine.clone().zip(values.chunks_mut(size)).for_each(|(id, sample)| normal(&key(id), sample));
            Tensor::f_from_slice(&values)?.f_reshape(shape)?
        } else {
            let rows = |rows: usize| [&[rows as i64], &shape[1..]].concat();
            let mut blocks = vec![Tensor::f_zeros(rows(0), (Kind::Float, device))?];
            for first in now.mine.clone().step_by(block) {
                tch::manual_seed(hash(&key(first)) as i64);
                blocks.push(Tensor::f_randn(rows(block), (Kind::Float, device))?);
            }
            Tensor::f_cat(&blocks, 0)?.f_narrow(0, 0, now.mine.len() as i64)?
        };
        Ok(clean.f_add(&noise.f_mul_scalar(now.sigma)?)?)
    }

    /// x⁻: this rank's chains, K steps from z.
    fn run_chains(&self, now: &Now, x_plus: &Tensor) -> Result<Run> {
        let key = ChainKey { seed: self.settings.train.seed, attempt: self.state.attempt, update: now.t };
        let (slots, z) = match (&self.replay_buffer, self.settings.init) {
            (Some(replay_buffer), _) => {
                let (slots, z) = replay_buffer.draw(&key, now.batch, x_plus.device())?;
                (Some(slots), Some(z.f_narrow(0, now.mine.start as i64, now.mine.len() as i64)?))
            }
            (None, Init::Data) => (None, Some(x_plus.shallow_clone())),
            _ => (None, None),
        };
        let chains = Chains { key, ids: now.mine.start as u64..now.mine.end as u64 };
        let (outcome, norms) = self.sampler.run_with_gradient_norms(z.as_ref(), &chains)?;
        let (samples, bad_step) = match outcome {
            Outcome::Finished(Samples { x }) => (x, None),
            Outcome::Diverged { step, x } => (x, Some(step)),
        };
        Ok(Run { samples, norms, bad_step, slots })
    }

    /// f of x⁺ and x⁻, and the terms of ∇θ [mean f(x⁺) − mean f(x⁻)] of this rank's blocks: block j gives the terms 2j (data) and
    /// 2j + 1 (samples). The workers share them.
    fn differentiate(&self, now: &Now, x_plus: &Tensor, run: Run) -> Result<Estimate> {
        let (m, block, alpha) = (now.batch, self.sampler.block(), self.settings.train.f_l2);
        let (mut gradient, mut f) = (PartialSum::new(2 * m.div_ceil(block)), [Vec::new(), Vec::new()]);
        if run.bad_step.is_none() && !now.mine.is_empty() {
            let blocks = x_plus.f_split(block as i64, 0)?.into_iter().zip(run.samples.f_split(block as i64, 0)?);
            let terms = blocks.flat_map(|(data, samples)| [(data, 1.0 / m as f64), (samples, -1.0 / m as f64)]);
            let done = self.sampler.workers().pool().map(terms.collect(), move |net, (x, sign)| {
                let mut coefficients = Tensor::f_full([x.size()[0]], sign, (Kind::Float, x.device()))?;
                if alpha != 0.0 {
                    // d/dθ of −α mean(f⁺² + f⁻²) adds −2α f(xᵢ)/m to the coefficient of ∂f(xᵢ)/∂θ
                    coefficients = coefficients.f_sub(&net.f(&x)?.f_mul_scalar(2.0 * alpha / m as f64)?)?;
                }
                let (f, gradients) = net.f_and_parameter_grad(&x, &coefficients)?;
                let flat = gradients.iter().map(|g| g.f_flatten(0, -1)).collect::<std::result::Result<Vec<_>, _>>()?;
                Ok((f, Tensor::f_cat(&flat, 0)?))
            })?;
            for (i, (of_block, terms)) in done.into_iter().enumerate() {
                f[i % 2].extend(numbers(&of_block)?);
                gradient.add_block(2 * (now.mine.start / block) + i, terms)?;
            }
        }
        let ([f_data, f_sample], pixels) = (f, pixel_sums(&run.samples, block)?);
        let measured = Measured { bad_step: run.bad_step, f_data, f_sample, r: numbers(&run.norms)?, pixels };
        Ok(Estimate { measured, gradient, run })
    }

    /// The same with what all ranks have measured; `None` where any of them was asked to stop.
    fn gathered(&self, mine: Result<Estimate>) -> Result<Option<Estimate>> {
        let (measured, rest) = match mine {
            Ok(Estimate { measured, gradient, run }) => (Some(measured), Some((gradient, run))),
            Err(error) if error.is_stop() => (None, None),
            Err(error) => return Err(error),
        };
        let all = Measured::gathered(measured, &*self.ranks)?;
        Ok(all.zip(rest).map(|(measured, (gradient, run))| Estimate { measured, gradient, run }))
    }

    /// The sum of the terms of all ranks, one tensor per parameter; a fixed tree over the blocks, so neither threads nor ranks
    /// change a bit.
    fn total(&mut self, mine: PartialSum) -> Result<Vec<Tensor>> {
        let flat = self.ranks.sum(mine, self.net().device())?;
        let mut gradients = Vec::new();
        let mut at = 0;
        for (_, parameter) in self.net().named_parameters() {
            let length = parameter.numel() as i64;
            gradients.push(flat.f_narrow(0, at, length)?.f_view(parameter.size().as_slice())?);
            at += length;
        }
        #[cfg(test)]
        if let Some(fault) = &mut self.fault {
            fault(self.state.update + 1, &mut gradients);
        }
        Ok(gradients)
    }

    /// The numbers of the update, or why they are not those of a healthy run.
    fn judge(&mut self, now: &Now, found: &Measured, theta_grad_norm: f64) -> Verdict {
        let (f_data, f_sample, chain_grad_norm) = (mean(&found.f_data), mean(&found.f_sample), mean(&found.r));
        if !(f_data - f_sample).is_finite() || !theta_grad_norm.is_finite() {
            return Verdict::Trouble(Reason::GradientNotFinite, None);
        }
        let sample_std = found.pixel_std(self.feed.data().shape().iter().product::<i64>() as usize);
        if !chain_grad_norm.is_finite() || !sample_std.is_finite() {
            return Verdict::Trouble(
                Reason::ChainNotFinite { step: self.settings.dynamics.steps.saturating_sub(1) },
                None,
            );
        }
        let record = StepRecord {
            update: now.t,
            f_data,
            f_sample,
            gap: f_data - f_sample,
            chain_grad_norm,
            theta_grad_norm,
            sample_std,
            lr: now.rate,
            data_noise: now.sigma,
            seconds: self.seconds(),
            images_seen: self.state.images_seen + now.batch as u64,
            attempt: self.state.attempt,
        };
        let watch = Watch { config: &self.settings.watch, travel: self.travel() };
        match watch.see(&mut self.state.watch, &record) {
            None => Verdict::Healthy(record),
            Some(reason) => Verdict::Trouble(reason, Some(record)),
        }
    }

    /// Put the ends of all chains back into the replay buffer, where there is one.
    fn give_back(&mut self, run: &Run) -> Result<()> {
        let (Some(replay_buffer), Some(slots)) = (&mut self.replay_buffer, &run.slots) else { return Ok(()) };
        replay_buffer.give_back(slots, &self.ranks.gather_rows(&run.samples)?)
    }

    fn refuse(&self, now: &Now, reason: Reason, record: Option<StepRecord>, run: &Run) -> Result<Step> {
        let samples = self.ranks.gather_rows(&run.samples)?;
        let samples = samples.f_narrow(0, 0, samples.size()[0].min(GRID_COUNT as i64))?;
        Ok(Step::Refused(Trouble { update: now.t, attempt: self.state.attempt, reason, record, samples }))
    }
}

/// The 2-norm over all tensors.
fn norm(tensors: &[Tensor]) -> Result<f64> {
    let norms = tensors.iter().map(|t| Ok(t.f_norm()?)).collect::<Result<Vec<_>>>()?;
    Ok(Tensor::f_stack(&norms, 0)?.f_norm()?.f_double_value(&[])?)
}

fn numbers(tensor: &Tensor) -> Result<Vec<f64>> {
    Ok(Vec::try_from(tensor.f_to_device(Device::Cpu)?.f_to_kind(Kind::Double)?.f_contiguous()?)?)
}

/// Sum and sum of squares of each image's pixels; block by block, so that other blocks beside it change no bit.
fn pixel_sums(samples: &Tensor, block: usize) -> Result<[Vec<f64>; 2]> {
    let mut sums = [Vec::new(), Vec::new()];
    for x in samples.f_to_kind(Kind::Double)?.f_split(block as i64, 0)? {
        for (sums, x) in sums.iter_mut().zip([x.shallow_clone(), x.f_square()?]) {
            sums.extend(numbers(&x.f_sum_dim_intlist(sample_axes(&x).as_slice(), false, Kind::Double)?)?);
        }
    }
    Ok(sums)
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}
