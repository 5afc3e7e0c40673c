//! Compare samples with real images: what `srm evaluate` and the scores of a training run share.

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

use anyhow::Result;
use ndarray::Array4;
use serde_json::{Value, json};
use srm_config::LangevinConfig;
use srm_data::{ImageSet, nearest, sha256_of_file, write_grid};
use srm_energy::ConvNet;
use srm_eval::{
    FeatureNetwork, FeatureSet, KernelDistance, Moments, Output as Features, PrecisionRecall, batches,
    frechet_distance, kernel_distance, precision_recall,
};
use srm_langevin::{Chains, Sampler, Spread};
use srm_latent::{Noise, ShortRun, ShortRunOptions};
use srm_ranks::Ranks;
use srm_train::to_bytes;
use tch::Tensor;

use crate::{
    arguments::MethodChoice,
    failure::{self, Failure, usage},
    images::{gallery, open_file},
    interrupt,
    machine::Machine,
    neighbours::with_neighbours,
    output::Output,
    reconstruct::to_tensor,
    shared,
    shown::Shown,
    weights::Loaded,
};

/// Images a subset and subsets of the kernel distance, as published.
const SUBSET: (usize, usize) = (1000, 100);
/// Neighbours of precision and recall, as published.
const NEIGHBOURS: usize = 3;
/// Samples that the grid of nearest images shows, and its columns.
const SHOWN: (usize, usize) = (64, 8);
/// Iterations of a reconstruction, as in the paper's figure.
const ITERATIONS: usize = 200;
/// Pixels between two images.
const PADDING: usize = 2;

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

    /// What comparisons need of it, at rank 0.
    ///
    /// # Errors
    /// Features that are not finite, Ctrl-C.
    pub fn real(&self, net: &FeatureNetwork, team: &dyn Ranks, output: &Output) -> Result<Option<Real>> {
        match self {
            Reference::Images(images) => Real::of(images, net, team, output),
            Reference::Statistics(moments, _) => {
                Ok((team.rank() == 0).then(|| Real { moments: moments.shallow_clone(), set: None }))
            }
        }
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
    /// Features of all images of a set, at rank 0.
    ///
    /// # Errors
    /// Features that are not finite, Ctrl-C.
    pub fn of(images: &ImageSet, net: &FeatureNetwork, team: &dyn Ranks, output: &Output) -> Result<Option<Real>> {
        let set = with_bar(output, (images.len(), "real images"), |seen| {
            features(team, net, images.len(), shape(images), |i| images.image(i), seen)
        })?;
        Ok(set.map(Real::from))
    }

    /// Distances of a set of samples; `seed` is that of the kernel distance's subsets.
    ///
    /// # Errors
    /// Another dimension, too few images.
    pub fn compare(&self, samples: &FeatureSet, seed: u64) -> Result<Comparison> {
        let frechet = frechet_distance(&self.moments, &samples.moments)?;
        let sets = self.set.as_ref().map(|real| {
            let kernel = kernel_distance(&real.rows, &samples.rows, SUBSET.0, SUBSET.1, seed)?;
            Ok::<_, srm_eval::EvalError>((kernel, precision_recall(&real.rows, &samples.rows, NEIGHBOURS)?))
        });
        Ok(Comparison { frechet, sets: sets.transpose()? })
    }
}

/// Distances between two sets.
pub struct Comparison {
    pub frechet: f64,
    /// What needs every image's features.
    pub sets: Option<(KernelDistance, PrecisionRecall)>,
}

impl Comparison {
    /// Add the distances to a JSON object.
    pub fn write_to(&self, about: &mut Value) {
        about["frechet"] = json!(self.frechet);
        if let Some((kernel, shares)) = &self.sets {
            about["kernel"] =
                json!({ "mean": kernel.mean, "std": kernel.std, "subset": kernel.subset, "subsets": kernel.subsets });
            about["precision"] = json!(shares.precision);
            about["recall"] = json!(shares.recall);
            about["neighbours"] = json!(shares.neighbours);
        }
    }
}

