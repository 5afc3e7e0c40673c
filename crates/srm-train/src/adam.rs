//! Ascend with ADAM, keeping the moments where they can be saved.

use crate::Result;
use crate::growth::joined;
use crate::weights::restore;
use srm_energy::StateDict;
use tch::Tensor;

/// ADAM (Kingma and Ba 2015, algorithm 1) with bias correction, as PyTorch's `Adam(maximize=True)` computes it; with a
/// weight decay as its `AdamW` does.
pub struct Adam {
    parameters: StateDict,
    first: Vec<Tensor>,
    second: Vec<Tensor>,
    step: u64,
    /// Of each parameter the updates before its first.
    joined: Vec<u64>,
    betas: [f64; 2],
    epsilon: f64,
    weight_decay: f64,
}

impl Adam {
    /// Zero moments for `parameters`, which are changed in place; `betas` in [0, 1), `epsilon` > 0, `weight_decay` >= 0.
    ///
    /// # Errors
    /// [`crate::TrainError::Torch`].
    pub fn new(parameters: StateDict, betas: [f64; 2], epsilon: f64, weight_decay: f64) -> Result<Self> {
        let zeros = || parameters.iter().map(|(_, p)| Ok(p.f_zeros_like()?)).collect::<Result<Vec<_>>>();
        let (first, second, joined) = (zeros()?, zeros()?, vec![0; parameters.len()]);
        Ok(Self { first, second, parameters, step: 0, joined, betas, epsilon, weight_decay })
    }

    /// The same where parameters join after some updates, those whose names begin so: their bias correction counts from there.
    pub(crate) fn joining(mut self, joins: &[(String, u64)]) -> Self {
        self.joined = joined(&self.parameters, joins);
        self
    }

    /// θ ← (1 − rate · decay) θ + rate · m̂ / (√v̂ + ε).
    ///
    /// # Shapes
    /// `gradients`: one per parameter, in its shape; of the first parameters alone where the others have not joined yet.
    ///
    /// # Errors
    /// [`crate::TrainError::Torch`] where the shapes differ.
    pub fn ascend(&mut self, gradients: &[Tensor], rate: f64) -> Result<()> {
        self.step += 1;
        let [beta1, beta2] = self.betas;
        // m̂ / (√v̂ + ε) = m / (√v scale + shift) with both corrections and the rate in scale and shift: two temporaries a tensor
        // f32 holds both: at a tiny rate the quotient then falls to 0 by itself, and no 0 · ∞ or 0 / 0 makes a NaN
        let held = |number: f64| number.clamp(f64::from(f32::MIN_POSITIVE), f64::from(f32::MAX));
        for (i, g) in gradients.iter().enumerate() {
            let exponent = i32::try_from(self.step.saturating_sub(self.joined[i]).max(1)).unwrap_or(i32::MAX);
            let (correction1, correction2) = (1.0 - beta1.powi(exponent), 1.0 - beta2.powi(exponent));
            let scale = held(correction1 / (correction2.sqrt() * rate));
            let shift = held(self.epsilon * correction1 / rate);
            let _ = self.first[i].f_lerp_(g, 1.0 - beta1)?;
            let root = g.f_mul_scalar((1.0 - beta2).sqrt())?;
            let _ = self.second[i].f_mul_scalar_(beta2)?.f_addcmul_(&root, &root)?;
            let parameter = &mut self.parameters[i].1;
            if self.weight_decay > 0.0 {
                let _ = parameter.f_mul_scalar_(1.0 - rate * self.weight_decay)?;
            }
            if rate > 0.0 {
                let divisor = self.second[i].f_sqrt()?.f_mul_scalar_(scale)?.f_add_scalar_(shift)?;
                let _ = parameter.f_addcdiv_(&self.first[i], &divisor)?;
            }
        }
        Ok(())
    }

    /// Updates made so far.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// The moments with their names: `first.f.0.weight`, …, `second.f.0.weight`, …
    pub fn moments(&self) -> StateDict {
        let kinds = [("first", &self.first), ("second", &self.second)];
        let named = |(kind, moments): (&'static str, &Vec<Tensor>)| -> StateDict {
            let names = self.parameters.iter().map(|(name, _)| format!("{kind}.{name}"));
            names.zip(moments.iter().map(Tensor::shallow_clone)).collect()
        };
        kinds.into_iter().flat_map(named).collect()
    }

    /// Go on from saved moments after `step` updates.
    ///
    /// # Errors
    /// [`crate::TrainError::MissingTensor`] where a moment is not there, [`crate::TrainError::Torch`] where its shape differs.
    pub fn restore(&mut self, saved: &[(String, Tensor)], step: u64) -> Result<()> {
        self.step = step;
        restore(&self.moments(), saved)
    }
}
