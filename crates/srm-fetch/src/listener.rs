//! Tell whoever downloads what happens, since a library does not print.

use crate::{Checksum, size};
use srm_terminal::ProgressBar;
use std::{fmt, path::Path};

/// Hears of downloads, shows them, and may stop them.
pub trait Listener {
    /// Something has happened that a person wants to know.
    fn hear(&self, event: &Event<'_>);

    /// A bar in bytes for `name`, at `start` of `total`.
    fn bar(&self, name: &str, total: Option<u64>, start: u64) -> ProgressBar;

    /// Whether to stop: what has arrived stays, and the next download goes on there.
    fn stopped(&self) -> bool {
        false
    }
}

/// What happens in a download. Its text is a line for people.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Certificates that the user names cannot be had.
    Certificates(&'a str),
    /// A file that is there is not what it should be, and is downloaded again.
    Damaged {
        /// The file.
        path: &'a Path,
        /// What it should have.
        checksum: &'a Checksum,
    },
    /// A download begins or goes on.
    Begins {
        /// The file.
        name: &'a str,
        /// Its size, where that is known.
        bytes: Option<u64>,
        /// Where it will lie.
        folder: &'a Path,
    },
    /// A mirror does not deliver.
    Fails {
        /// The host and the cause.
        cause: &'a str,
    },
    /// The part of an earlier download was of something else.
    StartsOver {
        /// The file.
        name: &'a str,
    },
    /// A connection broke, and the same mirror is tried once more.
    Again {
        /// The host.
        host: &'a str,
        /// Why.
        cause: &'a str,
        /// Bytes that have arrived so far.
        arrived: u64,
    },
    /// Another process downloads the same file: this one waits for it.
    Waits {
        /// The file.
        name: &'a str,
    },
    /// The server cannot be asked: what the cache has is taken.
    Cached {
        /// What was asked for.
        asked: &'a str,
        /// Why the server cannot be asked.
        cause: &'a str,
    },
}

impl Event<'_> {
    /// Whether a person should look at it.
    pub fn is_warning(&self) -> bool {
        !matches!(self, Self::Begins { .. } | Self::Waits { .. })
    }
}

impl fmt::Display for Event<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificates(trouble) => out.write_str(trouble),
            Self::Damaged { path, checksum } => {
                write!(out, "{} is damaged (not {checksum}): downloading it again", path.display())
            }
            Self::Begins { name, bytes, folder } => {
                let bytes = bytes.map(|bytes| format!(", {}", size(bytes))).unwrap_or_default();
                write!(out, "downloading {name}{bytes}, to {}", folder.display())
            }
            Self::Fails { cause } => out.write_str(cause),
            Self::StartsOver { name } => write!(out, "the resumed {name} has a wrong checksum: starting over"),
            Self::Again { host, cause, arrived } => {
                write!(out, "{host}: {cause}; trying again from {}", size(*arrived))
            }
            Self::Waits { name } => write!(out, "another process is downloading {name}: waiting for it"),
            Self::Cached { asked, cause } => write!(out, "{cause}: taking {asked} from the cache"),
        }
    }
}
