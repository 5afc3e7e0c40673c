//! Walk between latent codes.

use crate::{Result, ShortRun};
use srm_energy::{Curved, Replicate};
use srm_langevin::up_to;
use tch::Tensor;

/// z_ρ = ρ z₁ + √(1−ρ²) z₂ for ρ in [0, 1]: for Gaussian codes it is Gaussian again; ρ = 1 is z₁, ρ = 0 is z₂, bit for bit.
///
/// # Shapes
/// `z1`, `z2` and z_ρ: the same.
///
/// # Errors
/// [`crate::LatentError::Torch`] where the shapes differ.
pub fn mix(z1: &Tensor, z2: &Tensor, rho: f64) -> Result<Tensor> {
    Ok(z1.f_mul_scalar(rho)?.f_add(&z2.f_mul_scalar((1.0 - rho * rho).max(0.0).sqrt())?)?)
}

/// `points` values of ρ from 1 to 0, such that the angle between z₁ and z_ρ grows evenly: ρ = cos φ.
///
/// Equal steps of ρ itself would crowd near z₁, where √(1−ρ²) changes fast.
pub fn rhos(points: usize) -> Vec<f64> {
    let last = points.saturating_sub(1).max(1) as f64;
    let rho = |i: usize| match i {
        0 => 1.0,
        i if i as f64 == last => 0.0,
        i => (i as f64 / last * std::f64::consts::FRAC_PI_2).cos(),
    };
    (0..points).map(rho).collect()
}

/// One way from z₁ to z₂.
pub struct Interpolation {
    /// M(z_ρ), `[points, …]`.
    pub x: Tensor,
    /// Root mean square distance per pixel between neighbours on the way, `points − 1` numbers on the [-1, 1] scale.
    pub steps: Vec<f64>,
    /// The same between the two ends.
    pub ends: f64,
}

impl<E: Curved + Replicate> ShortRun<E> {
    /// [`mix`] about the mean of p_0, which keeps its law.
    ///
    /// # Errors
    /// As there.
    pub fn mix(&self, z1: &Tensor, z2: &Tensor, rho: f64) -> Result<Tensor> {
        let Some(mean) = self.mean_like(z1)? else { return mix(z1, z2, rho) };
        Ok(mix(&z1.f_sub(&mean)?, &z2.f_sub(&mean)?, rho)?.f_add(&mean)?)
    }

    /// The mean of p_0, to go with codes like `z`, where it is not 0.
    fn mean_like(&self, z: &Tensor) -> Result<Option<Tensor>> {
        let Some(law) = self.dynamics().start.colours() else { return Ok(None) };
        let size = law.size() as i64;
        let mean = Tensor::f_from_slice(law.mean())?.f_to_kind(z.kind())?.f_to_device(z.device())?;
        Ok(Some(up_to(&mean.f_reshape([-1, size, size])?, &z.size())?))
    }

    /// Σ w z / √(Σ w²) about the mean of p_0, which keeps its law as [`ShortRun::mix`] does: a code alone stays as it is.
    ///
    /// # Shapes
    /// Each code, and the result: the same.
    ///
    /// # Errors
    /// [`crate::LatentError::Torch`] where the shapes differ.
    pub fn blend(&self, parts: &[(f64, Tensor)]) -> Result<Tensor> {
        if let [(weight, z)] = parts
            && *weight > 0.0
        {
            return Ok(z.shallow_clone());
        }
        let Some((_, first)) = parts.first() else {
            return Err(crate::LatentError::Shape { what: "the codes", expected: vec![1], got: vec![0] });
        };
        let mean = self.mean_like(first)?;
        let length = parts.iter().map(|(weight, _)| weight * weight).sum::<f64>().sqrt();
        let mut sum = first.f_zeros_like()?;
        for (weight, z) in parts {
            let centred = match &mean {
                Some(mean) => z.f_sub(mean)?,
                None => z.shallow_clone(),
            };
            sum = sum.f_add(&centred.f_mul_scalar(weight / length)?)?;
        }
        Ok(match mean {
            Some(mean) => sum.f_add(&mean)?,
            None => sum,
        })
    }

    /// The images on the way from `z1` to `z2`. All points of a row share one noise u: that of id `noise_id`.
    ///
    /// # Shapes
    /// `z1`, `z2`: one sample each, `[c, h, w]`.
    ///
    /// # Errors
    /// What [`ShortRun::generate`] returns.
    pub fn interpolate(&self, z1: &Tensor, z2: &Tensor, rhos: &[f64], noise_id: u64) -> Result<Interpolation> {
        let points = rhos.iter().map(|&rho| self.mix(z1, z2, rho)).collect::<Result<Vec<_>>>()?;
        let x = self.generate(&Tensor::f_stack(&points, 0)?, &vec![noise_id; rhos.len()])?;
        let count = rhos.len() as i64;
        let distance = |i: i64, j: i64| -> Result<f64> {
            Ok(x.f_get(i)?.f_sub(&x.f_get(j)?)?.f_square()?.f_mean(None)?.f_sqrt()?.f_double_value(&[])?)
        };
        let steps = (1..count).map(|i| distance(i - 1, i)).collect::<Result<Vec<_>>>()?;
        let ends = if count > 0 { distance(0, count - 1)? } else { 0.0 };
        Ok(Interpolation { x, steps, ends })
    }
}
