//! Run `srm diagnose moments`.

use anyhow::Result;

use crate::{arguments::MomentsArguments, output::Output};

/// In work.
///
/// # Errors
/// None yet.
pub fn run(_arguments: &MomentsArguments, _output: &Output) -> Result<()> {
    Ok(())
}
