//! Run `srm evaluate`: distances between samples and real images, with everything that moves them.

pub mod features;
mod report;
pub mod samples;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use ndarray::Array4;
use serde_json::Value;
use srm_config::parse_json;
use srm_eval::{FeatureNetwork, SPLITS, inception_score};
use srm_random::{Key, Purpose, permutation};
use srm_run::{
    Checkpoint,
    layout::{CHECKPOINTS, EVALUATION},
};

use crate::{
    flags::EvaluateFlags,
    images::digest,
    model::{
        Choice, Model, remote,
        weights::{self, checkpoints},
    },
    session::{Failure, Machine, Session, Shown, usage, write_json},
};
use features::{Gathered, Judge, RealFeatures, Reference, with_bar};
use report::{Data, Halves, Inception, Report, Scored};
use samples::{copies, draw, given, reconstructed};

/// Samples below which a Fréchet distance says little: its bias falls with 1/n (Chong and Forsyth 2020, arXiv 1911.07023).
const FEW: usize = 10_000;

/// Score samples and print the table.
///
/// # Errors
/// Bad usage, images, weights or a feature network that cannot be used, chains that blow up.
pub fn run(flags: &EvaluateFlags, session: &Session) -> Result<()> {
    // which checkpoints, the candidates say
    let choice = Choice { update: None, ..Choice::of(&flags.model)? };
    // a file more in a checkpoint would look like damage, and a hub's folder is not ours
    let run = flags.weights.as_ref().filter(|path| path.join(CHECKPOINTS).is_dir());
    let file = flags.out.clone().or(run.map(|run| run.join(EVALUATION)));
    let outputs = [file.as_ref(), flags.save_stats.as_ref(), flags.nearest.as_ref()];
    session.prepare(outputs.into_iter().flatten().map(|path| &**path))?;
    let machine = flags.model.compute.open()?;
    let begun = Instant::now();
    let net = FeatureNetwork::open(&flags.features, machine.device)?;
    tch::set_num_threads(machine.host_threads as i32);
    session.watch_interrupts()?;
    let brought =
        |path: &PathBuf| srm_ranks::agree_on_file(&**session.ranks(), || remote::brought(path, session.output()));
    let weights = flags.weights.as_ref().map(brought).transpose()?;
    let judge = Judge { net: &net, ranks: &**session.ranks() };
    let side = RealImages::open(flags, &judge, session)?;
    let guessed = guessed_count(flags, &side.reference);
    let scoring = Scoring { flags, session, choice, machine, judge, side };
    let self_check = flags.self_check.then(|| scoring.halves()).transpose()?.flatten();
    let mut results = Vec::new();
    for candidate in srm_ranks::agree_on_files(&**session.ranks(), || candidates(flags, weights.as_deref()))? {
        results.extend(scoring.scored(&candidate)?);
    }
    session.conclude(|| {
        let few = too_few(&results);
        let report = Report {
            command: "evaluate",
            data: Data::new(Shown(&flags.data), &scoring.side.reference, manifest(&flags.data)),
            features: net.identity(),
            results,
            self_check,
            warnings: guessed.into_iter().chain(few.clone()).collect(),
            seconds: begun.elapsed().as_secs_f64(),
        };
        file.as_ref().map_or(Ok(()), |path| write_json(path, &report))?;
        few.inspect(|few| tracing::warn!("{few}"));
        Ok(report)
    })
}

/// The warning, given at once, that nothing says how many samples to draw.
fn guessed_count(flags: &EvaluateFlags, reference: &Reference) -> Option<String> {
    let is_guessed = flags.weights.is_some() && flags.count.is_none() && reference.count().is_none();
    let warning = is_guessed.then(|| {
        format!(
            "{} does not say of how many images it is: drawing {FEW} samples (--count N draws another number)",
            flags.data.display()
        )
    });
    warning.inspect(|warning| tracing::warn!("{warning}"))
}

/// The warning that a distance says little.
fn too_few(results: &[Scored<'_>]) -> Option<String> {
    let count = results.iter().map(|result| result.count).find(|&count| count < FEW)?;
    Some(format!(
        "{count} samples: a Fréchet distance from fewer than {FEW} is biased upwards; compare only equal counts"
    ))
}

/// The real images of a command.
struct RealImages {
    reference: Reference,
    real: Gathered<RealFeatures>,
}

impl RealImages {
    /// Open the real images, see that they serve what is asked for, and compute their features.
    fn open(flags: &EvaluateFlags, judge: &Judge<'_>, session: &Session) -> Result<RealImages> {
        let reference = Reference::open(&flags.data, flags.data_count.map(|count| count as usize), judge.net)?;
        let asked = [(flags.self_check, "--self-check halves"), (flags.nearest.is_some(), "--nearest shows")];
        if let Some((_, what)) = asked.into_iter().find(|(asked, _)| *asked && reference.images().is_none()) {
            return Err(usage(format!(
                "{what} the real images, and {} holds their statistics alone; give the images as --data",
                flags.data.display()
            )));
        }
        session.same("images in --data", || reference.fingerprint())?;
        let real = reference.real(judge, session)?;
        session.write(|| match &flags.save_stats {
            Some(path) => Ok(real.here()?.moments.save(path, judge.net.identity())?),
            None => Ok(()),
        })?;
        Ok(RealImages { reference, real })
    }
}

/// What is scored, one after the other: samples, a weights file, or the checkpoints of a run.
fn candidates(flags: &EvaluateFlags, weights: Option<&Path>) -> Result<Vec<PathBuf>> {
    if let Some(samples) = &flags.samples {
        return Ok(vec![samples.clone()]);
    }
    let Some(path) = weights else { return Ok(Vec::new()) };
    match flags.model.update {
        Some(update) => Ok(vec![weights::locate_at(path, Some(update))?]),
        None => checkpoints(path, flags.newest),
    }
}

/// What every score needs.
struct Scoring<'a> {
    flags: &'a EvaluateFlags,
    session: &'a Session,
    choice: Choice,
    machine: Machine,
    judge: Judge<'a>,
    side: RealImages,
}

