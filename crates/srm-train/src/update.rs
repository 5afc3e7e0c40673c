//! Make one update of Algorithm 1.

use crate::measured::{Columns, Measured};
use crate::trainer::GRID_COUNT;
use crate::{Reason, Result, Trainer, Trouble};
use srm_config::Init;
use srm_energy::Trainable;
use srm_langevin::{ChainKey, Chains, OnGrid, Outcome, averaged, sample_axes};
use srm_random::{Key, Purpose, hash, normal};
use srm_ranks::PartialSum;
use srm_run::{GridRecord, PerImage, StepRecord};
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
    /// x⁻ and r of each chain on each grid, coarse to fine.
    grids: Vec<OnGrid>,
    /// The earliest step at which a chain was no longer finite.
    bad_step: Option<usize>,
    /// Where in the replay buffer the chains have started, where there is one.
    slots: Option<Tensor>,
}

impl Run {
    /// x⁻ on the finest grid.
    fn samples(&self) -> &Tensor {
        &self.grids[self.grids.len() - 1].x
    }
}

/// What the numbers of an update say.
enum Verdict {
    Healthy(StepRecord),
    /// Why not, and the numbers where they are finite.
    Trouble(Reason, Option<StepRecord>),
}

/// One pass through the net, which gives one term of the gradient.
struct Pass {
    term: usize,
    /// Of x⁺, then of x⁻.
    x: Tensor,
    /// Rows of x⁺.
    data: i64,
}

/// What an update knows before the weights move: what it measured, and its part of the gradient.
struct Estimate {
    measured: Measured,
    /// Terms of ∇θ [Σ f(x⁺) − Σ f(x⁻)], in the weights of each grid.
    gradient: Vec<PartialSum>,
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
        let gradients = self.total(&now, gradient)?;
        // Is this a healthy update?
        let record = match self.judge(&now, &measured, norm(&gradients)?) {
            Verdict::Healthy(record) => record,
            Verdict::Trouble(reason, record) => return self.refuse(&now, reason, record, &run),
        };
        // Ascend mean f(x⁺) − mean f(x⁻).
        self.weights.ascend(gradients, record.theta_grad_norm, now.rate, &mut self.state)?;
        self.give_back(&run)?;
        (self.state.update, self.state.images_seen) = (now.t, record.images_seen);
        self.grow()?;
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

    /// x⁺ on each grid, coarse to fine: this rank's samples of batch t, averaged down, with N(0, σ²) on them, `[mine, …]`.
    fn observe(&mut self, now: &Now) -> Result<Vec<Tensor>> {
        let clean = self.feed.batch(now.t, self.state.images_seen, &now.mine)?;
        let whole = &self.settings.dynamics;
        let on_grid = |grid: usize| {
            self.noisy(&averaged(&clean, whole.growth_from(grid))?, now, (whole.grid_count() - 1 - grid) as u64)
        };
        (0..self.dynamics().grid_count()).map(on_grid).collect()
    }

