//! Bring files from the network: mirrors, proxies, certificates, resumed after a cut, checked, whole or not at all.
//!
//! - [`Downloader::fetch`] brings a [`RemoteFile`], whose checksum is known beforehand, from the first mirror that
//!   has it.
//! - [`Source`] is what a person types for weights that lie elsewhere, `hf:owner/name`, `hf:owner/name@revision` or
//!   an address `https://…`, and [`Source::fetch`] brings them into a cache and says where the file lies.
//! - [`Checksum`] and [`Proxy`] are what both need; without the feature `download` this crate is these two, and
//!   compiles no TLS.
//!
//! Nothing is printed: a [`Listener`] hears what happens, gives a bar, and says when to stop.
//!
//! ```
//! # #[cfg(feature = "download")] {
//! use srm_fetch::Source;
//!
//! assert!(Source::parse("runs/demo").is_none()); // a path
//! assert_eq!(Source::parse("hf:me/net@v2").unwrap().unwrap().to_string(), "hf:me/net@v2");
//! let error = Source::parse("hf:../net").unwrap().unwrap_err();
//! assert!(error.is_usage() && error.to_string().contains("write hf:owner/name"));
//! # }
//! ```
//!
//! # The hub
//!
//! What a model hub is asked, and how its cache is laid out, is what huggingface_hub does, so that either program
//! uses what the other has downloaded:
//!
//! - files and their headers `X-Repo-Commit`, `ETag`, `X-Linked-Etag`, `X-Linked-Size`, and the errors in
//!   `X-Error-Code`: `file_download.py` and `utils/_http.py` of <https://github.com/huggingface/huggingface_hub>;
//! - the cache, `models--OWNER--NAME` with `refs`, `blobs` and `snapshots`:
//!   <https://huggingface.co/docs/huggingface_hub/guides/manage-cache>;
//! - `HF_ENDPOINT`, `HF_HOME`, `HF_HUB_CACHE`, `HF_HUB_OFFLINE`, `HF_TOKEN` and `HF_TOKEN_PATH`:
//!   <https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables>;
//! - an ETag of 64 digits is the file's SHA-256 (<https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md>), one of
//!   40 the SHA-1 of git's blob (<https://git-scm.com/book/en/v2/Git-Internals-Git-Objects>).
//!
//! The token goes to the hub's own scheme, host and port, and nowhere else.

#![deny(missing_docs)]

mod checksum;
mod error;
mod proxy;

#[cfg(feature = "download")]
mod address;
#[cfg(feature = "download")]
mod download;
#[cfg(feature = "download")]
mod hub;
#[cfg(feature = "download")]
mod listener;
#[cfg(feature = "download")]
mod place;
#[cfg(feature = "download")]
mod source;
#[cfg(all(test, feature = "download"))]
mod testing;

pub use checksum::Checksum;
pub use error::{FetchError, Refusal};
pub use proxy::{Proxy, Variables};

#[cfg(feature = "download")]
pub use address::Address;
#[cfg(feature = "download")]
pub use download::{Downloader, Patience, RemoteFile, with_mirror};
#[cfg(feature = "download")]
pub use hub::Repository;
#[cfg(feature = "download")]
pub use listener::{Event, Listener};
#[cfg(feature = "download")]
pub use place::NAMES;
#[cfg(feature = "download")]
pub use source::Source;

/// A number of bytes with its unit: `7 B`, `30 kB`, `531 MB`, `1.44 GB`.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.0} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.0} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_carry_units() {
        assert_eq!(
            ["7 B", "30 kB", "531 MB", "1.44 GB"],
            [7, 29_515, 530_604_548, 1_443_490_838].map(size).each_ref().map(String::as_str)
        );
    }
}
