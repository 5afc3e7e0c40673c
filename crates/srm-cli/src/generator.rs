//! Open a net as the generator M(z, u) for the commands that work on latent codes.

use std::path::PathBuf;

use anyhow::Result;
use srm_config::{Config, EnergyConfig};
use srm_data::sha256_of_file;
use srm_energy::ConvNet;
use srm_langevin::Spread;
use srm_latent::{Noise, ShortRun, ShortRunOptions};
use srm_ranks::Ranks;

use crate::{
    arguments::{ModelArguments, NoiseChoice},
    interrupt,
    machine::Machine,
    ranks, weights,
};

/// A net with the settings of its short run.
pub struct Generator {
    /// The weights file.
    pub file: PathBuf,
    pub run: ShortRun<ConvNet>,
    pub options: ShortRunOptions,
    pub machine: Machine,
    /// `[c, h, w]`.
    pub image: [i64; 3],
    energy: EnergyConfig,
}

impl Generator {
    /// Load the weights and be ready to run, all ranks alike; `seed` is that of the fixed noise.
    ///
    /// # Errors
    /// Bad config, a device that is not there, weights that cannot be used.
    pub fn open(model: &ModelArguments, seed: u64, team: &dyn Ranks) -> Result<Generator> {
        let config = model.config.as_deref().map(|path| Config::load(path, &[])).transpose()?;
        let machine = Machine::open(&model.compute)?;
        let file = ranks::agree_on_file(team, || weights::locate(&model.weights))?;
        let loaded = weights::load(&file, &model.key, config.as_ref(), model.steps, &machine)?;
        ranks::same(team, "weights", || Ok(sha256_of_file(&loaded.file)?))?;
        let langevin = loaded.langevin;
        tch::set_num_threads(1); // the workers do the work
        let block = ranks::agree(team, || Ok(machine.block(model.block, &langevin)))?;
        let noise = match model.noise {
            NoiseChoice::Off => Noise::Off,
            NoiseChoice::Fixed => Noise::Fixed(seed),
        };
        let options = ShortRunOptions {
            noise,
            spread: Spread { threads: machine.threads, block },
            keep_every: model.checkpoint_every as usize,
        };
        let energy = loaded.net.config().clone();
        let image = loaded.net.image();
        let mut run = ShortRun::new(&loaded.net, &langevin, options);
        run.stop_when(interrupt::stop());
        Ok(Generator { file: loaded.file, run, options, machine, image, energy })
    }

    /// Refuse chains that this machine cannot hold; `flag` asked for their number.
    ///
    /// # Errors
    /// As in [`Machine::check_chains`].
    pub fn check_chains(&self, count: usize, flag: &str) -> Result<()> {
        self.machine.check_chains(&self.energy, self.options.spread.block, count, flag)
    }

    /// `off` or `fixed`.
    pub fn noise_name(&self) -> &'static str {
        match self.options.noise {
            Noise::Off => "off",
            Noise::Fixed(_) => "fixed",
        }
    }
}
