//! Dispatch `cargo xtask …`: each subcommand has a file of its own.

#![allow(clippy::print_stdout, clippy::print_stderr)]

mod checksum;
mod download;
mod libtorch;
mod setup;
mod wheels;
mod workspace;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Set-up, data, tests and checks of srm
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, about)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Fetch libtorch 2.11.0 into the user's cache (531 MB to download, once) and link it as .libtorch
    Setup(setup::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().task {
        Task::Setup(args) => setup::run(args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
