//! Make one update of Algorithm 1.

use crate::exchange::{self, Measured};
use crate::trainer::{GRID_COUNT, image, to_bytes};
use crate::tree::PartialSum;
use crate::{Details, Reason, Result, StepRecord, Trainer, Trouble, team};
use ndarray::Axis;
use srm_config::Init;
use srm_data::fill_batch;
use srm_energy::{Energy, Trainable};
use srm_langevin::{ChainKey, Chains, Outcome, Samples};
use srm_random::{Key, Purpose, hash, normal};
use std::ops::Range;
use tch::{Device, Kind, Tensor};

/// How an update ended.
#[derive(Debug)]
pub enum Step {
    /// The weights have moved.
    Done(StepRecord, Details),
    /// Its numbers are not those of a healthy run; the weights are unchanged.
    Refused(Trouble),
    /// Somebody asked to stop before it was whole; nothing has changed.
    Dropped,
}

/// A rank's part of an update.
struct Part {
    measured: Measured,
    gradient: PartialSum,
    /// x⁻.
    samples: Tensor,
    /// Where in the bank the chains have started, where there is one.
    slots: Option<Tensor>,
}

impl Trainer {
    /// One update of Algorithm 1.
    ///
    /// # Errors
    /// What data, chains or libtorch return.
    pub fn update(&mut self) -> Result<Step> {
        let t = self.state.update + 1;
        let train = &self.config.train;
        let (m, rate) = (train.batch, train.learning_rate.at(t) * self.state.rate_factor);
        let sigma = train.data_noise.at(t) + self.state.extra_noise;

        // Draw m observed images and put N(0, σ²) on them: of a team each rank as many as it runs chains.
        let mine = team::rows(&*self.team, m, self.sampler.block());
        let observed = self.observed(t, sigma, &mine)?;
        // Draw z ~ p_0, run K Langevin steps, and differentiate mean f(x⁺) − mean f(x⁻).
        let (measured, rest) = match self.part(t, &observed, &mine) {
            Ok(Part { measured, gradient, samples, slots }) => (Some(measured), Some((gradient, samples, slots))),
            Err(error) if error.is_stop() => (None, None),
            Err(error) => return Err(error),
        };
        let found = Measured::of_all(measured, &*self.team)?;
        let Some((found, (gradient, samples, slots))) = found.zip(rest) else { return Ok(Step::Dropped) };
        if let Some(step) = found.bad_step {
            return self.trouble(t, Reason::ChainNotFinite { step }, None, &samples);
        }
        let mut gradients = self.total(gradient)?;
        let theta_grad_norm = norm(&gradients)?;
        let (f_data, f_sample, chain_grad_norm) = (mean(&found.f_data), mean(&found.f_sample), mean(&found.r));
        if !(f_data - f_sample).is_finite() || !theta_grad_norm.is_finite() {
            return self.trouble(t, Reason::GradientNotFinite, None, &samples);
        }
        let sample_std = found.pixel_std(image(&self.config).iter().product::<i64>() as usize);
        if !chain_grad_norm.is_finite() || !sample_std.is_finite() {
            let step = self.config.langevin.steps - 1;
            return self.trouble(t, Reason::ChainNotFinite { step }, None, &samples);
        }
        let record = StepRecord {
            update: t,
            f_data,
            f_sample,
            gap: f_data - f_sample,
            chain_grad_norm,
            theta_grad_norm,
            sample_std,
            lr: rate,
            data_noise: sigma,
            seconds: self.seconds(),
            images_seen: self.state.images_seen + m as u64,
            attempt: self.state.attempt,
        };
        if let Some(reason) = self.state.watch.see(&record, &self.config.watch, self.travel()) {
            return self.trouble(t, reason, Some(record), &samples);
        }
        self.ascend(&mut gradients, theta_grad_norm, rate)?;
        if let (Some(bank), Some(slots)) = (&mut self.bank, slots) {
            bank.give_back(&slots, &exchange::all_rows(&*self.team, &samples)?)?;
        }
        (self.state.update, self.state.images_seen) = (t, record.images_seen);
        Ok(Step::Done(record, found.details()))
    }

    /// This rank's part of update t: its chains, and the gradients of their blocks.
    fn part(&self, t: u64, observed: &Tensor, mine: &Range<usize>) -> Result<Part> {
        let key = ChainKey { seed: self.config.train.seed, attempt: self.state.attempt, update: t };
        let (slots, z) = self.starts(&key, observed, mine)?;
        let chains = Chains { key, ids: mine.start as u64..mine.end as u64 };
        let (outcome, norms) = self.sampler.run_with_gradient_norms(z.as_ref(), &chains)?;
        let (samples, bad_step) = match outcome {
            Outcome::Finished(Samples { x }) => (x, None),
            Outcome::Diverged { step, x } => (x, Some(step)),
        };
        let (f, gradient) = match bad_step {
            None => self.gradient(observed, &samples, mine.start)?,
            Some(_) => (Default::default(), PartialSum::new(0)),
        };
        let [f_data, f_sample] = f;
        let pixels = pixel_sums(&samples, self.sampler.block())?;
        let measured = Measured { bad_step, f_data, f_sample, r: numbers(&norms)?, pixels };
        Ok(Part { measured, gradient, samples, slots })
    }

