//! Ask a server about a file, without its content, and follow where it points.

use super::{
    Downloader,
    failure::{Failure, classify},
};
use crate::{FetchError, Proxy, proxy::host};
use std::{thread, time::Instant};
use ureq::{
    http::{HeaderMap, StatusCode, Uri},
    typestate::WithoutBody,
};

/// Attempts to ask a server that does not answer well.
const ATTEMPTS: u32 = 3;
/// Servers that point on to each other are given up after so many.
const REDIRECTS: usize = 10;

/// How a server is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// For what it says of the file.
    Head,
    /// As for the file itself, which is not read.
    Get,
}

/// What a server says of a file.
pub(crate) struct Answer {
    pub status: StatusCode,
    /// What was asked.
    pub url: String,
    headers: HeaderMap,
}

impl Answer {
    /// A header's text, without white space around it; none where it is empty.
    pub fn header(&self, name: &str) -> Option<&str> {
        let text = self.headers.get(name)?.to_str().ok()?.trim();
        (!text.is_empty()).then_some(text)
    }

    /// The ETag, the linked one first, without `W/` and quotes.
    pub fn etag(&self) -> Option<&str> {
        let text = self.header("x-linked-etag").or_else(|| self.header("etag"))?;
        let text = text.strip_prefix("W/").unwrap_or(text).trim_matches('"');
        (!text.is_empty()).then_some(text)
    }

    /// A number of bytes in a header.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.header(name)?.parse().ok()
    }

    /// Where the answer points on to.
    pub fn location(&self) -> Option<&str> {
        matches!(self.status.as_u16(), 301 | 302 | 303 | 307 | 308).then(|| self.header("location"))?
    }

    /// Whether it points on to an address that names its host.
    pub fn points_elsewhere(&self) -> bool {
        self.location().is_some_and(|location| is_whole(location) || location.starts_with("//"))
    }

    /// The server's words: its status, and its own explanation where it gives one.
    pub fn said(&self) -> String {
        let own: String = self.header("x-error-message").unwrap_or_default().chars().take(200).collect();
        match own.is_empty() {
            true => format!("HTTP {}", self.status),
            false => format!("HTTP {}: {own}", self.status),
        }
    }
}

