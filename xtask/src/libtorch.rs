//! Keep libtorch folders in the user's cache: what they must contain, whether they are whole, and how one is replaced.

use crate::{
    checksum::{Checksum, hexadecimal},
    workspace,
};
use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use std::{
    fmt::Write as _,
    fs::{self, File},
    path::{Path, PathBuf},
};

/// The libtorch that tch 0.24.0 is made for.
pub const VERSION: &str = "2.11.0";
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
        remove(leftover)?;
    }
    fs::create_dir_all(&new).with_context(|| format!("cannot create {}", new.display()))?;
    let mut entries = fill(&new)?;
    if !new.join("build-version").exists() {
        let version = format!("{VERSION}\n");
        fs::write(new.join("build-version"), &version)?;
        entries.push(Entry {
            sha256: hexadecimal(Sha256::digest(&version)),
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
    remove(&old)
}

fn remove(folder: &Path) -> Result<()> {
    match folder.exists() {
        true => fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display())),
        false => Ok(()),
    }
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
        let _ = fs::write(&manifest_path, &manifest);
    }
    Ok(if manifest.lines().any(|line| line.ends_with(" build-version")) {
        State::Whole
    } else {
        State::Damaged(format!("{MANIFEST} is cut off"))
    })
}

/// Why `folder` is no libtorch that srm can be built with; `Ok` with its version otherwise.
pub fn usable(folder: &Path) -> Result<String> {
    for file in ["lib/libtorch_cpu.so", "lib/libtorch.so", "lib/libc10.so", "include/torch/csrc/autograd/engine.h"] {
        if !folder.join(file).exists() {
            bail!(
                "{} is no libtorch: {file} is missing; give the folder that contains lib/ and include/",
                folder.display()
            );
        }
    }
    let Some(version) = version(folder) else {
        bail!(
            "{} does not say its version (no build-version, no include/torch/headeronly/version.h); libtorch {VERSION} is needed",
            folder.display()
        )
    };
    if version.split('+').next() != Some(VERSION) {
        bail!(
            "{} is libtorch {version}, but tch 0.24.0 needs {VERSION}; run `cargo xtask setup` without --from to get that",
            folder.display()
        );
    }
    Ok(version)
}

/// The version that a libtorch folder states, in `build-version` or in its headers.
fn version(folder: &Path) -> Option<String> {
    if let Ok(text) = fs::read_to_string(folder.join("build-version")) {
        return Some(text.trim().to_owned());
    }
    let headers = ["include/torch/headeronly/version.h", "include/torch/csrc/api/include/torch/version.h"];
    let text = headers.iter().find_map(|header| {
        fs::read_to_string(folder.join(header)).ok().filter(|text| text.contains("TORCH_VERSION_MAJOR "))
    })?;
    let number = |part: &str| {
        let line = text.lines().find(|line| line.starts_with(&format!("#define TORCH_VERSION_{part} ")))?;
        line.split_whitespace().nth(2).map(str::to_owned)
    };
    Some(format!("{}.{}.{}", number("MAJOR")?, number("MINOR")?, number("PATCH")?))
}

/// Hold the lock of the cache until the returned file is dropped, so that two set-ups do not write at once.
pub fn lock(cache: &Path) -> Result<File> {
    fs::create_dir_all(cache).with_context(|| {
        format!("cannot create the cache folder {}; set XDG_CACHE_HOME to one that can be written", cache.display())
    })?;
    let path = cache.join("setup.lock");
    let file =
        File::create(&path).with_context(|| format!("cannot write {}; check its permissions", path.display()))?;
    if file.try_lock().is_err() {
        eprintln!("another set-up is running; waiting for it");
        file.lock().context("cannot lock the cache folder")?;
    }
    Ok(file)
}

/// Make `.libtorch` in the workspace a link to `folder`.
pub fn link(folder: &Path) -> Result<()> {
    let link = link_path();
    if fs::read_link(&link).is_ok_and(|target| target == folder) {
        return Ok(());
    }
    if fs::symlink_metadata(&link).is_ok_and(|data| !data.is_symlink()) {
        bail!(
            "{} is not a link; move it away (or use it: `cargo xtask setup --from …`) and run the set-up again",
            link.display()
        );
    }
    let new = link.with_file_name(format!(".libtorch.{}", std::process::id()));
    std::os::unix::fs::symlink(folder, &new)
        .with_context(|| format!("cannot make a link in {}", workspace::root().display()))?;
    fs::rename(&new, &link).with_context(|| format!("cannot replace {}", link.display()))
}

