//! Keep what both caches need: one downloader at a time, and no file but safetensors.

use crate::{Event, FetchError, Listener};
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
pub(crate) const NAMES: [&str; 2] = ["model.safetensors", "diffusion_pytorch_model.safetensors"];
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

/// Refuse a file that is no safetensors by its content.
///
/// # Errors
/// [`FetchError::NotSafetensors`]; the file cannot be read.
pub(crate) fn require_safetensors(asked: &str, path: &Path) -> Result<(), FetchError> {
    let mut beginning = Vec::with_capacity(BEGINNING);
    let read = File::open(path).and_then(|file| file.take(BEGINNING as u64).read_to_end(&mut beginning));
    read.map_err(|source| FetchError::Read { path: path.to_owned(), source })?;
    let found = identify_bytes(&beginning);
    if found == Some(Kind::Safetensors) {
        return Ok(());
    }
    let remedy = match found {
        Some(Kind::Torch | Kind::Pickle | Kind::TorchScript) => {
            "a pickle can run programs where it is loaded; if you trust it, download it yourself and give its path"
        }
        Some(Kind::WebPage) => "open the address in a browser to see what the server says",
        Some(Kind::LfsPointer) => "its owner has not put the file itself there; ask for it",
        _ => "ask its owner for a .safetensors file, or give the path of one",
    };
    let what = found.map_or("a file of an unknown kind".to_owned(), Kind::what);
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
