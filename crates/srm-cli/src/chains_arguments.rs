//! Define the command line of `srm diagnose chains`.

use clap::Args;

use crate::arguments::Compute;

#[derive(Debug, Args)]
pub struct ChainsArguments {
    #[command(flatten)]
    pub compute: Compute,
    /// Print one JSON object on stdout and nothing else there.
    #[arg(long)]
    pub json: bool,
}
