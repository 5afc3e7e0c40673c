//! Hold the spectral norm of every layer's weight matrix to a target.
//!
//! Miyato, Kataoka, Koyama and Yoshida, arXiv 1802.05957: the net's weight is W = s V/σ(V), where V is what ADAM moves and
//! σ(V) = uᵀ V v the largest singular value of V as a matrix `[out, in·k·k]`, by one step of the power iteration per
//! update. Taking u and v as constants, as PyTorch does, ∂L/∂V = s/σ (G − ⟨G, W⟩/s · u vᵀ) with G = ∂L/∂W.
//!
//! The weights file holds W, so a net trained like this is a plain net to everybody else.

use crate::Result;
use crate::weights::restore;
use srm_energy::{StateDict, Trainable};
use srm_random::{Key, Purpose, normal};
use tch::Tensor;

/// Steps of the power iteration for a fresh matrix; one more follows with every update.
const FIRST_STEPS: usize = 20;

struct Layer {
    name: String,
    weight: Tensor, // W, the net's own
    raw: Tensor,    // V
    u: Tensor,      // [out]
    v: Tensor,      // [in·k·k]
}

/// The weights of a net behind their spectral norms.
pub struct SpectralNorm {
    target: f64,
    layers: Vec<Layer>,
}

impl SpectralNorm {
    /// Take over the weights of `net`, which get spectral norm `target` at once. `seed` draws the first vectors.
    ///
    /// # Errors
    /// [`crate::TrainError::Torch`].
    pub fn new(net: &impl Trainable, target: f64, seed: u64) -> Result<Self> {
        let mut layers = Vec::new();
        for (index, (name, weight)) in net.named_parameters().into_iter().enumerate() {
            if weight.dim() < 2 {
                continue;
            }
            let mut start = vec![0.0; weight.size()[0] as usize];
            normal(&Key { id: index as u64, ..Key::new(seed, Purpose::PowerIteration) }, &mut start);
            let u = unit(&Tensor::f_from_slice(&start)?.f_to_device(weight.device())?)?;
            let raw = weight.f_detach_copy()?;
            let v = unit(&matrix(&raw)?.f_tr()?.f_mv(&u)?)?;
            layers.push(Layer { name, weight, raw, u, v });
        }
        let mut spectral = Self { target, layers };
        spectral.settle("")?;
        Ok(spectral)
    }

    /// The tensors for the optimiser: V in place of each weight, biases as they are.
    pub fn parameters(&self, net: &impl Trainable) -> StateDict {
        let raw =
            |name: &str| self.layers.iter().find(|layer| layer.name == name).map(|layer| layer.raw.shallow_clone());
        net.named_parameters().into_iter().map(|(name, own)| (name.clone(), raw(&name).unwrap_or(own))).collect()
    }

    /// Turn gradients in W into gradients in V.
    ///
    /// # Shapes
    /// `gradients`: one per parameter of the net, in order.
    ///
    /// # Errors
    /// [`crate::TrainError::Torch`].
    pub fn pull_back(&self, net: &impl Trainable, gradients: &mut [Tensor]) -> Result<()> {
        for ((name, _), gradient) in net.named_parameters().iter().zip(gradients) {
            let Some(layer) = self.layers.iter().find(|layer| layer.name == *name) else { continue };
            let along = gradient.f_mul(&layer.weight)?.f_sum(gradient.kind())?.f_div_scalar(self.target)?;
            let outer = layer.u.f_outer(&layer.v)?.f_mul(&along)?.f_reshape(gradient.size())?;
            *gradient = gradient.f_sub(&outer)?.f_mul_scalar(self.target)?.f_div(&layer.norm()?)?;
        }
        Ok(())
    }

    /// After an update of V: one step of the power iteration, then W = s V/σ(V).
    ///
    /// # Errors
    /// [`crate::TrainError::Torch`].
    pub fn update(&mut self) -> Result<()> {
        self.layers.iter_mut().try_for_each(Layer::iterate)?;
        self.apply()
    }

    /// What a checkpoint must hold: `raw.f.0.weight`, `u.f.0.weight`, `v.f.0.weight`, …
    pub fn tensors(&self) -> StateDict {
        let of = |layer: &Layer| {
            [("raw", &layer.raw), ("u", &layer.u), ("v", &layer.v)]
                .map(|(kind, tensor)| (format!("{kind}.{}", layer.name), tensor.shallow_clone()))
        };
        self.layers.iter().flat_map(of).collect()
    }

    /// Go on from saved tensors. A checkpoint without them was trained with free weights: those of the net are taken over.
    ///
    /// # Errors
    /// [`crate::TrainError::MissingTensor`], [`crate::TrainError::Torch`].
    pub fn restore(&mut self, saved: &[(String, Tensor)]) -> Result<()> {
        if saved.iter().any(|(name, _)| name.starts_with("raw.")) {
            restore(&self.tensors(), saved)?;
            // the same bits as were saved, but where the target is another one now
            return self.apply();
        }
        for layer in &mut self.layers {
            layer.raw.f_copy_(&layer.weight)?;
        }
        self.settle("")
    }

    /// After V has changed at once, in the layers whose names begin so: as many steps of the power iteration as for a fresh matrix,
    /// then W.
    ///
    /// # Errors
    /// [`crate::TrainError::Torch`].
    pub(crate) fn settle(&mut self, prefix: &str) -> Result<()> {
        for layer in self.layers.iter_mut().filter(|layer| layer.name.starts_with(prefix)) {
            for _ in 0..FIRST_STEPS {
                layer.iterate()?;
            }
            layer.apply(self.target)?;
        }
        Ok(())
    }

