//! Fetch public files by the downloader that srm has, with a bar and lines on stderr.

use crate::workspace::{self, bar};
use anyhow::Result;
use srm_fetch::{Event, Listener};
use srm_terminal::ProgressBar;
use std::path::{Path, PathBuf};

pub use srm_fetch::{Patience, RemoteFile, with_mirror};

/// Fetches files one after another and says on stderr what happens.
pub struct Downloader(srm_fetch::Downloader);

impl Downloader {
    /// A downloader with the given patience. Proxies and more certificates come from the usual environment variables.
    pub fn new(patience: Patience) -> Self {
        Self(srm_fetch::Downloader::new(patience, Box::new(Stderr)))
    }

    /// Bring `file` into `folder` and return its path; a complete one that lies there already is kept.
    ///
    /// # Errors
    /// When no mirror delivers it; the message gives the cause for each mirror. What has arrived stays in `NAME.part`.
    pub fn fetch(&self, file: &RemoteFile, folder: &Path) -> Result<PathBuf> {
        Ok(self.0.fetch(file, folder)?)
    }
}

/// Says what happens; paths are relative to the workspace.
struct Stderr;

impl Listener for Stderr {
    fn hear(&self, event: &Event<'_>) {
        match event {
            Event::Certificates(trouble) => eprintln!("warning: {trouble}"),
            Event::Damaged { path, checksum } => {
                eprintln!("{} is damaged (not {checksum}): downloading it again", workspace::shown(path));
            }
            Event::Begins { name, bytes, folder } => {
                let bytes = bytes.map(|bytes| format!(", {}", workspace::size(bytes))).unwrap_or_default();
                eprintln!("downloading {name}{bytes}, to {}", workspace::shown(folder));
            }
            other => eprintln!("  {other}"),
        }
    }

    fn bar(&self, name: &str, total: Option<u64>, start: u64) -> ProgressBar {
        bar(name, total, start)
    }
}
