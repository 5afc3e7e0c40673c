//! Run srm from the command line: parse, run, print the result or the error once, exit with its code.

mod animation;
mod arguments;
mod chains_arguments;
mod cuda;
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
mod machine;
mod moments_arguments;
#[cfg(feature = "mpi")]
mod mpi_team;
mod neighbours;
mod output;
mod progress;
mod ranks;
mod reconstruct;
mod report;
mod report_arguments;
mod sample;
mod scorer;
mod scoring;
mod status;
mod train;
mod train_plan;
mod weights;

use std::process::ExitCode;

use clap::Parser;

use crate::{
    arguments::{Arguments, Command, Diagnosis},
    output::Output,
};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let output = Output::install(arguments.command.json());
    let result = ranks::allow(matches!(arguments.command, Command::Train(_))).and_then(|()| match &arguments.command {
        Command::Train(train) => train::run(train, &output),
        Command::Sample(sample) => sample::run(sample, &output),
        Command::Interpolate(interpolate) => interpolate::run(interpolate, &output),
        Command::Reconstruct(reconstruct) => reconstruct::run(reconstruct, &output),
        Command::Evaluate(evaluate) => evaluate::run(evaluate, &output),
        Command::Diagnose(diagnose) => match &diagnose.what {
            Diagnosis::Moments(moments) => diagnose_moments::run(moments, &output),
            Diagnosis::Chains(chains) => diagnose_chains::run(chains, &output),
        },
        Command::Report(report) => report::run(report, &output),
        Command::Doctor(_) => doctor::run(&output),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output.line(&format!("error: {}", failure::text(&error)));
            failure::exit_code(&error)
        }
    }
}
