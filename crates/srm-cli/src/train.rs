//! Run `srm train`: resolve the config, open images and run folder, train, say how it ended.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

use anyhow::{Context, Result, bail};
use indicatif::ProgressBar;
use ndarray::Array4;
use serde_json::json;
use srm_config::Config;
use srm_langevin::DEFAULT_CPU_BLOCK;
use srm_train::{End, RunFolder, Sink, StepRecord, Trainer, TrainerOptions};
use tch::Device;

use crate::{
    arguments::TrainArguments,
    device,
    failure::{Failure, usage},
    images,
    output::Output,
    status,
};

/// Chains a block on a GPU: enough to fill it at 64 px, and one block for the published batch of 64.
pub const DEFAULT_CUDA_BLOCK: usize = 64;
/// What a run leaves in its folder, and what --overwrite deletes.
const LEFT_BY_A_RUN: [&str; 4] = ["config.json", "metrics.jsonl", "samples", "checkpoints"];

static STOP: AtomicBool = AtomicBool::new(false);

/// Train, and print what came out.
///
/// # Errors
/// Bad usage or config, missing images, a run folder in use, divergence, Ctrl-C.
pub fn run(arguments: &TrainArguments, output: &Output) -> Result<()> {
    if arguments.resume {
        return Err(usage(
            "--resume is not available yet; start anew in another folder with --run DIR, or in the same with --overwrite",
        ));
    }
    let named = arguments.config.as_deref().map(|path| Config::load(path, &arguments.overrides)).transpose()?;
    let device = arguments.compute.device.open()?;
    let (path, mut config) = match (arguments.config.clone(), named) {
        (Some(path), Some(config)) => (path, config),
        _ => default_config(device, &arguments.overrides)?,
    };
    let threads = if device.is_cuda() { 1 } else { arguments.compute.threads() };
    let default_block = if device.is_cuda() { DEFAULT_CUDA_BLOCK } else { DEFAULT_CPU_BLOCK };
    // A block for every thread, as long as the batch has enough chains.
    let block = *config.langevin.block.get_or_insert(default_block.min(config.train.batch.div_ceil(threads)));
    let folder = arguments.run.clone().unwrap_or_else(|| default_folder(&path));
    if arguments.dry_run {
        let tree: serde_json::Value = serde_json::from_str(&config.to_json())?;
        let object = json!({ "command": "train", "dry_run": true, "run": folder, "device": device::name(device),
            "config": tree });
        return output.result(&object, &config.to_json());
    }
    images::check(&config)?;
    prepare_folder(&folder, arguments.overwrite)?;
    let images = images::open(&config)?;
    tracing::info!(
        "{}: {} images of {} px, {} updates of {} on {} ({threads} threads, blocks of {block}); run folder {}",
        path.display(),
        images.len(),
        config.energy.size,
        config.train.updates,
        config.train.batch,
        device::name(device),
        folder.display()
    );
    tracing::info!(
        "{} Langevin steps, gradient_scale {}, noise_std {}, temperature {:.3e}",
        config.langevin.steps,
        config.langevin.gradient_scale(),
        config.langevin.noise_std(),
        config.langevin.temperature()
    );
    stop_on_interrupt(output.clone())?;
    let mut trainer = Trainer::new(&config, images, TrainerOptions { device, threads, block })?;
    let mut sink = Watch::new(RunFolder::create(&folder, &config)?, output, config.train.updates);
    let end = trainer.run(&mut sink, &|| STOP.load(Ordering::Relaxed))?;
    sink.bar.finish_and_clear();

    let seconds = sink.begun.elapsed().as_secs_f64();
    let weights = RunFolder::newest_checkpoint(&folder)?.map(|checkpoint| checkpoint.join("weights.safetensors"));
    let outcome = match end {
        End::Finished => "finished",
        End::Interrupted { .. } => "interrupted",
        End::Diverged { .. } => "diverged",
    };
    let object = json!({
        "command": "train", "run": folder, "config": path, "outcome": outcome, "updates": trainer.updates_done(),
        "device": device::name(device), "threads": threads, "block": block, "seconds": seconds,
        "images_seen": trainer.updates_done() * config.train.batch as u64, "weights": weights, "last": sink.last,
    });
    let text = format!(
        "{outcome} after {} updates in {}\npictures  {}\nweights   {}\nmore      srm sample --weights {} --out samples.png",
        trainer.updates_done(),
        status::duration(seconds),
        folder.join("samples").display(),
        weights.as_deref().map_or("none yet".to_owned(), |weights| weights.display().to_string()),
        folder.display()
    );
    output.result(&object, &text)?;
    match end {
        End::Finished => Ok(()),
        End::Interrupted { update } => {
            Err(Failure::Interrupted(format!("interrupted; the state after update {update} is saved")).into())
        }
        End::Diverged { update, step } => Err(Failure::Diverged(divergence(update, step)).into()),
    }
}

