//! Define the command line of `srm diagnose`.

use clap::{Args, Subcommand};

use super::{ChainsFlags, MomentsFlags};

#[derive(Debug, Args)]
pub struct DiagnoseFlags {
    #[command(subcommand)]
    pub what: Diagnosis,
}

#[derive(Debug, Subcommand)]
pub enum Diagnosis {
    /// Moment matching: what the net's features say of samples and of data, and the experiment with frozen features.
    Moments(MomentsFlags),
    /// Gap and gradient over training, long chains, Metropolis acceptance, whether the start decides the image.
    Chains(ChainsFlags),
}

impl Diagnosis {
    /// Whether stdout shall hold one JSON object.
    pub fn json(&self) -> bool {
        match self {
            Diagnosis::Moments(moments) => moments.common.json,
            Diagnosis::Chains(chains) => chains.common.json,
        }
    }
}
