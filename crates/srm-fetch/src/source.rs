//! Tell what a person typed for weights that lie elsewhere, and bring them.

use crate::{Address, Downloader, FetchError, Repository};
use std::{fmt, path::PathBuf};

/// Weights that lie elsewhere. Its text is what to type for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// `hf:owner/name` or `hf:owner/name@revision`.
    Hub(Repository),
    /// `https://…/net.safetensors`, or the folder that holds `model.safetensors`.
    Address(Address),
}

impl Source {
    /// What `text` means; `None` where it is neither form, and so a path.
    pub fn parse(text: &str) -> Option<Result<Source, FetchError>> {
        let begins = |with: &str| text.get(..with.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(with));
        if let Some(name) = text.strip_prefix("hf:") {
            return Some(Repository::parse(name).map(Source::Hub));
        }
        (begins("http://") || begins("https://")).then(|| Address::parse(text).map(Source::Address))
    }

    /// The file, from the cache where it is there and still what the server has.
    ///
    /// # Errors
    /// The server does not have it or does not give it, what arrives is no safetensors or damaged, it cannot be
    /// reached and the cache has nothing, the cache cannot be written, the listener asks to stop.
    pub fn fetch(&self, downloader: &Downloader) -> Result<PathBuf, FetchError> {
        match self {
            Source::Hub(repository) => repository.fetch(downloader),
            Source::Address(address) => address.fetch(downloader),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Hub(repository) => repository.fmt(out),
            Source::Address(address) => address.fmt(out),
        }
    }
}
