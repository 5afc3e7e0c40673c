//! Move the weights along a gradient, through whichever stabilisers are on.

use crate::growth::copy_grid;
use crate::{Adam, Ema, Result, Snapshot, SpectralNorm};
use srm_config::TrainConfig;
use srm_energy::{StateDict, Trainable, copies};
use srm_run::RunState;
use tch::Tensor;

/// A net in training: its weights, and what moves and averages them.
pub(crate) struct Weights<E> {
    net: E,
    /// The weights of update 0, which a rollback without a state returns to.
    fresh: StateDict,
    adam: Adam,
    ema: Option<Ema<E>>,
    spectral: Option<SpectralNorm>,
    clip: Option<f64>,
}

impl<E: Trainable> Weights<E> {
    /// The net before [`Weights::reset`], which makes the rest.
    pub(crate) fn new(net: E, train: &TrainConfig) -> Result<Self> {
        let fresh = copies(&net.named_parameters())?;
        let adam = Adam::new(Vec::new(), train.betas, train.epsilon, train.weight_decay)?;
        Ok(Self { net, fresh, adam, ema: None, spectral: None, clip: train.clip_parameter_gradient })
    }

    /// Back to the weights of update 0. `joins`: beginnings of names, with the updates after which weights so named join.
    pub(crate) fn reset(&mut self, train: &TrainConfig, joins: &[(String, u64)]) -> Result<()> {
        restore(&self.net.named_parameters(), &self.fresh)?;
        self.spectral = train.spectral_norm.map(|norm| SpectralNorm::new(&self.net, norm, train.seed)).transpose()?;
        let parameters = match &self.spectral {
            Some(spectral) => spectral.parameters(&self.net),
            None => self.net.named_parameters(),
        };
        self.adam = Adam::new(parameters, train.betas, train.epsilon, train.weight_decay)?.joining(joins);
        self.ema = train
            .ema
            .map(|decay| Ok::<_, crate::TrainError>(Ema::new(&self.net, decay)?.joining(joins)))
            .transpose()?;
        Ok(())
    }

    /// Go on from a snapshot. What the settings have switched on since it was made begins anew.
    pub(crate) fn restore(&mut self, saved: &Snapshot) -> Result<()> {
        restore(&self.net.named_parameters(), &saved.weights)?;
        if let Some(spectral) = &mut self.spectral {
            spectral.restore(&saved.optimizer)?;
        }
        self.adam.restore(&saved.optimizer, saved.state.optimizer_step)?;
        if let Some(ema) = &mut self.ema {
            ema.restore(saved.ema.as_ref(), saved.state.ema_updates, &self.net)?;
        }
        Ok(())
    }

    /// ADAM's step along `gradients`, whose 2-norm is `length`, at `rate`; what the state counts of it.
    pub(crate) fn ascend(
        &mut self,
        mut gradients: Vec<Tensor>,
        length: f64,
        rate: f64,
        state: &mut RunState,
    ) -> Result<()> {
        if let Some(longest) = self.clip.filter(|&longest| length > longest) {
            for gradient in &mut gradients {
                *gradient = gradient.f_mul_scalar(longest / length)?;
            }
        }
        if let Some(spectral) = &self.spectral {
            spectral.pull_back(&self.net, &mut gradients)?;
        }
        self.adam.ascend(&gradients, rate)?;
        if let Some(spectral) = &mut self.spectral {
            spectral.update()?;
        }
        if let Some(ema) = &mut self.ema {
            ema.absorb(&self.net)?;
            state.ema_updates = ema.updates();
        }
        state.optimizer_step = self.adam.step();
        Ok(())
    }

    /// Copy the weights named `coarse…` to those named `fine…` where the shapes allow, and let the average begin anew there.
    pub(crate) fn take_over(&mut self, coarse: &str, fine: &str) -> Result<()> {
        copy_grid(&self.net.named_parameters(), coarse, fine)?;
        if let Some(spectral) = &mut self.spectral {
            copy_grid(&spectral.parameters(&self.net), coarse, fine)?;
            spectral.settle(fine)?;
        }
        if let Some(ema) = &self.ema {
            let mut average = ema.net().named_parameters();
            average.retain(|(name, _)| name.starts_with(fine));
            restore(&average, &self.net.named_parameters())?;
        }
        Ok(())
    }

    pub(crate) fn net(&self) -> &E {
        &self.net
    }

    /// The net with the averaged weights, where the average is on.
    pub(crate) fn averaged(&self) -> Option<&E> {
        self.ema.as_ref().map(Ema::net)
    }

    /// ADAM's moments, and the tensors of the spectral norm where it is on.
    pub(crate) fn optimizer_tensors(&self) -> StateDict {
        let spectral = self.spectral.as_ref().map(SpectralNorm::tensors).unwrap_or_default();
        self.adam.moments().into_iter().chain(spectral).collect()
    }
}

/// Copy saved tensors into those of the same name, in place.
///
/// # Errors
/// [`crate::TrainError::MissingTensor`], [`crate::TrainError::Torch`].
pub(crate) fn restore(live: &[(String, Tensor)], saved: &[(String, Tensor)]) -> Result<()> {
    for (name, tensor) in live {
        let fits = |(other, value): &&(String, Tensor)| other == name && value.size() == tensor.size();
        let Some((_, value)) = saved.iter().find(fits) else {
            return Err(crate::TrainError::MissingTensor { name: name.clone(), shape: tensor.size() });
        };
        tensor.shallow_clone().f_copy_(value)?;
    }
    Ok(())
}
