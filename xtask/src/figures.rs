//! Draw every figure of the paper from one weights file: moment matching, synthesis, interpolation, reconstruction.

use crate::{setup, workspace};
use anyhow::{Context, Result, ensure};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Options of `cargo xtask figures`.
#[derive(clap::Args)]
pub struct Args {
    /// The net: a weights file, a run folder, or what else `srm sample --weights` takes
    #[arg(long, alias = "run", default_value = DEMO)]
    weights: PathBuf,
    /// Images to reconstruct: a .npy, a folder or a picture [default: the test images beside those of the run]
    #[arg(long)]
    images: Option<PathBuf>,
    /// Where the figures go [default: figures/ in the run folder, beside the weights file, or here]
    #[arg(long)]
    out: Option<PathBuf>,
    /// Start samples and rows nearer the mean of the data's law, as `srm sample --truncation`
    #[arg(long, value_name = "PSI")]
    truncation: Option<f64>,
    /// Run the last N steps of samples and rows without noise, as `srm sample --quiet-tail`
    #[arg(long, value_name = "N")]
    quiet_tail: Option<u32>,
}

const DEMO: &str = "runs/demo";

/// Draw them all, each by the command that it prints.
pub fn run(args: Args) -> Result<()> {
    setup::ensure_done()?;
    let program = workspace::build_srm()?;
    let srm = |arguments: &[&str]| workspace::srm(&program, arguments);
    let (root, weights) = (workspace::root(), args.weights.display().to_string());
    ensure!(
        weights != DEMO || root.join(DEMO).exists(),
        "{weights} is not there; `cargo xtask demo` makes a net, or give --weights FILE|RUN"
    );
    let beside = match root.join(&args.weights) {
        path if path.is_dir() => Some(args.weights.as_path()),
        path if path.is_file() => args.weights.parent(),
        _ => None, // a name
    };
    let out = args.out.unwrap_or_else(|| beside.unwrap_or(Path::new("")).join("figures"));
    let folder = root.join(&out);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let place = |name: &str| out.join(name).display().to_string();

    let chosen = [
        ("--truncation", args.truncation.map(|psi| psi.to_string())),
        ("--quiet-tail", args.quiet_tail.map(|steps| steps.to_string())),
    ];
    let chosen: Vec<&str> =
        chosen.iter().filter_map(|(flag, value)| Some([*flag, value.as_deref()?])).flatten().collect();
    let (samples, chain, rows) = (place("synthesis.png"), place("chain.png"), place("interpolation.png"));
    srm(&[&["sample", "--weights", &weights, "--out", &samples, "--chain", &chain], &chosen[..]].concat())?;
    srm(&[&["interpolate", "--weights", &weights, "--out", &rows], &chosen[..]].concat())?;
    match args.images.or_else(|| unseen(&root, &args.weights)) {
        Some(images) => {
            let images = images.display().to_string();
            // a ladder's z alone holds outlines; for a net of one grid it is the same as free
            let target = ["--images", &images, "--count", "16", "--latent", "grids"];
            let out = ["--out", &place("reconstruction.png")];
            srm(&[&["reconstruct", "--weights", &weights][..], &target, &out].concat())?;
        }
        None => eprintln!("no images to reconstruct: give --images FILE"),
    }
    // The moment matching estimator where everything can be computed: needs no net.
    srm(&["diagnose", "moments", "--toy", "--out", &place("moment_matching")])?;
    println!("\nThe figures are in {}", out.display());
    Ok(())
}

/// The test images beside the training images of a run, else those, where they are there.
fn unseen(root: &Path, run: &Path) -> Option<PathBuf> {
    let config = fs::read_to_string(root.join(run).join("config.json")).ok()?;
    let config: serde_json::Value = serde_json::from_str(&config).ok()?;
    let train = config["data"]["images"].as_str()?;
    let test = train.replace("_train.npy", "_test.npy");
    [test.as_str(), train].map(PathBuf::from).into_iter().find(|path| root.join(path).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_that_a_run_never_saw_come_first() {
        let root = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(root.path().join(name), text).unwrap();
        assert_eq!(unseen(root.path(), Path::new("")), None);
        write("config.json", r#"{"data":{"images":"x_train.npy"}}"#);
        assert_eq!(unseen(root.path(), Path::new("")), None);
        write("x_train.npy", "");
        assert_eq!(unseen(root.path(), Path::new("")), Some("x_train.npy".into()));
        write("x_test.npy", "");
        assert_eq!(unseen(root.path(), Path::new("")), Some("x_test.npy".into()));
    }
}
