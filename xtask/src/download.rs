//! Download public files: several mirrors, resume, checksums, and never a half file under the final name.

mod failure;
mod roots;

use crate::{
    checksum::Checksum,
    proxy::{Proxy, Variables, host},
    workspace::{self, bar},
};
use anyhow::{Context, Result, bail};
use failure::{Failure, classify, local};
use std::{
    cell::RefCell,
    collections::HashSet,
    env,
    fs::{self, File, OpenOptions},
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};
use ureq::{Agent, http::StatusCode, tls::TlsConfig};

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
    variables: Variables,
    pause: Duration,
    /// Hosts, or the proxies on the way to them.
    unreachable: RefCell<HashSet<String>>,
}

/// Attempts at one mirror without a new byte.
const ATTEMPTS_WITHOUT_PROGRESS: u32 = 3;
/// Attempts at one mirror in all; a connection that breaks more often is not worth it.
const ATTEMPTS: u32 = 40;

impl Downloader {
    /// A downloader with the given patience. Proxies and more certificates come from the usual environment variables.
    pub fn new(patience: Patience) -> Self {
        Self::with_variables(patience, Box::new(|name| env::var_os(name)))
    }

    fn with_variables(patience: Patience, variables: Variables) -> Self {
        let (roots, troubles) = roots::gather(&variables);
        for trouble in troubles {
            eprintln!("warning: {trouble}");
        }
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_resolve(Some(patience.connect / 2))
            .timeout_connect(Some(patience.connect / 2))
            .timeout_recv_response(Some(patience.silence))
            .timeout_per_read(Some(patience.silence))
            .user_agent(concat!("srm-xtask/", env!("CARGO_PKG_VERSION")))
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            .proxy(None) // each request names its own
            .build()
            .new_agent();
        Self { agent, variables, pause: patience.pause, unreachable: RefCell::default() }
    }

