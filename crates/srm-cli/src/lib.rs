//! Run srm from the command line: parse, run, print the result or the error once, exit with its code.
//!
//! The program is a library with one call in `main.rs`.

#![deny(missing_docs)]

mod chains;
mod doctor;
mod evaluate;
mod explore;
mod export;
mod flags;
mod images;
mod interpolate;
mod model;
mod moments;
mod pictures;
mod ranks;
mod reconstruct;
mod report;
mod sample;
mod session;
mod train;

use std::io::{self, Write};

use srm_ranks::SingleProcess;

use crate::{
    flags::{Arguments, Command, Diagnosis},
    session::{Failure, Output, Session, failure, interrupt, libtorch},
};

/// The program.
pub fn main() -> ! {
    let arguments: Arguments = srm_terminal::parse();
    let output = Output::install(arguments.command.json());
    libtorch::settle();
    let done = failure::caught(|| run(&arguments.command, &output));
    let code = match done {
        Ok(()) => 0,
        Err(error) => {
            output.line(&format!("error: {}", failure::text(&error)));
            failure::code(&error)
        }
    };
    let _ = io::stdout().flush(); // a reader that is gone wants no more
    interrupt::exit(code)
}

/// Run the command, on all ranks where it shares its work.
fn run(command: &Command, output: &Output) -> anyhow::Result<()> {
    let shared = |agreed: fn(&Failure) -> bool, command: &dyn Fn(&Session) -> anyhow::Result<()>| {
        ranks::together(output, agreed, command)
    };
    let alone = |command: &dyn Fn(&Session) -> anyhow::Result<()>| {
        ranks::refuse()?;
        command(&Session::new(output, Box::new(SingleProcess)))
    };
    match command {
        Command::Train(flags) => shared(Failure::is_outcome, &|session| train::run(flags, session)),
        Command::Sample(flags) => shared(Failure::is_divergence, &|session| sample::run(flags, session)),
        Command::Evaluate(flags) => shared(Failure::is_divergence, &|session| evaluate::run(flags, session)),
        Command::Reconstruct(flags) => shared(Failure::is_outcome, &|session| reconstruct::run(flags, session)),
        Command::Interpolate(flags) => alone(&|session| interpolate::run(flags, session)),
        Command::Diagnose(flags) => alone(&|session| match &flags.what {
            Diagnosis::Moments(flags) => moments::run(flags, session),
            Diagnosis::Chains(flags) => chains::run(flags, session),
        }),
        Command::Export(flags) => alone(&|session| export::run(flags, session)),
        Command::Explore(flags) => alone(&|session| explore::run(flags, session)),
        Command::Report(flags) => alone(&|session| report::run(flags, session)),
        Command::Doctor(_) => alone(&doctor::run),
    }
}
