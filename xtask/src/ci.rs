//! Run every check that a change must pass, the tests last.

use crate::{forward, setup, test, workspace};
use anyhow::Result;
use std::process::Command;

/// Options of `cargo xtask ci`.
#[derive(clap::Args)]
pub struct Args {
    /// Leave the tests out: .ci/run calls them by the README's own command
    #[arg(long)]
    no_test: bool,
}

/// Format, lints, layout, the crates with kernels as another processor has them, tests.
pub fn run(args: Args) -> Result<()> {
    setup::ensure_done()?;
    if installed("fmt") {
        workspace::run(&mut workspace::cargo(["fmt", "--all", "--check"]))?;
    }
    forward::run("tidy", [])?;
    let whole = test::whole_workspace();
    if installed("clippy") {
        let mut clippy = workspace::cargo(["clippy", "--all-targets", "--quiet"]);
        workspace::run(clippy.args(&whole).args(["--", "--deny", "warnings"]))?;
        let first = ["clippy", "--package", "xtask", "--quiet", "--", "--deny", "warnings"];
        workspace::run(&mut workspace::cargo(first))?;
    }
    portable()?;
    examples(&whole)?;
    if args.no_test { Ok(()) } else { test::run(test::Args::default()) }
}

/// Run the library's examples, each in a folder for what it draws.
fn examples(whole: &[String]) -> Result<()> {
    let folder = tempfile::tempdir()?;
    for example in ["mixture_2d", "train_2d", "own_net", "reconstruct"] {
        let mut build = workspace::cargo(["build", "--example", example]);
        let program = workspace::build(build.args(whole), &[], example)?;
        workspace::run(Command::new(program).current_dir(folder.path()))?;
    }
    Ok(())
}

/// Run the tests of the crates that have kernels for x86-64 without them, as on any other processor.
fn portable() -> Result<()> {
    for (package, library) in [("srm-random", "srm_random"), ("srm-energy", "srm_energy")] {
        let mut build = workspace::cargo(["rustc", "--package", package, "--lib", "--profile", "test"]);
        let tests = workspace::build(&mut build, &["--", "--cfg", "srm_portable"], library)?;
        workspace::run(Command::new(tests).arg("--quiet").current_dir(workspace::root().join("crates").join(package)))?;
    }
    Ok(())
}

/// Whether a component of the Rust tool chain is there; a machine without it still runs the tests.
fn installed(component: &str) -> bool {
    let found = workspace::succeeds(&mut workspace::cargo([component, "--version"]));
    if !found {
        eprintln!(
            "cargo {component} is not installed: this check is left out (rustup component add {})",
            if component == "fmt" { "rustfmt" } else { component }
        );
    }
    found
}
