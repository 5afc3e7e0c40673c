//! Run the benches in the profile that run and test share, so that the glue of libtorch is not compiled again.

use crate::{setup, workspace};
use anyhow::Result;

/// Options of `cargo xtask bench`.
#[derive(clap::Args)]
pub struct Args {
    /// Passed on to `cargo bench`, for example a bench's name, or `-- --save-baseline main`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    passed_on: Vec<String>,
}

/// Run the criterion benches of the kernel and of the adjoint.
pub fn run(args: Args) -> Result<()> {
    setup::ensure_done()?;
    // Only the bench targets: the unit tests of a library do not understand criterion's options.
    let fixed = ["bench", "--profile", "dev", "--workspace", "--bench", "kernel", "--bench", "adjoint"];
    let fixed = fixed.map(str::to_owned);
    workspace::run(&mut workspace::cargo(fixed.into_iter().chain(args.passed_on)))
}
