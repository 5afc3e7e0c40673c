//! Give a folder its new files all at once, and leave what else lies in it alone.
//!
//! The files are written into `.NAME.part` beside the folder, which then changes places with it. What a killed export
//! leaves is put right by the next one into the same folder.

use std::{
    env,
    fs::{self, File, TryLockError},
    io::ErrorKind,
    path::{Path, PathBuf, absolute},
};

use anyhow::{Context, Result, bail};
use srm_run::{is_run, layout::STATE, put_in_place};

use super::FILES;
use crate::session::usage;

/// A folder for the hub that may be written.
pub struct Folder {
    path: PathBuf,
    temporary: PathBuf,
}

impl Folder {
    /// The folder of --hub, where it is not there, is empty, or may be written over.
    ///
    /// # Errors
    /// It is a file, holds something and `overwrite` is off, or is a run's or a checkpoint's.
    pub fn of(hub: &Path, overwrite: bool) -> Result<Folder> {
        let shown = hub.display();
        if hub.exists() && !hub.is_dir() {
            return Err(usage(format!("--hub {shown}: it is a file; name a folder, which need not be there")));
        }
        // a link stays one: what it leads to is written
        let path = if hub.is_dir() { hub.canonicalize() } else { absolute(hub) };
        let path = path.with_context(|| format!("--hub {shown}: nothing leads there; name another folder"))?;
        let Some(name) = path.file_name() else {
            return Err(usage(format!("--hub {shown}: name a folder below this one")));
        };
        if env::current_dir().is_ok_and(|here| here.starts_with(&path)) {
            let what = "you are in it, and it is exchanged as a whole";
            return Err(usage(format!("--hub {shown}: {what}; go to another folder and name it from there")));
        }
        if is_run(&path) || path.join(STATE).is_file() {
            let what = "it is the folder of a run, whose settings would be lost";
            return Err(usage(format!("--hub {shown}: {what}; name a folder of its own")));
        }
        let mut entries = fs::read_dir(&path).into_iter().flatten().flatten();
        if let Some(first) = entries.next().filter(|_| !overwrite) {
            let first = first.file_name();
            return Err(usage(format!(
                "--hub {shown}: it is not empty ({} lies there); add --overwrite to write {} into it and leave the \
                 rest, or name another folder",
                first.display(),
                FILES.join(", "),
            )));
        }
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(".part");
        Ok(Folder { temporary: path.with_file_name(hidden), path })
    }

    /// Make the place where its files are written until they are all there, before anything slow happens.
    ///
    /// # Errors
    /// Nothing can be written there, or another export writes it.
    pub fn begin(&self) -> Result<Begun<'_>> {
        let advice = || format!("cannot write {}; choose a place where you may write", self.path.display());
        if let Some(parent) = self.path.parent() {
            fs::create_dir_all(parent).with_context(advice)?;
        }
        self.tidy()?;
        fs::create_dir(&self.temporary).with_context(advice)?;
        let lock = File::open(&self.temporary).with_context(advice)?;
        if matches!(lock.try_lock(), Err(TryLockError::WouldBlock)) {
            bail!("another export writes {}; wait for its end", self.path.display());
        }
        Ok(Begun { folder: self, _lock: lock })
    }

    /// Put right what a killed export has left: a folder begun, or the one before with what else lay in it.
    fn tidy(&self) -> Result<()> {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let replaced = self.path.with_file_name(format!(".replaced-{name}"));
        if replaced.is_dir() && !self.path.exists() {
            fs::rename(&replaced, &self.path).with_context(|| format!("cannot bring {} back", self.path.display()))?;
        }
        for left in [&self.temporary, &replaced] {
            let Ok(open) = File::open(left) else { continue };
            if matches!(open.try_lock(), Err(TryLockError::WouldBlock)) {
                bail!("another export writes {}; wait for its end", self.path.display());
            }
            self.settle(left)?;
        }
        Ok(())
    }

    /// Take into the folder what an earlier state of it held besides our files, and delete that state.
    fn settle(&self, earlier: &Path) -> Result<()> {
        let advice = || format!("cannot put away {}; take out what is yours, and delete it", earlier.display());
        for entry in fs::read_dir(earlier).with_context(advice)? {
            let name = entry.with_context(advice)?.file_name();
            let ours = |file: &str| name == file || name == *format!(".{file}.part");
            let (from, to) = (earlier.join(&name), self.path.join(&name));
            if !FILES.iter().any(|file| ours(file)) {
                if to.exists() {
                    bail!("{} and {} are both there; delete one of them", from.display(), to.display());
                }
                fs::rename(&from, &to).with_context(advice)?;
            }
        }
        fs::remove_dir_all(earlier).with_context(advice)
    }
}

/// A folder being written; dropped before [`Begun::finish`], nothing of it is left.
pub struct Begun<'a> {
    folder: &'a Folder,
    _lock: File,
}

