//! Run chains very long, plain or Metropolis-adjusted: saved on the way, resumed, drawn.

use std::{fmt, path::PathBuf, time::Instant};

use anyhow::Result;
use serde::Serialize;
use srm_config::{Drift, LangevinConfig};
use srm_eval::{ChainTable, LongRun, LongRunEnd, LongRunSettings, Plan, StepStatistics, Variant};
use srm_train::to_bytes;

use super::{
    bench::Bench,
    charts::{BlownUp, Charts, number},
};
use crate::{
    pictures::write_rows,
    session::{Failure, interrupt, shown},
};

/// Chains per block on the CPU: the default of 8 chains then feeds two workers, and the number of workers changes no bit.
const CPU_BLOCK: usize = 4;
/// f is f32: its relative rounding.
const ROUNDING: f64 = 1.0 / (1 << 24) as f64;

/// Chains to run, or to go on with.
pub struct Long {
    run: LongRun,
    settings: LongRunSettings,
    steps: usize,
    /// Where they are saved.
    file: PathBuf,
}

impl Long {
    /// Begin, or read what an earlier command has saved: before any work, so that other settings are refused at once.
    ///
    /// # Errors
    /// Chains saved under other settings or damaged.
    pub fn open(bench: &Bench<'_>, variant: Variant, steps: usize, sha256: &str) -> Result<Self> {
        let settings = settings(bench, variant, sha256);
        let (name, title) = names(variant);
        let file = bench.flags.out.join(format!("{name}.safetensors"));
        let plan = Plan::logarithmic(steps, bench.model.langevin.steps);
        let run = match file.is_file() {
            true => LongRun::load(&file, settings.clone(), plan, bench.model.machine.device)?,
            false => LongRun::new(settings.clone(), plan, bench.model.machine.device)?,
        };
        match run.step() {
            0 => {}
            done if done == steps => tracing::info!("{title} are done already: taken from {}", file.display()),
            step => tracing::info!("{title} go on from step {step} of {steps}, saved in {}", file.display()),
        }
        Ok(Self { run, settings, steps, file })
    }
}

/// What long chains did.
#[derive(Serialize)]
pub struct LongChains {
    steps: usize,
    asked: usize,
    chains: usize,
    block: usize,
    all_blown_up: bool,
    blown_up: BlownUp,
    largest: f64,
    #[serde(serialize_with = "shown::path")]
    saved: PathBuf,
    picture: String,
    picture_steps: Vec<usize>,
    statistics: Vec<StepStatistics>,
    seconds: f64,
    #[serde(flatten)]
    adjusted: Option<Adjusted>,
}

/// What Metropolis chains have besides.
#[derive(Serialize)]
struct Adjusted {
    acceptance: f64,
    last_acceptance: Option<f64>,
    scale: f64,
    gradient_scale: f64,
    noise_std: f64,
    temperature: f64,
    log_ratio_rounding: f64,
}

impl Long {
    /// Run to the end, and draw numbers and pictures.
    ///
    /// # Errors
    /// What the net returns, files that cannot be written, Ctrl-C with the chains saved.
    pub fn diagnose(mut self, bench: &Bench<'_>, files: &mut Vec<String>) -> Result<LongChains> {
        let begun = Instant::now();
        let end = self.go_on(bench)?;
        let (table, pictures) = (self.run.table()?, self.run.pictures()?);
        let statistics = table.statistics();
        files.extend(self.charts(bench, &statistics)?);
        let (name, _) = names(self.settings.variant);
        let picture = format!("{name}.png");
        let states = pictures.iter().map(|(_, x)| to_bytes(x)).collect::<srm_train::Result<Vec<_>>>()?;
        write_rows(&bench.flags.out.join(&picture), &states, self.settings.chains)?;
        files.extend([picture.clone(), format!("{name}.safetensors")]);
        let is_adjusted = self.settings.variant == Variant::Metropolis;
        let scale = bench.flags.metropolis_scale;
        Ok(LongChains {
            steps: self.run.step(),
            asked: self.steps,
            chains: self.settings.chains,
            block: self.settings.block,
            all_blown_up: end == LongRunEnd::AllBlownUp,
            blown_up: BlownUp::of(&table),
            largest: table.largest(),
            picture,
            picture_steps: pictures.iter().map(|(step, _)| *step).collect(),
            adjusted: is_adjusted.then(|| Adjusted::new(&table, &statistics, &self.settings.langevin, scale)),
            statistics,
            seconds: begun.elapsed().as_secs_f64(),
            saved: self.file,
        })
    }

