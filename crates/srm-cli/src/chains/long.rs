//! Run chains very long, plain or Metropolis-adjusted: saved on the way, resumed, drawn.

use std::{path::PathBuf, time::Instant};

use anyhow::Result;
use serde_json::json;
use srm_config::{Drift, LangevinConfig};
use srm_eval::{ChainTable, LongRun, LongRunEnd, LongRunSettings, Plan, StepStatistics, Variant};
use srm_train::to_bytes;

use super::{
    Found,
    bench::Bench,
    charts::{Charts, blown_up, number},
    short,
};
use crate::{
    pictures::write_rows,
    session::{Failure, Shown, interrupt},
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

/// Before the files' names, and for people.
fn names(variant: Variant) -> (&'static str, &'static str) {
    match variant {
        Variant::Langevin => ("long", "long chains"),
        Variant::Metropolis => ("metropolis", "Metropolis chains"),
    }
}

/// Run to the end, and draw numbers and pictures.
///
/// # Errors
/// What the net returns, files that cannot be written, Ctrl-C with the chains saved.
pub fn diagnose(bench: &Bench<'_>, long: Long) -> Result<Found> {
    let begun = Instant::now();
    let Long { mut run, settings: LongRunSettings { variant, langevin, chains, block, .. }, steps, file } = long;
    let (name, title) = names(variant);
    let (flags, trained) = (bench.flags, bench.model.langevin.steps);
    let bar = bench.session.bar(steps as u64, &format!("steps of {title}"));
    bar.set_position(run.step() as u64);
    bar.reset_eta();
    let mut saved = Instant::now();
    let end = run.run(bench.sampler.workers().pool(), &mut |run| {
        bar.set_position(run.step() as u64);
        if saved.elapsed().as_secs() >= u64::from(flags.save_every) {
            run.save(&file)?;
            saved = Instant::now();
        }
        Ok(!interrupt::asked())
    })?;
    bar.finish_and_clear();
    run.save(&file)?;
    if end == LongRunEnd::Stopped {
        let text = format!(
            "interrupted: {title} are saved at step {} of {steps} in {}; the same command goes on with them",
            run.step(),
            file.display()
        );
        return Err(Failure::Interrupted(text).into());
    }

    let (table, pictures) = (run.table()?, run.pictures()?);
    let (statistics, lost) = (table.statistics(), table.blown_up());
    let charts = Charts {
        out: &flags.out,
        prefix: &format!("{name}_"),
        title: &format!("{chains} {title}"),
        logarithmic: true,
        data: bench.numbers.as_ref(),
    };
    let mut files = charts.write(&statistics, trained)?;
    if variant == Variant::Metropolis {
        files.push(charts.write_acceptance(&statistics)?);
    }
    let picture = format!("{name}.png");
    let states = pictures.iter().map(|(_, x)| to_bytes(x)).collect::<srm_train::Result<Vec<_>>>()?;
    write_rows(&flags.out.join(&picture), &states, chains)?;
    files.extend([picture.clone(), format!("{name}.safetensors")]);

    let mut object = json!({
        "steps": run.step(), "asked": steps, "chains": chains, "block": block, "all_blown_up": end == LongRunEnd::AllBlownUp,
        "blown_up": short::steps(&lost), "largest": table.largest(), "saved": Shown(&file), "picture": picture,
        "picture_steps": pictures.iter().map(|(step, _)| step).collect::<Vec<_>>(), "statistics": statistics,
        "seconds": begun.elapsed().as_secs_f64(),
    });
    let label = match variant {
        Variant::Langevin => "long run",
        Variant::Metropolis => "Metropolis",
    };
    let mut text = format!("{label:<10} {chains} chains, {} steps{}", run.step(), blown_up(&lost, chains));
    if variant == Variant::Metropolis {
        let rounding = rounding(&statistics, langevin.temperature());
        object["acceptance"] = json!(table.acceptance());
        object["last_acceptance"] = json!(statistics.last().map(|one| one.acceptance));
        object["scale"] = json!(flags.metropolis_scale);
        object["gradient_scale"] = json!(langevin.gradient_scale());
        object["noise_std"] = json!(langevin.noise_std());
        object["temperature"] = json!(langevin.temperature());
        object["log_ratio_rounding"] = json!(rounding);
        text += &accepted(&table, langevin.temperature(), rounding);
    }
    text += &format!("; max |x| at any step {}", number(table.largest()));
    if let Some(last) = statistics.iter().rev().find(|one| one.chains > 0) {
        text += &format!(
            "\n  step {}: f {}, ‖f'‖ {}, std {}, rms distance from z {}",
            last.step,
            number(last.f),
            number(last.gradient_norm),
            number(last.std),
            number(last.distance)
        );
    }
    Ok(Found { object, text, files })
}

fn settings(bench: &Bench<'_>, variant: Variant, sha256: &str) -> LongRunSettings {
    let (flags, langevin) = (bench.flags, &bench.model.langevin);
    let chains = usize::from(flags.long_chains);
    let drift = match variant {
        Variant::Langevin => langevin.drift,
        // b² / (2a) stays
        Variant::Metropolis => Drift::Tempered {
            gradient_scale: langevin.gradient_scale() * flags.metropolis_scale.powi(2),
            noise_std: langevin.noise_std() * flags.metropolis_scale,
        },
    };
    let default = if bench.model.machine.device.is_cuda() { chains } else { CPU_BLOCK };
    LongRunSettings {
        variant,
        weights: sha256.to_owned(),
        langevin: LangevinConfig { drift, ..langevin.clone() },
        seed: flags.seed,
        chains,
        block: flags.model.block.map_or(default, usize::from),
        image: bench.model.net.image().to_vec(),
        device: bench.kernels.clone(),
    }
}

/// The least by which f32 moves a log ratio: one rounding of the largest mean f, over T.
fn rounding(statistics: &[StepStatistics], temperature: f64) -> f64 {
    statistics.iter().map(|one| one.f.abs()).fold(0.0, f64::max) * ROUNDING / temperature
}

fn accepted(table: &ChainTable, temperature: f64, rounding: f64) -> String {
    format!(
        ", {} of the proposals accepted at T = {} (f32 moves a log ratio by {} or more)",
        number(table.acceptance()),
        number(temperature),
        number(rounding)
    )
}
