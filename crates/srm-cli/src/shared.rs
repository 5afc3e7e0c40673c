//! Share chains and reconstructions among ranks, by whole blocks.

use anyhow::Result;
use srm_energy::ConvNet;
use srm_langevin::{Chains, LangevinError, Observer, Outcome, Sampler, Samples};
use srm_latent::{Progress, ReconstructOptions, Reconstruction, ShortRun};
use srm_ranks::Ranks;
use tch::Tensor;

/// What a rank that was asked to stop says in place of a step: earlier than any.
const STOPPED: f64 = -1.0;

/// Run this rank's part of `chains`: its images, or the earliest step at which a chain of any rank blew up. The observers saw this
/// rank's blocks.
///
/// # Errors
/// As in [`Sampler::run`]; a stop at any rank is one at all.
pub fn chains<O: Observer + Send + 'static>(
    team: &dyn Ranks,
    sampler: &Sampler<ConvNet>,
    chains: &Chains,
    observe: impl Fn(u64) -> O + Send + Sync + 'static,
) -> Result<(std::result::Result<Tensor, usize>, Vec<O>)> {
    let (found, bad_step) = match sampler.run(&chains.part(team.own_rows(chains.count(), sampler.block())), observe) {
        Err(LangevinError::Stopped) => (None, STOPPED),
        found => match found? {
            (Outcome::Finished(Samples { x }), observers) => (Some((x, observers)), f64::INFINITY),
            (Outcome::Diverged { step, x }, observers) => (Some((x, observers)), step as f64),
        },
    };
    let bad_step = team.gather_numbers(&[bad_step])?.concat().into_iter().fold(f64::INFINITY, f64::min);
    let (x, observers) = found.filter(|_| bad_step != STOPPED).ok_or(LangevinError::Stopped)?;
    Ok((if bad_step.is_finite() { Err(bad_step as usize) } else { Ok(x) }, observers))
}

/// Reconstruct `images`, each rank some whole blocks of them; every rank gets all, with the bits of a single process. `seen` hears of
/// this rank's images.
///
/// # Shapes
/// images and mask: `[n, c, h, w]`.
///
/// # Errors
/// As in [`ShortRun::reconstruct`].
pub fn reconstruct(
    team: &dyn Ranks,
    run: &ShortRun<ConvNet>,
    block: usize,
    (images, mask): (&Tensor, Option<&Tensor>),
    options: &ReconstructOptions,
    seen: &mut dyn FnMut(&Progress) -> bool,
) -> Result<Reconstruction> {
    if team.size() == 1 {
        return Ok(run.reconstruct(images, mask, options, seen)?);
    }
    // an image has a row for each of its starts: as many images as fill whole blocks with them
    let unit = block / greatest_common_divisor(block, options.starts.max(1));
    let mine = team.own_rows(images.size()[0] as usize, unit);
    let own_rows = |all: &Tensor| all.f_narrow(0, mine.start as i64, mine.len() as i64);
    let mask = mask.map(own_rows).transpose()?;
    let own = ReconstructOptions { first: mine.start, ..options.clone() };
    let found = run.reconstruct(&own_rows(images)?, mask.as_ref(), &own, seen)?;
    gathered(team, found, options)
}

/// The parts of all ranks as one. A rank whose images were done early has fewer iterations: its images stay as they are.
fn gathered(team: &dyn Ranks, part: Reconstruction, options: &ReconstructOptions) -> Result<Reconstruction> {
    let of_all = |numbers: Vec<f64>| Ok::<_, anyhow::Error>(team.gather_numbers(&numbers)?.concat());
    let iterations = part.errors.first().map_or(0, Vec::len);
    let longest = of_all(vec![iterations as f64])?.into_iter().fold(0.0, f64::max) as usize;
    let mut kept = Vec::new();
    for &t in options.keep.iter().filter(|&&t| t < longest) {
        let own = part.kept.iter().find(|(at, _)| *at == t).map_or(&part.x, |(_, x)| x);
        kept.push((t, team.gather_rows(own)?));
    }
    let padded = part.errors.iter().flat_map(|errors| (0..longest).map(|t| errors[t.min(errors.len() - 1)]));
    let errors = of_all(padded.collect())?.chunks(longest.max(1)).map(<[f64]>::to_vec).collect();
    let iteration = of_all(part.iteration.iter().map(|&t| t as f64).collect())?;
    Ok(Reconstruction {
        x: team.gather_rows(&part.x)?,
        z: team.gather_rows(&part.z)?,
        mse: of_all(part.mse)?,
        iteration: iteration.into_iter().map(|t| t as usize).collect(),
        kept,
        errors,
        moved: of_all(part.moved)?,
    })
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}
