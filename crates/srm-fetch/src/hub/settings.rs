//! Read the variables of the environment by which huggingface_hub is set.

use crate::{Downloader, FetchError, download::origin, place::cache_folder};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The hub that is asked where HF_ENDPOINT says nothing.
const ENDPOINT: &str = "https://huggingface.co";
/// What names the cache.
pub const CACHE: &str = "HF_HUB_CACHE";

/// How the hub is asked, and where its files lie.
pub struct Settings {
    /// Without a slash at its end.
    pub endpoint: String,
    pub token: Option<Token>,
    pub cache: PathBuf,
    /// Whether nobody may be asked.
    pub offline: bool,
}

/// A secret: it has no text of its own, so that none shows it by mistake.
pub struct Token {
    secret: String,
    place: String,
}

impl Token {
    /// What the hub wants to hear.
    pub fn header(&self) -> String {
        format!("Bearer {}", self.secret)
    }

    /// Where it stands.
    pub fn place(&self) -> &str {
        &self.place
    }
}

impl Settings {
    /// Those of the downloader's environment.
    ///
    /// # Errors
    /// [`FetchError::Endpoint`], [`FetchError::Token`], [`FetchError::NoCache`].
    pub fn new(downloader: &Downloader) -> Result<Settings, FetchError> {
        let variable = |name: &str| downloader.variable(name);
        let text = |name: &str| Some(variable(name)?.to_string_lossy().trim().to_owned());
        let path = |name: &str| Some(expanded(variable(name)?.into(), variable("HOME").map(PathBuf::from)));
        let endpoint = text("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.to_owned());
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        if origin(&endpoint).is_none() || endpoint.contains(['@', '?', '#']) {
            // a name, a password or a key may stand in it
            let shown = endpoint.rsplit('@').next().unwrap_or_default().split(['?', '#']).next().unwrap_or_default();
            return Err(FetchError::Endpoint { value: shown.to_owned(), default: ENDPOINT });
        }
        let home = match path("HF_HOME") {
            Some(home) => home,
            None => cache_folder(&variable, "XDG_CACHE_HOME")?.join("huggingface"),
        };
        let token_file = path("HF_TOKEN_PATH").unwrap_or_else(|| home.join("token"));
        Ok(Settings {
            endpoint,
            token: match text("HF_TOKEN").filter(|token| !token.is_empty()) {
                Some(secret) => Some(Token { secret, place: "HF_TOKEN".to_owned() }),
                None => of_file(&token_file),
            }
            .map(checked)
            .transpose()?,
            cache: path(CACHE).unwrap_or_else(|| home.join("hub")),
            offline: text("HF_HUB_OFFLINE")
                .is_some_and(|value| ["1", "on", "yes", "true"].contains(&value.to_ascii_lowercase().as_str())),
        })
    }
}

/// The token that `huggingface-cli login` has left.
fn of_file(path: &Path) -> Option<Token> {
    let secret = fs::read_to_string(path).ok()?.trim().to_owned();
    (!secret.is_empty()).then(|| Token { secret, place: path.display().to_string() })
}

fn checked(token: Token) -> Result<Token, FetchError> {
    match token.secret.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(token),
        false => Err(FetchError::Token { place: token.place }),
    }
}

/// A path whose `~` is the home folder, as the hub's own library reads it.
fn expanded(path: PathBuf, home: Option<PathBuf>) -> PathBuf {
    match (path.strip_prefix("~"), home) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path,
    }
}
