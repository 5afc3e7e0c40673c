//! Compare samples with real images by their features: what `srm evaluate` and the scores of a training run share.

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use ndarray::Array4;
use serde::Serialize;
use srm_data::{ImageSet, sha256_of_file};
use srm_eval::{
    FeatureNetwork, FeatureSet, KernelDistance, Moments, Output as Features, PrecisionRecall, batches,
    frechet_distance, kernel_distance, precision_recall,
};
use srm_ranks::Ranks;
use tch::Tensor;

use crate::{
    images::open_file,
    session::{Failure, Session, failure, interrupt, usage},
};

/// Images per subset and subsets of the kernel distance, as published.
const SUBSET: (usize, usize) = (1000, 100);
/// Neighbours of precision and recall, as published.
const NEIGHBOURS: usize = 3;

/// The real side of a comparison as it lies on disk.
pub enum Reference {
    /// Real images.
    Images(ImageSet),
    /// Mean and covariance of their features alone, and the file.
    Statistics(Moments, PathBuf),
}

impl Reference {
    /// Open a `.npy` of images, of which the first `count` are taken, or a `.npz` of statistics, which the content tells.
    ///
    /// # Errors
    /// There is no such file, or it is neither; statistics of another network's features, or of images to be counted.
    pub fn open(path: &Path, count: Option<usize>, net: &FeatureNetwork) -> Result<Reference> {
        if !Moments::is_file(path) {
            let mut images = open_file(path)?;
            images.truncate(count.unwrap_or(images.len()));
            return Ok(Reference::Images(images));
        }
        if let Some(count) = count {
            return Err(usage(format!(
                "the first {count} images of {} are asked for, which holds statistics; give images, or ask for no number",
                path.display()
            )));
        }
        Ok(Reference::Statistics(Moments::load(path, net.identity())?, path.to_owned()))
    }

    /// The images; statistics have none.
    pub fn images(&self) -> Option<&ImageSet> {
        match self {
            Reference::Images(images) => Some(images),
            Reference::Statistics(..) => None,
        }
    }

    /// Real images, as far as is known.
    pub fn count(&self) -> Option<usize> {
        match self {
            Reference::Images(images) => Some(images.len()),
            Reference::Statistics(moments, _) => moments.count,
        }
    }

    /// A short name of the content.
    ///
    /// # Errors
    /// The file can no longer be read.
    pub fn fingerprint(&self) -> Result<String> {
        match self {
            Reference::Images(images) => Ok(images.fingerprint()),
            Reference::Statistics(_, path) => Ok(sha256_of_file(path)?),
        }
    }

    /// What comparisons need of it.
    ///
    /// # Errors
    /// Features that are not finite, Ctrl-C.
    pub fn real(&self, judge: &Judge<'_>, session: &Session) -> Result<Gathered<Real>> {
        match self {
            Reference::Images(images) => {
                let set = with_bar(session, (images.len(), "real images"), |seen| {
                    judge.features(images.len(), images.shape(), |i| images.image(i), seen)
                })?;
                Ok(Gathered(set.0.map(Real::from)))
            }
            Reference::Statistics(moments, _) => {
                let real = || Real { moments: moments.shallow_clone(), set: None };
                Ok(Gathered(judge.ranks.writes().then(real)))
            }
        }
    }
}

/// What all ranks make together and one of them has: the one that writes.
pub struct Gathered<T>(Option<T>);

impl<T> Gathered<T> {
    /// What was gathered, in [`Session::write`] and [`Session::conclude`].
    ///
    /// # Errors
    /// Asked for at another rank.
    pub fn here(&self) -> Result<&T> {
        self.0.as_ref().context("features are where results are written")
    }

    /// What was gathered, where it is; to be kept.
    pub fn into_inner(self) -> Option<T> {
        self.0
    }

    /// What was gathered, where it is.
    pub fn get(&self) -> Option<&T> {
        self.0.as_ref()
    }
}

/// The real side of every comparison.
pub struct Real {
    pub moments: Moments,
    /// Features of every image; a file of statistics has none.
    pub set: Option<FeatureSet>,
}

impl From<FeatureSet> for Real {
    fn from(set: FeatureSet) -> Real {
        Real { moments: set.moments.shallow_clone(), set: Some(set) }
    }
}

