//! Share chains and reconstructions among the ranks, by whole blocks; every rank has the whole result.

use anyhow::Result;
use ndarray::Array4;
use srm_langevin::{Chains, LangevinError, Observer, Outcome, Path as States, Sampler, Samples, up_to};
use srm_latent::{Progress, ReconstructOptions, Reconstruction, ShortRun};
use srm_ranks::{Ranks, agree};
use srm_train::to_bytes;
use tch::Tensor;

use super::Net;

/// What a rank that was asked to stop says in place of a step: earlier than any.
const STOPPED: f64 = -1.0;

/// Images u8 `[n, h, w, c]`, or the earliest step at which a chain of any rank blew up.
pub type Pixels = std::result::Result<Array4<u8>, usize>;

/// Run chains: their images, and the observers of this rank's blocks.
///
/// # Errors
/// As in [`Sampler::run`]; a stop at any rank is one at all.
pub fn chains<O: Observer + Send + 'static>(
    ranks: &dyn Ranks,
    sampler: &Sampler<Net>,
    chains: &Chains,
    observe: impl Fn(u64) -> O + Send + Sync + 'static,
) -> Result<(Pixels, Vec<O>)> {
    let (found, bad_step) = match sampler.run(&own(ranks, chains, sampler.block()), observe) {
        Err(LangevinError::Stopped) => (None, STOPPED),
        found => match found? {
            (Outcome::Finished(Samples { x }), observers) => (Some((x, observers)), f64::INFINITY),
            (Outcome::Diverged { step, x }, observers) => (Some((x, observers)), step as f64),
        },
    };
    let bad_step = ranks.gather_numbers(&[bad_step])?.concat().into_iter().fold(f64::INFINITY, f64::min);
    let (x, observers) = found.filter(|_| bad_step != STOPPED).ok_or(LangevinError::Stopped)?;
    match bad_step.is_finite() {
        true => Ok((Err(bad_step as usize), observers)),
        false => Ok((Ok(ranks.gather_images(to_bytes(&x)?)?), observers)),
    }
}

/// The chains that are this rank's: whole blocks.
pub fn own(ranks: &dyn Ranks, chains: &Chains, block: usize) -> Chains {
    chains.part(ranks.own_rows(chains.count(), block))
}

/// The states that this rank's blocks have kept of the first `count` of `chains`: one array `[count, h, w, c]` per state, noise
/// first, those of all ranks together; a ladder's coarse states up-sampled. `shape`: that of an image, `[h, w, c]`.
///
/// # Errors
/// libtorch refuses, the ranks cannot be reached.
pub fn states<'a>(
    ranks: &dyn Ranks,
    kept: impl Iterator<Item = &'a States>,
    (chains, block): (&Chains, usize),
    count: usize,
    [h, w, c]: [usize; 3],
) -> Result<Vec<Array4<u8>>> {
    let kept: Vec<&[Tensor]> = kept.map(States::states).collect();
    // the first chains are rank 0's, so it has kept some where any rank has
    let states = agree::<_, anyhow::Error>(ranks, || Ok(kept.first().map_or(0, |states| states.len())))?;
    let mine = own(ranks, chains, block).ids;
    let rows = mine.end.min(count as u64).saturating_sub(mine.start) as i64;
    let state = |k: usize| {
        let blocks: Vec<&Tensor> = kept.iter().map(|states| &states[k]).collect();
        let images = match rows {
            0 => Array4::zeros((0, h, w, c)),
            rows => {
                let x = Tensor::f_cat(&blocks, 0)?.f_narrow(0, 0, rows)?;
                to_bytes(&up_to(&x, &[c as i64, h as i64, w as i64])?)?
            }
        };
        Ok(ranks.gather_images(images)?)
    };
    (0..states).map(state).collect()
}

/// Reconstruct `images`, each rank some whole blocks of them; every rank gets all, with the bits of one process. `seen` hears of
/// this rank's images.
///
/// # Shapes
/// images and mask: `[n, c, h, w]`.
///
/// # Errors
/// As in [`ShortRun::reconstruct`].
pub fn reconstruct(
    ranks: &dyn Ranks,
    run: &ShortRun<Net>,
    block: usize,
    (images, mask): (&Tensor, Option<&Tensor>),
    options: &ReconstructOptions,
    seen: &mut dyn FnMut(&Progress) -> bool,
) -> Result<Reconstruction> {
    if ranks.size() == 1 {
        return Ok(run.reconstruct(images, mask, options, seen)?);
    }
    // an image has a row for each of its starts: as many images as fill whole blocks with them
    let unit = block / greatest_common_divisor(block, options.starts.max(1));
    let mine = ranks.own_rows(images.size()[0] as usize, unit);
    let own_rows = |all: &Tensor| all.f_narrow(0, mine.start as i64, mine.len() as i64);
    let mask = mask.map(own_rows).transpose()?;
    let own = ReconstructOptions { offset: mine.start, ..options.clone() };
    let found = run.reconstruct(&own_rows(images)?, mask.as_ref(), &own, seen)?;
    gathered(ranks, found, options)
}

/// The parts of all ranks as one. A rank whose images were done early has fewer iterations: its images stay as they are.
fn gathered(ranks: &dyn Ranks, part: Reconstruction, options: &ReconstructOptions) -> Result<Reconstruction> {
    let of_all = |numbers: Vec<f64>| Ok::<_, anyhow::Error>(ranks.gather_numbers(&numbers)?.concat());
    let iterations = part.errors.first().map_or(0, Vec::len);
    let longest = of_all(vec![iterations as f64])?.into_iter().fold(0.0, f64::max) as usize;
    let mut kept = Vec::new();
    for &t in options.snapshots.iter().filter(|&&t| t < longest) {
        let own = part.kept.iter().find(|(at, _)| *at == t).map_or(&part.x, |(_, x)| x);
        kept.push((t, ranks.gather_rows(own)?));
    }
    let padded = part.errors.iter().flat_map(|errors| (0..longest).map(|t| errors[t.min(errors.len() - 1)]));
    let errors = of_all(padded.collect())?.chunks(longest.max(1)).map(<[f64]>::to_vec).collect();
    let iteration = of_all(part.iteration.iter().map(|&t| t as f64).collect())?;
    Ok(Reconstruction {
        x: ranks.gather_rows(&part.x)?,
        z: ranks.gather_rows(&part.z)?,
        mse: of_all(part.mse)?,
        iteration: iteration.into_iter().map(|t| t as usize).collect(),
        kept,
        errors,
        displacement: of_all(part.displacement)?,
    })
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}
