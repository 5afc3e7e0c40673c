//! Time training on one and on two ranks, and say on paper what more would give.

use super::{median, output};
use crate::workspace;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::{
    path::Path,
    process::{Command, Stdio},
};

/// Times that each number of ranks is measured, in turn.
const ROUNDS: usize = 5;
/// Batches, and the updates of a measurement: that of `configs/celeba32-cpu.json`, and the paper's.
const BATCHES: [(u64, u64); 2] = [(16, 60), (64, 15)];
/// The net of `configs/celeba32-cpu.json` on images that the program makes.
const SETTINGS: [&str; 9] = [
    "energy.features=24",
    "langevin.steps=30",
    "langevin.block=8",
    "train.learning_rate=1e-6",
    "log.every=1000000",
    "log.samples_every=1000000",
    "log.tensorboard=false",
    "checkpoint.every=1000000",
    "data.count=64",
];

/// Print updates per second, their ratio, and the model.
pub fn run() -> Result<()> {
    ensure!(
        workspace::has_mpi(),
        "--scaling needs MPI; on Debian: apt-get install libopenmpi-dev openmpi-bin libclang-dev"
    );
    let program = workspace::build_srm_with(&["--features", "mpi"])?;
    let folder = std::env::temp_dir().join(format!("srm-scaling-{}", std::process::id()));
    println!("{:<36} {:>10} {:>8}", "32 px, n 24, K 30, by batch m", "updates/s", "ratio");
    for (batch, updates) in BATCHES {
        measure(&program, &folder, batch, updates)?;
    }
    std::fs::remove_dir_all(&folder).ok(); // a temporary folder: what is left does no harm
    println!("\n{}", model());
    Ok(())
}

/// Time a batch by one rank, by two, and by two processes that do not talk: what the machine has for two.
fn measure(program: &Path, folder: &Path, batch: u64, updates: u64) -> Result<()> {
    let run = |command: &mut Command| rate(&output(train(command, batch, updates))?, updates);
    let (mut one, mut two, mut apart) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        one.push(run(mpirun(program, 1).arg("--run").arg(folder))?);
        two.push(run(mpirun(program, 2).arg("--run").arg(folder))?);
        let both = [0, 1].map(|i| {
            let mut command = Command::new(program);
            command.args(TRAIN).arg("--run").arg(folder.join(format!("apart{i}")));
            train(&mut command, batch, updates).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()
        });
        let mut sum = 0.0;
        for child in both {
            let ended = child.and_then(std::process::Child::wait_with_output).context("srm did not start")?;
            sum += rate(&String::from_utf8_lossy(&ended.stdout), updates)?;
        }
        apart.push(sum);
    }
    // the median of the pairs' ratios: a machine that others share changes its speed between rounds, less within one
    let ratio = |many: &[f64]| median(many.iter().zip(&one).map(|(many, one)| many / one).collect());
    let row = |what: &str| format!("m {batch}: {what}");
    println!("{:<36} {:>10.2}", row("1 rank, 1 thread"), median(one.clone()));
    println!("{:<36} {:>10.2} {:>8.2}", row("2 ranks, 1 thread each"), median(two.clone()), ratio(&two));
    println!("{:<36} {:>10.2} {:>8.2}", row("2 processes apart, together"), median(apart.clone()), ratio(&apart));
    let efficiency = median(two.iter().zip(&apart).map(|(two, apart)| 100.0 * two / apart).collect());
    println!("{:<36} {efficiency:>10.0} %", row("ranks / processes apart"));
    Ok(())
}

/// The command of every run, up to its folder.
const TRAIN: [&str; 7] = ["train", "--config", "configs/smoke.json", "--threads", "1", "--overwrite", "--json"];

