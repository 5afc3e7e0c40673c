//! Define the command line of `srm diagnose moments`.

use clap::Args;

use crate::arguments::Compute;

#[derive(Debug, Args)]
pub struct MomentsArguments {
    #[command(flatten)]
    pub compute: Compute,
    /// Print one JSON object on stdout and nothing else there.
    #[arg(long)]
    pub json: bool,
}