impl<'a> Scoring<'a> {
    /// Distance between two random halves of the real images; where results are written.
    fn halves(&self) -> Result<Option<Halves>> {
        let Self { flags, session, judge, side, .. } = self;
        let images = side.reference.images().context("statistics cannot be halved")?; // refused before
        let order = permutation(&Key::new(flags.seed, Purpose::DataOrder), images.len());
        let half = images.len() / 2;
        let part = |first: usize| {
            with_bar(session, (half, "images of a half"), |seen| {
                judge.features(half, images.shape(), |i| images.image(order[first + i]), seen)
            })
        };
        let (one, other) = (part(0)?, part(half)?);
        let (Some(one), Some(other)) = (one.into_inner(), other.get()) else { return Ok(None) };
        Ok(Some(Halves { count: half, distances: RealFeatures::from(one).compare(other, flags.seed)? }))
    }

    /// One line of the table; where results are written.
    fn scored(&self, candidate: &Path) -> Result<Option<Scored<'a>>> {
        let Self { flags, session, .. } = *self;
        let begun = Instant::now();
        let images = self.side.reference.images();
        let open = || Model::load(candidate, &self.choice, self.machine, session);
        let model = flags.samples.is_none().then(open).transpose()?;
        let samples = match &model {
            None => given(images, candidate, flags.count)?,
            Some(model) => self.drawn(model)?,
        };
        let count = samples.dim().0;
        let sha256 = model.as_ref().map_or_else(|| Ok(digest(&samples)), |model| weights::sha256(&model.file))?;
        if model.is_none() {
            session.same("samples", || Ok(sha256.clone()))?;
        }
        let set = with_bar(session, (count, "samples"), |seen| self.judge.features_of(&samples, seen))?;
        let reconstruction = match (&flags.reconstruct, &model) {
            (Some(path), Some(model)) => Some(reconstructed(model, (path, flags.reconstruct_count as usize), session)?),
            _ => None,
        };
        let (Some(real), Some(set)) = (self.side.real.get(), set.get()) else { return Ok(None) };
        let inception = set.logits.as_ref().filter(|_| count >= SPLITS).map(|logits| inception_score(logits, SPLITS));
        Ok(Some(Scored {
            samples: model.as_ref().map_or(candidate, |model| &model.file).display().to_string(),
            sha256,
            update: model.as_ref().and_then(|model| Checkpoint::new(model.file.parent()?).update()),
            seed: model.as_ref().map(|_| flags.seed),
            steps: model.as_ref().map(|model| model.langevin.steps),
            quiet_tail: model.as_ref().map(|model| model.quiet_tail),
            truncation: model.as_ref().and_then(|model| model.truncation),
            langevin: model.as_ref().map(|model| model.langevin.clone()),
            count,
            reconstruction,
            distances: real.compare(set, flags.seed)?,
            inception_score: inception.transpose()?.map(|score| Inception { score, splits: SPLITS }),
            nearest: flags.nearest.as_deref().zip(images).map(|(path, set)| copies(path, &samples, set)).transpose()?,
            seconds: begun.elapsed().as_secs_f64(),
        }))
    }

    /// Samples of a net, as many as are asked for or as there are real images.
    fn drawn(&self, model: &Model) -> Result<Array4<u8>> {
        let Self { flags, session, side, .. } = self;
        let count = flags.count.map_or(side.reference.count().unwrap_or(FEW).clamp(2, FEW), |count| count as usize);
        model.check_chains(count, "--count")?;
        let drawn = with_bar(session, (count, "samples drawn"), |seen| {
            draw(&**session.ranks(), &model.sampler(), (flags.seed, count), seen)
        })?;
        drawn.map_err(|step| {
            let text = format!("the chains of {} blew up at step {step}; nothing was scored", model.file.display());
            Failure::Diverged(text).into()
        })
    }
}

/// The manifest beside an image set, where there is one: crop and filter move every number.
fn manifest(data: &Path) -> Value {
    let text = std::fs::read(data.with_extension("json")).ok();
    text.and_then(|text| parse_json(&text).ok()).unwrap_or(Value::Null)
}
