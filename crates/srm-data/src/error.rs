//! Name what can go wrong with images and their files.

use std::path::PathBuf;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A file or folder cannot be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried: read, write, make, …
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is no image set.
    #[error("{}: expected u8 [n, h, w, c] in C order, got {got}; `cargo xtask preprocess` makes such a file", path.display())]
    NotAnImageSet {
        /// The file.
        path: PathBuf,
        /// What it holds instead.
        got: String,
    },
    /// An image cannot be used.
    #[error("{name}: {reason}; remove it, or pass --skip-bad to go on without it")]
    BadImage {
        /// The image's name within its source.
        name: String,
        /// Why.
        reason: String,
    },
    /// A picture cannot be encoded.
    #[error("cannot write the picture {}: {source}", path.display())]
    Picture {
        /// The file.
        path: PathBuf,
        /// What the encoder said.
        source: image::ImageError,
    },
    /// A picture of this many channels has no colour type.
    #[error("a picture has 1 (grey), 3 (RGB) or 4 (RGBA) channels, got {got}")]
    Channels {
        /// Channels that came.
        got: usize,
    },
    /// Samples cannot be compared with images of another shape.
    #[error("the samples have [h, w, c] = {got:?}, the image set has {expected:?}; take the set they were trained on")]
    SampleShape {
        /// Height, width and channels of the set.
        expected: [usize; 3],
        /// Height, width and channels of the samples.
        got: [usize; 3],
    },
    /// Nothing to draw.
    #[error("no images to write to {}", path.display())]
    NoImages {
        /// The file or folder.
        path: PathBuf,
    },
}

impl DataError {
    /// For `map_err`: the system's error with what was tried on which path.
    pub(crate) fn io(action: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> DataError {
        let path = path.to_owned();
        move |source| DataError::Io { action, path, source }
    }
}
