//! Compute the paper's Figure 1 for Gaussians on the plane: the model's curve, Ω, the short run's curve, where they meet.
//!
//! f_θ(x) = θ h(x) with h(x) = −(x₁² + c x₂²)/2 and one weight θ. At temperature T = ν²/(2a) the model p_θ ∝ exp(f_θ/T) is
//! the Gaussian with variances T/θ and T/(θc). The K-step run x ← x + a f'(x) + ν u from N(0, v₀ I) is Gaussian too: with
//! A = 1 − aθcᵢ each variance is v₀ A²ᴷ + ν² (1 − A²ᴷ)/(1 − A²). So a distribution is a point (v₁, v₂), and
//!
//! - Θ, the model, is a ray; Ω, all with the data's `E[h]`, a straight line; the run's q_θ for all θ a curve;
//! - the maximum likelihood estimate is Θ ∩ Ω, the moment matching estimate is where the run's curve meets Ω.

use crate::{EvalError, Result};
use srm_energy::Energy;
use srm_langevin::{ChainKey, Dynamics, KeyedNoise, Outcome, Samples, short_run};
use srm_random::{Key, Purpose, normal};
use tch::{Kind, Tensor};

/// The family with its short run and its data.
#[derive(Clone, Debug, PartialEq)]
pub struct PlaneFamily {
    /// c of x₂; that of x₁ is 1.
    pub stiffness: f64,
    /// v₀, the variance of p_0 in both directions.
    pub start: f64,
    /// The data's variances.
    pub data: [f64; 2],
    /// Steps K, a and ν. Its start is not used: p_0 is v₀'s.
    pub dynamics: Dynamics,
}

/// One update of θ by the short run itself.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct PlaneUpdate {
    /// θ before the update.
    pub theta: f64,
    /// Variances of the chains' ends.
    pub variances: [f64; 2],
}

impl PlaneFamily {
    /// Moments `E[h]` of variances: −(v₁ + c v₂)/2.
    pub fn moment(&self, variances: [f64; 2]) -> f64 {
        -0.5 * (variances[0] + self.stiffness * variances[1])
    }

    /// Variances of p_θ.
    pub fn model(&self, theta: f64) -> [f64; 2] {
        self.each(|c| self.dynamics.kernel.temperature() / (theta * c))
    }

    /// Variances of q_θ, the law of the K-step run.
    pub fn run(&self, theta: f64) -> [f64; 2] {
        let (a, noise) = (self.dynamics.kernel.gradient_scale, self.dynamics.kernel.noise_std.powi(2));
        self.each(|c| {
            let kept = (1.0 - a * theta * c).powi(2);
            (0..self.dynamics.steps).fold(self.start, |v, _| kept * v + noise)
        })
    }

    /// The largest θ at which no step overshoots: 1/(a c). Up to it the run's variances fall with θ.
    pub fn largest_theta(&self) -> f64 {
        1.0 / (self.dynamics.kernel.gradient_scale * self.stiffness.max(1.0))
    }

    /// θ of the maximum likelihood estimate, 2T/(d₁ + c d₂).
    pub fn maximum_likelihood(&self) -> f64 {
        -self.dynamics.kernel.temperature() / self.moment(self.data)
    }

    /// θ of the moment matching estimate, `E_q[h]` = `E_data[h]`, to 1e-12 of [`PlaneFamily::largest_theta`], by bisection.
    ///
    /// # Errors
    /// [`EvalError::NoMomentMatch`] where the run meets Ω for no θ between 0 and that.
    pub fn moment_matching(&self) -> Result<f64> {
        let wanted = self.moment(self.data);
        let [mut low, mut high] = [0.0, self.largest_theta()];
        let [least, most] = [low, high].map(|theta| self.moment(self.run(theta)));
        if !(least..=most).contains(&wanted) {
            return Err(EvalError::NoMomentMatch { wanted, least, most });
        }
        while high - low > 1e-12 * self.largest_theta() {
            let middle = 0.5 * (low + high);
            match self.moment(self.run(middle)) < wanted {
                true => low = middle,
                false => high = middle,
            }
        }
        Ok(0.5 * (low + high))
    }

    /// Learn θ from `theta` on by Algorithm 1 with `chains` fresh chains per update: θ ← θ + rate (`E_data[h]` − `E_q[h]`), the rate
    /// 0.2/(1 + t/20). Returns the updates and the estimate, the mean θ of the second half (Polyak and Juditsky 1992).
    ///
    /// # Errors
    /// [`EvalError::ChainsDiverged`], [`EvalError::Langevin`].
    pub fn learn(&self, mut theta: f64, updates: u64, chains: usize, seed: u64) -> Result<(Vec<PlaneUpdate>, f64)> {
        let mut path = Vec::new();
        for update in 1..=updates {
            let variances = self.sampled(theta, ChainKey { seed, attempt: 0, update }, chains)?;
            path.push(PlaneUpdate { theta, variances });
            let gradient = self.moment(self.data) - self.moment(variances);
            let next = theta + 0.2 * gradient / (1.0 + update as f64 / 20.0);
            theta = next.clamp(0.0, self.largest_theta()); // outside nothing is Gaussian or nothing is stable
        }
        let late: Vec<f64> = path.iter().skip(path.len() / 2).map(|update: &PlaneUpdate| update.theta).collect();
        let estimate = if late.is_empty() { theta } else { late.iter().sum::<f64>() / late.len() as f64 };
        Ok((path, estimate))
    }

    /// Second moments of `chains` ends of the real short run at θ.
    ///
    /// # Errors
    /// As in [`PlaneFamily::learn`].
    pub fn sampled(&self, theta: f64, key: ChainKey, chains: usize) -> Result<[f64; 2]> {
        let mut z = vec![0.0; 2 * chains];
        normal(&Key { update: key.update, ..Key::new(key.seed, Purpose::ChainStart) }, &mut z);
        let z = Tensor::f_from_slice(&z)?.f_reshape([chains as i64, 2])?.f_mul_scalar(self.start.sqrt())?;
        let energy = Bowl { theta, stiffness: self.stiffness };
        // one stream for all: the chains are one image of the noise
        let mut noise = KeyedNoise::new(key, vec![0]);
        match short_run(&energy, &self.dynamics, &z, &mut noise, &mut ())? {
            Outcome::Finished(Samples { x }) => {
                let squares = x.f_square()?;
                let means = squares.f_mean_dim([0i64].as_slice(), false, Kind::Double)?;
                Ok([means.f_double_value(&[0])?, means.f_double_value(&[1])?])
            }
            Outcome::Diverged { step, .. } => Err(EvalError::ChainsDiverged { update: key.update, step }),
        }
    }

    fn each(&self, variance: impl Fn(f64) -> f64) -> [f64; 2] {
        [1.0, self.stiffness].map(variance)
    }
}

/// f(x) = −θ (x₁² + c x₂²)/2 over points `[b, 2]`.
struct Bowl {
    theta: f64,
    stiffness: f64,
}

impl Energy for Bowl {
    fn f_and_grad(&self, x: &Tensor) -> srm_energy::Result<(Tensor, Tensor)> {
        let curvature = [-self.theta, -self.theta * self.stiffness];
        let slope = x.f_mul(&Tensor::f_from_slice(&curvature)?.f_to_kind(x.kind())?)?;
        let f = slope.f_mul(x)?.f_sum_dim_intlist([1i64].as_slice(), false, x.kind())?.f_mul_scalar(0.5)?;
        Ok((f, slope))
    }
}