/// `[h, w, c]` of a set.
pub fn shape(images: &ImageSet) -> [usize; 3] {
    [images.height(), images.width(), images.channels()]
}

/// Work with a bar; Ctrl-C ends it. `work` is given what hears how much is done.
///
/// # Errors
/// What the work returns; Ctrl-C.
pub fn with_bar<T>(
    output: &Output,
    (count, what): (usize, &str),
    work: impl FnOnce(&mut dyn FnMut(usize) -> bool) -> Result<Option<T>>,
) -> Result<T> {
    let bar = output.bar(count as u64, what);
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

/// Features of `count` images, of which `image(i)` gives the bytes: the ranks of the team take the batches in turn, and rank 0 has
/// the set. `seen` hears how many are done and stops the work by returning false: then `None`.
///
/// # Errors
/// Features that are not finite.
pub fn features<'a>(
    team: &dyn Ranks,
    net: &FeatureNetwork,
    count: usize,
    shape: [usize; 3],
    image: impl Fn(usize) -> &'a [u8],
    seen: &mut dyn FnMut(usize) -> bool,
) -> Result<Option<Option<FeatureSet>>> {
    let dimension = net.identity().dimension;
    let run = |batch| net.run_images(batch, shape, &image);
    let owners = (0..team.size()).cycle();
    if team.rank() > 0 {
        for (batch, _) in batches(count).zip(owners).filter(|(_, owner)| *owner == team.rank()) {
            let last = batch.end;
            let found = run(batch)?;
            let columns = [Some(&found.features), found.logits.as_ref()].into_iter().flatten().collect::<Vec<_>>();
            team.send_tensor(0, &Tensor::f_cat(&columns, 1)?)?;
            if !seen(last) {
                return Ok(None);
            }
        }
        return Ok(Some(None));
    }
    let mut owners = owners;
    let of_owner = |batch: Range<usize>| -> Result<Features> {
        let rows = batch.len() as i64;
        let owner = owners.next().filter(|&owner| owner > 0);
        let Some(owner) = owner else { return Ok(run(batch)?) };
        let found = team.receive_tensor(owner)?.f_reshape([rows, -1])?;
        let classes = found.size()[1] - dimension as i64;
        let logits = (classes > 0).then(|| found.f_narrow(1, dimension as i64, classes)).transpose()?;
        Ok(Features { features: found.f_narrow(1, 0, dimension as i64)?, logits })
    };
    Ok(FeatureSet::new(dimension, count, of_owner, seen)?.map(Some))
}

/// [`features`] of samples u8 `[n, h, w, c]`.
///
/// # Errors
/// Features that are not finite.
pub fn features_of(
    team: &dyn Ranks,
    net: &FeatureNetwork,
    samples: &Array4<u8>,
    seen: &mut dyn FnMut(usize) -> bool,
) -> Result<Option<Option<FeatureSet>>> {
    let (count, h, w, c) = samples.dim();
    let images = samples.as_standard_layout();
    let bytes = images.as_slice().unwrap_or_default();
    features(team, net, count, [h, w, c], |i| &bytes[i * h * w * c..(i + 1) * h * w * c], seen)
}

/// Samples u8 `[n, h, w, c]`, those of `srm sample` with the same seed and count, or the step at which their chains blew up.
pub type Drawn = std::result::Result<Array4<u8>, usize>;