impl Begun<'_> {
    /// Where a file of the folder is written.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.temporary.join(name)
    }

    /// Bytes that were written.
    ///
    /// # Errors
    /// A file cannot be looked at.
    pub fn bytes(&self) -> Result<u64> {
        let length = |name: &&str| Ok(fs::metadata(self.file(name))?.len());
        FILES.iter().map(length).sum()
    }

    /// Give the folder its files.
    ///
    /// # Errors
    /// What the system returns.
    pub fn finish(self) -> Result<()> {
        let Folder { path, temporary } = self.folder;
        // a folder that cannot be flushed, as on some network disks, is no failure
        let flush = |folder: &Path| drop(File::open(folder).and_then(|folder| folder.sync_all()));
        flush(temporary);
        let earlier = put_in_place(temporary, path)?;
        path.parent().map(flush);
        if earlier.is_dir() { self.folder.settle(&earlier) } else { Ok(()) }
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        // after an exchange what lies there is the folder of before, which `finish` has put away or named in its error
        let Ok(entries) = fs::read_dir(&self.folder.temporary) else { return };
        let names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
        if names.iter().all(|name| FILES.iter().any(|file| name == file)) {
            let gone = fs::remove_dir_all(&self.folder.temporary);
            if gone.is_err_and(|error| error.kind() != ErrorKind::NotFound) {
                tracing::warn!("{} could not be deleted", self.folder.temporary.display());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(begun: &Begun<'_>, text: &str) {
        FILES.iter().for_each(|name| fs::write(begun.file(name), text).unwrap());
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_folder_appears_whole_and_is_replaced_with_what_else_it_holds() {
        let place = tempfile::tempdir().unwrap();
        let hub = place.path().join("deep/hub");
        let folder = Folder::of(&hub, false).unwrap();
        let begun = folder.begin().unwrap();
        assert!(folder.begin().is_err_and(|error| error.to_string().contains("another export writes")));
        fill(&begun, "one");
        assert!(!hub.exists());
        begun.finish().unwrap();
        assert_eq!(names(&hub), FILES);
        assert_eq!(names(&place.path().join("deep")), ["hub"]);

        fs::create_dir(hub.join(".git")).unwrap();
        fs::write(hub.join(".git/HEAD"), "mine").unwrap();
        assert!(Folder::of(&hub, false).is_err_and(|error| error.to_string().contains("--overwrite")));
        let folder = Folder::of(&hub, true).unwrap();
        let begun = folder.begin().unwrap();
        fill(&begun, "two");
        drop(begun); // an export that fails
        assert_eq!(fs::read_to_string(hub.join("README.md")).unwrap(), "one");
        let begun = folder.begin().unwrap();
        fill(&begun, "two");
        begun.finish().unwrap();
        assert_eq!(fs::read_to_string(hub.join("README.md")).unwrap(), "two");
        assert_eq!(fs::read_to_string(hub.join(".git/HEAD")).unwrap(), "mine");
        assert_eq!(names(&place.path().join("deep")), ["hub"]);
    }

    #[test]
    fn what_a_killed_export_left_is_put_right_by_the_next() {
        let place = tempfile::tempdir().unwrap();
        let hub = place.path().join("hub");
        let folder = Folder::of(&hub, true).unwrap();
        // killed while it wrote
        fs::create_dir(place.path().join(".hub.part")).unwrap();
        fs::write(place.path().join(".hub.part/.README.md.part"), "half").unwrap();
        let begun = folder.begin().unwrap();
        fill(&begun, "one");
        begun.finish().unwrap();
        // killed after the two had changed places: the folder before has what else lay there
        fs::create_dir(place.path().join(".hub.part")).unwrap();
        fs::write(place.path().join(".hub.part/README.md"), "old").unwrap();
        fs::write(place.path().join(".hub.part/LICENSE"), "mine").unwrap();
        let begun = folder.begin().unwrap();
        fill(&begun, "two");
        begun.finish().unwrap();
        assert_eq!(fs::read_to_string(hub.join("LICENSE")).unwrap(), "mine");
        assert_eq!(fs::read_to_string(hub.join("README.md")).unwrap(), "two");
        assert_eq!(names(place.path()), ["hub"]);
    }

    #[test]
    fn a_folder_that_is_something_else_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let (file, run) = (place.path().join("x"), place.path().join("run"));
        fs::write(&file, "mine").unwrap();
        fs::create_dir(&run).unwrap();
        fs::write(run.join("metrics.jsonl"), "").unwrap();
        let said = |path: &Path| Folder::of(path, true).err().unwrap().to_string();
        assert!(said(&file).contains("it is a file"));
        assert!(said(&run).contains("folder of a run"));
        assert!(said(Path::new("/")).contains("name a folder below"));
        assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    }
}
