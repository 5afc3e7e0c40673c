//! Lay a repository's files out as huggingface_hub does: blobs by their ETag, and links to them by commit and name.

use super::{name::Repository, settings::CACHE};
use crate::{FetchError, place::make_parent};
use srm_files::write_whole;
use std::{
    fs,
    io::{self, ErrorKind, Write},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

/// A repository's folder in the cache.
pub struct Cache {
    folder: PathBuf,
    locks: PathBuf,
}

/// Whether a revision is a commit: 40 digits.
pub fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && revision.chars().all(|digit| digit.is_ascii_digit() || ('a'..='f').contains(&digit))
}

impl Cache {
    /// That of `repository` in the cache `root`.
    pub fn new(root: &Path, repository: &Repository) -> Cache {
        let name = format!("models--{}--{}", repository.owner, repository.name);
        Cache { folder: root.join(&name), locks: root.join(".locks").join(&name) }
    }

    /// The path of a file of a commit.
    pub fn path(&self, commit: &str, file: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit).join(file)
    }

    /// The first of these files that lies here of a commit.
    pub fn first_of(&self, commit: &str, files: &[&str]) -> Option<PathBuf> {
        files.iter().map(|file| self.path(commit, file)).find(|path| path.is_file())
    }

    /// The same of a revision, as it was when it was last asked for.
    pub fn of_revision(&self, revision: &str, files: &[&str]) -> Option<PathBuf> {
        if is_commit(revision) {
            return self.first_of(revision, files);
        }
        let commit = fs::read_to_string(self.reference(revision)).ok()?;
        let commit = commit.trim();
        is_commit(commit).then(|| self.first_of(commit, files))?
    }

    /// Note which commit a revision is.
    ///
    /// # Errors
    /// The cache cannot be written.
    pub fn remember(&self, revision: &str, commit: &str) -> Result<(), FetchError> {
        let path = self.reference(revision);
        if is_commit(revision) || fs::read_to_string(&path).is_ok_and(|known| known == commit) {
            return Ok(());
        }
        let written = make_parent(&path).and_then(|()| write_whole(&path, |file| file.write_all(commit.as_bytes())));
        written.map_err(cannot(&path))
    }

    /// The place of a content, in a folder that is there.
    ///
    /// # Errors
    /// The cache cannot be written.
    pub fn blob(&self, etag: &str) -> Result<PathBuf, FetchError> {
        let path = self.folder.join("blobs").join(etag);
        make_parent(&path).map_err(cannot(&path))?;
        Ok(path)
    }

    /// The lock that whoever downloads a content holds.
    pub fn lock(&self, etag: &str) -> PathBuf {
        self.locks.join(format!("{etag}.lock"))
    }

    /// Let a file of a commit be a content that is there.
    ///
    /// # Errors
    /// The cache cannot be written.
    pub fn link(&self, commit: &str, file: &str, etag: &str) -> Result<(), FetchError> {
        let path = self.path(commit, file);
        let target = Path::new("../../blobs").join(etag);
        let made = make_parent(&path).and_then(|()| match symlink(&target, &path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                fs::remove_file(&path)?; // a link to a content that is gone
                symlink(&target, &path)
            }
            made => made,
        });
        made.map_err(cannot(&path))
    }

    fn reference(&self, revision: &str) -> PathBuf {
        self.folder.join("refs").join(revision)
    }
}

fn cannot(path: &Path) -> impl FnOnce(io::Error) -> FetchError {
    let path = path.to_owned();
    |source| FetchError::Cache { path, variable: CACHE, source }
}