impl Downloader {
    /// What the server says of `url`. `headers` are those for an address; `is_enough` says which answer that points on
    /// ends the way.
    pub(crate) fn ask(
        &self,
        method: Method,
        url: &str,
        headers: &dyn Fn(&str) -> Vec<(&'static str, String)>,
        is_enough: &dyn Fn(&Answer) -> bool,
    ) -> Result<Answer, Failure> {
        let mut url = url.to_owned();
        for _ in 0..REDIRECTS {
            let answer = self.patiently(method, &url, &headers(&url))?;
            let Some(location) = answer.location().filter(|_| !is_enough(&answer)) else { return Ok(answer) };
            url = join(&url, location).ok_or_else(|| Failure::NextMirror("points on to nowhere".into()))?;
        }
        Err(Failure::NextMirror(format!("points on more than {REDIRECTS} times")))
    }

    /// One address, asked again where the server is in trouble, unless it has kept silent all the time.
    fn patiently(&self, method: Method, url: &str, headers: &[(&'static str, String)]) -> Result<Answer, Failure> {
        let (proxy, first) = self.way_to(url)?;
        let (mut attempt, begun) = (1, Instant::now());
        loop {
            match self.once(method, url, headers, proxy.as_ref()) {
                Err(Failure::Again(_)) if attempt < ATTEMPTS && begun.elapsed() < self.patience.silence => attempt += 1,
                Err(Failure::Unreachable(cause)) => {
                    self.unreachable.borrow_mut().insert(first);
                    return Err(Failure::Unreachable(cause));
                }
                ended => return ended,
            }
            thread::sleep(self.patience.pause);
            if self.listener.stopped() {
                return Err(Failure::Local(FetchError::Stopped));
            }
        }
    }

    fn once(
        &self,
        method: Method,
        url: &str,
        headers: &[(&'static str, String)],
        proxy: Option<&Proxy>,
    ) -> Result<Answer, Failure> {
        let request: ureq::RequestBuilder<WithoutBody> = match method {
            Method::Head => self.agent.head(url),
            Method::Get => self.agent.get(url),
        };
        // the lengths are those of the file, not of something packed
        let mut request = request.header("Accept-Encoding", "identity");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let setting = proxy.map(|proxy| proxy.setting.clone());
        let response = request.config().max_redirects(0).proxy(setting).build().call();
        let response = response.map_err(|error| classify(error, proxy))?;
        match response.status() {
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                Err(Failure::Again(format!("HTTP {status}")))
            }
            status => Ok(Answer { status, url: url.to_owned(), headers: response.headers().clone() }),
        }
    }

    /// The proxy to `url`, and the first host on the way there.
    ///
    /// # Errors
    /// That host did not answer before.
    pub(super) fn way_to(&self, url: &str) -> Result<(Option<Proxy>, String), Failure> {
        let proxy = Proxy::of(url, &self.variables).map_err(Failure::Local)?;
        let first = proxy.as_ref().map_or(host(url).to_owned(), ToString::to_string);
        if self.unreachable.borrow().contains(&first) {
            let whose = if proxy.is_some() { format!("{first} ") } else { String::new() };
            return Err(Failure::Unreachable(format!("{whose}did not answer before")));
        }
        Ok((proxy, first))
    }
}

/// Scheme, host and port: what a secret may be sent to.
pub(crate) fn origin(url: &str) -> Option<(String, String, u16)> {
    let uri: Uri = url.parse().ok()?;
    let scheme = uri.scheme_str()?.to_ascii_lowercase();
    let port = match (uri.port_u16(), &*scheme) {
        (Some(port), _) => port,
        (None, "https") => 443,
        (None, "http") => 80,
        _ => return None,
    };
    Some((scheme, uri.host()?.to_ascii_lowercase(), port))
}

/// Whether an address begins with its scheme.
fn is_whole(location: &str) -> bool {
    location.split_once("://").is_some_and(|(scheme, _)| scheme.chars().all(|letter| letter.is_ascii_alphanumeric()))
}

/// The address that `location` means on the page `base` (RFC 3986, section 4.2).
pub(crate) fn join(base: &str, location: &str) -> Option<String> {
    let joined = match location {
        whole if is_whole(whole) => whole.to_owned(),
        _ => {
            let (scheme, rest) = base.split_once("://")?;
            let authority = rest.split(['/', '?', '#']).next()?;
            let path = rest[authority.len()..].split(['?', '#']).next()?;
            match location {
                other_host if other_host.starts_with("//") => format!("{scheme}:{other_host}"),
                from_root if from_root.starts_with('/') => format!("{scheme}://{authority}{from_root}"),
                query if query.starts_with('?') => format!("{scheme}://{authority}{path}{query}"),
                name => {
                    let folder = path.rfind('/').map_or("/", |at| &path[..=at]);
                    format!("{scheme}://{authority}{folder}{name}")
                }
            }
        }
    };
    origin(&joined).map(|_| joined)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_read_from_the_page_that_gives_it() {
        let base = "https://host.org:8443/a/b?x=1";
        for (location, joined) in [
            ("http://other.org/c", Some("http://other.org/c")),
            ("//other.org/c", Some("https://other.org/c")),
            ("/c/d?next=http://x", Some("https://host.org:8443/c/d?next=http://x")),
            ("c", Some("https://host.org:8443/a/c")),
            ("?y=2", Some("https://host.org:8443/a/b?y=2")),
            ("ftp://other.org/c", None),
            ("file:///etc/passwd", None),
        ] {
            assert_eq!(join(base, location).as_deref(), joined, "{location}");
        }
    }

    #[test]
    fn an_origin_has_its_port() {
        let of = |url: &str| origin(url).map(|(scheme, host, port)| format!("{scheme} {host} {port}"));
        assert_eq!(of("HTTPS://Host.org/x").as_deref(), Some("https host.org 443"));
        assert_eq!(of("http://host.org:80"), of("http://host.org/y"));
        assert_ne!(of("http://host.org"), of("https://host.org"));
        assert_eq!(of("host.org/x"), None);
    }
}
