//! Say what a short run is: a kernel, its number of steps, and p_0, where chains start.

use crate::noise::{keyed, seed_device};
use crate::{ChainKey, Kernel, Result};
use srm_config::{ColourStart, Colours, Drift, GridConfig, Init, LangevinConfig, Schedule};
use srm_random::{Key, Purpose, normal, uniform};
use std::ops::Range;
use tch::{Device, Kind, Tensor};

/// p_0, the law of a chain's start z.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Start {
    /// Uniform on [-1, 1] in every coordinate, the paper's choice.
    #[default]
    Uniform,
    /// N(0, I).
    Gaussian,
    /// 0 in every coordinate.
    Zeros,
    /// A coarse image, each of its pixels a block of z: normal over its numbers. Of one pixel, one colour all over: the 1 × 1 grid
    /// of multigrid sampling (Gao et al. 2018).
    Colours(Colours),
}

impl Start {
    /// The law whose mean is that of z; `None`: 0 throughout.
    pub fn colours(&self) -> Option<&Colours> {
        match self {
            Start::Uniform | Start::Gaussian | Start::Zeros => None,
            Start::Colours(colours) => Some(colours),
        }
    }
}

impl From<&Init> for Start {
    /// Chains of a training that starts at data or at a bank of samples have, outside it, uniform noise to start from, or 0 where the
    /// bank does; so have those of colours that nobody has measured yet.
    fn from(init: &Init) -> Self {
        match init {
            Init::Gaussian => Start::Gaussian,
            init if init.is_zeros() => Start::Zeros,
            Init::Colours(ColourStart::Law(law)) => Start::Colours(law.clone()),
            Init::Uniform | Init::Zeros | Init::Data | Init::Persistent(_) | Init::Colours(_) => Start::Uniform,
        }
    }
}

/// Short-run Langevin dynamics: K steps of a kernel from z ~ p_0, which may climb from coarse grids to fine ones.
#[derive(Clone, Debug, PartialEq)]
pub struct Dynamics {
    /// One step.
    pub kernel: Kernel,
    /// K, at least 1; 100 in the paper. Of a ladder: the steps on all grids.
    pub steps: usize,
    /// p_0.
    pub start: Start,
    /// What changes along the chain; in the paper's, nothing.
    pub course: Course,
}

/// What changes along a chain, whose steps count from 0.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Course {
    /// a by step, in place of the kernel's.
    pub gradient_scale: Option<Schedule>,
    /// b by step, in place of the kernel's.
    pub noise_std: Option<Schedule>,
    /// Where the chain goes to a finer grid, in order of steps.
    pub rises: Vec<Rise>,
}

/// The place where a chain goes to a finer grid: its images are up-sampled, and the energy there takes it on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rise {
    /// The first step on the finer grid, at least 1.
    pub step: usize,
    /// By how much height and width grow, at least 2.
    pub factor: i64,
}

impl Dynamics {
    /// K steps of one kernel.
    pub fn new(kernel: Kernel, steps: usize, start: Start) -> Self {
        Self { kernel, steps, start, course: Course::default() }
    }

    /// The kernel of a step.
    pub fn kernel_at(&self, step: usize) -> Kernel {
        let at = |along: &Option<Schedule>, constant| along.as_ref().map_or(constant, |along| along.at(step as u64));
        Kernel {
            gradient_scale: at(&self.course.gradient_scale, self.kernel.gradient_scale),
            noise_std: at(&self.course.noise_std, self.kernel.noise_std),
            ..self.kernel
        }
    }

    /// Of these steps the first, and those behind it that are taken by its kernel on its grid.
    pub fn alike(&self, steps: Range<usize>) -> Range<usize> {
        let first = self.kernel_at(steps.start);
        let differs = |&step: &usize| self.rise_at(step).is_some() || self.kernel_at(step) != first;
        let end = (steps.start + 1..steps.end).find(differs).unwrap_or(steps.end);
        steps.start..end
    }

    /// The factor by which the state before `step` has grown.
    pub fn rise_at(&self, step: usize) -> Option<i64> {
        self.course.rises.iter().find(|rise| rise.step == step).map(|rise| rise.factor)
    }

    /// By how much the chain's images grow in all; 1 for a chain on one grid.
    pub fn growth(&self) -> i64 {
        self.growth_from(0)
    }

    /// The steps on each grid, coarse to fine.
    pub fn grids(&self) -> Vec<Range<usize>> {
        let rises = self.course.rises.iter().map(|rise| rise.step);
        let firsts: Vec<usize> = std::iter::once(0).chain(rises).collect();
        let ends = firsts[1..].iter().copied().chain([self.steps]);
        firsts.iter().copied().zip(ends).map(|(first, end)| first..end).collect()
    }

    /// How many grids the chain climbs through; 1 for the paper's.
    pub fn grid_count(&self) -> usize {
        self.course.rises.len() + 1
    }

    /// The grid, from 0, of the state before `step`.
    pub fn grid_at(&self, step: usize) -> usize {
        self.course.rises.iter().filter(|rise| rise.step <= step).count()
    }

    /// By how much a sample is wider than its state on a grid.
    pub fn growth_from(&self, grid: usize) -> i64 {
        self.course.rises[grid..].iter().map(|rise| rise.factor).product()
    }

    /// The shape of z where a sample has `shape`: the same, or that on a ladder's coarsest grid.
    pub fn start_shape(&self, shape: &[i64]) -> Vec<i64> {
        self.shapes(shape).swap_remove(0)
    }

