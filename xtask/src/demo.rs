//! Show the whole way on Fashion-MNIST: set-up, data, training, and garments out of noise.

use crate::{forward, setup, workspace};
use anyhow::{Context, Result, ensure};
use std::{
    fs,
    time::{Duration, Instant},
};

/// Options of `cargo xtask demo`.
#[derive(clap::Args)]
pub struct Args {
    /// The config to train
    #[arg(long, default_value = "configs/fashion32.json")]
    config: String,
}

const RUN: &str = "runs/demo";

/// Run every stage and say at the end where to look and what each stage took.
pub fn run(args: Args) -> Result<()> {
    let mut times = Vec::from_iter(since_typed().map(|time| ("xtask itself", time)));
    stage("set-up", &mut times, setup::ensure_done)?;
    stage("data", &mut times, || forward::run("fetch-fashion-mnist", []))?;
    let program = stage("build", &mut times, workspace::build_srm)?;
    let srm = |arguments: &[&str]| workspace::srm(&program, arguments);
    stage("training", &mut times, || srm(&["train", "--config", &args.config, "--run", RUN, "--overwrite"]))?;
    let (samples, chain) = (format!("{RUN}/samples.png"), format!("{RUN}/chain.png"));
    stage("samples", &mut times, || {
        srm(&["sample", "--weights", RUN, "--count", "64", "--seed", "1", "--out", &samples, "--chain", &chain])
    })?;
    for picture in [&samples, &chain] {
        let path = workspace::root().join(picture);
        let bytes =
            path.metadata().with_context(|| format!("{picture} was not written; look at the messages above"))?.len();
        ensure!(bytes > 0, "{picture} is empty; check free space (df -h)");
    }
    let total = times.iter().map(|(_, time)| *time).sum();
    println!("\nGarments out of noise, the first 64 samples of seed 1:  {samples}");
    println!("The way from noise to image, step by step:              {chain}");
    println!("The run (config, metrics, checkpoints):                 {RUN}\n");
    for (name, time) in &times {
        println!("  {name:<12} {:>12}", workspace::duration(*time));
    }
    println!("  {:<12} {:>12}", "together", workspace::duration(total));
    Ok(())
}

/// How long ago the command was typed, as the kernel tells: `cargo run` builds this program and then becomes it.
fn since_typed() -> Option<Duration> {
    /// Ticks per second that /proc counts in, on every kernel for x86-64.
    const HERTZ: f64 = 100.0;
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // the name, which may hold anything, ends at the last parenthesis; the start is the 20th field after it
    let started: f64 = stat.rsplit(')').next()?.split_whitespace().nth(19)?.parse().ok()?;
    let uptime: f64 = fs::read_to_string("/proc/uptime").ok()?.split_whitespace().next()?.parse().ok()?;
    Duration::try_from_secs_f64(uptime - started / HERTZ).ok()
}

fn stage<T>(
    name: &'static str,
    times: &mut Vec<(&'static str, Duration)>,
    work: impl FnOnce() -> Result<T>,
) -> Result<T> {
    eprintln!("\n== {name}");
    let began = Instant::now();
    let done = work().with_context(|| format!("the demo stopped at its stage '{name}'"))?;
    times.push((name, began.elapsed()));
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_knows_when_this_process_began() {
        let before = since_typed().unwrap();
        assert!(before < Duration::from_secs(3600), "{before:?}");
        std::thread::sleep(Duration::from_millis(50));
        assert!(since_typed().unwrap() > before);
    }
}
