//! Name what can go wrong with images and their files.

use crate::LeftOut;
use std::path::PathBuf;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
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
    #[error("{}: expected u8 [n, h, w, c] in C order, got {got}", path.display())]
    NotAnImageSet {
        /// The file.
        path: PathBuf,
        /// What it holds instead, and the line that helps.
        got: String,
    },
    /// An option has a value that it cannot have.
    #[error("{option} {value:?} does not serve; give {expected}")]
    BadOption {
        /// The option's flag.
        option: &'static str,
        /// What came.
        value: String,
        /// What serves.
        expected: &'static str,
    },
    /// Images cannot be taken from there.
    #[error("{} is {got}; images come as a folder, .zip, .tar or .tar.gz of pictures, as the binary version of CIFAR-10 (.tar.gz or its folder), or as IDX files (.gz or not)", path.display())]
    NotASource {
        /// The input.
        path: PathBuf,
        /// What it is instead.
        got: String,
    },
    /// A folder or archive has no images.
    #[error(
        "{}; the names of pictures end with .png, .jpg, .jpeg, .jfif, .pgm, .ppm, .bmp, .webp or the like{}",
        no_images(path, left_out),
        conversion(left_out)
    )]
    NoImagesIn {
        /// The folder or archive.
        path: PathBuf,
        /// Files of other kinds in it.
        left_out: Vec<LeftOut>,
    },
    /// The images cannot be split as asked.
    #[error("{} has no {split} split: {reason}; leave --split out, or give --partition list_eval_partition.txt (or .csv)", path.display())]
    NoSplit {
        /// The input.
        path: PathBuf,
        /// The split asked for.
        split: crate::Split,
        /// Why.
        reason: String,
    },
    /// A line of the partition list cannot be read.
    #[error("{}:{line} is {text:?}, no partition line like `000001.jpg 0` or `000001.jpg,0` with 0 (train), 1 (valid) or 2 (test)", path.display())]
    BadPartition {
        /// The list.
        path: PathBuf,
        /// Line number, from 1.
        line: usize,
        /// The line's beginning.
        text: String,
    },
    /// The partition list is no text.
    #[error("{} is no list of names and parts but {got}", path.display())]
    NoPartition {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        got: String,
    },
    /// A colour image among grey ones.
    #[error("{name} is in colour, the images before it are grey; pass --channels 3, or --channels 1 to make all grey")]
    MixedColours {
        /// The image's name within its source.
        name: String,
    },
    /// No image can be used.
    #[error("none of the {count} images of {} can be used, for example {name}: {reason}", path.display())]
    AllBad {
        /// The input.
        path: PathBuf,
        /// Images tried.
        count: usize,
        /// The first of them.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Another process writes the same file.
    #[error("{} is being written by another process; wait for its end", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// The caller asked to stop.
    #[error("stopped; {} was not written", path.display())]
    Stopped {
        /// The file.
        path: PathBuf,
    },
    /// A picture given by itself or among a few cannot be used.
    #[error("{name}: {reason}")]
    BadPicture {
        /// The picture's name within its source.
        name: String,
        /// Why.
        reason: String,
    },
    /// An image cannot be used by [`preprocess()`](crate::preprocess()), which can do without it.
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
    /// Images do not fit a net.
    #[error(
        "{}: its images are {}, the net's are {}; give images of that shape, or for a new net change energy.size and energy.channels",
        path.display(),
        sides(got),
        sides(expected)
    )]
    ImageShape {
        /// The set.
        path: PathBuf,
        /// Height, width and channels of the net's images.
        expected: [usize; 3],
        /// Height, width and channels of the set.
        got: [usize; 3],
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

fn sides([h, w, c]: &[usize; 3]) -> String {
    format!("{h}×{w}×{c}")
}

fn no_images(path: &std::path::Path, left_out: &[LeftOut]) -> String {
    match left_out {
        [] => format!("{} is empty", path.display()),
        _ => format!("{} has no pictures, only {}", path.display(), LeftOut::text(left_out)),
    }
}

fn conversion(left_out: &[LeftOut]) -> String {
    LeftOut::conversion(left_out).map_or_else(String::new, |remedy| format!("; {remedy}"))
}

impl DataError {
    /// For `map_err`: the system's error with what was tried on which path.
    pub(crate) fn io(action: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> DataError {
        let path = path.to_owned();
        move |source| DataError::Io { action, path, source }
    }
}
