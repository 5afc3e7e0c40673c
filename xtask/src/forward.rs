//! Hand tasks that need more libraries than the first minutes have to a build of this program that has them.

use crate::workspace;
use anyhow::Result;
use std::ffi::OsString;

/// Run a task of the build with everything.
///
/// # Errors
/// It does not build, or the task fails.
pub fn run(task: &str, words: impl IntoIterator<Item = OsString>) -> Result<()> {
    let build = ["run", "--package", "xtask", "--features", "data", "--", task].map(OsString::from);
    workspace::run(&mut workspace::cargo(build.into_iter().chain(words)))
}

/// The modules of tasks that are handed on, with the words as they were typed.
#[cfg(not(feature = "data"))]
macro_rules! handed_on {
    ($($module:ident $name:literal),*) => {$(
        pub mod $module {
            /// As typed: whoever runs the task reads them.
            #[derive(clap::Args, Default)]
            #[command(disable_help_flag = true)]
            pub struct Args {
                #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
                words: Vec<std::ffi::OsString>,
            }

            pub fn run(args: Args) -> anyhow::Result<()> {
                super::run($name, args.words)
            }
        }
    )*};
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
