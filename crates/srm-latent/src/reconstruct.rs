//! Find the start noise whose short run is a given image: descend L(z) = ‖x − M(z)‖² over the observed pixels.

use crate::adjoint::pulled_down;
use crate::code::Layout;
use crate::step_size::StepSize;
use crate::{LatentError, Result, ShortRun};
use srm_energy::{Curved, Replicate};
use srm_langevin::{ChainKey, Start, per_sample, sample_axes, start, up_to};
use tch::kind::Element;
use tch::{Device, Kind, Tensor};

/// How z moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum Method {
    /// Gradient descent on dL/dz, with a step that adapts to each image's losses.
    Gradient,
    /// The residual 2(x_K − x) in place of the gradient, without any Hessian; the same for piecewise linear nets.
    Residual,
    /// ADAM on dL/dz.
    Adam,
}

/// Where z may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum Latent {
    /// Anywhere.
    Free,
    /// In the support of p_0: [-1, 1] for uniform starts; one colour all over for colours, or as many as their law
    /// has pixels; everywhere for Gaussian ones.
    Support,
    /// Anywhere on each grid of a ladder: what is put onto its chain on the finer grids is found too, in training nothing. For a
    /// net of one grid the same as free.
    Grids,
}

/// How to reconstruct.
#[derive(Clone, Debug)]
pub struct ReconstructOptions {
    /// Iterations T, at least 1; 200 in the paper.
    pub iterations: usize,
    /// How z moves.
    pub method: Method,
    /// Its step on dL/dz; for ADAM its rate.
    pub step: f64,
    /// Where z may go.
    pub latent: Latent,
    /// Starts z₀ ~ p_0 per image, at least 1; the best is kept.
    pub starts: usize,
    /// Seed of the starts. They are not those of `srm sample`, whose samples would else be found at once.
    pub seed: u64,
    /// An image is done, and stays as it is, where its mean squared error per observed pixel falls to this: to fit images with
    /// noise of standard deviation σ beyond σ² is to fit the noise (Morozov's discrepancy principle).
    pub target_mse: Option<f64>,
    /// Iterations whose images are kept for the figure; those beyond T are left out.
    pub snapshots: Vec<usize>,
    /// Images of a larger set that come before these. Starts and noise go by an image's number in the whole set, so a part that
    /// begins at a whole block gives the bits of the whole.
    pub offset: usize,
}

impl Latent {
    /// As a command line has it.
    pub fn name(self) -> &'static str {
        match self {
            Latent::Free => "free",
            Latent::Support => "support",
            Latent::Grids => "grids",
        }
    }
}

impl Method {
    /// As a command line has it.
    pub fn name(self) -> &'static str {
        match self {
            Method::Gradient => "gradient",
            Method::Residual => "residual",
            Method::Adam => "adam",
        }
    }

    /// The method that reached the smallest errors, see [`Method::default_step`].
    pub fn best_for(net_has_curvature: bool) -> Self {
        if net_has_curvature { Method::Residual } else { Method::Adam }
    }

    /// The best of the steps tried on nets trained on CelebA at 32 px (n 16, K 30, 8 photos that they never saw, 200
    /// iterations), as mean squared error per pixel. LeakyReLU: ADAM 0.0018 at 0.02 and 0.0021 at 0.05, gradient 0.0031 at
    /// 0.04. SiLU: residual 0.0041 at 0.01 and 0.0204 at 0.04, gradient 0.0159 at 0.04 and 0.0336 at 0.004, ADAM 0.0175
    /// at 0.02.
    pub fn default_step(self) -> f64 {
        match self {
            Method::Gradient => 0.04,
            Method::Residual => 0.01,
            Method::Adam => 0.02,
        }
    }
}

impl ReconstructOptions {
    /// `iterations` of a method with its step, from one free start of `seed`.
    pub fn new(method: Method, iterations: usize, seed: u64) -> Self {
        Self {
            iterations,
            method,
            step: method.default_step(),
            latent: Latent::Free,
            starts: 1,
            seed,
            target_mse: None,
            snapshots: Vec::new(),
            offset: 0,
        }
    }
}

/// How far a reconstruction is.
#[derive(Debug)]
pub struct Progress {
    /// Iterations done.
    pub iteration: usize,
    /// Mean over the images of the best error so far.
    pub mse: f64,
    /// The best error so far of each start, image by image.
    pub errors: Vec<f64>,
    /// M(z) at those, `[n · starts, …]`.
    pub x: Tensor,
}

