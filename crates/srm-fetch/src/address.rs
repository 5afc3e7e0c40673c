//! Bring weights from a plain address into the user's cache, and see at each call whether the server has others now.

#[cfg(test)]
mod tests;

use crate::{
    Downloader, Event, FetchError, Refusal,
    download::{Answer, Expected, Failure, Method, Wanted, origin},
    place::{NAMES, cache_folder, lock, make_parent, require_safetensors},
    proxy::host,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use srm_files::{hex, write_whole};
use std::{
    fmt, fs,
    io::Write,
    path::{Path, PathBuf},
};

/// What names the cache.
const CACHE: &str = "XDG_CACHE_HOME";
/// Endings of files that are pickles.
const PICKLES: [&str; 6] = [".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth"];
const ENDING: &str = ".safetensors";

/// An address of weights, `https://…/net.safetensors`, or of the folder that holds `model.safetensors`. Its text
/// leaves a query out, which may hold a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    url: String,
}

impl Address {
    /// Read an address that begins with `http://` or `https://`.
    ///
    /// # Errors
    /// [`FetchError::Address`].
    pub fn parse(text: &str) -> Result<Address, FetchError> {
        let (url, _) = text.split_once('#').unwrap_or((text, ""));
        let address = Address { url: url.to_owned() };
        let fault = if url.chars().any(|letter| letter.is_whitespace() || letter.is_control()) {
            "it has white space in it"
        } else if address.authority().contains('@') {
            "a name and a password in it would be sent to nobody"
        } else if origin(url).is_none() {
            "it names no host"
        } else if PICKLES.iter().any(|ending| address.path().to_ascii_lowercase().ends_with(ending)) {
            "it is that of a pickle, which can run programs where it is loaded, so that srm downloads safetensors only; if \
             you trust it, download it yourself and give its path"
        } else {
            return Ok(address);
        };
        Err(FetchError::Address { address: address.to_string().escape_debug().to_string(), fault })
    }

    fn authority(&self) -> &str {
        let rest = self.url.split_once("://").map_or("", |(_, rest)| rest);
        rest.split(['/', '?']).next().unwrap_or_default()
    }

    /// What follows the host, without a query.
    fn path(&self) -> &str {
        let rest = self.url.split_once("://").map_or("", |(_, rest)| rest);
        let path = &rest[self.authority().len()..];
        path.split('?').next().unwrap_or_default()
    }

    /// The addresses of files that it may mean, the best first.
    fn files(&self) -> Vec<Address> {
        if self.url.contains('?') || self.path().to_ascii_lowercase().ends_with(ENDING) {
            return vec![self.clone()];
        }
        NAMES.map(|name| Address { url: format!("{}/{name}", self.url.trim_end_matches('/')) }).into()
    }

    /// The name of its file in the cache: no more than letters, digits, -, _ and . of it.
    fn name(&self) -> String {
        let is_plain = |letter: &char| letter.is_ascii_alphanumeric() || "-_.".contains(*letter);
        let last = self.path().rsplit('/').next().unwrap_or_default();
        let plain: String = last.chars().filter(is_plain).take(100).collect();
        match plain.to_ascii_lowercase().strip_suffix(ENDING) {
            Some(stem) if !stem.starts_with('.') && !stem.is_empty() => plain,
            _ => NAMES[0].to_owned(),
        }
    }

    /// The file of weights in the cache, downloaded where it is not there or not any more what the server has.
    ///
    /// # Errors
    /// As in [`crate::Source::fetch`].
    pub(crate) fn fetch(&self, downloader: &Downloader) -> Result<PathBuf, FetchError> {
        let cache = cache_folder(&|name| downloader.variable(name), CACHE)?.join("srm/weights");
        let files = self.files();
        let mut missing = None;
        for file in &files {
            let place = Place::new(&cache, file);
            match file.ask(&place, downloader) {
                Ok(answer) => return file.take(&answer, &place, downloader),
                Err(Failure::Local(error @ FetchError::Refused { why: Refusal::NoFile, .. })) => {
                    missing = missing.or(Some(error))
                }
                Err(Failure::Local(error)) => return Err(error),
                Err(Failure::Again(cause) | Failure::NextMirror(cause) | Failure::Unreachable(cause)) => {
                    let cause = format!("{}: {cause}", host(&file.url));
                    let kept = files.iter().map(|file| Place::new(&cache, file)).find(|place| place.known().is_some());
                    let Some(place) = kept else {
                        let remedy = "check the network (a proxy goes into HTTPS_PROXY), or give the path of a file";
                        return Err(FetchError::NotCached { asked: self.to_string(), cache, cause, remedy });
                    };
                    downloader.listener().hear(&Event::Cached { asked: &self.to_string(), cause: &cause });
                    return Ok(place.file());
                }
            }
        }
        Err(missing.expect("an address means at least one file"))
    }

