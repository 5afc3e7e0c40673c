//! Say what a first `cargo xtask` waits for, and become it: this program needs nothing and is compiled in a second.

#![allow(clippy::print_stderr)]

use std::env;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    if !is_compiled() {
        eprintln!(
            "cargo xtask: its own program is compiled first, about a minute on two cores. A task that runs srm then fetches libtorch \
             (544 MB, once) and builds srm, four to five minutes more."
        );
    }
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let error = Command::new(cargo).args(["run", "--package", "xtask", "--"]).args(env::args_os().skip(1)).exec();
    eprintln!("error: cargo did not start: {error}");
    ExitCode::FAILURE
}

/// Whether xtask lies beside this program; an older one is made anew in seconds.
fn is_compiled() -> bool {
    env::current_exe().is_ok_and(|program| program.parent().unwrap_or(Path::new("")).join("xtask").exists())
}
