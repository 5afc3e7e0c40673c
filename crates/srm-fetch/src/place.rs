//! Keep what both caches need: one downloader at a time, and no file but safetensors.

use crate::{Event, FetchError, Listener};
use serde_json::Value;
use srm_files::{BEGINNING, Kind, identify_bytes};
use std::{
    env,
    ffi::OsString,
    fs::{self, File, TryLockError},
    io::{self, Read},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

/// Names of weights in a repository or a folder, the best first (huggingface_hub and diffusers, `constants.py`).
pub const NAMES: [&str; 2] = ["model.safetensors", "diffusion_pytorch_model.safetensors"];
/// Between two looks at another process's lock.
const LOOK: Duration = Duration::from_millis(100);

/// Wait until no other process downloads `name`; held as long as the file is open. Where the file system knows no
/// locks, nobody waits.
///
/// # Errors
/// The lock cannot be made, the listener asks to stop.
pub(crate) fn lock(
    path: &Path,
    name: &str,
    variable: &'static str,
    listener: &dyn Listener,
) -> Result<File, FetchError> {
    let cannot = |source| FetchError::Cache { path: path.to_owned(), variable, source };
    make_parent(path).map_err(cannot)?;
    let file = File::options().create(true).truncate(false).write(true).open(path).map_err(cannot)?;
    let mut is_said = false;
    while let Err(TryLockError::WouldBlock) = file.try_lock() {
        if listener.stopped() {
            return Err(FetchError::Stopped);
        }
        if !is_said {
            listener.hear(&Event::Waits { name });
            is_said = true;
        }
        thread::sleep(LOOK);
    }
    Ok(file)
}

/// Make the folder of a file.
pub(crate) fn make_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)
}

/// Whether a safetensors file ends before its last tensor: 8 bytes that give the length of a header in JSON, the header with each
/// tensor's `data_offsets`, the tensors (<https://github.com/huggingface/safetensors>, Format).
fn is_cut_off(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let (whole, mut length) = (file.metadata()?.len(), [0; 8]);
    file.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    let mut header = Vec::new();
    file.take(length.min(whole)).read_to_end(&mut header)?;
    if (header.len() as u64) < length {
        return Ok(true);
    }
    let tree: Value = serde_json::from_slice(&header)?;
    let ends = tree.as_object().into_iter().flatten().filter_map(|(_, tensor)| tensor["data_offsets"][1].as_u64());
    Ok(whole < (8 + length).saturating_add(ends.max().unwrap_or(0)))
}

/// Refuse a file that is no safetensors by its content, or not a whole one.
///
/// # Errors
/// [`FetchError::NotSafetensors`]; the file cannot be read.
pub(crate) fn require_safetensors(asked: &str, path: &Path) -> Result<(), FetchError> {
    let mut beginning = Vec::with_capacity(BEGINNING);
    let read = File::open(path).and_then(|file| file.take(BEGINNING as u64).read_to_end(&mut beginning));
    read.map_err(|source| FetchError::Read { path: path.to_owned(), source })?;
    let found = identify_bytes(&beginning);
    let is_whole = || is_cut_off(path).is_ok_and(|cut_off| !cut_off);
    if found == Some(Kind::Safetensors) && is_whole() {
        return Ok(());
    }
    let remedy = match found {
        Some(Kind::Safetensors) => "it is cut off or damaged; try again, or give the path of a whole one",
        Some(Kind::Torch | Kind::Pickle | Kind::TorchScript) => {
            "a pickle can run programs where it is loaded; if you trust it, download it yourself and give its path"
        }
        Some(Kind::WebPage) => "open the address in a browser to see what the server says",
        Some(Kind::LfsPointer) => "its owner has not put the file itself there; ask for it",
        _ => "ask its owner for a .safetensors file, or give the path of one",
    };
    let what = match found {
        Some(Kind::Safetensors) => "a part of a safetensors file".to_owned(),
        found => found.map_or("a file of an unknown kind".to_owned(), Kind::what),
    };
    Err(FetchError::NotSafetensors { asked: asked.to_owned(), what, remedy })
}

/// A folder of the user's caches: that of `variable` where it is set, else the one below the home folder.
pub(crate) fn cache_folder(
    variables: &dyn Fn(&str) -> Option<OsString>,
    variable: &'static str,
) -> Result<PathBuf, FetchError> {
    let absolute = |path: &PathBuf| path.is_absolute();
    let named = variables(variable).map(PathBuf::from).filter(absolute);
    let home = || variables("HOME").map(PathBuf::from).or_else(env::home_dir).filter(absolute);
    named.or_else(|| Some(home()?.join(".cache"))).ok_or(FetchError::NoCache { variable })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::safetensors;

    #[test]
    fn a_file_that_is_cut_off_is_refused_wherever_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let (path, whole) = (folder.path().join("x.safetensors"), safetensors(100, 1));
        fs::write(&path, &whole).unwrap();
        require_safetensors("hf:me/net", &path).unwrap();
        for length in [whole.len() - 1, whole.len() - 50, 20, 9] {
            fs::write(&path, &whole[..length]).unwrap();
            let error = require_safetensors("hf:me/net", &path).unwrap_err().to_string();
            assert!(error.contains("hf:me/net"), "{length}: {error}");
        }
    }
}
