//! Show the whole way on Fashion-MNIST: set-up, data, training, and garments out of noise.

use crate::{forward, setup, workspace};
use anyhow::{Context, Result, anyhow, ensure};
use std::{
    fs,
    process::Command,
    thread,
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
    let (tools, ()) = stage("set-up", &mut times, || beside(forward::prepare, setup::ensure_done))?;
    let data = || workspace::run_quietly(Command::new(tools).arg("fetch-fashion-mnist"));
    let ((), program) = stage("data and build", &mut times, || beside(data, workspace::build_srm))?;
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
    println!("The run (config, metrics, checkpoints):                 {RUN}");
    println!("A page to look in:                                      cargo run -p srm-cli -- explore {RUN}\n");
    for (name, time) in &times {
        println!("  {name:<12} {:>12}", workspace::duration(*time));
    }
    println!("  {:<12} {:>12}", "together", workspace::duration(total));
    Ok(())
}

/// Do `work` while `other` runs: what waits for the network beside what keeps the processor busy. `other` is to say little
/// before its end, since its words stand between those of `work`.
fn beside<A: Send, B>(other: impl FnOnce() -> Result<A> + Send, work: impl FnOnce() -> Result<B>) -> Result<(A, B)> {
    thread::scope(|scope| {
        let other = scope.spawn(other);
        let done = work();
        if !other.is_finished() {
            eprintln!("one moment: the other half of this stage is still at work");
        }
        let ended = other.join().map_err(|_| anyhow!("a part of this stage broke off"))?;
        done.and_then(|done| Ok((ended?, done)))
    })
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
