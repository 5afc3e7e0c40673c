//! Choose the proxy of a download by the variables that curl, pip and git know, and name it so that a fault is laid at its door.

use crate::FetchError;
use std::{ffi::OsString, fmt, net::IpAddr};

/// The value of a variable of the environment.
pub type Variables = Box<dyn Fn(&str) -> Option<OsString>>;

/// The proxy that a variable of the environment names.
pub struct Proxy {
    /// The variable, as it is spelled there.
    pub variable: String,
    /// What ureq makes of its value.
    pub setting: ureq::Proxy,
}

/// A name or a password may stand in the address, so neither is shown.
impl fmt::Display for Proxy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.setting.uri().scheme_str().unwrap_or("http");
        let (host, port) = (self.setting.host(), self.setting.port());
        write!(out, "the proxy {scheme}://{host}:{port} of {}", self.variable)
    }
}

impl Proxy {
    /// The proxy for `url`: `https_proxy` or `http_proxy` by the address's kind, else `all_proxy`, each in small letters first;
    /// `None` without one, or where `no_proxy` excepts the host.
    ///
    /// # Errors
    /// [`FetchError::Proxy`]: the variable's value is no address of a proxy.
    pub fn of(url: &str, variables: &Variables) -> Result<Option<Proxy>, FetchError> {
        let scheme = url.split_once("://").map_or("http", |(scheme, _)| scheme);
        let read = |name: &str| {
            [name.to_owned(), name.to_ascii_uppercase()].into_iter().find_map(|name| {
                let value = variables(&name)?.to_str()?.trim().to_owned();
                (!value.is_empty()).then_some((name, value))
            })
        };
        if read("no_proxy").is_some_and(|(_, list)| excepts(&list, host(url))) {
            return Ok(None);
        }
        let Some((variable, value)) = read(&format!("{scheme}_proxy")).or_else(|| read("all_proxy")) else {
            return Ok(None);
        };
        let Ok(setting) = ureq::Proxy::new(&value) else {
            let shown = value.rsplit('@').next().unwrap_or_default().to_owned();
            return Err(FetchError::Proxy { variable, shown });
        };
        Ok(Some(Proxy { variable, setting }))
    }
}

/// The host of an address, with its port and without a password.
pub fn host(url: &str) -> &str {
    let authority = url.split("://").nth(1).unwrap_or(url).split(['/', '?', '#']).next().unwrap_or(url);
    authority.rsplit('@').next().unwrap_or(authority)
}

/// Whether a list like `.example.com, localhost:8080, 10.0.0.0/8` has `authority` (`host` or `host:port`) in it.
fn excepts(list: &str, authority: &str) -> bool {
    let (host, port) = host_and_port(authority);
    list.split([',', ' ']).filter(|entry| !entry.is_empty()).any(|entry| {
        if entry == "*" || in_network(&host, entry) {
            return true;
        }
        let (name, only) = host_and_port(entry.trim_start_matches('*').trim_start_matches('.'));
        let same = host.strip_suffix(&*name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        !name.is_empty() && same && (only.is_none() || only == port)
    })
}

/// `host:port`, `[v6]:port`, or either without a port; a user's name before it is left out.
fn host_and_port(authority: &str) -> (String, Option<&str>) {
    let authority = authority.rsplit('@').next().unwrap_or(authority);
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, rest)) => (host, rest.strip_prefix(':')),
        None if authority.matches(':').count() == 1 => {
            authority.split_once(':').map(|(host, port)| (host, Some(port))).unwrap_or((authority, None))
        }
        None => (authority, None),
    };
    (host.to_ascii_lowercase(), port)
}

