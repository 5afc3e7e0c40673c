//! Run `srm diagnose chains`.

use anyhow::Result;

use crate::{arguments::ChainsArguments, output::Output};

/// In work.
///
/// # Errors
/// None yet.
pub fn run(_arguments: &ChainsArguments, _output: &Output) -> Result<()> {
    Ok(())
}
