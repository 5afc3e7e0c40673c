//! Show the whole way on Fashion-MNIST: set-up, data, training, and garments out of noise.

use crate::{fetch_fashion_mnist, setup, workspace};
use anyhow::{Context, Result, ensure};
use std::{
    path::Path,
    process::Command,
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
    let mut times = Vec::new();
    stage("set-up", &mut times, setup::ensure_done)?;
    stage("data", &mut times, || fetch_fashion_mnist::run(fetch_fashion_mnist::Args::default()))?;
    stage("build", &mut times, || workspace::run(&mut workspace::cargo(["build", "--package", "srm-cli"])))?;
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
        println!("  {name:<10} {:>12}", workspace::duration(*time));
    }
    println!("  {:<10} {:>12}", "together", workspace::duration(total));
    Ok(())
}

fn stage(
    name: &'static str,
    times: &mut Vec<(&'static str, Duration)>,
    work: impl FnOnce() -> Result<()>,
) -> Result<()> {
    eprintln!("\n== {name}");
    let began = Instant::now();
    work().with_context(|| format!("the demo stopped at its stage '{name}'"))?;
    times.push((name, began.elapsed()));
    Ok(())
}

/// Run the program that the build stage made; by its own path, so that nothing is built again meanwhile.
fn srm(arguments: &[&str]) -> Result<()> {
    let metadata = workspace::metadata()?;
    let folder = metadata["target_directory"].as_str().context("cargo metadata names no target directory")?;
    let program = Path::new(folder).join("debug/srm");
    workspace::run(Command::new(program).args(arguments).current_dir(workspace::root()))
}
