//! Write a file whole or not at all: a kill, a full disk or a second writer leaves no half file under its name.

use std::{
    ffi::OsString,
    fs::{self, File, TryLockError},
    io::{self, BufWriter, ErrorKind, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// End of the name of a file that is being written.
const ENDING: &str = ".part";
/// How long [`write_whole`] waits for another writer of the same file. Such a write takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// Write `path` whole or not at all: under a temporary name, flushed to the disk, then renamed. Whatever fails, an earlier
/// file stays as it was and nothing else is left behind.
///
/// # Errors
/// What `write` or the system returns; [`ErrorKind::ResourceBusy`] where another process has been writing the same file for
/// ten seconds.
pub fn write_whole(path: &Path, write: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>) -> io::Result<()> {
    let begun = Instant::now();
    let whole = loop {
        match WholeFile::create(path) {
            Err(error) if error.kind() == ErrorKind::ResourceBusy && begun.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(5));
            }
            created => break created?,
        }
    };
    let mut file = BufWriter::new(whole.file());
    write(&mut file)?;
    file.flush()?;
    drop(file);
    whole.finish()
}

/// A file that gets its name once it is whole; until then it is `.NAME.part` in the same folder. Dropped before
/// [`WholeFile::finish`], it is deleted.
///
/// The temporary file is locked while it is written. So a live writer is told from what a killed one has left: a file whose
/// lock can be had belongs to nobody, and makes room for the next writer. Where the file system knows no locks, the later
/// of two writers wins, and the earlier fails.
#[derive(Debug)]
pub struct WholeFile {
    file: File,
    path: PathBuf,
    temporary: PathBuf,
    finished: bool,
}

impl WholeFile {
    /// Begin an empty file.
    ///
    /// # Errors
    /// [`ErrorKind::ResourceBusy`] where another process writes the same file, [`ErrorKind::IsADirectory`] where `path` is a
    /// folder, and what the system returns.
    pub fn create(path: &Path) -> io::Result<Self> {
        let name = path.file_name().ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "names no file"))?;
        if path.is_dir() {
            return Err(ErrorKind::IsADirectory.into());
        }
        let mut hidden = OsString::from(".");
        hidden.push(name);
        hidden.push(ENDING);
        let temporary = path.with_file_name(hidden);
        loop {
            match File::options().read(true).write(true).create_new(true).open(&temporary) {
                // between its creation and its lock, another process may have taken it for a leftover
                Ok(file) => {
                    if take(&file, &temporary)? {
                        return Ok(Self { file, path: path.to_owned(), temporary, finished: false });
                    }
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => remove_leftover(&temporary)?,
                Err(error) => return Err(error),
            }
        }
    }

    /// The file, open for reading and writing.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Where it is until it is whole.
    pub fn temporary(&self) -> &Path {
        &self.temporary
    }

    /// Flush it to the disk and give it its name.
    ///
    /// # Errors
    /// What the system returns; the file is deleted then.
    pub fn finish(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.temporary, &self.path)?;
        self.finished = true;
        // The file is whole under its name. That a folder cannot be flushed, as on some network disks, is no failure: a power
        // cut may then bring the earlier file back.
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
        Ok(())
    }
}

impl Drop for WholeFile {
    fn drop(&mut self) {
        if !self.finished {
            // the error that counts is the one that ended the write
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Delete what killed writers have left in a folder of ours; files of live writers stay.
///
/// # Errors
/// A leftover cannot be deleted. A folder that cannot be read, or is not there, holds none.
pub fn remove_leftovers(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        if name.starts_with(b".") && name.ends_with(ENDING.as_bytes()) {
            match remove_leftover(&entry.path()) {
                Err(error) if error.kind() == ErrorKind::ResourceBusy => {}
                removed => removed?,
            }
        }
    }
    Ok(())
}

/// Delete a temporary file that nobody writes any more; where it is gone already, all is well.
fn remove_leftover(temporary: &Path) -> io::Result<()> {
    let gone_is_well = |done: io::Result<()>| match done {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    };
    if fs::symlink_metadata(temporary).is_ok_and(|there| there.is_symlink()) {
        return gone_is_well(fs::remove_file(temporary)); // no writer of ours makes a link
    }
    // for writing, since network disks give an exclusive lock to no reader
    let opened = File::options().read(true).write(true).open(temporary).or_else(|_| File::open(temporary));
    let file = match opened {
        Ok(file) => file,
        Err(error) => return gone_is_well(Err(error)),
    };
    match take(&file, temporary)? {
        true => gone_is_well(fs::remove_file(temporary)),
        false if is_at(&file, temporary)? => {
            Err(io::Error::new(ErrorKind::ResourceBusy, "another process is writing it; wait for its end"))
        }
        false => Ok(()),
    }
}

/// Lock the file; whether it is ours now, and still the one at `path`.
fn take(file: &File, path: &Path) -> io::Result<bool> {
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Ok(false),
        Ok(()) | Err(TryLockError::Error(_)) => is_at(file, path),
    }
}

fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    Ok(fs::symlink_metadata(path).is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_that_fails_leaves_the_earlier_one_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.json");
        write_whole(&path, |file| file.write_all(b"first")).unwrap();
        let error = write_whole(&path, |file| {
            file.write_all(b"sec")?;
            Err(ErrorKind::StorageFull.into())
        });
        assert_eq!(error.unwrap_err().kind(), ErrorKind::StorageFull);
        assert_eq!((fs::read(&path).unwrap(), names(folder.path())), (b"first".to_vec(), vec!["x.json".to_owned()]));
    }

    #[test]
    fn what_a_killed_writer_left_is_gone_with_the_next_write_and_a_live_one_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("x.npy"), folder.path().join("y.npy"));
        fs::write(folder.path().join(".x.npy.part"), [7; 999]).unwrap();
        fs::write(folder.path().join("mine.part"), "mine").unwrap();
        write_whole(&path, |file| file.write_all(b"whole")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(names(folder.path()), ["mine.part", "x.npy"]);

        let live = WholeFile::create(&path).unwrap();
        live.file().write_all(b"slow").unwrap();
        assert_eq!(WholeFile::create(&path).unwrap_err().kind(), ErrorKind::ResourceBusy);
        fs::write(folder.path().join(".y.npy.part"), "left").unwrap();
        remove_leftovers(folder.path()).unwrap();
        assert_eq!(names(folder.path()), [".x.npy.part", "mine.part", "x.npy"]);
        live.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"slow");
        assert!(!other.exists());
    }

    #[test]
    fn many_writers_of_one_file_take_turns_and_every_one_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::thread::scope(|scope| {
            for letter in b'a'..b'i' {
                let path = &path;
                scope.spawn(move || {
                    for _ in 0..10 {
                        write_whole(path, |file| file.write_all(&[letter; 10_000])).unwrap();
                        let found = fs::read(path).unwrap();
                        assert!(found.len() == 10_000 && found.iter().all(|byte| *byte == found[0]));
                    }
                });
            }
        });
        assert_eq!(names(folder.path()), ["x"]);
    }

    #[test]
    fn a_place_that_is_a_folder_or_in_none_is_an_error_before_anything_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let kind = |path: &Path| WholeFile::create(path).unwrap_err().kind();
        assert_eq!(kind(folder.path()), ErrorKind::IsADirectory);
        assert_eq!(kind(&folder.path().join("no/x")), ErrorKind::NotFound);
        assert_eq!(kind(Path::new("/")), ErrorKind::InvalidInput);
    }
}
