//! Name what can go wrong with charts and reports.

use std::path::{Path, PathBuf};

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// A file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A folder is not that of a run.
    #[error(transparent)]
    Run(#[from] srm_run::RunError),
    /// A picture cannot be made.
    #[error("the picture cannot be made: {source}")]
    Encode {
        /// What the encoder said.
        source: png::EncodingError,
    },
    /// A chart cannot be drawn.
    #[error("cannot draw the chart {title:?}: {reason}")]
    Chart {
        /// Its title.
        title: String,
        /// What the plotting library said.
        reason: String,
    },
}

impl ReportError {
    /// For `map_err`: the system's error with the file that it is about.
    pub(crate) fn write(path: &Path) -> impl FnOnce(std::io::Error) -> ReportError {
        let path = path.to_owned();
        move |source| ReportError::Write { path, source }
    }
}