    fn apply(&mut self) -> Result<()> {
        let target = self.target;
        self.layers.iter_mut().try_for_each(|layer| layer.apply(target))
    }
}

impl Layer {
    /// One step of the power iteration.
    fn iterate(&mut self) -> Result<()> {
        let matrix = matrix(&self.raw)?;
        self.v = unit(&matrix.f_tr()?.f_mv(&self.u)?)?;
        self.u = unit(&matrix.f_mv(&self.v)?)?;
        Ok(())
    }

    /// W = s V/σ(V).
    fn apply(&mut self, target: f64) -> Result<()> {
        let scaled = self.raw.f_mul_scalar(target)?.f_div(&self.norm()?)?;
        self.weight.f_copy_(&scaled)?;
        Ok(())
    }

    /// σ(V) = uᵀ V v.
    fn norm(&self) -> Result<Tensor> {
        Ok(self.u.f_dot(&matrix(&self.raw)?.f_mv(&self.v)?)?)
    }
}

fn matrix(weight: &Tensor) -> Result<Tensor> {
    Ok(weight.f_reshape([weight.size()[0], -1])?)
}

fn unit(vector: &Tensor) -> Result<Tensor> {
    Ok(vector.f_div(&vector.f_norm()?.f_clamp_min(1e-12)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use srm_config::EnergyConfig;
    use srm_energy::ConvNet;
    use tch::{Device, Kind};

    fn net() -> ConvNet {
        let energy: EnergyConfig =
            serde_json::from_value(serde_json::json!({ "size": 32, "channels": 1, "features": 4 })).unwrap();
        ConvNet::new(&energy, 3, Device::Cpu).unwrap()
    }

    /// The largest singular value by a library routine.
    fn largest(weight: &Tensor) -> f64 {
        let matrix = weight.reshape([weight.size()[0], -1]).to_kind(Kind::Double);
        matrix.matmul(&matrix.tr()).linalg_eigvalsh("L").max().sqrt().double_value(&[])
    }

    #[test]
    fn every_layer_gets_the_norm_asked_for() {
        let net = net();
        let mut spectral = SpectralNorm::new(&net, 1.5, 1).unwrap();
        for _ in 0..200 {
            spectral.update().unwrap();
        }
        for (name, weight) in net.named_parameters().iter().filter(|(name, _)| name.ends_with("weight")) {
            // the power iteration closes in from below, so the norm is at least the target
            let norm = largest(weight);
            assert!((1.5 - 1e-4..1.52).contains(&norm), "{name}: {norm}");
        }
    }

    /// Keyed N(0, 1) numbers in the shape of `like`.
    fn keyed(like: &Tensor, id: u64) -> Tensor {
        let mut values = vec![0.0; like.numel()];
        normal(&Key { id, ..Key::new(9, Purpose::Synthetic) }, &mut values);
        Tensor::from_slice(&values).reshape(like.size())
    }

    #[test]
    fn the_gradient_is_that_of_finite_differences() {
        // L = ⟨G, W(V)⟩. The formula takes u and v as constants, which is exact where the power iteration has converged: a
        // strong first singular value makes it do so.
        let net = net();
        let mut spectral = SpectralNorm::new(&net, 1.0, 1).unwrap();
        for layer in &mut spectral.layers {
            let _ = layer.raw.g_add_scalar_(0.2);
        }
        for _ in 0..50 {
            spectral.update().unwrap();
        }
        let given: Vec<Tensor> = net.named_parameters().iter().zip(0..).map(|((_, p), id)| keyed(p, id)).collect();
        let mut pulled: Vec<Tensor> = given.iter().map(Tensor::shallow_clone).collect();
        spectral.pull_back(&net, &mut pulled).unwrap();
        let loss = |spectral: &mut SpectralNorm| {
            for _ in 0..5 {
                spectral.update().unwrap();
            }
            let of_layer = |((_, w), g): (&(String, Tensor), &Tensor)| {
                (w.to_kind(Kind::Double) * g.to_kind(Kind::Double)).sum(Kind::Double).double_value(&[])
            };
            // the layer that moves: the others only add rounding
            of_layer((&net.named_parameters()[2], &given[2]))
        };
        let direction = keyed(&spectral.layers[1].raw, 99);
        let step = 1e-2;
        let _ = spectral.layers[1].raw.g_add_(&(&direction * step));
        let above = loss(&mut spectral);
        let _ = spectral.layers[1].raw.g_sub_(&(&direction * (2.0 * step)));
        let below = loss(&mut spectral);
        let expected = (pulled[2].to_kind(Kind::Double) * &direction).sum(Kind::Double).double_value(&[]);
        let found = (above - below) / (2.0 * step);
        // f32 weights round L by about 1e-6, which the step turns into 1e-4; its own curvature is of the step's square
        assert!(
            expected.abs() > 0.05 && (found - expected).abs() < 1e-2 * expected.abs(),
            "{found} against {expected}"
        );
        // what a gradient without the correction would say is another number
        let naive = (&given[2] / spectral.layers[1].norm().unwrap() * &direction).sum(Kind::Double).double_value(&[]);
        assert!((naive - expected).abs() > 2e-2 * expected.abs(), "{naive} against {expected}");
    }
}