fn divergence(update: u64, step: Option<usize>) -> String {
    let place = step.map_or("in the gradient of the weights".to_owned(), |step| format!("at Langevin step {step}"));
    format!(
        "training diverged at update {update}, {place}: numbers were no longer finite; lower train.learning_rate, raise \
         train.data_noise or lower langevin.gradient_scale"
    )
}

/// The config of `srm train` with nothing else: what the machine can carry.
fn default_config(device: Device, overrides: &[String]) -> Result<(PathBuf, Config)> {
    let (path, why) = match device.is_cuda() {
        true => ("configs/celeba64.json", "CUDA is there"),
        false => ("configs/celeba32-cpu.json", "computing on the CPU"),
    };
    tracing::info!("no --config: taking {path} ({why})");
    if !Path::new(path).is_file() {
        return Err(usage(format!("{path} is not here; run srm in the repository's folder, or give --config FILE")));
    }
    Ok((path.into(), Config::load(path, overrides)?))
}

fn default_folder(config: &Path) -> PathBuf {
    Path::new("runs").join(config.file_stem().unwrap_or("run".as_ref()))
}

/// Make the run folder, or refuse one that holds something.
fn prepare_folder(folder: &Path, overwrite: bool) -> Result<()> {
    let cannot = || format!("cannot make the run folder {}; choose another with --run DIR", folder.display());
    if folder.exists() && !folder.is_dir() {
        bail!("the run folder {} is a file; choose another with --run DIR", folder.display());
    }
    if overwrite {
        for name in LEFT_BY_A_RUN {
            let path = folder.join(name);
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            match removed {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("cannot delete {}", path.display()));
                }
                _ => {}
            }
        }
    } else if fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(usage(format!(
            "the run folder {} is not empty; --overwrite deletes the earlier run, --run DIR takes another folder",
            folder.display()
        )));
    }
    fs::create_dir_all(folder).with_context(cannot)?;
    images::prepare_output(&folder.join("config.json")).with_context(cannot)
}

/// Let the first Ctrl-C end the run after the update at hand, and the second end it at once.
fn stop_on_interrupt(output: Output) -> Result<()> {
    ctrlc::set_handler(move || {
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        output.line("stopping after this update; once more Ctrl-C stops at once, without saving");
    })
    .context("cannot watch for Ctrl-C")
}

/// Passes a run's events to its folder and to the terminal.
struct Watch<'a> {
    folder: RunFolder,
    output: &'a Output,
    bar: ProgressBar,
    begun: Instant,
    updates: u64,
    last: Option<StepRecord>,
}

impl<'a> Watch<'a> {
    fn new(folder: RunFolder, output: &'a Output, updates: u64) -> Watch<'a> {
        Watch { folder, output, bar: output.bar(updates, "updates"), begun: Instant::now(), updates, last: None }
    }
}

impl Sink for Watch<'_> {
    fn record(&mut self, record: &StepRecord) -> srm_train::Result<()> {
        let rate = record.update as f64 / record.seconds.max(1e-9);
        self.output.line(&status::line(record, self.updates, rate));
        self.last = Some(record.clone());
        self.folder.record(record)
    }

    fn progress(&mut self, update: u64, _updates: u64) {
        self.bar.set_position(update);
    }

    fn samples(&mut self, update: u64, images: &Array4<u8>) -> srm_train::Result<()> {
        self.folder.samples(update, images)
    }

    fn checkpoint(&mut self, trainer: &Trainer) -> srm_train::Result<()> {
        self.folder.checkpoint(trainer)
    }
}