    /// What no chain of samples of this shape can be made with.
    pub fn problem(&self, shape: &[i64]) -> Option<String> {
        let rises = &self.course.rises;
        if rises.iter().any(|rise| rise.factor < 2)
            || self.grids().iter().any(|steps| steps.is_empty() && !rises.is_empty())
        {
            return Some(
                "a ladder with a grid of 0 steps, or none larger than the one before; take 1 step or more on each"
                    .to_owned(),
            );
        }
        let growth = self.growth();
        if growth > 1 && (shape.len() < 2 || shape.iter().rev().take(2).any(|side| side % growth != 0)) {
            return Some(format!(
                "a ladder that grows {growth}-fold to samples of shape {shape:?}, whose sides are no multiples"
            ));
        }
        let z = self.start_shape(shape);
        match &self.start {
            Start::Colours(law)
                if z.len() != 3
                    || z[0] != law.channels() as i64
                    || z[1..].iter().any(|side| side % law.size() as i64 != 0) =>
            {
                let (size, channels) = (law.size(), law.channels());
                Some(format!(
                    "chains that start at images of {size} px and {channels} channels for samples of shape {shape:?}"
                ))
            }
            _ => None,
        }
    }

    /// The chain on the first so many grids alone, at least one.
    #[must_use]
    pub fn first_grids(&self, grids: usize) -> Self {
        let mut shorter = self.clone();
        shorter.course.rises.truncate(grids.saturating_sub(1));
        shorter.steps = self.course.rises.get(shorter.course.rises.len()).map_or(self.steps, |rise| rise.step);
        shorter
    }

    /// The shapes of a sample on each grid, coarse to fine, where that of the finest is `shape`.
    ///
    /// # Shapes
    /// `shape`: `[…, h, w]`, the last two axes multiples of the growth; any for a chain on one grid.
    pub fn shapes(&self, shape: &[i64]) -> Vec<Vec<i64>> {
        let mut shapes = vec![shape.to_vec()];
        for rise in self.course.rises.iter().rev() {
            let mut coarser = shapes[shapes.len() - 1].clone();
            coarser.iter_mut().rev().take(2).for_each(|side| *side /= rise.factor);
            shapes.push(coarser);
        }
        shapes.reverse();
        shapes
    }
}

impl From<&Dynamics> for Dynamics {
    fn from(dynamics: &Dynamics) -> Self {
        dynamics.clone()
    }
}

impl From<&LangevinConfig> for Dynamics {
    fn from(config: &LangevinConfig) -> Self {
        let by_step = |along: &Schedule| (along.knots().len() > 1).then(|| along.clone());
        let (gradient_scale, noise_std) = match &config.drift {
            Drift::Tempered { gradient_scale, noise_std } => (by_step(gradient_scale), by_step(noise_std)),
            Drift::DeltaTau { .. } => (None, None),
        };
        let mut step = 0;
        let rise = |pair: &[GridConfig]| {
            step += pair[0].steps;
            Rise { step, factor: (pair[1].size / pair[0].size) as i64 }
        };
        let rises = config.grids.windows(2).map(rise).collect();
        let course = Course { gradient_scale, noise_std, rises };
        let kernel = Kernel {
            gradient_scale: config.gradient_scale_at(0),
            noise_std: config.noise_std_at(0),
            clip: config.clip_gradient,
        };
        Self { course, ..Self::new(kernel, config.steps, (&config.init).into()) }
    }
}

/// z ~ p_0 for the chains `ids`.
///
/// # Shapes
/// `shape` of a sample: `[c, h, w]`, `[d]`, …; z: `[ids, …]`, f32, on `device`.
///
/// # Errors
/// [`crate::LangevinError::Torch`].
pub fn start(p_0: &Start, key: &ChainKey, ids: &[u64], shape: &[i64], device: Device) -> Result<Tensor> {
    let all: Vec<i64> = std::iter::once(ids.len() as i64).chain(shape.iter().copied()).collect();
    let on_device = |numbers: fn(&[i64], Device) -> std::result::Result<Tensor, tch::TchError>| {
        seed_device(&key.key(Purpose::ChainStart, ids.first().copied().unwrap_or(0), 0));
        numbers(&all, device)
    };
    match p_0 {
        Start::Uniform if device != Device::Cpu => {
            Ok(on_device(|all, device| Tensor::f_rand(all, (Kind::Float, device))?.f_mul_scalar(2)?.f_sub_scalar(1))?)
        }
        Start::Gaussian if device != Device::Cpu => {
            Ok(on_device(|all, device| Tensor::f_randn(all, (Kind::Float, device)))?)
        }
        _ => Ok(keyed(&mut Vec::new(), ids, &all, |id, sample| {
            draw(p_0, shape, &key.key(Purpose::ChainStart, id, 0), sample)
        })?
        .f_to_device(device)?),
    }
}

/// One z of p_0 by its key.
fn draw(p_0: &Start, shape: &[i64], key: &Key, sample: &mut [f32]) {
    match p_0 {
        Start::Uniform => uniform(key, -1.0, 1.0, sample),
        Start::Gaussian => normal(key, sample),
        Start::Zeros => sample.fill(0.0),
        Start::Colours(colours) => {
            let mut normals = vec![0.0; colours.mean().len()];
            normal(key, &mut normals);
            let image = colours.colour(&normals.into_iter().map(f64::from).collect::<Vec<_>>());
            let size = colours.size();
            let [height, width] = [shape[1], shape[2]].map(|side| side as usize);
            for (row, line) in sample.chunks_mut(width).enumerate() {
                let pixels = &image[row / (height / size) * size..][..size];
                line.chunks_mut(width / size).zip(pixels).for_each(|(block, &value)| block.fill(value as f32));
            }
        }
    }
}