    /// What the server says of the file; of one that lies here, whether it is another now.
    fn ask(&self, place: &Place, downloader: &Downloader) -> Result<Answer, Failure> {
        let known = place.known().and_then(|known| Some(known["etag"].as_str()?.to_owned()));
        let headers = |_: &str| known.iter().map(|etag| ("If-None-Match", etag.clone())).collect();
        let answer = downloader.ask(Method::Get, &self.url, &headers, &|_| false)?;
        let (why, remedy) = match answer.status.as_u16() {
            200..=299 | 304 => return Ok(answer),
            404 | 410 => (Refusal::NoFile, "check the address".to_owned()),
            401 | 403 => (Refusal::Denied, "download the file yourself and give its path".to_owned()),
            _ => (Refusal::Other, "download the file yourself and give its path".to_owned()),
        };
        let remedy = if host(&self.url) == "huggingface.co" { "give hf:owner/name".to_owned() } else { remedy };
        Err(Failure::Local(FetchError::Refused { asked: self.to_string(), why, said: answer.said(), remedy }))
    }

    /// Keep the file that lies here, or bring the one that the server has now.
    fn take(&self, answer: &Answer, place: &Place, downloader: &Downloader) -> Result<PathBuf, FetchError> {
        let now = json!({
            "url": self.to_string(),
            "etag": answer.header("etag"),
            "modified": answer.header("last-modified"),
            "bytes": answer.number("content-length"),
        });
        let is_same = |known: &Value| answer.status.as_u16() == 304 || is_told(&now) && *known == now;
        if place.known().is_some_and(|known| is_same(&known)) {
            return Ok(place.file());
        }
        let cannot = |path: &Path, source| FetchError::Cache { path: path.to_owned(), variable: CACHE, source };
        let name = self.to_string();
        let _lock = lock(&place.folder.join("lock"), &name, CACHE, downloader.listener())?;
        if place.known().is_some_and(|known| is_same(&known)) {
            return Ok(place.file()); // who held the lock before has brought it
        }
        let bytes = answer.number("content-length");
        let file = place.file();
        make_parent(&file).map_err(|source| cannot(&file, source))?;
        downloader.listener().hear(&Event::Begins { name: &name, bytes, folder: &place.folder });
        let part = place.part(&now).map_err(|source| cannot(&place.folder, source))?;
        let expected = bytes.map_or(Expected::Anything, Expected::Bytes);
        let wanted = Wanted { name: &name, bytes, expected, headers: Vec::new() };
        downloader.complete(&wanted, &self.url, &part, &file, &|path| require_safetensors(&name, path))?;
        let notes = place.notes();
        write_whole(&notes, |out| writeln!(out, "{now:#}")).map_err(|source| cannot(&notes, source))?;
        Ok(file)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, _) = self.url.split_once("://").unwrap_or(("https", ""));
        let host = self.authority().rsplit('@').next().unwrap_or_default();
        write!(out, "{}://{host}{}", scheme.to_ascii_lowercase(), self.path())
    }
}

/// Whether what the server says of a file tells it from others of its length.
fn is_told(now: &Value) -> bool {
    !now["etag"].is_null() || !now["modified"].is_null()
}

/// Where the file of an address lies: a folder for each address.
struct Place {
    folder: PathBuf,
    name: String,
}

impl Place {
    fn new(cache: &Path, address: &Address) -> Place {
        let digits = hex(&Sha256::digest(&address.url));
        Place { folder: cache.join(&digits[..32]), name: address.name() }
    }

    fn file(&self) -> PathBuf {
        self.folder.join(&self.name)
    }

    /// Where stands what the server said of the file.
    fn notes(&self) -> PathBuf {
        self.folder.join("source.json")
    }

    /// What the server said of the file that lies here whole.
    fn known(&self) -> Option<Value> {
        let notes: Value = serde_json::from_slice(&fs::read(self.notes()).ok()?).ok()?;
        let length = self.file().metadata().ok()?.len();
        notes["bytes"].as_u64().is_none_or(|bytes| bytes == length).then_some(notes)
    }

    /// The part of the file that the server has now; parts of others, and one that nothing tells from others, are
    /// removed.
    fn part(&self, now: &Value) -> std::io::Result<PathBuf> {
        let name = format!("{}.part", &hex(&Sha256::digest(now.to_string()))[..16]);
        for entry in fs::read_dir(&self.folder)?.flatten() {
            let other = entry.file_name();
            let is_part = other.as_encoded_bytes().ends_with(b".part") && !other.as_encoded_bytes().starts_with(b".");
            if is_part && !(is_told(now) && *other == *name) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(self.folder.join(name))
    }
}
