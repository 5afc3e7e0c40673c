//! Define the command line of `srm report`.

use std::path::PathBuf;

use clap::Args;

use crate::arguments::Compute;

#[derive(Debug, Args)]
pub struct ReportArguments {
    /// The run folder.
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
    #[command(flatten)]
    pub compute: Compute,
    /// Print one JSON object on stdout and nothing else there.
    #[arg(long)]
    pub json: bool,
}