/// The link in the workspace that LIBTORCH of `.cargo/config.toml` names.
pub fn link_path() -> PathBuf {
    workspace::root().join(".libtorch")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, SystemTime};

    fn write(folder: &Path, name: &str, text: &str) -> Entry {
        fs::create_dir_all(folder.join(name).parent().unwrap()).unwrap();
        fs::write(folder.join(name), text).unwrap();
        Entry { sha256: hexadecimal(Sha256::digest(text)), bytes: text.len() as u64, path: name.to_owned() }
    }

    fn made() -> (tempfile::TempDir, PathBuf) {
        let cache = tempfile::tempdir().unwrap();
        let folder = cache.path().join("libtorch");
        replace(&folder, |new| Ok(vec![write(new, "lib/a.so", "library"), write(new, "include/a.h", "header")]))
            .unwrap();
        (cache, folder)
    }

    #[test]
    fn a_fresh_folder_is_whole_and_nothing_lies_beside_it() {
        let (cache, folder) = made();
        assert_eq!(check(&folder, true).unwrap(), State::Whole);
        assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 1);
        assert_eq!(check(&cache.path().join("other"), false).unwrap(), State::Missing);
        assert_eq!(version(&folder).as_deref(), Some(VERSION));
    }

    #[test]
    fn every_kind_of_damage_is_seen() {
        type Damage = fn(&Path);
        let cut: Damage = |folder| fs::write(folder.join("lib/a.so"), "libr").unwrap();
        let gone: Damage = |folder| fs::remove_file(folder.join("include/a.h")).unwrap();
        let changed: Damage = |folder| {
            fs::write(folder.join("lib/a.so"), "Library").unwrap();
            let later = SystemTime::now() + Duration::from_secs(5);
            File::options().write(true).open(folder.join("lib/a.so")).unwrap().set_modified(later).unwrap();
        };
        let list: Damage = |folder| fs::write(folder.join(MANIFEST), "abc 3\n").unwrap();
        for (damage, message) in [
            (cut, "lib/a.so has 4 instead of 7 bytes"),
            (gone, "include/a.h is missing"),
            (changed, "wrong checksum"),
            (list, "broken line"),
        ] {
            let (_cache, folder) = made();
            damage(&folder);
            match check(&folder, false).unwrap() {
                State::Damaged(cause) => assert!(cause.contains(message), "{cause}"),
                other => panic!("{message}: {other:?}"),
            }
            replace(&folder, |new| Ok(vec![write(new, "lib/a.so", "library")])).unwrap();
            assert_eq!(check(&folder, true).unwrap(), State::Whole);
        }
    }

    #[test]
    fn a_failed_fill_leaves_the_old_folder() {
        let (_cache, folder) = made();
        assert!(replace(&folder, |_| bail!("no connection")).is_err());
        assert_eq!(check(&folder, true).unwrap(), State::Whole);
    }

    #[test]
    fn another_version_or_no_libtorch_is_refused_with_its_cause() {
        let folder = tempfile::tempdir().unwrap();
        let message = |folder: &Path| usable(folder).unwrap_err().to_string();
        assert!(message(folder.path()).contains("lib/libtorch_cpu.so is missing"));
        for name in ["lib/libtorch_cpu.so", "lib/libtorch.so", "lib/libc10.so", "include/torch/csrc/autograd/engine.h"]
        {
            write(folder.path(), name, "");
        }
        assert!(message(folder.path()).contains("does not say its version"));
        write(
            folder.path(),
            "include/torch/headeronly/version.h",
            "#define TORCH_VERSION_MAJOR 2\n#define TORCH_VERSION_MINOR 10\n#define TORCH_VERSION_PATCH 1\n",
        );
        assert!(message(folder.path()).contains("is libtorch 2.10.1, but tch 0.24.0 needs 2.11.0"));
        write(folder.path(), "build-version", "2.11.0+cpu\n");
        assert_eq!(usable(folder.path()).unwrap(), "2.11.0+cpu");
    }
}
