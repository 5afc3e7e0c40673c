//! Run a few chains very long, plain or Metropolis-adjusted, in segments between which they can be saved and stopped.

use crate::Result;
use crate::chains::{ChainLog, ChainTable, Metropolis, Plan, log_uniform};
use serde::Serialize;
use srm_config::LangevinConfig;
use srm_energy::{Energy, Replicate};
use srm_langevin::{
    ChainKey, Dynamics, KeyedNoise, Noise, Observer, Outcome, Pool, Samples, Start, short_run_steps, start,
};
use std::{ops::Range, sync::Arc};
use tch::{Device, Tensor};

/// Steps between two looks at the clock. A run stops and is saved at multiples of it.
pub const SEGMENT: usize = 100;

/// How the chains move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// Every Langevin step is taken, as in training.
    Langevin,
    /// A Langevin step is a proposal, see [`Metropolis`].
    Metropolis,
}

/// What decides the bits of a long run.
#[derive(Clone, Debug)]
pub struct LongRunSettings {
    /// How the chains move.
    pub variant: Variant,
    /// Name of the weights' content, such as their SHA-256.
    pub weights: String,
    /// Step sizes and start; its number of steps is used for the grids of a ladder alone.
    pub langevin: LangevinConfig,
    /// Seed of starts and noise: chain i begins as image i of `srm sample` does.
    pub seed: u64,
    /// Chains.
    pub chains: usize,
    /// Chains per block, the part of a worker.
    pub block: usize,
    /// Shape of a sample: `[c, h, w]` of images, of a ladder on its finest grid.
    pub image: Vec<i64>,
    /// Kind of device and of numbers: neither gives the other's bits.
    pub device: String,
}

/// How [`LongRun::run`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LongRunEnd {
    /// At the last step of the plan.
    Done,
    /// Somebody asked to stop.
    Stopped,
    /// No chain is finite any more.
    AllBlownUp,
}

/// A block of chains on its way.
pub(crate) struct Block {
    pub(crate) x: Tensor,
    pub(crate) log: ChainLog,
}

/// Chains on their way.
pub struct LongRun {
    pub(crate) settings: LongRunSettings,
    pub(crate) plan: Arc<Plan>,
    pub(crate) step: usize,
    pub(crate) blocks: Vec<Block>,
    kernel: Option<Metropolis>,
}

impl LongRun {
    /// Chains at step 0.
    ///
    /// # Errors
    /// [`crate::EvalError::NoTemperature`] for Metropolis chains without noise, [`crate::EvalError::Torch`].
    pub fn new(settings: LongRunSettings, plan: Plan, device: Device) -> Result<Self> {
        let kernel = match settings.variant {
            Variant::Langevin => None,
            Variant::Metropolis => {
                let dynamics = Dynamics::from(&settings.langevin);
                Some(Metropolis::new(dynamics.kernel_at(dynamics.steps.saturating_sub(1)))?)
            }
        };
        let plan = Arc::new(plan);
        let blocks = (0..settings.chains).step_by(settings.block.max(1)).map(|first| {
            let z = Dynamics::from(&settings.langevin).start_shape(&settings.image);
            let x = start(&Start::from(&settings.langevin.init), &key(&settings), &ids(&settings, first), &z, device)?;
            let mut log = ChainLog::new(Arc::clone(&plan), settings.block.max(1), device);
            log.z = Some(x.shallow_clone());
            log.picture = settings.image.clone();
            Ok(Block { x, log })
        });
        let blocks = blocks.collect::<Result<_>>()?;
        Ok(Self { settings, plan, step: 0, blocks, kernel })
    }

    /// Steps made.
    pub fn step(&self) -> usize {
        self.step
    }

    /// Go on to the plan's last step. `seen` looks at the run after each segment and stops it by returning false.
    ///
    /// # Errors
    /// What the energy, libtorch or `seen` return; the run cannot go on then.
    pub fn run<E: Replicate>(
        &mut self,
        pool: &Pool<E>,
        seen: &mut dyn FnMut(&LongRun) -> Result<bool>,
    ) -> Result<LongRunEnd> {
        while self.step < self.plan.last() {
            let to = (self.step / SEGMENT + 1).saturating_mul(SEGMENT).min(self.plan.last());
            self.advance(pool, to)?;
            if !seen(self)? {
                return Ok(LongRunEnd::Stopped);
            }
            if self.table()?.blown_up().len() == self.settings.chains {
                return Ok(LongRunEnd::AllBlownUp);
            }
        }
        Ok(LongRunEnd::Done)
    }

