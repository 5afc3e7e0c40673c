//! Name what can go wrong with a download.

use std::io;
use std::path::PathBuf;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// A file on this machine cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A folder for the download cannot be made.
    #[error("cannot create {}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file that is there and damaged cannot be removed.
    #[error("cannot remove the damaged {}", path.display())]
    Remove {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The part of a download cannot be opened.
    #[error("cannot write {}; check the folder's permissions", path.display())]
    Open {
        /// The part.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The part of a download cannot be written or read back.
    #[error("cannot write the download; check free space (df -h) and permissions")]
    Write {
        /// Why not.
        source: io::Error,
    },
    /// A whole download cannot be given its name.
    #[error("cannot rename {} to {}", from.display(), to.display())]
    Rename {
        /// Its part.
        from: PathBuf,
        /// Its name.
        to: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The cache cannot be written.
    #[error("cannot write {} in the cache; set {variable} to a folder where you may write", path.display())]
    Cache {
        /// The file or folder in it.
        path: PathBuf,
        /// The variable of the environment that names the cache.
        variable: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// Nothing says where the cache is.
    #[error("no cache folder: neither {variable} nor HOME is set; set one of them")]
    NoCache {
        /// The variable of the environment that would name it.
        variable: &'static str,
    },
    /// Another process downloads the same file.
    #[error("another download of {} is running; wait for it or stop it", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// No mirror has delivered the file.
    #[error("{name} could not be downloaded: {causes}")]
    Undelivered {
        /// The file.
        name: String,
        /// The cause at each mirror.
        causes: String,
    },
    /// A variable of the environment names no proxy.
    #[error(
        "{variable} names no proxy ({shown}); write http://HOST:PORT, https://, socks4:// or socks5h://, special characters of \
         a password as %XX, or unset {variable}"
    )]
    Proxy {
        /// The variable.
        variable: String,
        /// Its value, without a name and a password.
        shown: String,
    },
    /// The [`Listener`](crate::Listener) has asked to stop.
    #[error("the download was stopped; the same command goes on where it was")]
    Stopped,
    /// What was typed names no repository of the hub.
    #[error("{name} names nothing on the hub: {fault}; write hf:owner/name or hf:owner/name@revision")]
    Name {
        /// What was typed.
        name: String,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// What was typed is no address of weights.
    #[error(
        "{address} is no address of weights: {fault}; write https://host/path/net.safetensors, or the folder that holds \
         model.safetensors"
    )]
    Address {
        /// What was typed.
        address: String,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// HF_ENDPOINT is no address.
    #[error("HF_ENDPOINT={value} is no address of a hub; write https://HOST, or unset it for {default}")]
    Endpoint {
        /// Its value.
        value: String,
        /// The hub that is asked without it.
        default: &'static str,
    },
    /// A token cannot be sent; it is not shown.
    #[error("{place} holds characters that no token has; copy the token again, on one line")]
    Token {
        /// Where it stands: a variable of the environment or a file.
        place: String,
    },
    /// A server gives no weights to us.
    #[error("{asked}: {why} ({said}); {remedy}")]
    Refused {
        /// What was asked for.
        asked: String,
        /// Which kind of refusal it is.
        why: Refusal,
        /// The server's words.
        said: String,
        /// What helps.
        remedy: String,
    },
    /// A server does not speak as a hub does.
    #[error("{asked}: {host} does not answer as a model hub does ({fault}); check HF_ENDPOINT")]
    Protocol {
        /// What was asked for.
        asked: String,
        /// The server.
        host: String,
        /// What was unexpected.
        fault: String,
    },
    /// A repository has no weights that are safe to load.
    #[error(
        "{asked} holds a pickle alone ({url}), and a pickle can run programs where it is loaded, so that srm downloads \
         safetensors only; if you trust it, download it yourself and give its path"
    )]
    PickleAlone {
        /// What was asked for.
        asked: String,
        /// The pickle.
        url: String,
    },
    /// A file came that is something else.
    #[error("{asked} is {what}, no safetensors, and is not taken; {remedy}")]
    NotSafetensors {
        /// What was asked for.
        asked: String,
        /// What came.
        what: String,
        /// What helps.
        remedy: &'static str,
    },
    /// The cache lacks what was asked for, and nobody can be asked.
    #[error("{asked} is not in the cache {}: {cause}; {remedy}", cache.display())]
    NotCached {
        /// What was asked for.
        asked: String,
        /// The folder.
        cache: PathBuf,
        /// Why nobody can be asked.
        cause: String,
        /// What helps.
        remedy: &'static str,
    },
}

impl FetchError {
    /// Whether what was typed is at fault: no server was asked.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Name { .. } | Self::Address { .. })
    }
}

/// Why a server gives no weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such repository, or one that is not for everybody.
    #[error("there is no such repository, or it is private")]
    Repository,
    /// The repository has no such branch, tag or commit.
    #[error("the repository has no such revision")]
    Revision,
    /// The terms of the repository have not been accepted.
    #[error("the repository is given to those who accept its terms")]
    Gated,
    /// A token is missing or wrong.
    #[error("the server wants to know who asks")]
    Denied,
    /// There are no weights.
    #[error("there is no model.safetensors or diffusion_pytorch_model.safetensors")]
    NoWeights,
    /// There is no such file.
    #[error("there is no such file")]
    NoFile,
    /// Anything else.
    #[error("the server refuses")]
    Other,
}
