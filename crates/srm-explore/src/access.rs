//! Let in whoever has the printed URL, and nobody else: token, cookie, Host, Origin, and what a browser is told to refuse.
//!
//! A page of another site can reach a port of this machine: by a form or a script (no cookie: it is SameSite=Strict; and Origin is
//! checked), or under a name of its own that it lets point to 127.0.0.1 (DNS rebinding: the Host is then that name).

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};
use srm_files::hex;

use crate::answer::problem;

/// No script but ours, nothing from elsewhere, no frame around the page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const ALWAYS: [(HeaderName, &str); 7] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

/// Who may come in.
pub struct Access {
    address: SocketAddr,
    /// In the printed URL.
    token: String,
    /// In the cookie that the token is exchanged for.
    pass: String,
}

impl Access {
    /// A door with new secrets.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn new(address: SocketAddr) -> io::Result<Access> {
        Ok(Access { address, token: secret()?, pass: secret()? })
    }

    /// What lets in.
    pub fn url(&self) -> String {
        // a browser cannot go to the address that stands for all
        let host = match self.address.ip() {
            ip if ip.is_unspecified() => "127.0.0.1".to_owned(),
            IpAddr::V6(ip) => format!("[{ip}]"),
            ip => ip.to_string(),
        };
        format!("http://{host}:{}/?token={}", self.address.port(), self.token)
    }

    /// Pages of two ports are two cookies: browsers do not tell ports apart.
    fn cookie_name(&self) -> String {
        format!("srm_explore_{}", self.address.port())
    }

    /// Whether a Host header names this server: an address of this machine, never a name that somebody else may have given it.
    fn is_ours(&self, host: &str) -> bool {
        let Ok(authority) = host.parse::<Authority>() else { return false };
        let name = authority.host();
        let ip: Option<IpAddr> = name.trim_start_matches('[').trim_end_matches(']').parse().ok();
        let known = match ip {
            Some(ip) => ip.is_loopback() || !self.address.ip().is_loopback(),
            None => name.eq_ignore_ascii_case("localhost"),
        };
        known && authority.port_u16().unwrap_or(80) == self.address.port()
    }

    fn has_pass(&self, headers: &HeaderMap) -> bool {
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs = cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let name = self.cookie_name();
        pairs.any(|(key, value)| key == name && same(value, &self.pass))
    }

    /// What is wrong with a request, if anything.
    fn refusal(&self, request: &Request) -> Option<(StatusCode, &'static str)> {
        let headers = request.headers();
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let host = text(header::HOST).unwrap_or_default();
        if !self.is_ours(host) {
            return Some((
                StatusCode::MISDIRECTED_REQUEST,
                "this Host is not the page's; open the URL that srm explore printed",
            ));
        }
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        let site = text(HeaderName::from_static("sec-fetch-site"));
        let own_site = matches!(site, None | Some("same-origin" | "none"));
        let own_origin = match text(header::ORIGIN) {
            Some(origin) => origin.strip_prefix("http://") == Some(host),
            None => reads,
        };
        (!own_origin || (!reads && !own_site))
            .then_some((StatusCode::FORBIDDEN, "another site's page may not ask this"))
    }
}

/// The door: every request passes here.
pub async fn door(State(access): State<Arc<Access>>, request: Request, next: Next) -> Response {
    let mut response = enter(&access, request, next).await;
    for (name, value) in ALWAYS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn enter(access: &Access, request: Request, next: Next) -> Response {
    if let Some((status, why)) = access.refusal(&request) {
        return problem(status, why);
    }
    let root = request.uri().path() == "/";
    let token = request.uri().query().and_then(|query| query.split('&').find_map(|part| part.strip_prefix("token=")));
    if root && token.is_some_and(|token| same(token, &access.token)) {
        let cookie = format!("{}={}; HttpOnly; SameSite=Strict; Path=/", access.cookie_name(), access.pass);
        return ([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response();
    }
    if !access.has_pass(request.headers()) {
        return problem(
            StatusCode::UNAUTHORIZED,
            "open the URL that srm explore printed: it carries the token that lets in",
        );
    }
    next.run(request).await
}

/// 256 random bits.
fn secret() -> io::Result<String> {
    let mut bytes = [0; 32];
    getrandom::getrandom(&mut bytes)?;
    Ok(hex(&bytes))
}

/// Whether two texts are the same, in a time that tells nothing of where they differ.
fn same(given: &str, secret: &str) -> bool {
    let (given, secret) = (given.as_bytes(), secret.as_bytes());
    given.len() == secret.len() && given.iter().zip(secret).fold(0, |wrong, (a, b)| wrong | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_an_address_of_this_machine_and_no_name() {
        let here = Access::new("127.0.0.1:8765".parse().unwrap()).unwrap();
        for host in ["127.0.0.1:8765", "localhost:8765", "LOCALHOST:8765", "[::1]:8765"] {
            assert!(here.is_ours(host), "{host}");
        }
        for host in [
            "",
            "127.0.0.1",
            "127.0.0.1:80",
            "evil.example:8765",
            "localhost.evil.example:8765",
            "10.0.0.1:8765",
            "a b",
        ] {
            assert!(!here.is_ours(host), "{host}");
        }
        let open = Access::new("0.0.0.0:8765".parse().unwrap()).unwrap();
        assert!(open.is_ours("10.0.0.1:8765") && !open.is_ours("evil.example:8765"));
        assert!(open.url().starts_with("http://127.0.0.1:8765/?token="));
    }

    #[test]
    fn secrets_are_long_and_new() {
        let [a, b] = [secret().unwrap(), secret().unwrap()];
        assert!(a.len() == 64 && a != b && same(&a, &a) && !same(&a, &b) && !same("", &a));
    }
}
