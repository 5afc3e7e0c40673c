//! Download public files: several mirrors, resume, checksums, and never a half file under the final name.

mod ask;
mod failure;
mod roots;
mod transfer;

use crate::{Checksum, Event, FetchError, Listener, Variables, proxy::host};
use std::{
    cell::RefCell,
    collections::HashSet,
    env,
    fs::{self, File, OpenOptions},
    path::{Path, PathBuf},
    time::Duration,
};
use ureq::{Agent, tls::TlsConfig};

pub(crate) use ask::{Answer, Method, join, origin};
pub(crate) use failure::Failure;
pub(crate) use transfer::{Expected, Wanted};

/// A public file and where it can be had.
pub struct RemoteFile {
    /// Its official name, which is also its name on disk.
    pub name: String,
    /// Its size in bytes, as far as it is known beforehand.
    pub bytes: Option<u64>,
    /// What it must contain.
    pub checksum: Checksum,
    /// Complete addresses, the best first.
    pub mirrors: Vec<String>,
}

/// How long a downloader waits before it gives up.
#[derive(Clone, Copy)]
pub struct Patience {
    /// For a connection to a mirror: half for its name, half for the connection itself.
    pub connect: Duration,
    /// For the next bytes of a mirror that has accepted.
    pub silence: Duration,
    /// Between two attempts at one mirror.
    pub pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), silence: Duration::from_secs(20), pause: Duration::from_secs(1) }
    }
}

/// Fetches files one after another and remembers which hosts did not answer, so that each costs its time only once.
pub struct Downloader {
    agent: Agent,
    listener: Box<dyn Listener>,
    variables: Variables,
    patience: Patience,
    /// Hosts, or the proxies on the way to them.
    unreachable: RefCell<HashSet<String>>,
}

impl Downloader {
    /// A downloader with the given patience. Proxies and more certificates come from the usual environment variables.
    pub fn new(patience: Patience, listener: Box<dyn Listener>) -> Self {
        Self::with_variables(patience, listener, Box::new(|name| env::var_os(name)))
    }

    /// [`Downloader::new`] with other variables in place of the environment's.
    pub fn with_variables(patience: Patience, listener: Box<dyn Listener>, variables: Variables) -> Self {
        let (roots, troubles) = roots::gather(&variables);
        for trouble in &troubles {
            listener.hear(&Event::Certificates(trouble));
        }
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_resolve(Some(patience.connect / 2))
            .timeout_connect(Some(patience.connect / 2))
            .timeout_recv_response(Some(patience.silence))
            .timeout_per_read(Some(patience.silence))
            .user_agent(concat!("srm/", env!("CARGO_PKG_VERSION")))
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            .proxy(None) // each request names its own
            .build()
            .new_agent();
        Self { agent, listener, variables, patience, unreachable: RefCell::default() }
    }

    /// Bring `file` into `folder` and return its path; a complete one that lies there already is kept.
    ///
    /// # Errors
    /// When no mirror delivers it; the message gives the cause for each mirror. What has arrived stays in `NAME.part`.
    pub fn fetch(&self, file: &RemoteFile, folder: &Path) -> Result<PathBuf, FetchError> {
        let target = folder.join(&file.name);
        if target.is_file() {
            if file.checksum.matches(&target)? {
                return Ok(target);
            }
            self.listener.hear(&Event::Damaged { path: &target, checksum: &file.checksum });
            fs::remove_file(&target).map_err(|source| FetchError::Remove { path: target.clone(), source })?;
        }
        fs::create_dir_all(folder).map_err(|source| FetchError::Folder { path: folder.to_owned(), source })?;
        self.listener.hear(&Event::Begins { name: &file.name, bytes: file.bytes, folder });
        let part_path = folder.join(format!("{}.part", file.name));
        let mut part = open_part(&part_path)?;
        if part.try_lock().is_err() {
            return Err(FetchError::Busy { path: target });
        }
        let wanted = Wanted {
            name: &file.name,
            bytes: file.bytes,
            expected: Expected::Checksum(file.checksum.clone()),
            headers: Vec::new(),
        };
        let mut causes = Vec::new();
        for mirror in &file.mirrors {
            match self.bring(&wanted, mirror, &mut part) {
                Ok(()) => return rename(&part_path, &target).map(|()| target),
                Err(Failure::Local(error)) => return Err(error),
                Err(Failure::Again(cause) | Failure::NextMirror(cause) | Failure::Unreachable(cause)) => {
                    let cause = format!("{}: {cause}", host(mirror));
                    self.listener.hear(&Event::Fails { cause: &cause });
                    causes.push(cause);
                }
            }
        }
        remove_empty(&part, &part_path);
        Err(FetchError::Undelivered { name: file.name.clone(), causes: causes.join("; ") })
    }

    /// Bring `wanted` from `url` to `target`, whole or not at all; until then, and after a cut, it lies in `part_path`. What
    /// `refuse` finds wrong with the whole file is not kept.
    pub(crate) fn complete(
        &self,
        wanted: &Wanted<'_>,
        url: &str,
        part_path: &Path,
        target: &Path,
        refuse: &dyn Fn(&Path) -> Result<(), FetchError>,
    ) -> Result<(), FetchError> {
        let mut part = open_part(part_path)?;
        match self.bring(wanted, url, &mut part) {
            Ok(()) => {
                refuse(part_path).inspect_err(|_| drop(fs::remove_file(part_path)))?;
                rename(part_path, target)
            }
            Err(Failure::Local(error)) => Err(error),
            Err(Failure::Again(cause) | Failure::NextMirror(cause) | Failure::Unreachable(cause)) => {
                remove_empty(&part, part_path);
                let causes = format!("{}: {cause}", host(url));
                Err(FetchError::Undelivered { name: wanted.name.to_owned(), causes })
            }
        }
    }

    /// The value of a variable of the environment; none where it is empty.
    pub(crate) fn variable(&self, name: &str) -> Option<std::ffi::OsString> {
        (self.variables)(name).filter(|value| !value.is_empty())
    }

    /// Who hears of downloads.
    pub(crate) fn listener(&self) -> &dyn Listener {
        &*self.listener
    }
}

fn open_part(path: &Path) -> Result<File, FetchError> {
    let opened = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path);
    opened.map_err(|source| FetchError::Open { path: path.to_owned(), source })
}

fn rename(from: &Path, to: &Path) -> Result<(), FetchError> {
    fs::rename(from, to).map_err(|source| FetchError::Rename { from: from.to_owned(), to: to.to_owned(), source })
}

/// An empty part is of no use to the next attempt; one that cannot be removed does no harm either.
fn remove_empty(part: &File, path: &Path) {
    if part.metadata().is_ok_and(|metadata| metadata.len() == 0) {
        let _ = fs::remove_file(path);
    }
}

/// Put the user's own server, a folder that holds the files under their official names, before the public mirrors.
pub fn with_mirror(mut file: RemoteFile, mirror: Option<&str>) -> RemoteFile {
    if let Some(base) = mirror {
        file.mirrors.insert(0, format!("{}/{}", base.trim_end_matches('/'), file.name));
    }
    file
}

#[cfg(test)]
mod tests;
