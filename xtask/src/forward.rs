//! Hand tasks that need more libraries than the first minutes have to a build of this program that has them.

use crate::workspace;
use anyhow::Result;
use std::{ffi::OsString, path::PathBuf, process::Command};

/// The package and feature of the build with everything.
const WITH_EVERYTHING: [&str; 4] = ["--package", "xtask", "--features", "data"];

/// Run a task of the build with everything, in the workspace root.
///
/// # Errors
/// It does not build, or the task fails.
pub fn run(task: &str, words: impl IntoIterator<Item = OsString>) -> Result<()> {
    workspace::run(&mut build(task, words))
}

/// Compile the build with everything, which wants no libtorch, while something else has the terminal; where it lies then.
///
/// # Errors
/// It does not build.
pub fn prepare() -> Result<PathBuf> {
    workspace::build(workspace::cargo(["build", "--quiet"]).args(WITH_EVERYTHING), &[], "xtask")
}

fn build(task: &str, words: impl IntoIterator<Item = OsString>) -> Command {
    let manifest = workspace::root().join("Cargo.toml");
    let mut command = workspace::cargo(["run"]);
    command.args(WITH_EVERYTHING).arg("--manifest-path").arg(manifest).args(["--", task]).args(words);
    command
}

/// Become a task of the build with everything: in this folder, with its exit code, its signals and its words.
///
/// # Errors
/// Cargo does not start.
#[cfg(not(feature = "data"))]
fn become_task(task: &str, words: Vec<OsString>) -> Result<()> {
    use std::os::unix::process::CommandExt;
    let mut command = build(task, words);
    command.current_dir(std::env::current_dir()?);
    Err(anyhow::Error::new(command.exec()).context("cargo did not start"))
}

/// Hand on `cargo xtask help TASK`, whose flags are not known here.
///
/// # Errors
/// As for the task itself.
#[cfg(not(feature = "data"))]
pub fn help() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).take(2).collect();
    match &words[..] {
        [help, task] if help == "help" && NAMES.contains(&&**task) => become_task(task, vec!["--help".into()]),
        _ => Ok(()),
    }
}

/// The modules of tasks that are handed on, with the words as they were typed.
#[cfg(not(feature = "data"))]
macro_rules! handed_on {
    ($($module:ident $name:literal),*) => {
        const NAMES: &[&str] = &[$($name),*];

        $(pub mod $module {
            /// As typed: whoever runs the task reads them.
            #[derive(clap::Args, Default)]
            #[command(disable_help_flag = true)]
            pub struct Args {
                #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
                words: Vec<std::ffi::OsString>,
            }

            pub fn run(args: Args) -> anyhow::Result<()> {
                super::become_task($name, args.words)
            }
        })*
    };
}

#[cfg(not(feature = "data"))]
handed_on!(
    ablate "ablate",
    fetch_celeba "fetch-celeba",
    fetch_cifar10 "fetch-cifar10",
    fetch_fashion_mnist "fetch-fashion-mnist",
    fetch_inception "fetch-inception",
    preprocess "preprocess",
    tidy "tidy",
    torture "torture"
);
