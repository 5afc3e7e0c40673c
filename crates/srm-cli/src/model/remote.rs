//! Bring the weights that --weights names on a model hub or at an address, once for all ranks.

use std::path::{Path, PathBuf};

use anyhow::{Error, Result};
use srm_fetch::{Downloader, Event, FetchError, Listener, Patience, Source};
use srm_terminal::ProgressBar;

use crate::session::{Failure, Output, interrupt, usage};

/// The file of `hf:owner/name[@revision]` or `https://…` in the cache, downloaded where it is not there; any other
/// path, and one that exists, as it is.
///
/// # Errors
/// Bad usage where it is no name and no address; the server does not have it or does not give it, or cannot be
/// reached and the cache has nothing; Ctrl-C, where it is watched.
pub fn brought(path: &Path, output: &Output) -> Result<PathBuf> {
    let source = path.to_str().filter(|_| !path.exists()).and_then(Source::parse);
    let Some(source) = source.transpose().map_err(explained)? else { return Ok(path.to_owned()) };
    let downloader = Downloader::new(Patience::default(), Box::new(Terminal { output: output.clone() }));
    let file = source.fetch(&downloader).map_err(explained)?;
    tracing::debug!("{source} is {}", file.display());
    Ok(file)
}

/// A library's error with the exit code that fits.
fn explained(error: FetchError) -> Error {
    match error {
        FetchError::Stopped => Failure::Abandoned(error.to_string()).into(),
        error if error.is_usage() => usage(error.to_string()),
        error => Error::new(error).context("cannot download the weights"),
    }
}

/// Shows downloads as everything else is shown.
struct Terminal {
    output: Output,
}

impl Listener for Terminal {
    fn hear(&self, event: &Event<'_>) {
        match event.is_warning() {
            true => tracing::warn!("{event}"),
            false => tracing::info!("{event}"),
        }
    }

    fn bar(&self, name: &str, total: Option<u64>, start: u64) -> ProgressBar {
        let bar = self.output.bytes(name, total).with_position(start);
        bar.reset_eta(); // what was there before took no time
        bar
    }

    fn stopped(&self) -> bool {
        interrupt::asked()
    }
}
