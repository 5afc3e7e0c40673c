//! A page to ask, as the tests of this crate do it.

#![allow(dead_code, reason = "each test takes a part")]

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use srm_explore::{Net, Page, Source};
use tempfile::TempDir;

/// A page, and what its URL says.
pub struct Served {
    pub page: Page,
    pub address: String,
    pub token: String,
    pub place: TempDir,
}

pub fn serve() -> Served {
    let place = tempfile::tempdir().unwrap();
    let net = Net {
        size: 8,
        channels: 1,
        features: 4,
        activation: serde_json::json!({ "leaky_relu": 0.2 }),
        steps: 10,
        grids: vec![],
    };
    let weights = Source { name: "weights".to_owned(), weights: "weights".into(), run: None, net: Some(net) };
    let folder = place.path().join("run");
    let run = Source { name: "run".to_owned(), weights: folder.clone(), run: Some(folder), net: None };
    let facts = serde_json::json!({ "device": "cpu" });
    let pictures = place.path().join("pictures");
    let page = Page::open("127.0.0.1:0".parse().unwrap(), vec![weights, run], pictures, facts).unwrap();
    let (address, token) = page.url().strip_prefix("http://").unwrap().split_once("/?token=").unwrap();
    let (address, token) = (address.to_owned(), token.to_owned());
    Served { page, address, token, place }
}

/// The whole answer to a request, whose headers end where `body` begins.
pub fn ask(address: &str, head: &str, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let head = head.replace("HOST", address).replace('\n', "\r\n");
    let length = if head.starts_with("GET") { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let _ = stream.write_all(format!("{head}\r\n{length}Connection: close\r\n\r\n").as_bytes());
    let _ = stream.write_all(body); // a server that refuses may not read to the end
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

impl Served {
    pub fn ask(&self, head: &str, body: &[u8]) -> String {
        ask(&self.address, head, body)
    }

    pub fn status(&self, head: &str, body: &[u8]) -> u16 {
        self.ask(head, body).split_whitespace().nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    /// The cookie that the token is exchanged for.
    pub fn cookie(&self) -> String {
        let answer = self.ask(&format!("GET /?token={} HTTP/1.1\nHost: HOST", self.token), b"");
        assert!(answer.starts_with("HTTP/1.1 303") && answer.contains("HttpOnly; SameSite=Strict"), "{answer}");
        let cookie = answer.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
        cookie.split(';').next().unwrap().to_owned()
    }

    /// A POST as the page makes it.
    pub fn post(&self, path: &str, kind: &str) -> String {
        let cookie = self.cookie();
        format!("POST {path} HTTP/1.1\nHost: HOST\nOrigin: http://HOST\nCookie: {cookie}\nContent-Type: {kind}")
    }
}
