//! Hold the net and what every diagnostic of chains runs on.

use std::{ops::Range, sync::Arc};

use anyhow::Result;
use serde::Serialize;
use srm_data::{ImageSet, Pick, fill_batch};
use srm_energy::Energy;
use srm_eval::{ChainLog, Plan};
use srm_langevin::{ChainKey, Chains, Sampler, sample_axes};
use tch::{Device, Kind, Tensor};

use crate::{
    flags::ChainsFlags,
    images::open_file,
    model::{Model, Net},
    session::{Failure, Session, interrupt, usage},
};

/// Blocks of short chains between two looks whether somebody asked to stop.
const BLOCKS: usize = 8;

/// A net with a sampler that goes on to one step beyond the last shown, so that f at the last one is seen too.
pub struct Bench<'a> {
    pub flags: &'a ChainsFlags,
    pub session: &'a Session,
    pub model: &'a Model,
    pub sampler: Sampler<Net>,
    /// The last step of the short chains.
    pub beyond: usize,
    /// What computes: another one rounds otherwise.
    pub kernels: String,
    /// What the net says of --data, once it has seen them.
    pub numbers: Option<DataNumbers>,
    images: Option<ImageSet>,
}

/// What the net says of real images.
#[derive(Clone, Debug, Serialize)]
pub struct DataNumbers {
    #[serde(serialize_with = "crate::session::shown::path")]
    file: std::path::PathBuf,
    count: usize,
    pub f: f64,
    pub f_std: f64,
    pub gradient_norm: f64,
    pub std: f64,
}

impl<'a> Bench<'a> {
    /// Be ready to run a net.
    ///
    /// # Errors
    /// --beyond is below K; the images are missing or of another shape.
    pub fn new(flags: &'a ChainsFlags, session: &'a Session, model: &'a Model) -> Result<Self> {
        let trained = model.langevin.steps;
        let beyond = flags.beyond.map_or(2 * trained, |beyond| beyond as usize);
        if beyond < trained {
            return Err(usage(format!("--beyond {beyond} is below K = {trained}; give at least K")));
        }
        model.mention_start();
        let images = flags.data.as_deref().map(|path| {
            let mut images = open_file(path)?;
            model.require(&images)?;
            images.truncate(flags.data_count as usize);
            Ok::<_, anyhow::Error>(images)
        });
        let images = images.transpose()?;
        let langevin = model.langevin.with_steps(beyond + 1).unwrap_or_else(|| model.langevin.clone()); // beyond is K or more
        let sampler = model.unstoppable_sampler(&langevin);
        let kernels = match model.machine.device {
            Device::Cpu => format!("cpu {}", srm_energy::cpu_kernels(model.net.config().features)),
            _ => format!("cuda {}", model.machine.numbers()),
        };
        Ok(Self { flags, session, model, sampler, beyond, kernels, numbers: None, images })
    }

    /// The seed's key: chain i is image i of `srm sample`.
    pub fn key(&self) -> ChainKey {
        ChainKey { seed: self.flags.common.seed, attempt: 0, update: 0 }
    }

    /// Logs of the short chains `ids` by a plan, block by block; from `z` where it is given, a row each.
    ///
    /// # Errors
    /// What the net returns; Ctrl-C.
    pub fn logs(&self, z: Option<&Tensor>, ids: Range<u64>, plan: Plan, what: &str) -> Result<Vec<ChainLog>> {
        let (plan, block, device) = (Arc::new(plan), self.sampler.block(), self.model.machine.device);
        let bar = self.session.bar(ids.end - ids.start, what);
        let mut logs = Vec::new();
        for first in ids.clone().step_by(BLOCKS * block) {
            let part = first..(first + (BLOCKS * block) as u64).min(ids.end);
            let (row, rows) = ((first - ids.start) as i64, (part.end - part.start) as i64);
            let z = z.map(|z| z.f_narrow(0, row, rows)).transpose()?;
            let plan = Arc::clone(&plan);
            let chains = Chains { key: self.key(), ids: part };
            let observe = move |_| ChainLog::new(Arc::clone(&plan), block, device);
            logs.extend(self.sampler.run_from(z.as_ref(), &chains, observe)?.1);
            bar.inc(rows as u64);
            if interrupt::asked() {
                return Err(Failure::Interrupted("interrupted; nothing was written".to_owned()).into());
            }
        }
        bar.finish_and_clear();
        Ok(logs)
    }

    /// Show --data to the net, as the images are, without noise.
    ///
    /// # Errors
    /// What the net returns.
    pub fn see_data(&mut self) -> Result<()> {
        let Some(images) = &self.images else { return Ok(()) };
        let image = self.model.image();
        let (count, block) = (images.len(), self.sampler.block());
        let mut batches = Vec::new();
        for first in (0..count).step_by(block) {
            let picks: Vec<Pick> =
                (first..(first + block).min(count)).map(|index| Pick { index, flip: false }).collect();
            let mut pixels = Vec::new();
            fill_batch(images, &picks, &mut pixels)?;
            let x = Tensor::f_from_slice(&pixels)?.f_reshape([&[picks.len() as i64], &image[..]].concat())?;
            batches.push(x.f_to_device(self.model.machine.device)?);
        }
        let numbers = self.sampler.workers().pool().map(batches, |energy, x| {
            let (f, gradient) = energy.f_and_grad(&x)?;
            let pixels = sample_axes(&x);
            let columns = [
                f.f_to_kind(Kind::Float)?,
                gradient.f_norm_scalaropt_dim(2, &pixels[..], false)?,
                x.f_mean_dim(pixels.as_slice(), false, Kind::Float)?,
                x.f_square()?.f_mean_dim(pixels.as_slice(), false, Kind::Float)?,
            ];
            Ok(Tensor::f_stack(&columns, 0)?.f_to_device(Device::Cpu)?) // [4, b]
        })?;
        let all = Tensor::f_cat(&numbers, 1)?.f_to_kind(Kind::Double)?;
        let means = Vec::<f64>::try_from(all.f_mean_dim([1i64].as_slice(), false, Kind::Double)?)?;
        self.numbers = Some(DataNumbers {
            file: images.path().to_owned(),
            count,
            f: means[0],
            f_std: all.f_select(0, 0)?.f_std(false)?.f_double_value(&[])?,
            gradient_norm: means[1],
            std: (means[3] - means[2].powi(2)).max(0.0).sqrt(),
        });
        Ok(())
    }
}