    fn advance<E: Replicate>(&mut self, pool: &Pool<E>, to: usize) -> Result<()> {
        let (settings, kernel, last, steps) = (self.settings.clone(), self.kernel, self.plan.last(), self.step..to);
        let blocks: Vec<(usize, Block)> = std::mem::take(&mut self.blocks).into_iter().enumerate().collect();
        self.blocks = pool.map(blocks, move |energy, (number, block)| {
            let ids = ids(&settings, number * settings.block);
            let mut block = block.advance(energy, &settings, kernel, &ids, steps.clone())?;
            if steps.end == last {
                let (f, gradient) = energy.f_and_grad(&block.x)?;
                block.log.keep(last, &block.x, &f, &gradient)?;
            }
            Ok(block)
        })?;
        self.step = to;
        Ok(())
    }

    /// The numbers kept so far.
    ///
    /// # Errors
    /// [`crate::EvalError::Torch`].
    pub fn table(&self) -> Result<ChainTable> {
        ChainTable::new(&self.blocks.iter().map(|block| &block.log).collect::<Vec<_>>(), self.settings.chains)
    }

    /// The pictures kept so far: steps and x `[chains, …]`.
    ///
    /// # Errors
    /// [`crate::EvalError::Torch`].
    pub fn pictures(&self) -> Result<Vec<(usize, Tensor)>> {
        let steps = self.blocks.first().map_or(&[][..], |block| &block.log.pictures);
        let at = |(i, (step, _)): (usize, &(usize, Tensor))| {
            let parts: Vec<&Tensor> = self.blocks.iter().map(|block| &block.log.pictures[i].1).collect();
            Ok((*step, Tensor::f_cat(&parts, 0)?.f_narrow(0, 0, self.settings.chains as i64)?))
        };
        steps.iter().enumerate().map(at).collect()
    }
}

impl Block {
    /// Some steps, all of one segment.
    fn advance(
        self,
        energy: &dyn Energy,
        settings: &LongRunSettings,
        kernel: Option<Metropolis>,
        ids: &[u64],
        steps: Range<usize>,
    ) -> srm_langevin::Result<Self> {
        let Self { x, mut log } = self;
        let mut noise = SegmentNoise::new(settings, ids, steps.start, x.device());
        let Some(kernel) = kernel else {
            let outcome =
                short_run_steps(energy, &Dynamics::from(&settings.langevin), steps, &x, &mut noise, &mut log)?;
            let (Outcome::Finished(Samples { x }) | Outcome::Diverged { x, .. }) = outcome;
            return Ok(Self { x, log });
        };
        let mut state = kernel.init(energy, &x)?;
        for step in steps {
            log.step(step, &state.x, &state.f, &state.gradient)?;
            let u = match noise.draw(step, &state.x)? {
                Some(u) => u,
                None => state.x.f_zeros_like()?,
            };
            let (next, info) = kernel.step(energy, &state, &u, &log_uniform(&key(settings), ids, step, x.device())?)?;
            log.accept(&info.accepted)?;
            state = next;
        }
        Ok(Self { x: state.x, log })
    }
}

fn key(settings: &LongRunSettings) -> ChainKey {
    ChainKey { seed: settings.seed, attempt: 0, update: 0 }
}

/// A full block's ids from `first` on, padding included.
fn ids(settings: &LongRunSettings, first: usize) -> Vec<u64> {
    (first as u64..(first + settings.block.max(1)) as u64).collect()
}

/// Noise of a segment that gives the same numbers whether the segment was broken or not.
///
/// On the CPU every step has a key of its own. A GPU draws one stream after seeding, so each segment is seeded anew, and what a
/// broken one has used is drawn once more, each step in the shape of its grid, and thrown away.
struct SegmentNoise {
    noise: KeyedNoise,
    used: Vec<Vec<i64>>,
}

impl SegmentNoise {
    fn new(settings: &LongRunSettings, ids: &[u64], first: usize, device: Device) -> Self {
        let key = key(settings);
        if device == Device::Cpu {
            return Self { noise: KeyedNoise::new(key, ids.to_vec()), used: Vec::new() };
        }
        let dynamics = Dynamics::from(&settings.langevin);
        let shapes = dynamics.shapes(&settings.image);
        let shape = |step: usize| [&[ids.len() as i64], &shapes[dynamics.grid_at(step)][..]].concat();
        let drawn = (first - first % SEGMENT..first).filter(|&step| dynamics.kernel_at(step).noise_std > 0.0);
        let key = ChainKey { update: (first / SEGMENT) as u64, ..key };
        Self { noise: KeyedNoise::new(key, ids.to_vec()), used: drawn.map(shape).collect() }
    }
}

impl Noise for SegmentNoise {
    fn draw(&mut self, step: usize, x: &Tensor) -> srm_langevin::Result<Option<Tensor>> {
        self.is_of_device(x)?;
        self.noise.draw(step, x)
    }

    fn is_of_device(&mut self, x: &Tensor) -> srm_langevin::Result<bool> {
        for shape in std::mem::take(&mut self.used) {
            self.noise.draw(0, &Tensor::f_zeros(shape, (x.kind(), x.device()))?)?;
        }
        self.noise.is_of_device(x)
    }
}