/// What came out; the best of all iterations and starts for each image.
pub struct Reconstruction {
    /// M(z), `[n, …]`.
    pub x: Tensor,
    /// The code z, `[n, …]`; of a ladder on its coarsest grid. For [`Latent::Grids`] `[n, numbers]`: z, and behind it, grid after
    /// grid, what is put onto the chain where it gets to a finer one.
    pub z: Tensor,
    /// Mean squared error per observed pixel on the [-1, 1] scale.
    pub mse: Vec<f64>,
    /// The iteration that gave it, 0 to T.
    pub iteration: Vec<usize>,
    /// M(z) at the iterations asked for, of each image's best start: (iteration, `[n, …]`).
    pub kept: Vec<(usize, Tensor)>,
    /// Each image's error at iterations 0 to the last, of its best start; once it is done, the error that it was done with.
    pub errors: Vec<Vec<f64>>,
    /// Root mean square of M(z) − z per pixel, of each image: 0 for a generator that does nothing. Of a ladder z is up-sampled,
    /// and with it what else the code has.
    pub displacement: Vec<f64>,
}

impl Reconstruction {
    /// Mean error over the images at each iteration.
    pub fn curve(&self) -> Vec<f64> {
        let iterations = self.errors.iter().map(Vec::len).max().unwrap_or(0);
        let at = |t: usize| mean(self.errors.iter().filter_map(|errors| errors.get(t).or(errors.last()).copied()));
        (0..iterations).map(at).collect()
    }

    /// Mean of [`Reconstruction::displacement`].
    pub fn mean_displacement(&self) -> f64 {
        mean(self.displacement.iter().copied())
    }
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0usize), |(sum, count), value| (sum + value, count + 1));
    sum / count.max(1) as f64
}

/// ADAM's usual decay rates.
const BETAS: [f64; 2] = [0.9, 0.999];
/// The random stream of the starts, which no sample uses.
const STARTS: u32 = u32::MAX;

impl<E: Curved + Replicate> ShortRun<E> {
    /// Reconstruct `images` from fresh starts. All starts of image i share the noise of id i.
    ///
    /// # Shapes
    /// `images`: `[n, …]` in [-1, 1]; `mask`: the same with 1 where a pixel is observed and 0 elsewhere.
    ///
    /// # Errors
    /// [`LatentError::EmptyMask`], [`LatentError::NotFinite`], [`LatentError::Shape`], [`LatentError::Diverged`]. A stop before
    /// anything was found; later it ends the search as `seen` does.
    pub fn reconstruct(
        &self,
        images: &Tensor,
        mask: Option<&Tensor>,
        options: &ReconstructOptions,
        seen: &mut dyn FnMut(&Progress) -> bool,
    ) -> Result<Reconstruction> {
        let shape = images.size();
        let [n, ref sample @ ..] = shape[..] else {
            return Err(LatentError::Shape { what: "the images", expected: vec![-1, -1], got: shape });
        };
        if sample.is_empty() {
            return Err(LatentError::Shape { what: "the images", expected: vec![-1, -1], got: shape });
        }
        let axes = sample_axes(images);
        let weight = match mask {
            Some(mask) if mask.size() == images.size() => mask.f_to_kind(images.kind())?,
            Some(mask) => {
                return Err(LatentError::Shape { what: "the mask", expected: images.size(), got: mask.size() });
            }
            None => images.f_ones_like()?,
        };
        let observed = to_f64s(&weight.f_sum_dim_intlist(axes.as_slice(), false, Kind::Double)?)?;
        if let Some(image) = observed.iter().position(|&pixels| pixels == 0.0) {
            return Err(LatentError::EmptyMask { image: options.offset + image });
        }
        let sums = to_f64s(&images.f_sum_dim_intlist(axes.as_slice(), false, Kind::Double)?)?;
        if let Some(image) = sums.iter().position(|sum| !sum.is_finite()) {
            return Err(LatentError::NotFinite { image: options.offset + image });
        }
        let starts = options.starts.max(1);
        let rows = n as usize * starts; // row r is image r / starts
        let (target, weight) = (repeat_rows(images, starts)?, repeat_rows(&weight, starts)?);
        let observed: Vec<f64> = (0..rows).map(|row| observed[row / starts]).collect();
        let ids: Vec<u64> = (0..rows).map(|row| (options.offset + row / starts) as u64).collect();
        let fresh = ChainKey { seed: options.seed, attempt: STARTS, update: 0 };
        let all: Vec<u64> = (0..rows).map(|row| (options.offset * starts + row) as u64).collect();
        // on the CPU: a GPU draws all rows by one seed, so that a part of a set would start elsewhere
        let z = start(&self.dynamics().start, &fresh, &all, &self.dynamics().start_shape(sample), Device::Cpu)?;
        let layout = Layout::new(options.latent, self.dynamics(), sample);
        let mut z = layout.of_start(z.f_to_device(self.device())?.f_to_kind(images.kind())?)?;
        let mut search = Search::new((rows, &z), &target, options)?;
        for iteration in 0..=options.iterations {
            let residual_alone = options.method == Method::Residual;
            let parts = layout.parts(&z)?;
            let starts_of = parts.iter().collect::<Vec<_>>();
            let found = match iteration == options.iterations || residual_alone {
                true => self.generate_from(&starts_of, &ids).and_then(|x| {
                    let lambdas = pulled_down(&residual(&x, &target, &weight)?, self.dynamics())?;
                    Ok((x, lambdas))
                }),
                false => {
                    self.pull_back(&starts_of, &ids, &[&target, &weight], |x, with| residual(x, &with[0], &with[1]))
                }
            };
            let (x, lambdas) = match found {
                // what was found so far counts
                Err(error) if error.is_stop() && iteration > 0 => break,
                found => found?,
            };
            let lambda = layout.joined(&lambdas[..parts.len()])?;
            let squares = x.f_sub(&target)?.f_mul(&weight)?.f_square()?;
            let sums = to_f64s(&squares.f_sum_dim_intlist(axes.as_slice(), false, Kind::Double)?)?;
            let errors: Vec<f64> = sums.iter().zip(&observed).map(|(sum, pixels)| sum / pixels).collect();
            search.see(iteration, &errors, &z, &x, options)?;
            let mse =
                search.best.chunks(starts).map(|all| all.iter().copied().fold(f64::INFINITY, f64::min)).sum::<f64>();
            let (errors_so_far, x_so_far) = (search.best.clone(), search.best_x.shallow_clone());
            let progress = Progress { iteration, mse: mse / n as f64, errors: errors_so_far, x: x_so_far };
            let go_on = seen(&progress);
            if iteration == options.iterations || search.finish_images(starts, options.target_mse) || !go_on {
                break;
            }
            z = search.step(&z, &lambda, &errors, iteration, options)?;
            z = match (options.latent, &self.dynamics().start) {
                (Latent::Support, Start::Uniform) => z.f_clamp(-1.0, 1.0)?,
                (Latent::Support, Start::Colours(law)) => in_blocks(&z, law.size() as i64)?,
                _ => z,
            };
        }
        search.finish(starts, &layout)
    }
}

