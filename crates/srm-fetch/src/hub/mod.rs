//! Bring the weights of a repository on a model hub into the cache that huggingface_hub uses, too.

mod cache;
mod name;
mod settings;
#[cfg(test)]
mod tests;

use crate::{
    Checksum, Downloader, Event, FetchError, Refusal,
    download::{Answer, Expected, Failure, Method, Wanted, join, origin},
    place::{NAMES, lock, require_safetensors},
    proxy::host,
};
use cache::{Cache, is_commit};
pub use name::Repository;
use settings::{CACHE, Settings};
use std::path::PathBuf;

/// Weights that are pickles (huggingface_hub and diffusers, `constants.py`).
const PICKLES: [&str; 2] = ["pytorch_model.bin", "diffusion_pytorch_model.bin"];

/// A file as the hub has it.
struct Found {
    file: &'static str,
    /// The revision as a commit, 40 digits.
    commit: String,
    etag: String,
    bytes: Option<u64>,
    /// Where its content is to be had.
    url: String,
}

/// Why the hub gives no file.
enum Trouble {
    /// It has no such file; its words.
    NoFile(String),
    /// It cannot be asked.
    Away(String),
    Fatal(FetchError),
}

impl From<FetchError> for Trouble {
    fn from(error: FetchError) -> Self {
        Trouble::Fatal(error)
    }
}

impl Repository {
    /// The file of weights in the cache, downloaded where it is not there.
    ///
    /// # Errors
    /// As in [`crate::Source::fetch`].
    pub(crate) fn fetch(&self, downloader: &Downloader) -> Result<PathBuf, FetchError> {
        let settings = Settings::new(downloader)?;
        let cache = Cache::new(&settings.cache, self);
        if is_commit(&self.revision)
            && let Some(file) = cache.first_of(&self.revision, &NAMES)
        {
            return self.checked(file);
        }
        let absent = |cause: String, remedy| {
            let asked = self.to_string();
            FetchError::NotCached { asked, cache: settings.cache.clone(), cause, remedy }
        };
        if settings.offline {
            let remedy = "unset HF_HUB_OFFLINE, or set HF_HUB_CACHE to the folder that has it";
            let file = cache.of_revision(&self.revision, &NAMES);
            return self.checked(file.ok_or_else(|| absent("HF_HUB_OFFLINE forbids to ask for it".into(), remedy))?);
        }
        let hub = Hub { repository: self, downloader, settings: &settings };
        match hub.find() {
            Ok(found) => hub.take(&found, &cache),
            Err(Trouble::Fatal(error)) => Err(error),
            Err(Trouble::NoFile(said)) => Err(hub.refused(Refusal::NoWeights, said)),
            Err(Trouble::Away(cause)) => {
                let cause = format!("{}: {cause}", host(&settings.endpoint));
                let remedy = "check the network (a proxy goes into HTTPS_PROXY), or give the path of a file";
                let Some(file) = cache.of_revision(&self.revision, &NAMES) else { return Err(absent(cause, remedy)) };
                downloader.listener().hear(&Event::Cached { asked: &self.to_string(), cause: &cause });
                self.checked(file)
            }
        }
    }

    /// A file of the cache, whoever put it there.
    fn checked(&self, file: PathBuf) -> Result<PathBuf, FetchError> {
        require_safetensors(&self.to_string(), &file).map(|()| file)
    }
}

/// A repository on the hub that the settings name.
struct Hub<'a> {
    repository: &'a Repository,
    downloader: &'a Downloader,
    settings: &'a Settings,
}