impl Real {
    /// Distances of a set of samples; `seed` is that of the kernel distance's subsets.
    ///
    /// # Errors
    /// Another dimension, too few images.
    pub fn compare(&self, samples: &FeatureSet, seed: u64) -> Result<Comparison> {
        let frechet = frechet_distance(&self.moments, &samples.moments)?;
        let sets = self.set.as_ref().map(|real| {
            let kernel = kernel_distance(&real.rows, &samples.rows, SUBSET.0, SUBSET.1, seed)?;
            let shares = precision_recall(&real.rows, &samples.rows, NEIGHBOURS)?;
            Ok::<_, srm_eval::EvalError>(OfSets { kernel, shares })
        });
        Ok(Comparison { frechet, sets: sets.transpose()? })
    }
}

/// Distances between two sets.
#[derive(Serialize)]
pub struct Comparison {
    pub frechet: f64,
    #[serde(flatten)]
    pub sets: Option<OfSets>,
}

/// What needs every image's features.
#[derive(Serialize)]
pub struct OfSets {
    pub kernel: KernelDistance,
    #[serde(flatten)]
    pub shares: PrecisionRecall,
}

/// Work with a bar; Ctrl-C ends it. `work` is given what hears how much is done.
///
/// # Errors
/// What the work returns; Ctrl-C.
pub fn with_bar<T>(
    session: &Session,
    (count, what): (usize, &str),
    work: impl FnOnce(&mut dyn FnMut(usize) -> bool) -> Result<Option<T>>,
) -> Result<T> {
    let bar = session.bar(count as u64, what);
    let done = work(&mut |done| {
        bar.set_position(done as u64);
        !interrupt::asked()
    });
    bar.finish_and_clear();
    let stopped = || Failure::Abandoned("interrupted; nothing was written".to_owned()).into();
    match done {
        Err(error) if failure::is_stop(&*error) => Err(stopped()),
        done => done?.ok_or_else(stopped),
    }
}

/// A feature network that the ranks run together.
pub struct Judge<'a> {
    pub net: &'a FeatureNetwork,
    pub ranks: &'a dyn Ranks,
}

impl Judge<'_> {
    /// Features of `count` images, of which `image(i)` gives the bytes: the ranks take the batches in turn. `seen` hears how many
    /// are done and stops the work by returning false: then `None`.
    ///
    /// # Errors
    /// Features that are not finite.
    pub fn features<'a>(
        &self,
        count: usize,
        shape: [usize; 3],
        image: impl Fn(usize) -> &'a [u8],
        seen: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Option<Gathered<FeatureSet>>> {
        let Self { net, ranks } = self;
        let dimension = net.identity().dimension;
        let mut turns = ranks.turns();
        let run = |batch| joined(&net.run_images(batch, shape, &image)?);
        if !ranks.writes() {
            for batch in batches(count) {
                let last = batch.end;
                turns.give(|| run(batch))?;
                if !seen(last) {
                    return Ok(None);
                }
            }
            return Ok(Some(Gathered(None)));
        }
        let of_all = |batch: Range<usize>| parted(batch.len(), dimension, turns.take(|| run(batch))?);
        Ok(FeatureSet::new(dimension, count, of_all, seen)?.map(|set| Gathered(Some(set))))
    }

    /// [`Judge::features`] of samples u8 `[n, h, w, c]`.
    ///
    /// # Errors
    /// Features that are not finite.
    pub fn features_of(
        &self,
        samples: &Array4<u8>,
        seen: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Option<Gathered<FeatureSet>>> {
        let (count, h, w, c) = samples.dim();
        let images = samples.as_standard_layout();
        let bytes = images.as_slice().unwrap_or_default();
        self.features(count, [h, w, c], |i| &bytes[i * h * w * c..(i + 1) * h * w * c], seen)
    }
}

/// What a network says of a batch as one tensor, `[b, dimension + classes]`.
fn joined(Features { features, logits }: &Features) -> Result<Tensor> {
    let columns: Vec<&Tensor> = [Some(features), logits.as_ref()].into_iter().flatten().collect();
    Ok(Tensor::f_cat(&columns, 1)?)
}

fn parted(rows: usize, dimension: usize, joined: Tensor) -> Result<Features> {
    let (joined, dimension) = (joined.f_reshape([rows as i64, -1])?, dimension as i64);
    let classes = joined.size()[1] - dimension;
    let logits = (classes > 0).then(|| joined.f_narrow(1, dimension, classes)).transpose()?;
    Ok(Features { features: joined.f_narrow(1, 0, dimension)?, logits })
}