    /// Bring `file` into `folder` and return its path; a complete one that lies there already is kept.
    ///
    /// # Errors
    /// When no mirror delivers it; the message gives the cause for each mirror. What has arrived stays in `NAME.part`.
    pub fn fetch(&self, file: &RemoteFile, folder: &Path) -> Result<PathBuf> {
        let target = folder.join(&file.name);
        if target.is_file() {
            if file.checksum.matches(&target)? {
                return Ok(target);
            }
            eprintln!("{} is damaged (not {}): downloading it again", workspace::shown(&target), file.checksum);
            fs::remove_file(&target).with_context(|| format!("cannot remove the damaged {}", target.display()))?;
        }
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let bytes = file.bytes.map(|bytes| format!(", {}", workspace::size(bytes))).unwrap_or_default();
        eprintln!("downloading {}{bytes}, to {}", file.name, workspace::shown(folder));
        let part_path = folder.join(format!("{}.part", file.name));
        let mut part = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&part_path)
            .with_context(|| format!("cannot write {}; check the folder's permissions", part_path.display()))?;
        if part.try_lock().is_err() {
            bail!("another download of {} is running; wait for it or stop it", target.display());
        }
        let mut causes = Vec::new();
        for mirror in &file.mirrors {
            match self.try_mirror(file, mirror, &mut part) {
                Ok(()) => {
                    fs::rename(&part_path, &target)
                        .with_context(|| format!("cannot rename {} to {}", part_path.display(), target.display()))?;
                    return Ok(target);
                }
                Err(Failure::Local(error)) => return Err(error),
                Err(Failure::Again(cause) | Failure::NextMirror(cause) | Failure::Unreachable(cause)) => {
                    let cause = format!("{}: {cause}", host(mirror));
                    eprintln!("  {cause}");
                    causes.push(cause);
                }
            }
        }
        if part.metadata().is_ok_and(|metadata| metadata.len() == 0) {
            // An empty part is of no use to the next attempt; one that cannot be removed does no harm either.
            let _ = fs::remove_file(&part_path);
        }
        bail!("{} could not be downloaded: {}", file.name, causes.join("; "))
    }

    fn try_mirror(&self, file: &RemoteFile, url: &str, part: &mut File) -> Result<(), Failure> {
        let host = host(url);
        let proxy = Proxy::of(url, &self.variables).map_err(Failure::Local)?;
        let first = proxy.as_ref().map_or(host.to_owned(), ToString::to_string);
        if self.unreachable.borrow().contains(&first) {
            let whose = if proxy.is_some() { format!("{first} ") } else { String::new() };
            return Err(Failure::Unreachable(format!("{whose}did not answer before")));
        }
        let mut without_progress = 0;
        for _ in 0..ATTEMPTS {
            let start = length(part)?;
            match self.attempt(file, url, proxy.as_ref(), part, start) {
                Ok(()) => {
                    part.rewind().map_err(local)?;
                    let found = file.checksum.of_reader(&*part).map_err(Failure::Local)?;
                    if found == file.checksum {
                        return part.sync_all().map_err(local);
                    }
                    part.set_len(0).map_err(local)?;
                    if start == 0 {
                        return Err(Failure::NextMirror(format!(
                            "wrong checksum: expected {}, got {found}",
                            file.checksum
                        )));
                    }
                    eprintln!("  the resumed {} has a wrong checksum: starting over", file.name);
                }
                Err(Failure::Again(cause)) => {
                    without_progress = if length(part)? > start { 0 } else { without_progress + 1 };
                    if without_progress == ATTEMPTS_WITHOUT_PROGRESS {
                        return Err(Failure::NextMirror(cause));
                    }
                    eprintln!("  {host}: {cause}; trying again from {}", workspace::size(length(part)?));
                    thread::sleep(self.pause);
                }
                Err(failure) => {
                    if matches!(failure, Failure::Unreachable(_)) {
                        self.unreachable.borrow_mut().insert(first);
                    }
                    return Err(failure);
                }
            }
        }
        Err(Failure::NextMirror(format!("the connection broke {ATTEMPTS} times")))
    }

    /// One request: append what the server sends to `part`, which holds `start` bytes.
    fn attempt(
        &self,
        file: &RemoteFile,
        url: &str,
        proxy: Option<&Proxy>,
        part: &mut File,
        start: u64,
    ) -> Result<(), Failure> {
        let mut request = self.agent.get(url).config().proxy(proxy.map(|proxy| proxy.setting.clone())).build();
        if start > 0 {
            request = request.header("Range", format!("bytes={start}-"));
        }
        let response = request.call().map_err(|error| classify(error, proxy))?;
        let header = |name: &str| {
            response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
        };
        let start = match response.status() {
            StatusCode::OK => 0, // the server does not resume: from the beginning
            StatusCode::PARTIAL_CONTENT if header("content-range").starts_with(&format!("bytes {start}-")) => start,
            StatusCode::PARTIAL_CONTENT => {
                part.set_len(0).map_err(local)?;
                return Err(Failure::Again("answered with another range than asked for".into()));
            }
            // The part is complete (then its checksum decides) or longer than the file.
            StatusCode::RANGE_NOT_SATISFIABLE => return Ok(()),
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                return Err(Failure::Again(format!("HTTP {status}")));
            }
            status => return Err(Failure::NextMirror(format!("HTTP {status}"))),
        };
        if header("content-type").starts_with("text/html") {
            return Err(Failure::NextMirror(WEB_PAGE.into()));
        }
        let total = header("content-length").parse::<u64>().ok().map(|length| start + length);
        let bar = bar(&file.name, total.or(file.bytes), start);
        part.set_len(start).map_err(local)?;
        part.seek(SeekFrom::Start(start)).map_err(local)?;
        let (mut reader, mut at, mut buffer) = (response.into_body().into_reader(), start, vec![0; 1 << 17]);
        loop {
            let count = match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) => return Err(Failure::Again(format!("broke off after {} ({error})", workspace::size(at)))),
            };
            if at == 0 && is_web_page(&buffer[..count]) {
                return Err(Failure::NextMirror(WEB_PAGE.into()));
            }
            part.write_all(&buffer[..count]).map_err(local)?;
            at += count as u64;
            bar.set_position(at);
        }
        bar.finish_and_clear();
        match total {
            Some(total) if at < total => {
                Err(Failure::Again(format!("broke off after {} of {}", workspace::size(at), workspace::size(total))))
            }
            _ => Ok(()),
        }
    }
}

const WEB_PAGE: &str =
    "answered with a web page instead of the file (Google Drive does so when the file's daily quota is used up)";

/// Whether a file begins like a web page, which no file that we fetch does.
fn is_web_page(beginning: &[u8]) -> bool {
    let text = String::from_utf8_lossy(&beginning[..beginning.len().min(512)])
        .trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n'])
        .to_ascii_lowercase();
    text.starts_with("<!doctype html") || text.starts_with("<html")
}

/// Put the user's own server, a folder that holds the files under their official names, before the public mirrors.
pub fn with_mirror(mut file: RemoteFile, mirror: Option<&str>) -> RemoteFile {
    if let Some(base) = mirror {
        file.mirrors.insert(0, format!("{}/{}", base.trim_end_matches('/'), file.name));
    }
    file
}

fn length(part: &File) -> Result<u64, Failure> {
    Ok(part.metadata().map_err(local)?.len())
}

#[cfg(test)]
mod tests;
