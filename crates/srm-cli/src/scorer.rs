//! Score a run while it trains, by the numbers of `srm evaluate`.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use srm_config::{Config, LangevinConfig};
use srm_energy::ConvNet;
use srm_eval::FeatureNetwork;
use srm_langevin::SamplerOptions;
use srm_train::{Evaluation, GRID_SEED, Score, TrainError};

use crate::{
    images,
    machine::Machine,
    output::Output,
    scoring::{self, Real},
};

/// Scores nets by their samples' distance from real images.
pub struct Scorer {
    net: FeatureNetwork,
    real: Real,
    langevin: LangevinConfig,
    spread: SamplerOptions,
    count: usize,
    name: String,
}

impl Scorer {
    /// The scorer that a config asks for; `None` where it asks for none.
    ///
    /// # Errors
    /// The feature network or the real images cannot be used.
    pub fn open(config: &Config, machine: &Machine, block: usize, output: &Output) -> Result<Option<Scorer>> {
        let evaluate = &config.evaluate;
        if evaluate.every.is_none() {
            return Ok(None);
        }
        let open = || -> Result<Scorer> {
            let net = FeatureNetwork::open(&evaluate.features, machine.device)?;
            let mut images = match &evaluate.images {
                Some(path) => images::open_file(path)?,
                None => images::open(config)?,
            };
            let (side, channels) = (config.energy.size, config.energy.channels);
            if scoring::shape(&images) != [side, side, channels] {
                anyhow::bail!(
                    "evaluate.images are {:?}, the net's are [{side}, {side}, {channels}]",
                    scoring::shape(&images)
                );
            }
            images.truncate(evaluate.images_count.unwrap_or(images.len()));
            let real = with_threads(machine.threads, || Real::of(images, &net, output))?;
            let name = match net.identity().is_fid {
                true => "FID".to_owned(),
                false => format!("frechet {}", net.identity().name),
            };
            let (langevin, spread) = (config.langevin.clone(), SamplerOptions { threads: machine.threads, block });
            Ok(Scorer { net, real, langevin, spread, count: evaluate.count, name })
        };
        open().map(Some).context("cannot score the run (section evaluate of the config)")
    }

    fn scored(&self, net: &ConvNet) -> Result<Score> {
        // an update with its score is one piece: Ctrl-C waits for it
        let mut on = |_: usize| true;
        let drawn = scoring::draw(net, &self.langevin, self.spread, (GRID_SEED, self.count), &mut on)?;
        let (name, count) = (self.name.clone(), self.count);
        let Some(Ok(samples)) = drawn else {
            return Ok(Score { name, value: f64::INFINITY, details: BTreeMap::new(), count });
        };
        let found = with_threads(self.spread.threads, || {
            let set = scoring::features_of(&self.net, &samples, &mut on)?.context("nothing stops the features")?;
            self.real.compare(&set, GRID_SEED)
        })?;
        let mut details = BTreeMap::new();
        if let Some((kernel, shares)) = &found.sets {
            let numbers = [("kernel", kernel.mean), ("precision", shares.precision), ("recall", shares.recall)];
            details.extend(numbers.map(|(name, value)| (name.to_owned(), value)));
        }
        Ok(Score { name, value: found.frechet, details, count })
    }
}

impl Evaluation for Scorer {
    fn score(&mut self, net: &ConvNet) -> srm_train::Result<Score> {
        self.scored(net).map_err(|error| TrainError::Evaluation { reason: format!("{error:#}") })
    }
}

/// Let libtorch use all threads in this one: in training the workers have them, and they wait now.
fn with_threads<T>(threads: usize, work: impl FnOnce() -> T) -> T {
    let before = tch::get_num_threads();
    tch::set_num_threads(threads as i32);
    let done = work();
    tch::set_num_threads(before);
    done
}
