//! Have the samples that are scored: drawn from a net, or given; and what else is asked of them.

use std::path::Path;

use anyhow::{Context, Result};
use ndarray::Array4;
use serde::Serialize;
use srm_data::{ImageSet, nearest, write_grid};
use srm_langevin::{Chains, Sampler};
use srm_latent::{ChainNoise, Latent, Method, ReconstructOptions};
use srm_ranks::Ranks;
use srm_train::to_tensor;

use super::features::with_bar;
use crate::{
    images::gallery,
    model::{
        Model, Net,
        shared::{self, Pixels},
    },
    pictures::{PADDING, with_neighbours},
    reconstruct::mean_and_worst,
    session::{Session, Shown, interrupt},
};

/// Samples that the grid of nearest images shows, and its columns.
const SHOWN: (usize, usize) = (64, 8);
/// Iterations of a reconstruction, as in the paper's figure.
const ITERATIONS: usize = 200;

/// Draw the samples of `srm sample` with the same seed and count, a few blocks of each rank at a time: the bits of a chain do not
/// depend on it, and `seen`, which hears how many are done and stops the work by returning false, is called in between: then
/// `None`.
///
/// # Errors
/// What the chains return.
pub fn draw(
    ranks: &dyn Ranks,
    sampler: &Sampler<Net>,
    (seed, count): (u64, usize),
    seen: &mut dyn FnMut(usize) -> bool,
) -> Result<Option<Pixels>> {
    let (chains, stride) = (Chains::samples(seed, count), 8 * sampler.block() * ranks.size());
    let (mut pixels, mut shape) = (Vec::new(), (0, 0, 0, 0));
    for first in (0..count).step_by(stride) {
        let last = (first + stride).min(count);
        let part = Chains { ids: first as u64..last as u64, ..chains.clone() };
        match shared::chains(ranks, sampler, &part, |_| ())?.0 {
            Ok(images) => {
                shape = images.dim();
                pixels.extend(images.into_raw_vec_and_offset().0);
            }
            Err(step) => return Ok(Some(Err(step))),
        }
        if !seen(last) {
            return Ok(None);
        }
    }
    Ok(Some(Ok(Array4::from_shape_vec((count, shape.1, shape.2, shape.3), pixels)?)))
}

/// Samples that somebody has, at most `count`: in the size of the real images, where there are some.
///
/// # Errors
/// They cannot be read, or have another size than the net of statistics asks for.
pub fn given(real: Option<&ImageSet>, path: &Path, count: Option<u32>) -> Result<Array4<u8>> {
    let most = count.map_or(usize::MAX, |count| count as usize);
    if let Some(images) = real {
        return Ok(gallery(path, images.height(), images.channels(), most)?.images);
    }
    let set = ImageSet::open(path).context("with statistics as --data, --samples must be a .npy")?;
    let count = set.len().min(most);
    let bytes: Vec<u8> = (0..count).flat_map(|i| set.image(i)).copied().collect();
    Ok(Array4::from_shape_vec((count, set.height(), set.width(), set.channels()), bytes)?)
}

/// How near samples come to real images, in grey levels, 0 to 255.
#[derive(Serialize)]
pub struct Copies<'a> {
    picture: Shown<'a>,
    pub least: Option<f64>,
    pub median: Option<f64>,
    most: Option<f64>,
    /// Real images among the nearest.
    pub different: usize,
}

/// Show the first samples above their nearest real images, and say how near those are.
///
/// # Errors
/// The shapes differ, the picture cannot be written.
pub fn copies<'a>(path: &'a Path, samples: &Array4<u8>, images: &ImageSet) -> Result<Copies<'a>> {
    let shown = samples.slice(ndarray::s![..SHOWN.0.min(samples.dim().0), .., .., ..]).to_owned();
    let found = nearest(images, &shown.view())?;
    let columns = SHOWN.1.min(found.len());
    write_grid(path, &with_neighbours(&shown, images, &found, columns)?.view(), columns, PADDING)?;
    let mut distances: Vec<f64> = found.iter().map(|one| one.distance).collect();
    distances.sort_by(f64::total_cmp);
    let different: std::collections::BTreeSet<usize> = found.iter().map(|one| one.index).collect();
    Ok(Copies {
        picture: Shown(path),
        least: distances.first().copied(),
        median: distances.get(distances.len() / 2).copied(),
        most: distances.last().copied(),
        different: different.len(),
    })
}

/// Errors of reconstructions by the default method of `srm reconstruct`, per pixel on the [-1, 1] scale.
#[derive(Serialize)]
pub struct Reconstructed<'a> {
    images: Shown<'a>,
    pub count: usize,
    iterations: usize,
    method: &'static str,
    latent: &'static str,
    pub mean_mse: f64,
    worst_mse: f64,
    pub moved: f64,
}

/// Reconstruct the first `count` images of a file or folder.
///
/// # Errors
/// Images that cannot be used, chains that blow up, Ctrl-C.
pub fn reconstructed<'a>(
    model: &Model,
    (path, count): (&'a Path, usize),
    session: &Session,
) -> Result<Reconstructed<'a>> {
    let [size, _, channels] = model.shape();
    let images = gallery(path, size, channels, count)?;
    let target = to_tensor(&images.images)?.f_to_device(model.machine.device)?;
    let run = model.generator(ChainNoise::Fixed(1), 1);
    let method = Method::best_for(run.has_curvature());
    // a ladder's z alone holds outlines
    let latent = if model.net.grids() > 1 { Latent::Grids } else { Latent::Free };
    let options = ReconstructOptions { latent, ..ReconstructOptions::new(method, ITERATIONS, 1) };
    let _guard = tch::no_grad_guard();
    let found = with_bar(session, (ITERATIONS, "iterations"), |seen| {
        let mut heard = |progress: &srm_latent::Progress| seen(progress.iteration);
        let targets = (&target, None);
        let found = shared::reconstruct(&**session.ranks(), &run, model.block, targets, &options, &mut heard)?;
        Ok((!interrupt::asked()).then_some(found))
    })?;
    let (mean_mse, worst_mse) = mean_and_worst(&found);
    Ok(Reconstructed {
        images: Shown(path),
        count: found.mse.len(),
        iterations: ITERATIONS,
        method: options.method.name(),
        latent: options.latent.name(),
        mean_mse,
        worst_mse,
        moved: found.mean_displacement(),
    })
}
