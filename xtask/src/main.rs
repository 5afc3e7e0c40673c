//! Dispatch `cargo xtask …`: each subcommand has a file of its own.
//!
//! Built as it is, this program has what the first minutes need, and compiles in seconds. What reads images, downloads over TLS or
//! knows a run is behind the feature `data`: such tasks are handed to a build that has it ([`forward`]).

#![allow(clippy::print_stdout, clippy::print_stderr)]
// What the tasks of the larger build share lies beside what all share.
#![cfg_attr(not(feature = "data"), allow(dead_code))]

/// Print a line on stderr. Nobody needs to read it (`cargo xtask … 2>&1 | head`), so this does not panic as std's does.
macro_rules! eprintln {
    ($($line:tt)*) => {{
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), $($line)*);
    }};
}

/// Print a line on stdout, likewise; one that is lost otherwise is said to be.
macro_rules! println {
    ($($line:tt)*) => {{
        use std::io::{ErrorKind, Write};
        if let Err(error) = writeln!(std::io::stdout(), $($line)*)
            && error.kind() != ErrorKind::BrokenPipe
        {
            eprintln!("cannot write to stdout: {error}");
        }
    }};
}

#[cfg(feature = "data")]
mod ablate;
mod bench;
mod ci;
mod compiler;
mod demo;
#[cfg(feature = "data")]
mod download;
#[cfg(feature = "data")]
mod fetch_celeba;
#[cfg(feature = "data")]
mod fetch_cifar10;
#[cfg(feature = "data")]
mod fetch_fashion_mnist;
#[cfg(feature = "data")]
mod fetch_inception;
mod figures;
mod forward;
mod fuzz;
mod libtorch;
#[cfg(feature = "data")]
mod preprocess;
mod setup;
mod test;
#[cfg(feature = "data")]
mod tidy;
#[cfg(feature = "data")]
mod torture;
mod wheels;
mod workspace;

#[cfg(not(feature = "data"))]
use forward::{ablate, fetch_celeba, fetch_cifar10, fetch_fashion_mnist, fetch_inception, preprocess, tidy, torture};

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
    /// Fetch libtorch 2.11.0 into the user's cache (544 MB to download, once) and link it as .libtorch
    Setup(setup::Args),
    /// Set-up, data, training and pictures on Fashion-MNIST: garments out of noise in minutes
    Demo(demo::Args),
    /// Run all tests, after the set-up if needed
    Test(test::Args),
    /// Format, lints, layout and tests: what a change must pass
    Ci(ci::Args),
    /// Check the rules of CONTRIBUTING.md: layers, opening sentences, file lengths, printing, unsafe code, configs, pages
    Tidy(tidy::Args),
    /// Run the criterion benches in the profile that run and test share
    Bench(bench::Args),
    /// Kill srm, preprocessing, set-up and downloads a thousand times: nothing half is left, no bit is lost
    Torture(torture::Args),
    /// Sweep K, σ and n as in the tables of the paper: a table and charts
    Ablate(ablate::Args),
    /// Draw the figures of the paper from a trained run: samples, chains, interpolations, reconstructions
    Figures(figures::Args),
    /// Try every door by which input comes in with 10,000 damaged inputs each: what broke, lines reached, time, memory
    Fuzz(fuzz::Args),
    /// Fetch CelebA and make data/celeba/celeba_{32,64}_center178_{train,test}.npy
    FetchCeleba(fetch_celeba::Args),
    /// Fetch Fashion-MNIST and make data/fashion-mnist/fashion_mnist_32_{train,test}.npy
    FetchFashionMnist(fetch_fashion_mnist::Args),
    /// Fetch CIFAR-10 and make data/cifar10/cifar10_32_{train,test}.npy
    #[command(name = "fetch-cifar10")]
    FetchCifar10(fetch_cifar10::Args),
    /// Fetch the Inception weights of the FID, for `srm evaluate --features`
    FetchInception(fetch_inception::Args),
    /// Make a .npy of training images out of photos: a folder, a zip, CIFAR-10 or IDX files
    Preprocess(preprocess::Args),
}

fn main() -> ExitCode {
    #[cfg(not(feature = "data"))]
    if let Err(error) = forward::help() {
        eprintln!("error: {error:#}");
        return ExitCode::FAILURE;
    }
    let result = match fuzz::called_for_rustc() {
        Some(words) => fuzz::rustc(&words),
        None => run(srm_terminal::parse::<Cli>().task),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> anyhow::Result<()> {
    match task {
        Task::Setup(args) => setup::run(args),
        Task::Demo(args) => demo::run(args),
        Task::Test(args) => test::run(args),
        Task::Ci(args) => ci::run(args),
        Task::Tidy(args) => tidy::run(args),
        Task::Bench(args) => bench::run(args),
        Task::Ablate(args) => ablate::run(args),
        Task::Figures(args) => figures::run(args),
        Task::Fuzz(args) => fuzz::run(&args),
        Task::Torture(args) => torture::run(args),
        Task::FetchCeleba(args) => fetch_celeba::run(args),
        Task::FetchFashionMnist(args) => fetch_fashion_mnist::run(args),
        Task::FetchCifar10(args) => fetch_cifar10::run(args),
        Task::FetchInception(args) => fetch_inception::run(args),
        Task::Preprocess(args) => preprocess::run(args),
    }
}