/// Whether `host` is an address in `network`, written like `10.0.0.0/8` or `fd00::/8`.
fn in_network(host: &str, network: &str) -> bool {
    let parse = || {
        let (base, bits) = network.split_once('/')?;
        Some((base.parse::<IpAddr>().ok()?, bits.parse::<u32>().ok()?, host.parse::<IpAddr>().ok()?))
    };
    // The first `bits` bits of both are equal where their difference begins with as many zeros.
    match parse() {
        Some((IpAddr::V4(base), bits @ 0..=32, IpAddr::V4(host))) => {
            (base.to_bits() ^ host.to_bits()).leading_zeros() >= bits
        }
        Some((IpAddr::V6(base), bits @ 0..=128, IpAddr::V6(host))) => {
            (base.to_bits() ^ host.to_bits()).leading_zeros() >= bits
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The proxy's own words for `url` under these variables.
    fn chosen(url: &str, set: &'static [(&str, &str)]) -> Option<String> {
        let variables: Variables =
            Box::new(move |name| set.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into()));
        Proxy::of(url, &variables).unwrap().map(|proxy| proxy.to_string())
    }

    #[test]
    fn the_variable_fits_the_address_in_small_or_large_letters_and_no_password_is_shown() {
        let some = |text: &str| Some(text.to_owned());
        let (site, plain) = ("https://site.org/a.zip", "http://site.org/a.zip");
        assert_eq!(chosen(site, &[]), None);
        assert_eq!(
            chosen(site, &[("HTTPS_PROXY", "http://me:secret@proxy.org:3128/"), ("ALL_PROXY", "http://other")]),
            some("the proxy http://proxy.org:3128 of HTTPS_PROXY")
        );
        let both =
            &[("https_proxy", "proxy.org:1"), ("HTTPS_PROXY", "proxy.org:2"), ("http_proxy", "https://proxy.org")];
        assert_eq!(chosen(site, both), some("the proxy http://proxy.org:1 of https_proxy"));
        assert_eq!(chosen(plain, both), some("the proxy https://proxy.org:443 of http_proxy"));
        assert_eq!(chosen(plain, &[("HTTPS_PROXY", "proxy.org:2"), ("HTTP_PROXY", "")]), None);
        for scheme in ["socks4", "socks4a", "socks5", "socks5h"] {
            let value: &'static str = format!("{scheme}://127.0.0.1").leak();
            let set: &'static [_] = vec![("ALL_PROXY", value)].leak();
            assert_eq!(chosen(site, set), Some(format!("the proxy {scheme}://127.0.0.1:1080 of ALL_PROXY")));
        }
    }

    #[test]
    fn a_host_is_shown_without_what_may_be_secret() {
        for url in
            ["https://me:secret@site.org:81/a?key=1", "https://site.org:81?key=1", "site.org:81#x", "site.org:81/b"]
        {
            assert_eq!(host(url), "site.org:81", "{url}");
        }
    }

    #[test]
    fn no_proxy_takes_names_their_subdomains_ports_networks_and_all() {
        let excepted = |list: &str, host: &str| excepts(list, host);
        for (list, host) in [
            ("*", "site.org"),
            ("localhost, site.org", "site.org"),
            ("site.org", "files.SITE.org:8443"),
            (".site.org", "files.site.org"),
            ("*.site.org", "files.site.org"),
            ("site.org:80", "site.org:80"),
            ("10.0.0.0/8", "10.1.2.3:8000"),
            ("fd00::/8", "[fd12::1]:80"),
            ("::1", "[::1]:80"),
            ("0.0.0.0/0", "10.1.2.3"),
        ] {
            assert!(excepted(list, host), "{list} {host}");
        }
        for (list, host) in [
            ("", "site.org"),
            (".", "site.org"),
            ("site.org", "website.org"),
            ("site.org:81", "site.org:80"),
            ("10.0.0.0/8", "11.0.0.1"),
            ("10.0.0.0/99", "10.0.0.1"),
            ("10.0.0.0/8", "site.org"),
        ] {
            assert!(!excepted(list, host), "{list} {host}");
        }
        assert_eq!(chosen("http://site.org/a", &[("http_proxy", "proxy.org:1"), ("NO_PROXY", "site.org")]), None);
    }

    #[test]
    fn a_value_that_is_no_proxy_is_named_without_its_password() {
        let variables: Variables = Box::new(|name| (name == "ALL_PROXY").then(|| "vpn://me:secret@proxy.org".into()));
        let error = Proxy::of("http://site.org/", &variables).err().unwrap().to_string();
        assert!(error.starts_with("ALL_PROXY names no proxy (proxy.org); write http://HOST:PORT"), "{error}");
    }
}
