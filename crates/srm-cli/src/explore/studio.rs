//! Compute what the page asks for: one job at a time, given up when nobody waits for it any more.

use std::{os::unix::fs::MetadataExt, path::PathBuf, time::Instant};

use anyhow::{Context, Result, anyhow, bail};
use ndarray::{Array4, Axis};
use serde_json::{Value, json};
use srm_config::{Config, LangevinConfig};
use srm_data::{ImageSet, nearest_few};
use srm_energy::Energy;
use srm_explore::{Ask, Draw, Job, Neighbours, Reconstruct, Reply, Source, States, Target, answer64};
use srm_langevin::Stop;
use srm_latent::{ChainNoise, Latent, Method, Progress, ReconstructOptions, ShortRun, ShortRunOptions};
use srm_run::{Run, layout::CONFIG};
use srm_train::{to_bytes, to_tensor};
use tch::{Device, Tensor};

use super::{
    commands,
    frames::{Frame, Frames, numbers},
};
use crate::{
    flags::Size,
    images::{self, places::Places},
    model::{Choice, Code, Model, Net, weights},
    reconstruct::observed,
    session::{Failure, Machine, Session, failure, interrupt},
};

/// Nets that are kept open: a page moves to and fro between checkpoints.
const OPEN: usize = 24;
/// A chain may go on to so many times K.
const BEYOND: usize = 10;
/// Pixels of all states of a request at most.
const MOST_PIXELS: usize = 1 << 28;
/// Iterates of a reconstruction that the page sees at most.
const SHOWN: usize = 200;

/// Whoever has the nets.
pub struct Studio<'a> {
    sources: Vec<Source>,
    machine: Machine,
    session: &'a Session,
    /// The nets that were asked for last, the newest at the end.
    open: Vec<(Opened, Model)>,
    /// Flags of the command line that commands repeat.
    compute: String,
}

/// A weights file as it was when it was opened: its place, and what tells another file at that place.
type Opened = (PathBuf, Option<(u64, u64, i64)>);

/// What the page needs to know of a net.
pub fn described(model: &Model) -> srm_explore::Net {
    srm_explore::Net::new(model.net.config(), &model.langevin)
}