    /// Run to the end, and save on the way and there.
    fn go_on(&mut self, bench: &Bench<'_>) -> Result<LongRunEnd> {
        let Self { run, settings, steps, file } = self;
        let (_, title) = names(settings.variant);
        let bar = bench.session.bar(*steps as u64, &format!("steps of {title}"));
        bar.set_position(run.step() as u64);
        bar.reset_eta();
        let mut saved = Instant::now();
        let end = run.run(bench.sampler.workers().pool(), &mut |run| {
            bar.set_position(run.step() as u64);
            if saved.elapsed().as_secs() >= u64::from(bench.flags.save_every) {
                run.save(file)?;
                saved = Instant::now();
            }
            Ok(!interrupt::asked())
        })?;
        bar.finish_and_clear();
        run.save(file)?;
        if end == LongRunEnd::Stopped {
            let (step, file) = (run.step(), file.display());
            return Err(Failure::Interrupted(format!(
                "interrupted: {title} are saved at step {step} of {steps} in {file}; the same command goes on with them"
            ))
            .into());
        }
        Ok(end)
    }

    /// Draw the numbers over steps; the names of the files.
    fn charts(&self, bench: &Bench<'_>, statistics: &[StepStatistics]) -> Result<Vec<String>> {
        let (name, title) = names(self.settings.variant);
        let charts = Charts {
            out: &bench.flags.out,
            prefix: &format!("{name}_"),
            title: &format!("{} {title}", self.settings.chains),
            logarithmic: true,
            data: bench.numbers.as_ref(),
        };
        let mut files = charts.write(statistics, bench.model.langevin.steps)?;
        if self.settings.variant == Variant::Metropolis {
            files.push(charts.write_acceptance(statistics)?);
        }
        Ok(files)
    }
}

impl Adjusted {
    fn new(table: &ChainTable, statistics: &[StepStatistics], langevin: &LangevinConfig, scale: f64) -> Adjusted {
        let temperature = langevin.temperature();
        Adjusted {
            acceptance: table.acceptance(),
            last_acceptance: statistics.last().map(|one| one.acceptance),
            scale,
            gradient_scale: langevin.gradient_scale(),
            noise_std: langevin.noise_std(),
            temperature,
            log_ratio_rounding: rounding(statistics, temperature),
        }
    }
}

impl fmt::Display for LongChains {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { steps, chains, blown_up, adjusted, .. } = self;
        let label = if adjusted.is_some() { "Metropolis" } else { "long run" };
        write!(out, "{label:<10} {chains} chains, {steps} steps{}", blown_up.text(*chains))?;
        if let Some(Adjusted { acceptance, temperature, log_ratio_rounding, .. }) = adjusted {
            let [accepted, temperature, rounding] = [acceptance, temperature, log_ratio_rounding].map(|&n| number(n));
            write!(out, ", {accepted} of the proposals accepted at T = {temperature}")?;
            write!(out, " (f32 moves a log ratio by {rounding} or more)")?;
        }
        write!(out, "; max |x| at any step {}", number(self.largest))?;
        if let Some(last) = self.statistics.iter().rev().find(|one| one.chains > 0) {
            let [f, r, std, distance] = [last.f, last.gradient_norm, last.std, last.distance].map(number);
            write!(out, "\n  step {}: f {f}, ‖f'‖ {r}, std {std}, rms distance from z {distance}", last.step)?;
        }
        Ok(())
    }
}

/// Before the files' names, and for people.
fn names(variant: Variant) -> (&'static str, &'static str) {
    match variant {
        Variant::Langevin => ("long", "long chains"),
        Variant::Metropolis => ("metropolis", "Metropolis chains"),
    }
}

fn settings(bench: &Bench<'_>, variant: Variant, sha256: &str) -> LongRunSettings {
    let (flags, langevin) = (bench.flags, &bench.model.langevin);
    let chains = usize::from(flags.long_chains);
    let drift = match variant {
        Variant::Langevin => langevin.drift.clone(),
        // b² / (2a) stays
        Variant::Metropolis => Drift::Tempered {
            gradient_scale: (langevin.gradient_scale() * flags.metropolis_scale.powi(2)).into(),
            noise_std: (langevin.noise_std() * flags.metropolis_scale).into(),
        },
    };
    let default = if bench.model.machine.device.is_cuda() { chains } else { CPU_BLOCK };
    LongRunSettings {
        variant,
        weights: sha256.to_owned(),
        langevin: LangevinConfig { drift, ..langevin.clone() },
        seed: flags.common.seed,
        chains,
        block: flags.common.model.block.map_or(default, usize::from),
        image: bench.model.image().to_vec(),
        device: bench.kernels.clone(),
    }
}

/// The least by which f32 moves a log ratio: one rounding of the largest mean f, over T.
fn rounding(statistics: &[StepStatistics], temperature: f64) -> f64 {
    statistics.iter().map(|one| one.f.abs()).fold(0.0, f64::max) * ROUNDING / temperature
}
