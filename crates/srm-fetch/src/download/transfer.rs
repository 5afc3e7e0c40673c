//! Carry one file over one connection after another, until it is whole and what it should be.

use super::{
    Downloader,
    failure::{Failure, classify, local},
};
use crate::{Checksum, Event, FetchError, Proxy, checksum::digest, proxy::host, size};
use sha1::{Digest, Sha1};
use srm_terminal::ProgressBar;
use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    thread,
};
use ureq::http::StatusCode;

/// Attempts at one mirror without a new byte.
const ATTEMPTS_WITHOUT_PROGRESS: u32 = 3;
/// Attempts at one mirror in all; a connection that breaks more often is not worth it.
const ATTEMPTS: u32 = 40;

/// A file to bring.
pub(crate) struct Wanted<'a> {
    /// What a person calls it.
    pub name: &'a str,
    /// Its size, where that is known.
    pub bytes: Option<u64>,
    /// What the whole file must be.
    pub expected: Expected,
    /// What the request says besides.
    pub headers: Vec<(&'static str, String)>,
}

/// What a whole file must be.
pub(crate) enum Expected {
    /// It has a checksum.
    Checksum(Checksum),
    /// Git's name of its content: SHA-1 of `blob LENGTH\0` and the file, in digits.
    GitBlob(String),
    /// It has so many bytes.
    Bytes(u64),
    /// Nothing is known.
    Anything,
}

impl Expected {
    /// What is wrong with the file, if anything.
    fn fault(&self, mut part: &File) -> io::Result<Option<String>> {
        part.rewind()?;
        let differ = |what: &str, wanted: &str, found: &str| format!("wrong {what}: expected {wanted}, got {found}");
        Ok(match self {
            Self::Checksum(wanted) => {
                let found = wanted.of_reader(part)?;
                (found != *wanted).then(|| differ("checksum", &wanted.to_string(), &found.to_string()))
            }
            Self::GitBlob(wanted) => {
                let found = git_blob(part)?;
                (found != *wanted)
                    .then(|| differ("checksum", &format!("git blob {wanted}"), &format!("git blob {found}")))
            }
            Self::Bytes(wanted) => {
                let found = part.metadata()?.len();
                (found != *wanted).then(|| differ("length", &format!("{wanted} bytes"), &found.to_string()))
            }
            Self::Anything => None,
        })
    }
}

/// Git's name of a file's content, from its beginning.
fn git_blob(file: &File) -> io::Result<String> {
    digest(Sha1::new_with_prefix(format!("blob {}\0", file.metadata()?.len())), file)
}

impl Downloader {
    /// Append to `part` what it lacks of `wanted`, in as many attempts at `url` as are worth it.
    pub(crate) fn bring(&self, wanted: &Wanted<'_>, url: &str, part: &mut File) -> Result<(), Failure> {
        let host = host(url);
        let (proxy, first) = self.way_to(url)?;
        let mut without_progress = 0;
        for _ in 0..ATTEMPTS {
            let start = length(part)?;
            match self.attempt(wanted, url, proxy.as_ref(), part, start) {
                Ok(()) => {
                    let Some(fault) = wanted.expected.fault(part).map_err(local)? else {
                        return part.sync_all().map_err(local);
                    };
                    part.set_len(0).map_err(local)?;
                    if start == 0 {
                        return Err(Failure::NextMirror(fault));
                    }
                    self.listener.hear(&Event::StartsOver { name: wanted.name });
                }
                Err(Failure::Again(cause)) => {
                    without_progress = if length(part)? > start { 0 } else { without_progress + 1 };
                    if without_progress == ATTEMPTS_WITHOUT_PROGRESS {
                        return Err(Failure::NextMirror(cause));
                    }
                    self.listener.hear(&Event::Again { host, cause: &cause, arrived: length(part)? });
                    thread::sleep(self.patience.pause);
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
        wanted: &Wanted<'_>,
        url: &str,
        proxy: Option<&Proxy>,
        part: &mut File,
        start: u64,
    ) -> Result<(), Failure> {
        let mut request = self.agent.get(url).config().proxy(proxy.map(|proxy| proxy.setting.clone())).build();
        for (name, value) in &wanted.headers {
            request = request.header(*name, value);
        }
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
        part.set_len(start).map_err(local)?;
        part.seek(SeekFrom::Start(start)).map_err(local)?;
        let bar = self.listener.bar(wanted.name, total.or(wanted.bytes), start);
        let ended = self.append(response.into_body().into_reader(), part, start, &bar);
        bar.finish_and_clear();
        match (ended?, total) {
            (at, Some(total)) if at < total => {
                Err(Failure::Again(format!("broke off after {} of {}", size(at), size(total))))
            }
            _ => Ok(()),
        }
    }

    /// Write what `reader` gives behind the first `at` bytes of `part`; where that ends.
    fn append(&self, mut reader: impl Read, part: &mut File, mut at: u64, bar: &ProgressBar) -> Result<u64, Failure> {
        let mut buffer = vec![0; 1 << 17];
        loop {
            let count = match reader.read(&mut buffer) {
                Ok(0) => return Ok(at),
                Ok(count) => count,
                Err(error) => return Err(Failure::Again(format!("broke off after {} ({error})", size(at)))),
            };
            if at == 0 && is_web_page(&buffer[..count]) {
                return Err(Failure::NextMirror(WEB_PAGE.into()));
            }
            part.write_all(&buffer[..count]).map_err(local)?;
            at += count as u64;
            bar.set_position(at);
            if self.listener.stopped() {
                return Err(Failure::Local(FetchError::Stopped));
            }
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

fn length(part: &File) -> Result<u64, Failure> {
    Ok(part.metadata().map_err(local)?.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn web_pages_are_recognised() {
        assert!(is_web_page(b"\n  <!DOCTYPE HTML PUBLIC>") && is_web_page(b"\xef\xbb\xbf<html lang=en>"));
        assert!(!is_web_page(b"PK\x03\x04") && !is_web_page(b"000001.jpg 0\n") && !is_web_page(b""));
    }

    #[test]
    fn a_file_has_the_name_that_git_gives_its_content() {
        let mut file = tempfile::tempfile().unwrap();
        let name = |file: &mut File, text: &[u8]| {
            file.write_all(text).unwrap();
            file.rewind().unwrap();
            git_blob(file).unwrap()
        };
        // `git hash-object`: of an empty file, and of "hello" and a line feed
        assert_eq!(name(&mut file, b""), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
        assert_eq!(name(&mut file, b"hello\n"), "ce013625030ba8dba906f756967f9e9ca394464a");
    }
}
