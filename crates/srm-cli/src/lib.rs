//! Run srm from the command line: parse, run, print the result or the error once, exit with its code.
//!
//! The program is a library with one call in `main.rs`.

#![deny(missing_docs)]

mod animation;
mod arguments;
mod chains_arguments;
mod device;
mod diagnose_arguments;
mod diagnose_chains;
mod diagnose_moments;
mod diagnose_moments_frozen;
mod diagnose_moments_toy;
mod diagnose_moments_trained;
mod doctor;
mod environment;
mod evaluate;
mod evaluate_arguments;
mod failure;
mod generator;
mod images;
mod interpolate;
mod interrupt;
mod latent_arguments;
mod libtorch;
mod machine;
mod memory;
mod moments_arguments;
mod neighbours;
mod output;
mod places;
mod progress;
mod ranks;
mod reconstruct;
mod report;
mod report_arguments;
mod sample;
mod scorer;
mod scoring;
mod shared;
mod shown;
mod status;
mod train;
mod train_plan;
mod weights;

use std::process::ExitCode;

use crate::{
    arguments::{Arguments, Command, Diagnosis},
    failure::Failure,
    output::Output,
};

/// The program: what `main` returns.
pub fn main() -> ExitCode {
    let arguments: Arguments = srm_terminal::parse();
    let output = Output::install(arguments.command.json());
    libtorch::settle();
    match run(&arguments.command, &output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output.line(&format!("error: {}", failure::text(&error)));
            match failure::code(&error) {
                code if interrupt::asked() => interrupt::exit(code),
                code => ExitCode::from(code),
            }
        }
    }
}

/// Run the command, on all ranks of a team where it shares its work.
fn run(command: &Command, output: &Output) -> anyhow::Result<()> {
    match command {
        Command::Train(train) => ranks::together(output, Failure::is_outcome, |team| train::run(train, team, output)),
        Command::Sample(sample) => {
            ranks::together(output, Failure::is_divergence, |team| sample::run(sample, &*team, output))
        }
        Command::Evaluate(evaluate) => {
            ranks::together(output, Failure::is_divergence, |team| evaluate::run(evaluate, &*team, output))
        }
        Command::Reconstruct(reconstruct) => {
            ranks::together(output, Failure::is_outcome, |team| reconstruct::run(reconstruct, &*team, output))
        }
        alone => {
            ranks::refuse()?;
            match alone {
                Command::Interpolate(interpolate) => interpolate::run(interpolate, output),
                Command::Diagnose(diagnose) => match &diagnose.what {
                    Diagnosis::Moments(moments) => diagnose_moments::run(moments, output),
                    Diagnosis::Chains(chains) => diagnose_chains::run(chains, output),
                },
                Command::Report(report) => report::run(report, output),
                _ => doctor::run(output),
            }
        }
    }
}
