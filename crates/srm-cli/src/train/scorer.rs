//! Score a run while it trains, by the numbers of `srm evaluate`.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use srm_config::{Config, LangevinConfig};
use srm_eval::FeatureNetwork;
use srm_langevin::{LangevinError, Sampler, Spread};
use srm_ranks::Ranks;
use srm_train::{Evaluation, GRID_SEED, Score, TrainError};

use crate::{
    evaluate::{
        features::{Gathered, Judge, RealFeatures, Reference},
        samples::draw,
    },
    images,
    model::Net,
    session::{Machine, Session, failure, interrupt},
};

/// Scores nets by their samples' distance from real images.
pub struct Scorer {
    net: FeatureNetwork,
    reference: Reference,
    /// The real side, once it is prepared.
    real: Option<Gathered<RealFeatures>>,
    langevin: LangevinConfig,
    spread: Spread,
    host_threads: usize,
    /// `[h, w, c]` of the samples: that of the images of training.
    shape: [usize; 3],
    count: usize,
    name: String,
}

impl Scorer {
    /// The scorer that a config asks for, of samples like the images of training, `[h, w, c]`; `None` where it asks for none.
    ///
    /// # Errors
    /// The feature network or the real images cannot be used.
    pub fn open(config: &Config, shape: [usize; 3], machine: &Machine, block: usize) -> Result<Option<Scorer>> {
        let evaluate = &config.evaluate;
        if evaluate.every.is_none() {
            return Ok(None);
        }
        let open = || -> Result<Scorer> {
            let net = FeatureNetwork::open(&evaluate.features, machine.device)?;
            let reference = match &evaluate.images {
                Some(path) => Reference::open(path, evaluate.images_count, &net)?,
                None => {
                    let mut images = images::open(config)?;
                    images.truncate(evaluate.images_count.unwrap_or(images.len()));
                    Reference::Images(images)
                }
            };
            reference.images().map_or(Ok(()), |images| images.require(shape))?;
            let name = match net.identity().is_fid {
                true => "FID".to_owned(),
                false => format!("frechet {}", net.identity().name),
            };
            let (langevin, spread) = (config.langevin.clone(), Spread { threads: machine.threads, block });
            let (host_threads, count) = (machine.host_threads, evaluate.count);
            Ok(Scorer { net, reference, real: None, langevin, spread, host_threads, shape, count, name })
        };
        open().map(Some).context("cannot score the run (section evaluate of the config)")
    }

    /// Compute the features of the real images, all ranks together.
    ///
    /// # Errors
    /// Features that are not finite, Ctrl-C.
    pub fn prepare(&mut self, session: &Session) -> Result<()> {
        session.same("images in evaluate.images", || self.reference.fingerprint())?;
        let judge = Judge { net: &self.net, ranks: &**session.ranks() };
        let found = with_threads(self.host_threads, || self.reference.real(&judge, session));
        self.real = Some(found.context("cannot score the run (section evaluate of the config)")?);
        Ok(())
    }

    fn scored(&self, net: &Net, ranks: &dyn Ranks) -> Result<Option<Score>> {
        let [height, width, channels] = self.shape.map(|side| side as i64);
        let mut sampler = Sampler::new(net, &self.langevin, &[channels, height, width], self.spread);
        sampler.stop_when(interrupt::stop());
        let drawn = draw(ranks, &sampler, (GRID_SEED, self.count), &mut |_: usize| true)?;
        let (name, count) = (self.name.clone(), self.count);
        let Some(Ok(samples)) = drawn else {
            let score = Score { name, value: f64::INFINITY, details: BTreeMap::new(), count };
            return Ok(ranks.writes().then_some(score));
        };
        let found = with_threads(self.host_threads, || {
            // several ranks cannot part in the middle of the features
            let mut on = |_: usize| ranks.size() > 1 || !interrupt::asked();
            let judge = Judge { net: &self.net, ranks };
            let set = judge.features_of(&samples, &mut on)?.ok_or(LangevinError::Stopped)?;
            let sides = self.real.as_ref().and_then(Gathered::get).zip(set.get());
            sides.map(|(real, set)| real.compare(set, GRID_SEED)).transpose()
        })?;
        let Some(found) = found else { return Ok(None) };
        let mut details = BTreeMap::new();
        if let Some(sets) = &found.sets {
            let numbers =
                [("kernel", sets.kernel.mean), ("precision", sets.shares.precision), ("recall", sets.shares.recall)];
            details.extend(numbers.map(|(name, value)| (name.to_owned(), value)));
        }
        Ok(Some(Score { name, value: found.frechet, details, count }))
    }
}

impl Evaluation<Net> for Scorer {
    fn score(&mut self, net: &Net, ranks: &dyn Ranks) -> srm_train::Result<Option<Score>> {
        self.scored(net, ranks).map_err(|error| match failure::is_stop(&*error) {
            true => LangevinError::Stopped.into(),
            false => TrainError::Evaluation { source: error.reallocate_into_boxed_dyn_error_without_backtrace() },
        })
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