    /// This rank's samples with N(0, σ²) on them; `coarser`: how many grids are finer than theirs.
    fn noisy(&self, clean: &Tensor, now: &Now, coarser: u64) -> Result<Tensor> {
        let (shape, device, block) = (clean.size(), clean.device(), self.sampler.block());
        let purpose = Key { step: coarser, ..Key::new(self.settings.train.seed, Purpose::DataNoise) };
        let key = |id: usize| Key { update: now.t, attempt: self.state.attempt, id: id as u64, ..purpose };
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
    fn run_chains(&self, now: &Now, x_plus: &[Tensor]) -> Result<Run> {
        let x_plus = &x_plus[x_plus.len() - 1]; // chains of a ladder do not start at the data
        let key = ChainKey { seed: self.settings.train.seed, attempt: self.state.attempt, update: now.t };
        let (slots, z) = match (&self.replay_buffer, &self.settings.init) {
            (Some(replay_buffer), _) => {
                let (slots, z) = replay_buffer.draw(&key, now.batch, x_plus.device())?;
                (Some(slots), Some(z.f_narrow(0, now.mine.start as i64, now.mine.len() as i64)?))
            }
            (None, Init::Data) => (None, Some(x_plus.shallow_clone())),
            _ => (None, None),
        };
        let chains = Chains { key, ids: now.mine.start as u64..now.mine.end as u64 };
        let (outcome, grids) = self.sampler.climb(z.as_ref(), &chains)?;
        let bad_step = match outcome {
            Outcome::Finished(_) => None,
            Outcome::Diverged { step, .. } => Some(step),
        };
        Ok(Run { grids, bad_step, slots })
    }

    /// f of x⁺ and x⁻ on each grid, and the terms of ∇θ [Σ f(x⁺) − Σ f(x⁻)] of this rank's blocks, which the workers share. Sums, not
    /// means: of coefficients ±1 those of the last bias cancel in any order, and ADAM would make a step of what rounding leaves.
    fn differentiate(&self, now: &Now, x_plus: &[Tensor], run: Run) -> Result<Estimate> {
        let (block, alpha) = (self.sampler.block(), self.settings.train.f_l2);
        let blocks = now.batch.div_ceil(block);
        let mut columns = vec![Columns::default(); run.grids.len()];
        let mut gradient: Vec<_> = columns.iter().map(|_| PartialSum::new(blocks.next_multiple_of(2))).collect();
        if run.bad_step.is_none() && !now.mine.is_empty() {
            let mut all = Vec::new();
            for (grid, (data, chains)) in x_plus.iter().zip(&run.grids).enumerate() {
                let passes = passes(data, &chains.x, block, now.mine.start / block, blocks)?;
                all.extend(passes.into_iter().map(|pass| (grid, pass)));
            }
            all.reverse(); // the finest first: its passes are the longest
            let done = self.sampler.workers().pool().map(all, move |net, (grid, Pass { term, x, data })| {
                let mut coefficients = Tensor::f_ones([x.size()[0]], (Kind::Float, x.device()))?;
                let _ = coefficients.f_narrow(0, data, x.size()[0] - data)?.f_neg_()?;
                if alpha != 0.0 {
                    // d/dθ of −α Σ (f⁺² + f⁻²) adds −2α f(xᵢ) to the coefficient of ∂f(xᵢ)/∂θ
                    coefficients = coefficients.f_sub(&net.f(&x)?.f_mul_scalar(2.0 * alpha)?)?;
                }
                let (f, gradients) = net.f_and_parameter_grad(&x, &coefficients)?;
                let flat = gradients.iter().map(|g| g.f_flatten(0, -1)).collect::<std::result::Result<Vec<_>, _>>()?;
                Ok((grid, term, f, data as usize, Tensor::f_cat(&flat, 0)?))
            })?;
            for (grid, term, of_pass, data, terms) in done.into_iter().rev() {
                let of_pass = numbers(&of_pass)?;
                columns[grid].f_data.extend(&of_pass[..data]);
                columns[grid].f_sample.extend(&of_pass[data..]);
                gradient[grid].add_block(term, terms)?;
            }
        }
        for (column, chains) in columns.iter_mut().zip(&run.grids) {
            (column.r, column.pixels) = (numbers(&chains.r)?, pixel_sums(&chains.x, block)?);
        }
        Ok(Estimate { measured: Measured { bad_step: run.bad_step, grids: columns }, gradient, run })
    }

    /// The same with what all ranks have measured; `None` where any of them was asked to stop.
    fn gathered(&self, mine: Result<Estimate>) -> Result<Option<Estimate>> {
        let (measured, rest) = match mine {
            Ok(Estimate { measured, gradient, run }) => (Some(measured), Some((gradient, run))),
            Err(error) if error.is_stop() => (None, None),
            Err(error) => return Err(error),
        };
        let all = Measured::gathered(measured, self.dynamics().grid_count(), &*self.ranks)?;
        Ok(all.zip(rest).map(|(measured, (gradient, run))| Estimate { measured, gradient, run }))
    }

    /// The mean over the batch of the terms of all ranks, one tensor per parameter, grid by grid; a fixed tree over the blocks, so
    /// neither threads nor ranks change a bit.
    fn total(&mut self, now: &Now, mine: Vec<PartialSum>) -> Result<Vec<Tensor>> {
        let device = self.net().device();
        // those of grids that have not joined yet are the last, and left over
        let mut parameters = self.net().named_parameters().into_iter();
        let mut gradients = Vec::new();
        for (grid, shape) in mine.into_iter().zip(self.shapes()) {
            let terms = now.batch as f64 * self.net().places(&shape);
            let flat = self.ranks.sum(grid, device)?.f_div_scalar_(terms)?;
            let (mut at, all) = (0, flat.numel() as i64);
            for (_, parameter) in parameters.by_ref() {
                let length = parameter.numel() as i64;
                gradients.push(flat.f_narrow(0, at, length)?.f_view(parameter.size().as_slice())?);
                at += length;
                if at == all {
                    break;
                }
            }
        }
        #[cfg(test)]
        if let Some(fault) = &mut self.fault {
            fault(self.state.update + 1, &mut gradients);
        }
        Ok(gradients)
    }

    /// The numbers of the update, or why they are not those of a healthy run.
    fn judge(&mut self, now: &Now, found: &Measured, theta_grad_norm: f64) -> Verdict {
        let shapes = self.shapes();
        let numbers = |(columns, shape): (&Columns, &Vec<i64>)| {
            let width = shape.last().map_or(0, |&width| width as u64);
            columns.record(width, shape.iter().product::<i64>() as usize, self.net().places(shape))
        };
        let mut grids: Vec<GridRecord> = found.grids.iter().zip(&shapes).map(numbers).collect();
        if !grids.iter().all(|grid| grid.gap.is_finite()) || !theta_grad_norm.is_finite() {
            return Verdict::Trouble(Reason::GradientNotFinite, None);
        }
        for (grid, steps) in grids.iter().zip(self.dynamics().grids()) {
            if !grid.chain_grad_norm.is_finite() || !grid.sample_std.is_finite() {
                return Verdict::Trouble(Reason::ChainNotFinite { step: steps.end.saturating_sub(1) }, None);
            }
        }
        let strayed = self.see(&grids);
        let finest = grids.pop().unwrap_or_default();
        let record = StepRecord {
            update: now.t,
            f_data: finest.f_data,
            f_sample: finest.f_sample,
            gap: finest.gap,
            chain_grad_norm: finest.chain_grad_norm,
            theta_grad_norm,
            sample_std: finest.sample_std,
            lr: now.rate,
            data_noise: now.sigma,
            seconds: self.seconds(),
            images_seen: self.state.images_seen + now.batch as u64,
            attempt: self.state.attempt,
            size: (self.settings.dynamics.grid_count() > 1).then_some(finest.size),
            grids,
        };
        match strayed {
            None => Verdict::Healthy(record),
            Some(reason) => Verdict::Trouble(reason, Some(record)),
        }
    }

    /// Put the ends of all chains back into the replay buffer, where there is one.
    fn give_back(&mut self, run: &Run) -> Result<()> {
        let (Some(replay_buffer), Some(slots)) = (&mut self.replay_buffer, &run.slots) else { return Ok(()) };
        replay_buffer.give_back(slots, &self.ranks.gather_rows(run.samples())?)
    }

    fn refuse(&self, now: &Now, reason: Reason, record: Option<StepRecord>, run: &Run) -> Result<Step> {
        let samples = self.ranks.gather_rows(run.samples())?;
        let samples = samples.f_narrow(0, 0, samples.size()[0].min(GRID_COUNT as i64))?;
        Ok(Step::Refused(Trouble { update: now.t, attempt: self.state.attempt, reason, record, samples }))
    }
}

/// The passes over the blocks from `first` on, of `blocks` in all ranks: data and samples of a block together, since much of a
/// pass costs the same for any rows. Of an odd number the last block goes in two, so that two workers end at the same time.
fn passes(x_plus: &Tensor, samples: &Tensor, block: usize, first: usize, blocks: usize) -> Result<Vec<Pass>> {
    let mut passes = Vec::new();
    for (term, x) in (first..).zip(x_plus.f_split(block as i64, 0)?.iter().zip(samples.f_split(block as i64, 0)?)) {
        let data = x.0.size()[0];
        if blocks % 2 == 1 && term + 1 == blocks {
            passes.extend([Pass { term, x: x.0.shallow_clone(), data }, Pass { term: blocks, x: x.1, data: 0 }]);
        } else {
            passes.push(Pass { term, x: Tensor::f_cat(&[x.0, &x.1], 0)?, data });
        }
    }
    Ok(passes)
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
