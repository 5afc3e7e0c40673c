//! Ask the page of `srm explore`: the head of a request, then its body, with a zero byte between. The words HOST, COOKIE and
//! PICTURE stand for what the page is at, for what lets in, and for a picture that it has.

use super::{Door, no_mending};
use crate::{Dice, mutate::change_bytes, tree::change_json};
use srm_explore::{Net, Page, Source};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::thread;
use std::time::Duration;

/// An answer takes less.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) const PAGE: Door = Door {
    name: "page",
    what: "requests to the page of `srm explore`, by way of its port; each is answered",
    sources: &["crates/srm-explore/src"],
    longest: 1 << 12,
    seeds,
    header: |bytes| bytes.starts_with(b"GET /") || bytes.starts_with(b"POST /"),
    change,
    mend: no_mending,
    enter,
};

fn seeds() -> Vec<Vec<u8>> {
    let head = "HTTP/1.1\r\nHost: HOST\r\nOrigin: http://HOST\r\nCookie: COOKIE\r\nContent-Type: ";
    let json = |path: &str, body: &str| format!("POST /api/{path} {head}application/json\0{body}").into_bytes();
    let bytes = |path: &str, body: &[u8]| {
        [format!("POST /api/{path} {head}application/octet-stream\0").as_bytes(), body].concat()
    };
    let get = |path: &str| format!("GET {path} {head}text/plain\0").into_bytes();
    vec![
        get("/"),
        get("/?token=0"),
        get("/assets/app.js"),
        get("/api/sources"),
        get("/api/runs/1"),
        get("/api/pictures/PICTURE?source=0"),
        json(
            "draw",
            r#"{"source":0,"update":null,"codes":[{"seed":1,"image":2}],"steps":5,"noise":true,"states":[0,3]}"#,
        ),
        json(
            "draw",
            r#"{"source":1,"update":7,"codes":[{"mix":[[0.6,1,2],[0.8,1,3]],"noise_image":2}],"steps":null,"noise":false,"states":"end"}"#,
        ),
        json("neighbours", r#"{"source":0,"update":null,"code":{"seed":1,"image":2},"count":3}"#),
        json(
            "reconstruct",
            r#"{"source":0,"update":null,"picture":"PICTURE","mask":null,"observed_noise":0.1,"iterations":9,"starts":2,"latent":"free","seed":4}"#,
        ),
        bytes("pictures?source=0&left=1&top=1&side=4", &[b"P5\n8 8\n255\n", &[7; 64][..]].concat()),
        bytes("pictures?source=0", &super::pictures::seeds()[0]),
        bytes("masks?source=0", &[[255; 32], [0; 32]].concat()),
    ]
}

/// Change the head as text, or the body as what it is.
fn change(bytes: &mut Vec<u8>, dice: &mut Dice) {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    let mut body = bytes.split_off(end);
    match body.get(1) {
        Some(b'{') if !dice.one_in(4) => body = [vec![0], change_json(&body[1..], dice)].concat(),
        Some(_) if !dice.one_in(4) => {
            let mut picture = body.split_off(1);
            super::pictures::change(&mut picture, dice);
            body.append(&mut picture);
        }
        _ => change_bytes(bytes, dice),
    }
    bytes.append(&mut body);
}

/// The answer to a request, whole.
fn answer(address: &str, head: &[u8], body: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).expect("the page listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time is set");
    let rest = format!("\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let _ = stream.write_all(&[head, rest.as_bytes(), body].concat()); // a server that refuses may not read to the end
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}

fn replaced(bytes: &[u8], words: &[(&str, &str)]) -> Vec<u8> {
    let mut all = bytes.to_vec();
    for (word, value) in words {
        while let Some(at) = all.windows(word.len()).position(|window| window == word.as_bytes()) {
            all.splice(at..at + word.len(), value.bytes());
        }
    }
    all
}

fn enter(bytes: &[u8], folder: &Path) {
    let net = Net { size: 8, channels: 1, features: 4, activation: "relu".into(), steps: 10, grids: vec![] };
    let weights = Source { name: "weights".to_owned(), weights: "weights".into(), run: None, net: Some(net) };
    let run = folder.join("run");
    let run = Source { name: "run".to_owned(), weights: run.clone(), run: Some(run), net: None };
    let address = "127.0.0.1:0".parse().expect("an address");
    let page = Page::open(address, vec![weights, run], folder.join("pictures"), serde_json::json!({}));
    let page = page.expect("a port is free");
    let (host, token) = page.url().strip_prefix("http://").and_then(|url| url.split_once('/')).expect("a URL");
    let entry = answer(host, format!("GET /{token} HTTP/1.1\r\nHost: {host}").as_bytes(), b"");
    let entry = String::from_utf8_lossy(&entry);
    let cookie = entry.lines().find_map(|line| line.strip_prefix("set-cookie: ")).expect("the token lets in");
    let known = [("HOST", host), ("COOKIE", cookie.split(';').next().unwrap_or_default())];
    let bring = b"POST /api/pictures?source=0 HTTP/1.1\r\nHost: HOST\r\nOrigin: http://HOST\r\nCookie: COOKIE";
    let brought = answer(host, &replaced(bring, &known), &[b"P5\n8 8\n255\n", &[7; 64][..]].concat());
    let brought = String::from_utf8_lossy(&brought).into_owned();
    let picture = brought.find("picture-").and_then(|at| brought.get(at..at + 20)).expect("a picture is kept");
    let words = [known[0], known[1], ("PICTURE", picture)];

    let mut parts = bytes.splitn(2, |&byte| byte == 0).map(|part| replaced(part, &words));
    let (head, body) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let said = thread::scope(|scope| {
        let asked = scope.spawn(|| answer(host, &head, &body));
        while !asked.is_finished() {
            if let Some(job) = page.next(Duration::from_millis(1)) {
                job.reply.send(&serde_json::json!({ "done": true }));
            }
        }
        asked.join().expect("the client")
    });
    // a panic of the server ends the connection without an answer; a live log has no end, and is not among the seeds
    assert!(!said.is_empty(), "no answer");
}
