//! List the doors: every way by which a file or a message comes in.

mod archives;
mod arrays;
mod config;
mod logs;
mod manifest;
mod messages;
mod page;
mod partition;
mod pictures;
mod records;
mod run_folder;
mod safetensors;
mod weights;

use crate::Dice;
use std::path::Path;

/// A way by which input comes in.
pub struct Door {
    /// The word for it on the command line.
    pub name: &'static str,
    /// What comes in, and what reads it.
    pub what: &'static str,
    /// How the paths of the files that read it begin, from the workspace's root.
    pub sources: &'static [&'static str],
    /// Bytes of the longest input that is tried.
    pub longest: usize,
    /// Valid inputs.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Whether the first look at the format takes the input: signature, first header, JSON at all.
    pub header: fn(&[u8]) -> bool,
    /// Change an input in the terms of its format.
    pub change: fn(&mut Vec<u8>, &mut Dice),
    /// Make signatures, lengths and checksums right.
    pub mend: fn(&mut Vec<u8>),
    /// Let the program read the input; whatever files it needs are made in the folder, which belongs to the door.
    pub enter: fn(&[u8], &Path),
}

/// All doors.
pub const DOORS: [&Door; 19] = [
    &pictures::PICTURES,
    &archives::FOLDERS,
    &archives::ZIPS,
    &archives::TARS,
    &arrays::IMAGES,
    &arrays::STATISTICS,
    &weights::PTH,
    &safetensors::WEIGHTS,
    &safetensors::CHAINS,
    &config::CONFIG,
    &run_folder::RESUME,
    &run_folder::CHECKPOINT_TENSORS,
    &run_folder::REPORT,
    &logs::METRICS,
    &partition::PARTITION,
    &records::RECORDS,
    &manifest::MANIFEST,
    &messages::MESSAGES,
    &page::PAGE,
];

/// The door of this name.
pub fn door(name: &str) -> Option<&'static Door> {
    DOORS.into_iter().find(|door| door.name == name)
}

/// Leave the input as it is: the format has nothing to put in order.
fn no_mending(_bytes: &mut Vec<u8>) {}

/// Put the input in a file of the door's folder.
///
/// # Panics
/// Where the folder cannot be written to: then nothing can be tried.
fn file(folder: &Path, name: &str, bytes: &[u8]) -> std::path::PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).expect("the folder of a door can be written to");
    path
}

/// Empty the door's folder, for inputs of several files.
///
/// # Panics
/// As in [`file`].
fn clear(folder: &Path) {
    if folder.exists() {
        std::fs::remove_dir_all(folder).expect("the folder of a door can be emptied");
    }
    std::fs::create_dir_all(folder).expect("the folder of a door can be made");
}
