//! Make one update of Algorithm 1.

use crate::trainer::{GRID_COUNT, image, to_bytes};
use crate::tree::PartialSum;
use crate::{Details, Reason, Result, StepRecord, Trainer, Trouble, team};
use srm_config::Init;
use srm_data::fill_batch;
use srm_data::random::{Key, Purpose, hash, normal};
use srm_energy::{Energy, Trainable};
use srm_langevin::{ChainKey, Chains, Outcome, Samples};
use tch::{Device, Kind, Tensor};

impl Trainer {
    /// One update of Algorithm 1. `Ok(Err(trouble))` where its numbers are not those of a healthy run; the weights are then
    /// unchanged.
    ///
    /// # Errors
    /// What data, chains or libtorch return.
    pub fn update(&mut self) -> Result<std::result::Result<(StepRecord, Details), Trouble>> {
        let t = self.state.update + 1;
        let train = &self.config.train;
        let (m, rate) = (train.batch, train.learning_rate.at(t) * self.state.rate_factor);
        let sigma = train.data_noise.at(t) + self.state.extra_noise;

        // Draw m observed images and put N(0, σ²) on them.
        let observed = self.observed(t, sigma)?;
        // Draw z ~ p_0 and run K Langevin steps.
        let key = ChainKey { seed: self.config.train.seed, attempt: self.state.attempt, update: t };
        let (slots, z) = self.starts(&key, &observed)?;
        let chains = Chains { key, ids: 0..m as u64 };
        let (outcome, norms) = team::chains(&*self.team, &self.sampler, z.as_ref(), &chains)?;
        let samples = match outcome {
            Outcome::Finished(Samples { x }) => x,
            Outcome::Diverged { step, x } => return self.trouble(t, Reason::ChainNotFinite { step }, None, &x),
        };
        // Ascend mean f(x⁺) − mean f(x⁻).
        let (f, mut gradients) = self.gradients(&Tensor::f_cat(&[&observed, &samples], 0)?)?;
        let details = Details {
            f_data: numbers(&f.f_narrow(0, 0, m as i64)?)?,
            f_sample: numbers(&f.f_narrow(0, m as i64, m as i64)?)?,
            chain_grad_norm: numbers(&norms)?,
        };
        let theta_grad_norm = norm(&gradients)?;
        let (f_data, f_sample) = (mean(&details.f_data), mean(&details.f_sample));
        if !(f_data - f_sample).is_finite() || !theta_grad_norm.is_finite() {
            return self.trouble(t, Reason::GradientNotFinite, None, &samples);
        }
        let (chain_grad_norm, sample_std) =
            (mean(&details.chain_grad_norm), samples.f_std(false)?.f_double_value(&[])?);
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
            bank.give_back(&slots, &samples)?;
        }
        (self.state.update, self.state.images_seen) = (t, record.images_seen);
        Ok(Ok((record, details)))
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

    /// x⁺: batch t with N(0, σ²) on it, `[m, c, h, w]`.
    fn observed(&mut self, t: u64, sigma: f64) -> Result<Tensor> {
        let picks = self.batcher.batch_at(t, self.state.images_seen);
        let [c, h, w] = image(&self.config);
        let shape = [self.config.train.batch as i64, c, h, w];
        let clean = match &self.resident {
            Some(resident) => resident.batch(&picks)?,
            None => {
                fill_batch(&self.images, &picks, &mut self.batch_buffer)?;
                Tensor::f_from_slice(&self.batch_buffer)?.f_reshape(shape)?.f_to_device(self.net.device())?
            }
        };
        let base =
            Key { update: t, attempt: self.state.attempt, ..Key::new(self.config.train.seed, Purpose::DataNoise) };
        let noise = if self.net.device() == Device::Cpu {
            let mut values = vec![0.0; clean.numel()];
            for (id, image) in values.chunks_mut((c * h * w) as usize).enumerate() {
                normal(&Key { id: id as u64, ..base }, image);
            }
            Tensor::f_from_slice(&values)?.f_reshape(shape)?
        } else {
            tch::manual_seed(hash(&base) as i64);
            clean.f_randn_like()?
        };
        Ok(clean.f_add(&noise.f_mul_scalar(sigma)?)?)
    }

