//! Hold what every command runs in: the terminal, the ranks that share its work, and the wish to stop.
//!
//! A command never names a rank. What all must decide alike goes by [`Session::agree`], what all must have alike by
//! [`Session::same`]; what writes runs in [`Session::write`] or [`Session::conclude`], which do nothing but at one rank.

mod device;
pub mod environment;
pub mod failure;
pub mod interrupt;
pub mod libtorch;
mod machine;
pub mod memory;
mod output;
pub mod shown;
pub mod status;

use std::{fmt::Display, fs, io::Write, path::Path, rc::Rc};

use anyhow::{Context, Result, bail};
use serde::{Serialize, de::DeserializeOwned};
use srm_files::WholeFile;
use srm_ranks::Ranks;
use srm_terminal::ProgressBar;

pub use device::DeviceChoice;
pub use failure::{Failure, usage};
pub use machine::Machine;
pub use output::Output;
pub use shown::Shown;

/// What a command runs in.
pub struct Session {
    output: Output,
    ranks: Rc<dyn Ranks>,
}

impl Session {
    /// A session of this process among `ranks`.
    pub fn new(output: &Output, ranks: Box<dyn Ranks>) -> Session {
        Session { output: output.clone(), ranks: ranks.into() }
    }

    /// The ranks, for what shares work: model, scores, training.
    pub fn ranks(&self) -> &Rc<dyn Ranks> {
        &self.ranks
    }

    /// Where results and logs go.
    pub fn output(&self) -> &Output {
        &self.output
    }

    /// A bar on stderr, `unit` being what it counts.
    pub fn bar(&self, length: u64, unit: &str) -> ProgressBar {
        self.output.bar(length, unit)
    }

    /// What one rank decides, for all.
    ///
    /// # Errors
    /// What the decision returns.
    pub fn agree<T: Serialize + DeserializeOwned>(&self, decide: impl FnOnce() -> Result<T>) -> Result<T> {
        srm_ranks::agree(&*self.ranks, decide)
    }

    /// Check that all ranks have the same of something, named by `what`, as `mine` tells it; one process alone asks nothing.
    ///
    /// # Errors
    /// The ranks differ; what `mine` returns.
    pub fn same(&self, what: &str, mine: impl FnOnce() -> Result<String>) -> Result<()> {
        srm_ranks::same(&*self.ranks, what, mine)
    }

    /// Write something, once for all ranks.
    ///
    /// # Errors
    /// What the work returns.
    pub fn write(&self, work: impl FnOnce() -> Result<()>) -> Result<()> {
        if self.ranks.writes() { work() } else { Ok(()) }
    }

    /// Write the results and print what was done, once for all ranks: JSON where --json was given, else the text.
    ///
    /// # Errors
    /// What the work returns; stdout cannot be written.
    pub fn conclude<R: Serialize + Display>(&self, work: impl FnOnce() -> Result<R>) -> Result<()> {
        self.write(|| {
            let report = work()?;
            self.output.result(&report, &report.to_string())
        })
    }

    /// Make the folders of outputs and check that they can be written to, before anything slow happens.
    ///
    /// # Errors
    /// A folder cannot be made or written to.
    pub fn prepare<'a>(&self, outputs: impl IntoIterator<Item = &'a Path>) -> Result<()> {
        self.write(|| outputs.into_iter().try_for_each(prepare))
    }

    /// Hear Ctrl-C and its like from now on: [`interrupt::asked`].
    ///
    /// # Errors
    /// The system refuses a signal handler.
    pub fn watch_interrupts(&self) -> Result<()> {
        interrupt::watch(self.output.clone())
    }
}

fn prepare(path: &Path) -> Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let advice = || format!("cannot write {}; choose a place where you may write", path.display());
    fs::create_dir_all(parent).with_context(advice)?;
    if path.is_dir() {
        bail!("cannot write {}; it is a folder", path.display());
    }
    // begun and dropped: this leaves nothing, and meets all that the real write will
    WholeFile::create(path).map(drop).with_context(advice)
}

/// Write a report as JSON, whole or not at all, so that an earlier file is there until the new one is whole.
///
/// # Errors
/// The file cannot be written.
pub fn write_json(path: &Path, report: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(report)?;
    srm_files::write_whole(path, |file| writeln!(file, "{text}"))
        .with_context(|| format!("cannot write {}", path.display()))
}
