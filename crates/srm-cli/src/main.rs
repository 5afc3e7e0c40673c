//! Run srm from the command line: parse, run, print the result or the error once, exit with its code.

mod arguments;
mod cuda;
mod device;
mod doctor;
mod environment;
mod failure;
mod images;
mod interrupt;
mod output;
mod progress;
mod sample;
mod status;
mod train;
mod train_plan;
mod weights;

use std::process::ExitCode;

use clap::Parser;

use crate::{
    arguments::{Arguments, Command},
    output::Output,
};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let output = Output::install(arguments.command.json());
    let result = match &arguments.command {
        Command::Train(train) => train::run(train, &output),
        Command::Sample(sample) => sample::run(sample, &output),
        Command::Doctor(_) => doctor::run(&output),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output.line(&format!("error: {}", failure::text(&error)));
            failure::exit_code(&error)
        }
    }
}
