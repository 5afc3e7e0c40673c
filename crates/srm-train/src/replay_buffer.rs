//! Keep the chains of persistent training: a replay buffer, which the config calls a bank, that updates take samples from and
//! give them back to.

use crate::Result;
use srm_config as config;
use srm_langevin::{ChainKey, Start, per_sample, start};
use srm_random::{Key, Purpose, permutation, uniform};
use tch::{Device, Tensor};

/// Samples of earlier updates, on the CPU.
pub struct ReplayBuffer {
    images: Tensor, // [size, …]
    anew: Start,
    restart: f64,
    seed: u64,
}

impl ReplayBuffer {
    /// A buffer of uniform noise, or of zeros, for samples of a shape: images `[c, h, w]`.
    ///
    /// # Errors
    /// [`crate::TrainError::Langevin`].
    pub fn new(config: config::Bank, shape: &[i64], seed: u64) -> Result<Self> {
        let ids: Vec<u64> = (0..config.size as u64).collect();
        let anew = Start::from(&config::Init::Persistent(config));
        let images = start(&anew, &ChainKey { seed, attempt: 0, update: 0 }, &ids, shape, Device::Cpu)?;
        Ok(Self { images, anew, restart: config.restart, seed })
    }

    /// The slots of an update, all different, and where their chains start: at the slot's image, or with probability
    /// `restart` anew.
    ///
    /// # Shapes
    /// slots: i64 `[batch]`; starts: `[batch, …]`, on `device`.
    ///
    /// # Errors
    /// [`crate::TrainError::Torch`], [`crate::TrainError::Langevin`].
    pub fn draw(&self, key: &ChainKey, batch: usize, device: Device) -> Result<(Tensor, Tensor)> {
        let draw = |purpose| Key { attempt: key.attempt, update: key.update, ..Key::new(self.seed, purpose) };
        let size = self.images.size();
        let slots: Vec<i64> =
            permutation(&draw(Purpose::BankSlots), size[0] as usize)[..batch].iter().map(|&slot| slot as i64).collect();
        let slots = Tensor::f_from_slice(&slots)?;
        let mut coins = vec![0.0; batch];
        uniform(&draw(Purpose::BankRestarts), 0.0, 1.0, &mut coins);
        let anew: Vec<bool> = coins.iter().map(|&coin| f64::from(coin) < self.restart).collect();
        let ids: Vec<u64> = (0..batch as u64).collect();
        let noise = start(&self.anew, key, &ids, &size[1..], Device::Cpu)?;
        let anew = per_sample(&Tensor::f_from_slice(&anew)?, &noise)?;
        let starts = noise.f_where_self(&anew, &self.images.f_index_select(0, &slots)?)?;
        Ok((slots, starts.f_to_device(device)?))
    }

    /// Put the ends of the chains into their slots.
    ///
    /// # Errors
    /// [`crate::TrainError::Torch`].
    pub fn give_back(&mut self, slots: &Tensor, samples: &Tensor) -> Result<()> {
        let _ = self.images.f_index_copy_(0, slots, &samples.f_to_device(Device::Cpu)?)?;
        Ok(())
    }

    /// The images, `[size, …]`.
    pub fn images(&self) -> &Tensor {
        &self.images
    }

    /// Go on with saved images. A buffer of another size, or none, is no error: the chains start anew.
    ///
    /// # Errors
    /// [`crate::TrainError::Torch`].
    pub fn restore(&mut self, saved: Option<&Tensor>) -> Result<()> {
        match saved {
            Some(images) if images.size() == self.images.size() => {
                self.images.f_copy_(images)?;
            }
            _ => tracing::warn!(
                "the checkpoint holds no bank of {} images: all chains start anew",
                self.images.size()[0]
            ),
        }
        Ok(())
    }
}