/// A run on so many ranks with one thread each.
fn mpirun(program: &Path, ranks: usize) -> Command {
    let mut command = Command::new("mpirun");
    command.args(["--bind-to", "core", "-n", &ranks.to_string()]).arg(program).args(TRAIN);
    // Open MPI refuses root otherwise; whoever benches as root is in a container
    command.envs([("OMPI_ALLOW_RUN_AS_ROOT", "1"), ("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")]);
    command
}

/// Add the settings.
fn train(command: &mut Command, batch: u64, updates: u64) -> &mut Command {
    command.arg("--set").arg(format!("train.batch={batch}")).arg("--set").arg(format!("train.updates={updates}"));
    command.args(SETTINGS.iter().flat_map(|setting| ["--set", setting])).current_dir(workspace::root())
}

/// Updates per second of a run, from what it printed.
fn rate(text: &str, updates: u64) -> Result<f64> {
    let said: Value = serde_json::from_str(text).with_context(|| format!("srm printed {text:?}"))?;
    ensure!(said["updates"] == updates, "the run ended after {} updates", said["updates"]);
    said["updates_per_second"].as_f64().context("no updates_per_second")
}

/// What the model on paper assumes; none of it was measured.
struct Assumed {
    /// FLOP per image and step: f and f' of the 64 px net with n 64, by its layers.
    flop_per_step: f64,
    steps: f64,
    /// Images of a rank's batch.
    batch: f64,
    /// FLOP/s that a GPU reaches on it.
    rate: f64,
    /// Bytes of the gradient.
    gradient: f64,
    /// Bytes per second and seconds per message between ranks.
    bandwidth: f64,
    latency: f64,
}

/// Seconds of an update: computing, and talking.
fn update(assumed: &Assumed, ranks: f64) -> (f64, f64) {
    // K steps on the samples, then f and the weights' gradient (twice a step's work) on data and samples
    let work = assumed.flop_per_step * assumed.batch * (assumed.steps + 4.0);
    let rounds = ranks.log2().ceil();
    // the sum goes up a tree of ranks and comes down again; every rank gets five numbers per image of all
    let sum = 2.0 * rounds * (assumed.gradient / assumed.bandwidth + assumed.latency);
    let numbers = ranks * assumed.batch * 40.0 / assumed.bandwidth + rounds * assumed.latency;
    (work / assumed.rate, if ranks > 1.0 { sum + numbers } else { 0.0 })
}

/// The table of the model, with its assumptions.
fn model() -> String {
    let assumed = Assumed {
        flop_per_step: 19e12 / (64.0 * 104.0),
        steps: 100.0,
        batch: 64.0,
        rate: 60e12,
        gradient: 28e6,
        bandwidth: 25e9,
        latency: 20e-6,
    };
    let mut text = "On paper, nothing of it measured: 64 px, n 64, K 100, 64 images per GPU (the batch grows with the GPUs), 19 TFLOP per \
                    update and GPU at 60 TFLOP/s,\na gradient of 28 MB summed up a tree of ranks and sent down, 25 GB/s and \
                    20 us between ranks\n"
        .to_owned();
    text += &format!("{:>6} {:>12} {:>12} {:>12} {:>12}", "GPUs", "compute ms", "talk ms", "efficiency", "images/s");
    for ranks in [1.0, 8.0, 64.0, 512.0] {
        let (compute, talk) = update(&assumed, ranks);
        let images = ranks * assumed.batch / (compute + talk);
        let efficiency = 100.0 * compute / (compute + talk);
        text +=
            &format!("\n{ranks:>6} {:>12.1} {:>12.1} {efficiency:>11.0}% {images:>12.0}", compute * 1e3, talk * 1e3);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_gpu_talks_to_nobody_and_more_talk_more() {
        let text = model();
        let talks: Vec<f64> =
            text.lines().rev().take(4).map(|line| line.split_whitespace().nth(2).unwrap().parse().unwrap()).collect();
        assert!(talks[3] == 0.0 && talks.windows(2).all(|pair| pair[0] > pair[1]), "{text}");
    }
}
