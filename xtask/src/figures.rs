//! Draw every figure of the paper from one trained run: samples, chains, interpolations, reconstructions.

use crate::{setup, workspace};
use anyhow::{Context, Result, ensure};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Options of `cargo xtask figures`.
#[derive(clap::Args)]
pub struct Args {
    /// The run folder of the net
    #[arg(long, default_value = "runs/demo")]
    run: PathBuf,
    /// Images to reconstruct: a .npy, a folder or a picture
    #[arg(long, default_value = "data/fashion-mnist/fashion_mnist_32_test.npy")]
    images: PathBuf,
    /// Where the figures go [default: figures/ in the run folder]
    #[arg(long)]
    out: Option<PathBuf>,
}

/// Draw them all, each by the command that it prints.
pub fn run(args: Args) -> Result<()> {
    setup::ensure_done()?;
    workspace::run(&mut workspace::cargo(["build", "--package", "srm-cli"]))?;
    let root = workspace::root();
    ensure!(
        root.join(&args.run).join("checkpoints").is_dir(),
        "{} is no trained run; `cargo xtask demo` makes one, or give --run DIR",
        args.run.display()
    );
    let out = args.out.unwrap_or_else(|| args.run.join("figures"));
    let folder = root.join(&out);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let place = |name: &str| out.join(name).display().to_string();
    let (weights, images) = (args.run.display().to_string(), args.images.display().to_string());
    srm(&["sample", "--weights", &weights, "--out", &place("samples.png"), "--chain", &place("chain.png")])?;
    srm(&["interpolate", "--weights", &weights, "--out", &place("interpolation.png")])?;
    if root.join(&args.images).exists() {
        let target = ["--images", &images, "--count", "16", "--out", &place("reconstruction.png")];
        srm(&[&["reconstruct", "--weights", &weights][..], &target].concat())?;
    } else {
        eprintln!("{images} is not there: no reconstructions; give --images, or fetch the data");
    }
    println!("\nThe figures are in {}", out.display());
    Ok(())
}

/// Run the program that was just built.
fn srm(arguments: &[&str]) -> Result<()> {
    let metadata = workspace::metadata()?;
    let folder = metadata["target_directory"].as_str().context("cargo metadata names no target directory")?;
    workspace::run(Command::new(Path::new(folder).join("debug/srm")).args(arguments).current_dir(workspace::root()))
}
