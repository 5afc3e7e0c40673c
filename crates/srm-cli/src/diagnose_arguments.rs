//! Define the command line of `srm diagnose`.

use clap::{Args, Subcommand};

pub use crate::chains_arguments::ChainsArguments;
pub use crate::moments_arguments::MomentsArguments;

#[derive(Debug, Args)]
pub struct DiagnoseArguments {
    #[command(subcommand)]
    pub what: Diagnosis,
}

#[derive(Debug, Subcommand)]
pub enum Diagnosis {
    /// Moment matching: what the net's features say of samples and of data, and the experiment with frozen features.
    Moments(MomentsArguments),
    /// Gap and gradient over training, long chains, Metropolis acceptance, whether the start decides the image.
    Chains(ChainsArguments),
}

impl Diagnosis {
    /// Whether stdout shall hold one JSON object.
    pub fn json(&self) -> bool {
        match self {
            Diagnosis::Moments(moments) => moments.json,
            Diagnosis::Chains(chains) => chains.json,
        }
    }
}