    /// Where the chains start if not at noise, `[m, c, h, w]`, and the slots of the bank that they come from.
    fn starts(&self, key: &ChainKey, observed: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        match (&self.bank, self.config.langevin.init) {
            (Some(bank), _) => {
                let (slots, z) = bank.draw(key, self.config.train.batch, self.net.device())?;
                Ok((Some(slots), Some(z)))
            }
            (None, Init::Data) => Ok((None, Some(observed.shallow_clone()))),
            _ => Ok((None, None)),
        }
    }

    /// f `[2m]` of data and samples and the gradient to ascend, block by block on the workers of all ranks; the sum runs by a
    /// fixed tree over the blocks, so neither threads nor ranks change a bit.
    fn gradients(&mut self, x: &Tensor) -> Result<(Tensor, Vec<Tensor>)> {
        let (m, block, alpha) = (self.config.train.batch, self.sampler.block() as i64, self.config.train.f_l2);
        let sign = [vec![1.0 / m as f32; m], vec![-1.0 / m as f32; m]].concat();
        let sign = Tensor::f_from_slice(&sign)?.f_to_device(self.net.device())?;
        let blocks: Vec<_> = x.f_split(block, 0)?.into_iter().zip(sign.f_split(block, 0)?).collect();
        let (count, mine) = (blocks.len(), team::share(&*self.team, blocks.len()));
        let numbers = mine.clone();
        let blocks: Vec<_> = blocks.into_iter().skip(mine.start).take(mine.len()).collect();
        let results = self.sampler.pool().map(blocks, move |net, (x, sign)| {
            // d/dθ of −α mean(f⁺² + f⁻²) adds −2α f(xᵢ)/m to the coefficient of ∂f(xᵢ)/∂θ
            let coefficients = match alpha {
                0.0 => sign,
                alpha => sign.f_sub(&net.f(&x)?.f_mul_scalar(2.0 * alpha / m as f64)?)?,
            };
            Ok(net.f_and_parameter_grad(&x, &coefficients)?)
        })?;
        let mut f = vec![Tensor::f_zeros([0], (Kind::Float, self.net.device()))?];
        let mut sum = PartialSum::new(count);
        for (number, (f_block, gradients)) in numbers.zip(results) {
            f.push(f_block);
            sum.add_block(number, gradients)?;
        }
        let f = team::gather_numbers(&*self.team, Tensor::f_cat(&f, 0)?)?;
        let total = team::sum(&*self.team, sum)?;
        #[cfg(test)]
        let total = {
            let mut total = total;
            if let Some(fault) = &mut self.fault {
                fault(self.state.update + 1, &mut total);
            }
            total
        };
        Ok((f, total))
    }

    fn trouble<T>(
        &self,
        update: u64,
        reason: Reason,
        record: Option<StepRecord>,
        samples: &Tensor,
    ) -> Result<std::result::Result<T, Trouble>> {
        let samples = to_bytes(&samples.f_narrow(0, 0, samples.size()[0].min(GRID_COUNT as i64))?)?;
        Ok(Err(Trouble { update, attempt: self.state.attempt, reason, record, samples }))
    }
}

/// The 2-norm over all tensors.
fn norm(tensors: &[Tensor]) -> Result<f64> {
    let norms = tensors.iter().map(|t| Ok(t.f_norm()?)).collect::<Result<Vec<_>>>()?;
    Ok(Tensor::f_stack(&norms, 0)?.f_norm()?.f_double_value(&[])?)
}

fn numbers(tensor: &Tensor) -> Result<Vec<f32>> {
    Ok(Vec::try_from(tensor.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?.f_contiguous()?)?)
}

fn mean(values: &[f32]) -> f64 {
    values.iter().map(|&value| f64::from(value)).sum::<f64>() / values.len().max(1) as f64
}