impl<'a> Studio<'a> {
    /// A studio for these sources.
    pub fn new(sources: Vec<Source>, machine: Machine, session: &'a Session, compute: String) -> Studio<'a> {
        Studio { sources, machine, session, open: Vec::new(), compute }
    }

    /// Do a job. What goes wrong is told to who asked, not to the terminal.
    pub fn work(&mut self, job: Job) {
        let _guard = tch::no_grad_guard();
        let Job { ask, reply } = job;
        let done = match &ask {
            Ask::Draw(asked) => self.draw(asked, &reply),
            Ask::Neighbours(asked) => self.neighbours(asked, &reply),
            Ask::Reconstruct(asked, target) => self.reconstruct(asked, target, &reply),
        };
        match done {
            Err(error) if !failure::is_stop(&*error) => reply.fail(&failure::text(&error)),
            _ => {}
        }
    }

    /// The net of a source, at a checkpoint or the newest.
    fn model(&mut self, source: usize, update: Option<u64>) -> Result<&Model> {
        let file = weights::locate_at(&self.sources[source].weights, update)?;
        let about = std::fs::metadata(&file).ok();
        let opened = (file, about.map(|about| (about.ino(), about.len(), about.mtime_nsec() ^ about.mtime())));
        match self.open.iter().position(|(known, _)| *known == opened) {
            Some(place) => {
                let kept = self.open.remove(place);
                self.open.push(kept);
            }
            None => {
                let model = Model::load(&opened.0, &Choice::default(), self.machine, self.session)?;
                if self.open.len() == OPEN {
                    self.open.remove(0);
                }
                self.open.push((opened, model));
            }
        }
        Ok(&self.open[self.open.len() - 1].1)
    }

    fn about(&self, source: usize) -> About {
        let Source { name, run, .. } = &self.sources[source];
        About { name: name.clone(), is_run: run.is_some(), compute: self.compute.clone() }
    }

    fn draw(&mut self, asked: &Draw, reply: &Reply) -> Result<()> {
        let about = self.about(asked.source);
        let model = self.model(asked.source, asked.update)?;
        let (begun, trained) = (Instant::now(), model.langevin.steps);
        let steps = asked.steps.unwrap_or(trained);
        if !(1..=BEYOND * trained).contains(&steps) {
            bail!("{steps} steps; the page shows 1 to {BEYOND} K, {}", BEYOND * trained);
        }
        let langevin =
            model.langevin.with_steps(steps).with_context(|| format!("{steps} steps end before the finest grid"))?;
        let run = generator(model, &langevin, asked.noise.then(|| asked.codes[0].seed()), reply);
        let (z, ids) = starts(&run, model, &asked.codes)?;
        let mut wanted = match &asked.states {
            States::End(_) => Vec::new(),
            States::At(steps) => steps.clone(),
        };
        wanted.retain(|&step| step < steps);
        wanted.sort_unstable();
        wanted.dedup();
        let pixels = model.shape().iter().product::<usize>() * ids.len() * (wanted.len() + 1);
        if pixels > MOST_PIXELS {
            bail!("{} states of {} chains are too many at once; ask for fewer", wanted.len(), ids.len());
        }
        let frames = Frames::new(wanted, (ids.len(), model.block), reply.clone());
        let x = run.watched(&z, &ids, move |first| frames.block(first))?;
        let f = numbers(&model.net.finest().f(&x)?)?;
        reply.send(&Frame::new(steps, &to_bytes(&x)?, f));
        let command = commands::sample(&about.of(model), asked, trained);
        reply.send(&json!({ "done": true, "seconds": begun.elapsed().as_secs_f64(), "command": command }));
        Ok(())
    }

    fn neighbours(&mut self, asked: &Neighbours, reply: &Reply) -> Result<()> {
        let images = self.training_images(asked.source)?;
        let model = self.model(asked.source, asked.update)?;
        model.require(&images)?;
        let run = generator(model, &model.langevin, Some(asked.code.seed()), reply);
        let (z, ids) = starts(&run, model, std::slice::from_ref(&asked.code))?;
        let sample = to_bytes(&run.generate(&z, &ids)?)?;
        let [h, w, c] = images.shape();
        let told = |one: srm_data::Neighbour| {
            let pixels = Array4::from_shape_vec((1, h, w, c), images.image(one.index).to_vec())?;
            let pixels = if one.mirrored { pixels.slice_move(ndarray::s![.., .., ..;-1, ..]) } else { pixels };
            Ok(json!({
                "index": one.index, "distance": one.distance, "size": h, "channels": c, "pixels": answer64(&pixels),
            }))
        };
        let found = nearest_few(&images, &sample.index_axis(Axis(0), 0), asked.count)?;
        let found = found.into_iter().map(told).collect::<Result<Vec<_>>>()?;
        reply.send(&json!({ "images": found }));
        Ok(())
    }

    /// The images that a run was trained on.
    fn training_images(&self, source: usize) -> Result<ImageSet> {
        let Some(folder) = &self.sources[source].run else {
            bail!("the training images are not here: weights alone do not say which they were");
        };
        let mut config: Config = Run::open(folder)?.config()?.context("this run has no config.json")??;
        if images::is_synthetic(&config) {
            return images::open(&config);
        }
        let images = &config.data.images;
        let found = Places::of(&folder.join(CONFIG)).find(images);
        let (found, _) = found.with_context(|| format!("the training images are not here: {}", images.display()))?;
        if config.data.crop.is_some() {
            config.data.images = found;
            return images::open(&config);
        }
        Ok(ImageSet::open(&found)?)
    }

    fn reconstruct(&mut self, asked: &Reconstruct, target: &Target, reply: &Reply) -> Result<()> {
        let about = self.about(asked.source);
        let latent = latent(&asked.latent)?;
        let model = self.model(asked.source, asked.update)?;
        let begun = Instant::now();
        let [height, width, channels] = model.shape();
        let fits = target.pixels.dim() == (1, height, width, channels);
        if !fits || target.mask.as_ref().is_some_and(|(_, white)| white.len() != height * width) {
            bail!("picture or mask were brought for a net of another size; bring them again");
        }
        let run = generator(model, &model.langevin, Some(asked.seed), reply);
        let images = to_tensor(&target.pixels)?.f_to_device(model.machine.device)?;
        let mask = target.mask.as_ref().map(|(_, white)| observed(white.iter(), (1, 1), model.image()));
        let mask = mask.transpose()?.map(|mask| mask.f_to_device(model.machine.device)).transpose()?;
        let method = Method::best_for(run.has_curvature());
        let options = ReconstructOptions {
            latent,
            starts: asked.starts,
            target_mse: asked.observed_noise.map(|sigma| sigma * sigma),
            ..ReconstructOptions::new(method, asked.iterations, asked.seed)
        };
        let every = asked.iterations.div_ceil(SHOWN);
        let mut seen = |progress: &Progress| {
            if progress.iteration.is_multiple_of(every) {
                let best =
                    (0..progress.errors.len()).min_by(|&a, &b| progress.errors[a].total_cmp(&progress.errors[b]));
                let shown = progress.x.f_narrow(0, best.unwrap_or(0) as i64, 1).map_err(anyhow::Error::from);
                if let Ok(pixels) = shown.and_then(|x| Ok(to_bytes(&x)?)) {
                    reply.send(&iterate(progress.iteration, progress.mse, &pixels));
                }
            }
            !reply.is_over() && !interrupt::asked()
        };
        let found = run.reconstruct(&images, mask.as_ref(), &options, &mut seen)?;
        if interrupt::asked() {
            return Err(Failure::Abandoned("srm explore is stopping".to_owned()).into());
        }
        let pixels = to_bytes(&found.x)?;
        let (best, mse) = (found.iteration[0], found.mse[0]);
        let seconds = begun.elapsed().as_secs_f64();
        reply.send(&iterate(best, mse, &pixels));
        let command = commands::reconstruct(&about.of(model), asked, target);
        reply
            .send(&json!({ "done": true, "seconds": seconds, "best_iteration": best, "mse": mse, "command": command }));
        Ok(())
    }
}

/// What a command says of a source.
struct About {
    name: String,
    is_run: bool,
    compute: String,
}

impl About {
    /// The words for the net that was loaded: of a run its checkpoint, since a newer one may come.
    fn of(&self, model: &Model) -> commands::Weights {
        let checkpoint = model.file.parent().and_then(|folder| folder.file_name()?.to_str()?.parse().ok());
        let update = checkpoint.filter(|_| self.is_run);
        let is_exact = model.machine.device == Device::Cpu;
        let [height, width, _] = model.shape();
        let size = model.net.config().any_size.then_some(Size([height, width]));
        commands::Weights { name: self.name.clone(), update, compute: self.compute.clone(), size, is_exact }
    }
}

/// The generator of a job, without noise or with that of a seed; it ends when nobody waits for it any more.
fn generator(model: &Model, langevin: &LangevinConfig, seed: Option<u64>, reply: &Reply) -> ShortRun<Net> {
    let noise = seed.map_or(ChainNoise::Off, ChainNoise::Fixed);
    let mut run = ShortRun::new(&model.net, langevin, ShortRunOptions { noise, spread: model.spread(), keep_every: 1 });
    let reply = reply.clone();
    run.stop_when(Stop::when(move || reply.is_over() || interrupt::asked()));
    run
}

/// z of codes of one seed's noise, `[n, …]`, and their noise ids.
fn starts(run: &ShortRun<Net>, model: &Model, codes: &[srm_explore::Code]) -> Result<(Tensor, Vec<u64>)> {
    let codes: Vec<Code> = codes.iter().map(Code::from).collect();
    Code::starts(&codes, run, 1, &model.image()) // each names its seeds itself
}

/// An iterate of a reconstruction, u8 `[1, h, w, c]`, as the page takes it.
fn iterate(iteration: usize, mse: f64, pixels: &Array4<u8>) -> Value {
    let (_, size, _, channels) = pixels.dim();
    json!({ "iteration": iteration, "mse": mse, "size": size, "channels": channels, "pixels": answer64(pixels) })
}

fn latent(name: &str) -> Result<Latent> {
    let known = [Latent::Free, Latent::Support, Latent::Grids];
    known
        .into_iter()
        .find(|latent| latent.name() == name)
        .ok_or_else(|| anyhow!("latent is free, support or grids, not {name}"))
}
