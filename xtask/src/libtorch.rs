//! Keep libtorch folders in the user's cache: what they must contain, whether they are whole, and how one is replaced.

pub use srm_build::folder::{self, VERSION};

use crate::workspace;
use anyhow::{Context, Result, anyhow, bail};
use sha2::{Digest, Sha256};
use srm_fetch::Checksum;
use srm_files::hex;
use std::{
    env,
    fmt::Write as _,
    fs::{self, File},
    io::{ErrorKind, Write as _},
    path::{self, Path, PathBuf},
};

/// The list of files of a folder that the set-up made: one `sha256 bytes path` a line.
const MANIFEST: &str = "srm-manifest.txt";

/// One file of a folder.
pub struct Entry {
    /// Its SHA-256 in hexadecimal digits.
    pub sha256: String,
    /// Its size.
    pub bytes: u64,
    /// Where it lies below the folder.
    pub path: String,
}

/// What a check of a folder found.
#[derive(Debug, PartialEq, Eq)]
pub enum State {
    /// Every file is there and as it was unpacked.
    Whole,
    /// The set-up has not made it.
    Missing,
    /// A file is gone or changed.
    Damaged(String),
}

/// Fill `folder` by `fill` beside its final place, add the manifest, and only then give it its name.
pub fn replace(folder: &Path, fill: impl FnOnce(&Path) -> Result<Vec<Entry>>) -> Result<()> {
    let beside = |ending: &str| {
        folder.with_file_name(format!("{}.{ending}", folder.file_name().unwrap_or_default().to_string_lossy()))
    };
    let (new, old) = (beside("new"), beside("old"));
    for leftover in [&new, &old] {
        workspace::remove_folder(leftover)?;
    }
    fs::create_dir_all(&new).with_context(|| format!("cannot create {}", new.display()))?;
    let mut entries = fill(&new)?;
    if !new.join("build-version").exists() {
        let version = format!("{VERSION}\n");
        fs::write(new.join("build-version"), &version)?;
        entries.push(Entry {
            sha256: hex(&Sha256::digest(&version)),
            bytes: version.len() as u64,
            path: "build-version".into(),
        });
    }
    let mut manifest = String::new();
    for Entry { sha256, bytes, path } in &entries {
        writeln!(manifest, "{sha256} {bytes} {path}")?;
    }
    fs::write(new.join(MANIFEST), manifest).with_context(|| format!("cannot write into {}", new.display()))?;
    if folder.exists() {
        fs::rename(folder, &old).with_context(|| format!("cannot move the old {} away", folder.display()))?;
    }
    fs::rename(&new, folder).with_context(|| format!("cannot rename {} to {}", new.display(), folder.display()))?;
    workspace::remove_folder(&old)
}

/// Compare a folder with its manifest: sizes always, contents of the files that are newer than the manifest, of all with `thorough`.
pub fn check(folder: &Path, thorough: bool) -> Result<State> {
    let manifest_path = folder.join(MANIFEST);
    let Ok(manifest) = fs::read_to_string(&manifest_path) else { return Ok(State::Missing) };
    let written = fs::metadata(&manifest_path)?.modified()?;
    let mut newer = false;
    for line in manifest.lines() {
        let mut words = line.splitn(3, ' ');
        let (Some(sha256), Some(bytes), Some(name)) = (words.next(), words.next(), words.next()) else {
            return Ok(State::Damaged(format!("{MANIFEST} has a broken line")));
        };
        let path = folder.join(name);
        let Ok(data) = fs::metadata(&path) else { return Ok(State::Damaged(format!("{name} is missing"))) };
        if data.len().to_string() != bytes {
            return Ok(State::Damaged(format!("{name} has {} instead of {bytes} bytes", data.len())));
        }
        let changed_later = data.modified()? > written;
        newer |= changed_later;
        if (thorough || changed_later) && !Checksum::sha256(sha256).matches(&path)? {
            return Ok(State::Damaged(format!("{name} has a wrong checksum")));
        }
    }
    if newer {
        // A copied cache is newer than its manifest; checked once, it need not be read again. A read-only one is read each time.
        let _ = srm_files::write_whole(&manifest_path, |file| file.write_all(manifest.as_bytes()));
    }
    Ok(if manifest.lines().any(|line| line.ends_with(" build-version")) {
        State::Whole
    } else {
        State::Damaged(format!("{MANIFEST} is cut off"))
    })
}

/// The version of the libtorch in `folder` when srm can be built with it.
///
/// # Errors
/// Why it cannot, and what to do.
pub fn usable(folder: &Path) -> Result<String> {
    folder::usable(folder).map_err(|fault| anyhow!("{fault}; `cargo xtask setup` without --from gets the right one"))
}

/// Hold the lock of the cache until the returned file is dropped, so that two set-ups do not write at once; `None` where nobody
/// can write, as in a cache that an administrator has filled.
pub fn lock(cache: &Path) -> Result<Option<File>> {
    fs::create_dir_all(cache).with_context(|| {
        format!("cannot create the cache folder {}; set XDG_CACHE_HOME to one that can be written", cache.display())
    })?;
    let path = cache.join("setup.lock");
    let file = match File::create(&path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) => {
            eprintln!("note: {} cannot be written; what lies there is used", cache.display());
            return Ok(None);
        }
        Err(error) => return Err(error).with_context(|| format!("cannot write {}", path.display())),
    };
    if file.try_lock().is_err() {
        eprintln!("another set-up is running; waiting for it");
        file.lock().context("cannot lock the cache folder")?;
    }
    Ok(Some(file))
}

/// Make `.libtorch` in the workspace a link to `folder`.
pub fn link(folder: &Path) -> Result<()> {
    point(&link_path(), folder)
}

/// Make `link` lead to `folder`, at once and whatever a killed set-up has left.
fn point(link: &Path, folder: &Path) -> Result<()> {
    if fs::read_link(link).is_ok_and(|target| target == folder) {
        return Ok(());
    }
    if fs::symlink_metadata(link).is_ok_and(|data| !data.is_symlink()) {
        bail!(
            "{} is not a link; move it away (or use it: `cargo xtask setup --from …`) and run the set-up again",
            link.display()
        );
    }
    let new = link.with_file_name(".libtorch.new");
    let _ = fs::remove_file(&new); // where it is there and stays, the next line says so
    std::os::unix::fs::symlink(folder, &new).with_context(|| format!("cannot make the link {}", new.display()))?;
    fs::rename(&new, link).with_context(|| format!("cannot replace {}", link.display()))
}

/// A LIBTORCH that the user has set, which is not the one that `.cargo/config.toml` gives to every program that cargo runs.
pub fn of_user() -> Option<PathBuf> {
    let path = env::var_os("LIBTORCH").filter(|path| !path.is_empty())?;
    // The bindings are built in another folder than the user is in.
    path::absolute(path).ok().filter(|path| *path != link_path())
}

/// The libtorch that srm is built on.
pub fn in_use() -> PathBuf {
    of_user().unwrap_or_else(link_path)
}

/// The link in the workspace that LIBTORCH of `.cargo/config.toml` names.
pub fn link_path() -> PathBuf {
    workspace::root().join(".libtorch")
}

#[cfg(test)]
mod tests;
