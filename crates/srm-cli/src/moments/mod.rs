//! Run `srm diagnose moments`: choose the experiment, and write what it found.

mod frozen;
mod subject;
mod toy;
mod trained;

use std::fmt::Display;

use anyhow::Result;
use serde::Serialize;

use crate::{
    flags::MomentsFlags,
    model::Choice,
    session::{Session, write_json},
};
use subject::Experiment;

/// Compare moments of samples and data, and write numbers, charts and grids into the folder.
///
/// # Errors
/// Bad usage, images or weights that cannot be used, chains that blow up, outputs that cannot be written.
pub fn run(flags: &MomentsFlags, session: &Session) -> Result<()> {
    if flags.toy {
        return conclude("figure1.json", flags, session, || toy::run(flags));
    }
    let choice = Choice::of(&flags.common.model)?;
    let open = || Experiment::open(flags, choice, session);
    match flags.frozen {
        true => conclude("frozen.json", flags, session, || frozen::run(open()?)),
        false => conclude("moments.json", flags, session, || trained::run(open()?)),
    }
}

/// Do an experiment, and write and print its report.
fn conclude<R: Serialize + Display>(
    name: &str,
    flags: &MomentsFlags,
    session: &Session,
    experiment: impl FnOnce() -> Result<R>,
) -> Result<()> {
    let file = flags.out.join(name);
    session.prepare([&*file])?;
    session.watch_interrupts()?;
    let report = experiment()?;
    session.conclude(|| {
        write_json(&file, &report)?;
        Ok(report)
    })
}
