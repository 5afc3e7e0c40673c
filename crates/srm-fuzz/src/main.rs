//! Run the campaign of `cargo xtask fuzz`, or one door of it in a process of its own.

#![allow(clippy::print_stdout, clippy::print_stderr)] // it talks to whoever fuzzes

mod campaign;
mod coverage;
mod engine;
mod record;
mod table;

use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "srm-fuzz", about = "Try the doors of srm; `cargo xtask fuzz` builds and calls this")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Try doors, each in processes of its own, and print the table
    Campaign(campaign::Args),
    /// Try one door until the inputs are done or one of them ends the process
    Child(engine::Args),
    /// Say which lines a record's inputs have reached, as JSON
    Lines {
        /// The door
        door: String,
        /// Its record
        record: PathBuf,
    },
}

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::Campaign(args) => campaign::run(&args),
        Task::Child(args) => engine::run(&args),
        Task::Lines { door, record } => coverage::print_lines(&door, &record),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