/// Draw samples, a few blocks of each rank at a time, for every rank: the bits of a chain do not depend on it, and `seen`, which
/// hears how many are done and stops the work by returning false, is called in between: then `None`.
///
/// # Errors
/// What the chains return.
pub fn draw(
    team: &dyn Ranks,
    net: &ConvNet,
    langevin: &LangevinConfig,
    spread: Spread,
    (seed, count): (u64, usize),
    seen: &mut dyn FnMut(usize) -> bool,
) -> Result<Option<Drawn>> {
    let energy = net.config();
    let mut sampler = Sampler::new(net, langevin, &net.image(), spread);
    sampler.stop_when(interrupt::stop());
    let mut pixels: Vec<u8> = Vec::new();
    let (chains, stride) = (Chains::samples(seed, count), 8 * spread.block * team.size());
    for first in (0..count).step_by(stride) {
        let last = (first + stride).min(count);
        let part = Chains { ids: first as u64..last as u64, ..chains.clone() };
        let x = match shared::chains(team, &sampler, &part, |_| ())?.0 {
            Ok(x) => x,
            Err(step) => return Ok(Some(Err(step))),
        };
        let of_all = team.all_gather(to_bytes(&x)?.into_raw_vec_and_offset().0)?;
        of_all.iter().for_each(|bytes| pixels.extend(bytes));
        if !seen(last) {
            return Ok(None);
        }
    }
    Ok(Some(Ok(Array4::from_shape_vec((count, energy.size, energy.size, energy.channels), pixels)?)))
}

/// Show the first samples above their nearest real images, and say how near those are, in grey levels, 0 to 255.
///
/// # Errors
/// The shapes differ, the picture cannot be written.
pub fn copies(path: &Path, samples: &Array4<u8>, images: &ImageSet) -> Result<Value> {
    let shown = samples.slice(ndarray::s![..SHOWN.0.min(samples.dim().0), .., .., ..]).to_owned();
    let found = nearest(images, &shown.view())?;
    let columns = SHOWN.1.min(found.len());
    write_grid(path, &with_neighbours(&shown, images, &found, columns)?.view(), columns, PADDING)?;
    let mut distances: Vec<f64> = found.iter().map(|one| one.distance).collect();
    distances.sort_by(f64::total_cmp);
    let different: std::collections::BTreeSet<usize> = found.iter().map(|one| one.index).collect();
    Ok(json!({
        "picture": Shown(path), "least": distances.first(), "median": distances.get(distances.len() / 2),
        "most": distances.last(), "different": different.len(),
    }))
}

/// The mean squared error of reconstructions by the default method of `srm reconstruct`, per pixel on the [-1, 1] scale; at
/// rank 0.
///
/// # Errors
/// Images that cannot be used, chains that blow up, Ctrl-C.
pub fn reconstruction(
    loaded: &Loaded,
    machine: &Machine,
    block: usize,
    (path, count): (&Path, usize),
    team: &dyn Ranks,
    output: &Output,
) -> Result<Value> {
    let energy = loaded.net.config();
    let images = gallery(path, energy.size, energy.channels, count)?;
    let target = to_tensor(&images.images)?.f_to_device(machine.device)?;
    let spread = Spread { threads: machine.threads, block };
    let options = ShortRunOptions { noise: Noise::Fixed(1), spread, keep_every: 1 };
    let mut run = ShortRun::new(&loaded.net, &loaded.langevin, options);
    run.stop_when(interrupt::stop());
    let method = MethodChoice::default_for(run.has_curvature());
    let options = method.options(ITERATIONS, 1, Vec::new());
    let _guard = tch::no_grad_guard();
    let found = with_bar(output, (ITERATIONS, "iterations"), |seen| {
        let found = shared::reconstruct(team, &run, block, (&target, None), &options, &mut |progress| {
            seen(progress.iteration)
        })?;
        Ok((!interrupt::asked()).then_some(found))
    })?;
    let mean = found.mse.iter().sum::<f64>() / found.mse.len().max(1) as f64;
    let worst = found.mse.iter().copied().fold(0.0, f64::max);
    Ok(json!({
        "images": Shown(path), "count": found.mse.len(), "iterations": ITERATIONS, "method": method.name(), "mean_mse": mean,
        "worst_mse": worst, "moved": found.mean_moved(),
    }))
}