impl Hub<'_> {
    /// The best file of weights that the hub has.
    fn find(&self) -> Result<Found, Trouble> {
        let mut said = String::new();
        for name in NAMES {
            match self.ask(name) {
                Err(Trouble::NoFile(words)) => said = words,
                ended => return ended,
            }
        }
        for pickle in PICKLES {
            match self.ask(pickle) {
                Err(Trouble::NoFile(_)) => {}
                Err(other) => return Err(other),
                Ok(_) => {
                    return Err(
                        FetchError::PickleAlone { asked: self.repository.to_string(), url: self.url(pickle) }.into()
                    );
                }
            }
        }
        Err(Trouble::NoFile(said))
    }

    fn url(&self, file: &str) -> String {
        let Repository { owner, name, revision } = self.repository;
        format!("{}/{owner}/{name}/resolve/{}/{file}", self.settings.endpoint, revision.replace('/', "%2F"))
    }

    /// The token for `url`: it goes to the hub itself alone.
    fn headers(&self, url: &str) -> Vec<(&'static str, String)> {
        let is_hub = origin(url).is_some_and(|origin_of_url| Some(origin_of_url) == origin(&self.settings.endpoint));
        let token = self.settings.token.as_ref().filter(|_| is_hub);
        token.map(|token| ("Authorization", token.header())).into_iter().collect()
    }

    /// What the hub says of a file.
    fn ask(&self, file: &'static str) -> Result<Found, Trouble> {
        // where it points on within itself it is asked there; the address of the content is of another form
        let is_enough = |answer: &Answer| {
            answer.points_elsewhere() && answer.etag().is_some() && answer.header("x-repo-commit").is_some()
        };
        let asked = self.downloader.ask(Method::Head, &self.url(file), &|url| self.headers(url), &is_enough);
        let answer = asked.map_err(|failure| match failure {
            Failure::Local(error) => Trouble::Fatal(error),
            Failure::Again(cause) | Failure::NextMirror(cause) | Failure::Unreachable(cause) => Trouble::Away(cause),
        })?;
        match answer.status.is_success() || answer.location().is_some() {
            true => Ok(self.found(file, &answer)?),
            false => Err(self.refusal(&answer)),
        }
    }

    /// What a good answer says. Commit and ETag name files of the cache, so they are looked at closely.
    fn found(&self, file: &'static str, answer: &Answer) -> Result<Found, FetchError> {
        let strange = |fault: String| FetchError::Protocol {
            asked: self.repository.to_string(),
            host: host(&self.settings.endpoint).to_owned(),
            fault,
        };
        let commit = answer.header("x-repo-commit").unwrap_or_default();
        if !is_commit(commit) {
            return Err(strange(format!("X-Repo-Commit is {commit:?}")));
        }
        let etag = answer.etag().unwrap_or_default();
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
        if !(1..=128).contains(&etag.len()) || etag.starts_with('.') || !etag.chars().all(is_plain) {
            return Err(strange(format!("the ETag is {etag:?}")));
        }
        let url = answer.location().map_or(Some(answer.url.clone()), |location| join(&answer.url, location));
        Ok(Found {
            file,
            commit: commit.to_owned(),
            etag: etag.to_owned(),
            bytes: answer.number("x-linked-size").or_else(|| {
                let is_content = answer.status.is_success();
                answer.number("content-length").filter(|_| is_content)
            }),
            url: url.ok_or_else(|| strange("it points on to nowhere".into()))?,
        })
    }

    fn refusal(&self, answer: &Answer) -> Trouble {
        let said = answer.said();
        let why = match (answer.header("x-error-code").unwrap_or_default(), answer.status.as_u16()) {
            ("EntryNotFound", _) => return Trouble::NoFile(said),
            ("RepoNotFound", _) => Refusal::Repository,
            ("RevisionNotFound", _) => Refusal::Revision,
            ("GatedRepo", _) => Refusal::Gated,
            (_, 401 | 403) => Refusal::Denied,
            (_, 404) => return Trouble::NoFile(said),
            _ => Refusal::Other,
        };
        Trouble::Fatal(self.refused(why, said))
    }

    fn refused(&self, why: Refusal, said: String) -> FetchError {
        let Settings { endpoint, token, .. } = self.settings;
        let page = format!("{endpoint}/{}/{}", self.repository.owner, self.repository.name);
        let remedy = match (why, token) {
            (Refusal::Repository, None) => {
                format!(
                    "check the name at {page}; for a private one set HF_TOKEN to a token of {endpoint}/settings/tokens"
                )
            }
            (Refusal::Repository, Some(token)) => {
                format!("check the name at {page}, and that the token of {} may read it", token.place())
            }
            (Refusal::Revision, _) => format!("give a branch, a tag or a commit of 40 digits that {page} has"),
            (Refusal::Gated, None) => {
                format!("accept the terms at {page}, then set HF_TOKEN to a token of {endpoint}/settings/tokens")
            }
            (Refusal::Gated, Some(token)) => {
                format!("accept the terms at {page} with the account of the token of {}", token.place())
            }
            (Refusal::Denied, None) => format!("set HF_TOKEN to a token of {endpoint}/settings/tokens"),
            (Refusal::Denied, Some(token)) => {
                format!("the token of {} does not open it; take another of {endpoint}/settings/tokens", token.place())
            }
            (Refusal::NoWeights | Refusal::NoFile, _) => format!("see {page} for what it has"),
            (Refusal::Other, _) => format!("try later, or download the file at {page} yourself and give its path"),
        };
        FetchError::Refused { asked: self.repository.to_string(), why, said, remedy }
    }

    /// Bring what was found into the cache, if it is not there, and link to it.
    fn take(&self, found: &Found, cache: &Cache) -> Result<PathBuf, FetchError> {
        let Found { file, commit, etag, bytes, url } = found;
        if let Some(there) = cache.first_of(commit, &[*file]) {
            // a cache that cannot be written serves all the same
            let _ = cache.remember(&self.repository.revision, commit);
            return self.repository.checked(there);
        }
        let name = format!("{} {file}", self.repository);
        let _lock = lock(&cache.lock(etag), &name, CACHE, self.downloader.listener())?;
        let blob = cache.blob(etag)?;
        let is_there = blob.metadata().is_ok_and(|there| bytes.is_none_or(|bytes| there.len() == bytes));
        match is_there {
            true => require_safetensors(&self.repository.to_string(), &blob)?,
            false => {
                let wanted =
                    Wanted { name: &name, bytes: *bytes, expected: expected(etag, *bytes), headers: self.headers(url) };
                let listener = self.downloader.listener();
                listener.hear(&Event::Begins { name: &name, bytes: *bytes, folder: &self.settings.cache });
                let part = blob.with_file_name(format!("{etag}.incomplete"));
                let refuse = |path: &std::path::Path| require_safetensors(&self.repository.to_string(), path);
                self.downloader.complete(&wanted, url, &part, &blob, &refuse)?;
            }
        }
        cache.link(commit, file, etag)?;
        cache.remember(&self.repository.revision, commit)?;
        Ok(cache.path(commit, file))
    }
}

/// What a file of this ETag must be.
fn expected(etag: &str, bytes: Option<u64>) -> Expected {
    let is_hex = etag.chars().all(|digit| digit.is_ascii_digit() || ('a'..='f').contains(&digit));
    match (etag.len(), bytes) {
        (64, _) if is_hex => Expected::Checksum(Checksum::sha256(etag)),
        (40, _) if is_hex => Expected::GitBlob(etag.to_owned()),
        (_, Some(bytes)) => Expected::Bytes(bytes),
        (_, None) => Expected::Anything,
    }
}
