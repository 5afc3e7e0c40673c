//! Run all tests, after the set-up where it is missing.

use crate::{setup, workspace};
use anyhow::Result;

/// Options of `cargo xtask test`.
#[derive(clap::Args, Default)]
pub struct Args {
    /// Passed on to `cargo test --workspace`, for example `-- -p srm-data` or `-- some_test -- --nocapture`
    #[arg(last = true, allow_hyphen_values = true)]
    passed_on: Vec<String>,
}

/// Run the set-up if needed, then the tests; their own summary lines come last.
pub fn run(args: Args) -> Result<()> {
    setup::ensure_done()?;
    let one_package = args
        .passed_on
        .iter()
        .any(|word| word == "-p" || word == "--package" || word.starts_with("--package=") || word.starts_with("-p="));
    let scope = if one_package { None } else { Some("--workspace".to_owned()) };
    // The tests of several processes where they can run; nothing else needs MPI.
    let ranks = scope.is_some() && workspace::has_mpi();
    if !ranks {
        eprintln!("without MPI's tests (Debian: libopenmpi-dev openmpi-bin libclang-dev)");
    }
    let features = match (&scope, ranks) {
        (None, _) if args.passed_on.iter().any(|word| word == "xtask") => {
            vec!["--features".to_owned(), "xtask/data".to_owned()]
        }
        (None, _) => Vec::new(),
        (Some(_), true) => vec!["--features".to_owned(), "xtask/data,srm-cli/mpi".to_owned()],
        (Some(_), false) => vec!["--features".to_owned(), "xtask/data".to_owned()],
    };
    let words = ["test".to_owned()].into_iter().chain(scope).chain(features).chain(args.passed_on);
    workspace::run(&mut workspace::cargo(words))
}