/// z with the mean of each of `size` × `size` blocks in its place.
fn in_blocks(z: &Tensor, size: i64) -> Result<Tensor> {
    Ok(up_to(&z.f_adaptive_avg_pool2d([size, size])?, &z.size())?)
}

/// 2 m ⊙ (x_K − x): ∂L/∂x_K.
fn residual(x: &Tensor, target: &Tensor, weight: &Tensor) -> Result<Tensor> {
    Ok(x.f_sub(target)?.f_mul(weight)?.f_mul_scalar(2.0)?)
}

/// Each row `times` times in a row.
fn repeat_rows(tensor: &Tensor, times: usize) -> Result<Tensor> {
    Ok(tensor.f_repeat_interleave_self_int(times as i64, 0, None)?)
}

/// A value per row, to go with images on the device of `like`, `[n, 1, …]`.
fn column<T: Element>(values: &[T], like: &Tensor) -> Result<Tensor> {
    Ok(per_sample(&Tensor::f_from_slice(values)?.f_to_device(like.device())?, like)?)
}

fn to_f64s(tensor: &Tensor) -> Result<Vec<f64>> {
    Ok(Vec::try_from(tensor.f_to_device(Device::Cpu)?.f_to_kind(Kind::Double)?.f_contiguous()?)?)
}

/// The state of the descents, one per row.
struct Search {
    best: Vec<f64>,
    best_at: Vec<usize>,
    best_z: Tensor,
    best_x: Tensor,
    kept: Vec<(usize, Tensor)>,
    errors: Vec<Vec<f64>>,
    steps: Vec<StepSize>,
    moments: (Tensor, Tensor),
    /// Rows of images that are done.
    done: Vec<bool>,
}

impl Search {
    fn new((rows, z): (usize, &Tensor), x: &Tensor, options: &ReconstructOptions) -> Result<Self> {
        Ok(Self {
            best: vec![f64::INFINITY; rows],
            best_at: vec![0; rows],
            best_z: z.f_zeros_like()?,
            best_x: x.f_zeros_like()?,
            kept: Vec::new(),
            errors: Vec::new(),
            steps: vec![StepSize::new(options.step); rows],
            moments: (z.f_zeros_like()?, z.f_zeros_like()?),
            done: vec![false; rows],
        })
    }

