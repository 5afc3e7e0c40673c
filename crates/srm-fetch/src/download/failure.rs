//! Say why an attempt at a mirror ended, whose fault it is, and whether another attempt is worth it.

use crate::{FetchError, Proxy};
use std::io::ErrorKind;
use ureq::Timeout;

/// Why one attempt at one mirror ended.
pub enum Failure {
    /// Worth another attempt at the same mirror.
    Again(String),
    /// This mirror does not have the file.
    NextMirror(String),
    /// The host, or the proxy on the way to it, cannot be reached at all.
    Unreachable(String),
    /// No mirror would help: the fault lies on this machine.
    Local(FetchError),
}

/// A file of the download cannot be read or written.
pub fn local(source: std::io::Error) -> Failure {
    Failure::Local(FetchError::Write { source })
}

/// What an error of the connection means; `proxy` is what it went through.
pub fn classify(error: ureq::Error, proxy: Option<&Proxy>) -> Failure {
    let through = proxy.map(|proxy| format!(" through {proxy}")).unwrap_or_default();
    if let Some(fault) = unreachable(&error) {
        // A site behind a proxy is reached by the proxy alone, so that what cannot be reached is the proxy.
        return Failure::Unreachable(match proxy {
            None => fault.into(),
            Some(proxy) => format!("{proxy} {fault}; correct or unset {}", proxy.variable),
        });
    }
    match (error, proxy) {
        (ureq::Error::ConnectProxyFailed(reason), Some(proxy)) => {
            Failure::NextMirror(format!("{proxy} does not pass this on ({reason}); see {}", proxy.variable))
        }
        (ureq::Error::Timeout(_), _) => Failure::Again(format!("accepted the connection{through} but does not answer")),
        (error, _) if error.to_string().contains("invalid peer certificate") => Failure::NextMirror(format!(
            "its certificate is not trusted{through} ({error}); where a company's proxy reads along, name the company's certificates in SSL_CERT_FILE"
        )),
        (ureq::Error::Io(error), _) => Failure::Again(format!("the connection{through} broke ({error})")),
        (other, _) => Failure::NextMirror(format!("{other}{through}")),
    }
}

/// Why no connection came about, where none did.
fn unreachable(error: &ureq::Error) -> Option<&'static str> {
    const UNKNOWN: &str = "has an unknown host name (no internet?)";
    const NO_WAY: &str = "cannot be reached";
    match error {
        ureq::Error::HostNotFound => Some(UNKNOWN),
        ureq::Error::ConnectionFailed | ureq::Error::Timeout(Timeout::Resolve | Timeout::Connect) => Some(NO_WAY),
        ureq::Error::Io(error) => match error.kind() {
            ErrorKind::ConnectionRefused => Some("refuses the connection"),
            ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable => Some(NO_WAY),
            _ if error.to_string().contains("lookup address") => Some(UNKNOWN),
            _ => None,
        },
        _ => None,
    }
}