    /// Move the weights along `gradients`, through whichever stabilisers are on.
    fn ascend(&mut self, gradients: &mut [Tensor], length: f64, rate: f64) -> Result<()> {
        if let Some(longest) = self.config.train.clip_parameter_gradient.filter(|&longest| length > longest) {
            for gradient in gradients.iter_mut() {
                *gradient = gradient.f_mul_scalar(longest / length)?;
            }
        }
        if let Some(spectral) = &self.spectral {
            spectral.pull_back(&self.net, gradients)?;
        }
        self.adam.ascend(gradients, rate)?;
        if let Some(spectral) = &mut self.spectral {
            spectral.follow()?;
        }
        if let Some(ema) = &mut self.ema {
            ema.follow(&self.net)?;
            self.state.ema_updates = ema.updates();
        }
        self.state.optimizer_step = self.adam.step();
        Ok(())
    }

    /// x⁺: the images `mine` of batch t with N(0, σ²) on them, `[mine, c, h, w]`.
    fn observed(&mut self, t: u64, sigma: f64, mine: &Range<usize>) -> Result<Tensor> {
        let picks = &self.batcher.batch_at(t, self.state.images_seen)[mine.clone()];
        let [c, h, w] = image(&self.config);
        let shape = [mine.len() as i64, c, h, w];
        let (device, block) = (self.net.device(), self.sampler.block());
        let clean = match &self.resident {
            Some(resident) => resident.batch(picks)?,
            None => {
                fill_batch(&self.images, picks, &mut self.batch_buffer)?;
                Tensor::f_from_slice(&self.batch_buffer)?.f_reshape(shape)?.f_to_device(device)?
            }
        };
        let base =
            Key { update: t, attempt: self.state.attempt, ..Key::new(self.config.train.seed, Purpose::DataNoise) };
        let noise = if device == Device::Cpu {
            let mut values = vec![0.0; clean.numel()];
            for (id, image) in mine.clone().zip(values.chunks_mut((c * h * w) as usize)) {
                normal(&Key { id: id as u64, ..base }, image);
            }
            Tensor::f_from_slice(&values)?.f_reshape(shape)?
        } else {
            let mut blocks = vec![Tensor::f_zeros([0, c, h, w], (Kind::Float, device))?];
            for first in mine.clone().step_by(block) {
                tch::manual_seed(hash(&Key { id: first as u64, ..base }) as i64);
                blocks.push(Tensor::f_randn([block as i64, c, h, w], (Kind::Float, device))?);
            }
            Tensor::f_cat(&blocks, 0)?.f_narrow(0, 0, mine.len() as i64)?
        };
        Ok(clean.f_add(&noise.f_mul_scalar(sigma)?)?)
    }

    /// Where the chains `mine` start if not at noise, `[mine, c, h, w]`, and the slots of the bank that all come from.
    fn starts(
        &self,
        key: &ChainKey,
        observed: &Tensor,
        mine: &Range<usize>,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        match (&self.bank, self.config.langevin.init) {
            (Some(bank), _) => {
                let (slots, z) = bank.draw(key, self.config.train.batch, self.net.device())?;
                Ok((Some(slots), Some(z.f_narrow(0, mine.start as i64, mine.len() as i64)?)))
            }
            (None, Init::Data) => Ok((None, Some(observed.shallow_clone()))),
            _ => Ok((None, None)),
        }
    }

    /// f of data and samples, of this rank's chains from `first` on, and the terms of ∇θ [mean f(x⁺) − mean f(x⁻)] of their blocks:
    /// block j gives the terms 2j (data) and 2j + 1 (samples). The workers share them.
    fn gradient(&self, observed: &Tensor, samples: &Tensor, first: usize) -> Result<([Vec<f64>; 2], PartialSum)> {
        let (m, block, alpha) = (self.config.train.batch, self.sampler.block(), self.config.train.f_l2);
        let mut sum = PartialSum::new(2 * m.div_ceil(block));
        let mut f = [Vec::new(), Vec::new()];
        if samples.size()[0] == 0 {
            return Ok((f, sum));
        }
        let blocks = observed.f_split(block as i64, 0)?.into_iter().zip(samples.f_split(block as i64, 0)?);
        let terms = blocks.flat_map(|(data, samples)| [(data, 1.0 / m as f64), (samples, -1.0 / m as f64)]);
        let done = self.sampler.pool().map(terms.collect(), move |net, (x, sign)| {
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
            sum.add_block(2 * (first / block) + i, terms)?;
        }
        Ok((f, sum))
    }

    /// The sum of the terms of all ranks, one tensor a parameter; a fixed tree over the blocks, so neither threads nor ranks
    /// change a bit.
    fn total(&mut self, mine: PartialSum) -> Result<Vec<Tensor>> {
        let flat = exchange::sum(&*self.team, mine, self.net.device())?;
        let mut gradients = Vec::new();
        let mut at = 0;
        for (_, parameter) in self.net.named_parameters() {
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

    fn trouble(&self, update: u64, reason: Reason, record: Option<StepRecord>, samples: &Tensor) -> Result<Step> {
        let samples = team::gather_images(&*self.team, to_bytes(samples)?)?;
        let shown = samples.len_of(Axis(0)).min(GRID_COUNT);
        let samples = samples.slice_move(ndarray::s![..shown, .., .., ..]);
        Ok(Step::Refused(Trouble { update, attempt: self.state.attempt, reason, record, samples }))
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
            sums.extend(numbers(&x.f_sum_dim_intlist([1i64, 2, 3].as_slice(), false, Kind::Double)?)?);
        }
    }
    Ok(sums)
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}
