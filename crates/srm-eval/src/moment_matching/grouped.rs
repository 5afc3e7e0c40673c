//! Compare two means of many numbers by their relative error, with its standard error and the share that is sampling.

use crate::{EvalError, Result};
use tch::{Kind, Tensor};

/// Groups that the images of a mean are dealt to.
const GROUPS: usize = 10;

/// A mean over images `[d]`, kept as sums of ten groups: their spread says how far the mean may be trusted.
#[derive(Debug)]
pub struct GroupedMean {
    /// Sum `[d]` and number of images of each group that has some.
    groups: Vec<(Tensor, usize)>,
    /// Images to come, over all groups.
    planned: usize,
    count: usize,
}

impl GroupedMean {
    /// A mean of `planned` images; the groups are runs of images in the order they come.
    pub fn new(planned: usize) -> Self {
        Self { groups: Vec::new(), planned: planned.max(1), count: 0 }
    }

    /// Add the sum `[d]` over `count` images, all to one group.
    ///
    /// # Errors
    /// [`EvalError::Dimension`], [`EvalError::Torch`].
    pub fn add(&mut self, sum: &Tensor, count: usize) -> Result<()> {
        let sum = sum.f_to_device(tch::Device::Cpu)?.f_to_kind(Kind::Float)?;
        if let Some((other, _)) = self.groups.first()
            && other.size() != sum.size()
        {
            return Err(EvalError::Dimension { expected: other.numel(), got: sum.numel() });
        }
        let group = (self.count * GROUPS / self.planned).min(GROUPS - 1);
        match self.groups.get_mut(group) {
            Some((total, images)) => {
                *total = total.f_add(&sum)?;
                *images += count;
            }
            None => self.groups.push((sum, count)),
        }
        self.count += count;
        Ok(())
    }

    /// Images so far.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The mean `[d]`, f64.
    ///
    /// # Errors
    /// [`EvalError::TooFewImages`] before the first image.
    pub fn mean(&self) -> Result<Tensor> {
        self.without(None)
    }

    /// Both sets as one.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let groups = self.groups.iter().chain(&other.groups).map(|(sum, count)| (sum.shallow_clone(), *count));
        Self { groups: groups.collect(), planned: self.planned + other.planned, count: self.count + other.count }
    }

    /// The mean `[d]` over all groups but one.
    fn without(&self, left_out: Option<usize>) -> Result<Tensor> {
        let kept = self.groups.iter().enumerate().filter(|(i, _)| left_out != Some(*i)).map(|(_, group)| group);
        let (mut total, mut images) = (None::<Tensor>, 0);
        for (sum, count) in kept {
            let sum = sum.f_to_kind(Kind::Double)?;
            total = Some(match total {
                Some(total) => total.f_add(&sum)?,
                None => sum,
            });
            images += count;
        }
        let total = total.ok_or(EvalError::TooFewImages { what: "a mean", needed: 2 * GROUPS, got: self.count })?;
        Ok(total.f_div_scalar(images as f64)?)
    }

    /// E‖mean − its expectation‖², from the spread of the groups' means.
    fn variance(&self) -> Result<f64> {
        let mean = self.mean()?;
        let mut sum = 0.0;
        for (group, count) in &self.groups {
            let offset = group.f_to_kind(Kind::Double)?.f_div_scalar(*count as f64)?.f_sub(&mean)?;
            sum += *count as f64 * offset.f_square()?.f_sum(Kind::Double)?.f_double_value(&[])?;
        }
        Ok(sum / (self.count as f64 * (self.groups.len() as f64 - 1.0).max(1.0)))
    }

    /// The jackknife's variance of a number that depends on the mean (Efron and Stein 1981), a group left out at a time.
    fn jackknife(&self, number: impl Fn(&Tensor) -> Result<f64>) -> Result<f64> {
        if self.groups.len() < 2 {
            return Ok(f64::NAN);
        }
        let numbers = (0..self.groups.len()).map(|i| number(&self.without(Some(i))?)).collect::<Result<Vec<f64>>>()?;
        let b = numbers.len() as f64;
        let mean = numbers.iter().sum::<f64>() / b;
        Ok(numbers.iter().map(|value| (value - mean).powi(2)).sum::<f64>() * (b - 1.0) / b)
    }
}

/// How far two means lie apart.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct RelativeError {
    /// ‖E_a − E_b‖₂ / ‖E_b‖₂.
    pub relative: f64,
    /// Its standard error, by leaving out groups of images; NaN for a single group.
    pub standard_error: f64,
    /// What `relative` would be about if the two expectations were equal: the sampling noise of both means.
    pub noise: f64,
    /// `relative` with that noise taken out, √(relative² − noise²); 0 where noise explains all.
    pub beyond_noise: f64,
}

/// ‖E_a − E_b‖₂ / ‖E_b‖₂ of two means over images.
///
/// # Errors
/// [`EvalError::Dimension`], [`EvalError::TooFewImages`], [`EvalError::MeanNotFinite`].
pub fn relative_error(a: &GroupedMean, b: &GroupedMean) -> Result<RelativeError> {
    let (mean_a, mean_b) = (a.mean()?, b.mean()?);
    if mean_a.size() != mean_b.size() {
        return Err(EvalError::Dimension { expected: mean_b.numel(), got: mean_a.numel() });
    }
    let norm = |t: &Tensor| Ok::<_, EvalError>(t.f_square()?.f_sum(Kind::Double)?.f_double_value(&[])?.sqrt());
    let error = |a: &Tensor, b: &Tensor| Ok(norm(&a.f_sub(b)?)? / norm(b)?.max(f64::MIN_POSITIVE));
    let relative = error(&mean_a, &mean_b)?;
    if !relative.is_finite() {
        return Err(EvalError::MeanNotFinite { count: a.count });
    }
    let standard_error = (a.jackknife(|mean| error(mean, &mean_b))? + b.jackknife(|mean| error(&mean_a, mean))?).sqrt();
    let noise = (a.variance()? + b.variance()?).sqrt() / norm(&mean_b)?.max(f64::MIN_POSITIVE);
    let beyond_noise = (relative.powi(2) - noise.powi(2)).max(0.0).sqrt();
    Ok(RelativeError { relative, standard_error, noise, beyond_noise })
}