    /// Keep what is the best so far; rows that are done stay as they are.
    fn see(&mut self, t: usize, errors: &[f64], z: &Tensor, x: &Tensor, options: &ReconstructOptions) -> Result<()> {
        let better: Vec<bool> = (0..errors.len()).map(|row| !self.done[row] && errors[row] < self.best[row]).collect();
        for (row, _) in better.iter().enumerate().filter(|(_, better)| **better) {
            (self.best[row], self.best_at[row]) = (errors[row], t);
        }
        self.best_z = z.f_where_self(&column(&better, z)?, &self.best_z)?;
        self.best_x = x.f_where_self(&column(&better, x)?, &self.best_x)?;
        if options.snapshots.contains(&t) {
            self.kept.push((t, self.best_x.f_where_self(&column(&self.done, x)?, x)?));
        }
        self.errors
            .push((0..errors.len()).map(|row| if self.done[row] { self.best[row] } else { errors[row] }).collect());
        Ok(())
    }

    /// Mark the images that are good enough; whether all are.
    fn finish_images(&mut self, starts: usize, target_mse: Option<f64>) -> bool {
        let Some(target_mse) = target_mse else { return false };
        for (done, best) in self.done.chunks_mut(starts).zip(self.best.chunks(starts)) {
            done.fill(best.iter().any(|&error| error <= target_mse));
        }
        self.done.iter().all(|&done| done)
    }

    /// The next z.
    fn step(
        &mut self,
        z: &Tensor,
        lambda: &Tensor,
        errors: &[f64],
        t: usize,
        options: &ReconstructOptions,
    ) -> Result<Tensor> {
        if options.method != Method::Adam {
            let steps: Vec<f32> =
                self.steps.iter_mut().zip(errors).map(|(step, &error)| step.after(error) as f32).collect();
            return Ok(z.f_sub(&lambda.f_mul(&column(&steps, z)?.f_to_kind(z.kind())?)?)?);
        }
        let [beta1, beta2] = BETAS;
        let (first, second) = &mut self.moments;
        let _ = first.f_mul_scalar_(beta1)?.f_add_(&lambda.f_mul_scalar(1.0 - beta1)?)?;
        let _ = second.f_mul_scalar_(beta2)?.f_add_(&lambda.f_square()?.f_mul_scalar(1.0 - beta2)?)?;
        let power = i32::try_from(t + 1).unwrap_or(i32::MAX);
        let mean = first.f_div_scalar(1.0 - beta1.powi(power))?;
        let scale = second.f_div_scalar(1.0 - beta2.powi(power))?.f_sqrt()?.f_add_scalar(1e-8)?;
        Ok(z.f_sub(&mean.f_div(&scale)?.f_mul_scalar(options.step)?)?)
    }

    /// The best start of each image.
    fn finish(self, starts: usize, layout: &Layout) -> Result<Reconstruction> {
        let images = self.best.len() / starts;
        let chosen: Vec<usize> = (0..images)
            .map(|image| {
                let rows = image * starts..(image + 1) * starts;
                rows.min_by(|&a, &b| self.best[a].total_cmp(&self.best[b])).unwrap_or(image * starts)
            })
            .collect();
        let rows: Vec<i64> = chosen.iter().map(|&row| row as i64).collect();
        let rows = Tensor::f_from_slice(&rows)?.f_to_device(self.best_x.device())?;
        let pick = |tensor: &Tensor| -> Result<Tensor> { Ok(tensor.f_index_select(0, &rows)?) };
        let (x, z) = (pick(&self.best_x)?, pick(&self.best_z)?);
        let distance = x
            .f_sub(&layout.unmoved(&z, &x)?)?
            .f_square()?
            .f_mean_dim(sample_axes(&x).as_slice(), false, Kind::Double)?
            .f_sqrt()?;
        Ok(Reconstruction {
            mse: chosen.iter().map(|&row| self.best[row]).collect(),
            iteration: chosen.iter().map(|&row| self.best_at[row]).collect(),
            kept: self.kept.iter().map(|(t, x)| Ok((*t, pick(x)?))).collect::<Result<Vec<_>>>()?,
            errors: chosen.iter().map(|&row| self.errors.iter().map(|errors| errors[row]).collect()).collect(),
            displacement: to_f64s(&distance)?,
            x,
            z,
        })
    }
}
