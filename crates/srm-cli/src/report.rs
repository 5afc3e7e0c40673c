//! Run `srm report`.

use anyhow::Result;

use crate::{arguments::ReportArguments, output::Output};

/// In work.
///
/// # Errors
/// None yet.
pub fn run(_arguments: &ReportArguments, _output: &Output) -> Result<()> {
    Ok(())
}
