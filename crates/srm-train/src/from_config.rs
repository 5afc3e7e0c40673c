//! Make the trainer that a config asks for: the paper's ConvNet, or a ladder of them, fresh by the seed, on a set of images.

use crate::{Result, Trainer};
use srm_config::Config;
use srm_data::ImageSet;
use srm_energy::{ConvNet, Ladder, Precision};
use srm_langevin::Spread;
use tch::Device;

/// Where and how wide a run computes.
#[derive(Clone, Copy, Debug)]
pub struct TrainerOptions {
    /// Where the net lives.
    pub device: Device,
    /// The numbers inside the net.
    pub precision: Precision,
    /// Worker threads on the CPU. Does not change any bit.
    pub threads: usize,
    /// Chains per block; what `langevin.block` says, resolved.
    pub block: usize,
}

impl Trainer<Ladder<ConvNet>> {
    /// The ConvNet of `config`, or those of its grids, to be trained on `images`.
    ///
    /// # Errors
    /// [`srm_data::DataError::ImageShape`], [`crate::TrainError::TooFewImages`].
    pub fn from_config(config: &Config, images: ImageSet, options: TrainerOptions) -> Result<Self> {
        let TrainerOptions { device, precision, threads, block } = options;
        let [height, width, _] = images.shape();
        images.require(match config.energy.takes([height, width]) {
            true => [height, width, config.energy.channels],
            false => config.energy.shape(),
        })?;
        let nets = config.langevin.nets(&config.energy);
        let mut net = Ladder::fresh(&nets, config.train.seed, device)?.in_precision(precision)?;
        net.resize(width as i64)?;
        if config.energy.any_size {
            net.close_borders(); // chains never see a border: crops of pictures have none
        }
        Self::new(net, images, config, Spread { threads, block })
    }
}
