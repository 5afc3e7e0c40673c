//! Who is let in, and what a request may be: each refusal by a request of its own, as it comes over the wire.

mod served;

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::fs::{MetadataExt, PermissionsExt},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use served::{ask, serve};
use srm_explore::Ask;

#[test]
fn the_token_opens_the_page_and_nothing_else_does() {
    let served = serve();
    let cookie = served.cookie();
    let page = served.ask(&format!("GET / HTTP/1.1\nHost: HOST\nCookie: {cookie}"), b"");
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("<html"), "{page}");
    for header in
        ["content-security-policy: default-src 'none'", "x-content-type-options: nosniff", "cache-control: no-store"]
    {
        assert!(page.contains(header), "{header}: {page}");
    }
    assert!(!page.contains(&served.token), "the page does not hand the token on");
    for (head, expected) in [
        ("GET / HTTP/1.1\nHost: HOST".to_owned(), 401),
        ("GET /?token=0000 HTTP/1.1\nHost: HOST".to_owned(), 401),
        (format!("GET /api/sources?token={} HTTP/1.1\nHost: HOST", served.token), 401),
        (format!("GET /api/sources HTTP/1.1\nHost: HOST\nCookie: {cookie}x"), 401),
        (format!("GET /api/sources HTTP/1.1\nHost: HOST\nCookie: other=1; {cookie}"), 200),
        (format!("GET /api/sources HTTP/1.1\nHost: evil.example\nCookie: {cookie}"), 421),
        (format!("GET /api/sources HTTP/1.1\nHost: HOST\nOrigin: http://evil.example\nCookie: {cookie}"), 403),
        (format!("GET /assets/../../Cargo.toml HTTP/1.1\nHost: HOST\nCookie: {cookie}"), 404),
        (format!("GET /assets/..%2f..%2fCargo.toml HTTP/1.1\nHost: HOST\nCookie: {cookie}"), 404),
        (format!("GET /api/runs/..%2f..%2fetc HTTP/1.1\nHost: HOST\nCookie: {cookie}"), 400),
        (format!("GET /api/runs/99 HTTP/1.1\nHost: HOST\nCookie: {cookie}"), 404),
        (format!("GET /api/runs/0 HTTP/1.1\nHost: HOST\nCookie: {cookie}"), 404),
    ] {
        assert_eq!(served.status(&head, b""), expected, "{head}");
    }
}

#[test]
fn what_changes_something_is_a_post_of_the_page_itself() {
    let served = serve();
    let (cookie, body) = (served.cookie(), br#"{"source":0}"#);
    for path in ["/api/draw", "/api/reconstruct", "/api/neighbours", "/api/pictures?source=0", "/api/masks?source=0"] {
        assert_eq!(served.status(&format!("GET {path} HTTP/1.1\nHost: HOST\nCookie: {cookie}"), b""), 405, "{path}");
        for origin in
            ["", "\nOrigin: http://evil.example", "\nOrigin: null", "\nOrigin: http://HOST\nSec-Fetch-Site: cross-site"]
        {
            let head =
                format!("POST {path} HTTP/1.1\nHost: HOST{origin}\nCookie: {cookie}\nContent-Type: application/json");
            assert_eq!(served.status(&head, body), 403, "{path} {origin}");
        }
    }
    let draw = served.post("/api/draw", "text/plain");
    assert_eq!(served.status(&draw, body), 415);
    assert_eq!(served.status(&served.post("/api/draw", "application/json"), b"{"), 400);
    assert_eq!(served.status(&served.post("/api/draw", "application/json"), body), 422);
    assert!(served.page.next(Duration::from_millis(1)).is_none(), "nothing of this became work");
}

/// A chunk of a PNG: length, kind, data, and the CRC of PNG's specification.
fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let body = [kind, data].concat();
    let shifted = |crc: u32| if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 };
    let crc = !body.iter().fold(u32::MAX, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), |crc, _| shifted(crc)));
    [&(data.len() as u32).to_be_bytes()[..], &body, &crc.to_be_bytes()].concat()
}

#[test]
fn bodies_have_bounds_and_pictures_are_pictures() {
    let served = serve();
    let bring = served.post("/api/pictures?source=0", "application/octet-stream");
    assert_eq!(served.status(&bring, &vec![0; 100 << 20]), 413);
    let header = [&60_000u32.to_be_bytes()[..], &60_000u32.to_be_bytes(), &[8, 2, 0, 0, 0]].concat();
    let huge = [
        b"\x89PNG\r\n\x1a\n".to_vec(),
        chunk(b"IHDR", &header),
        chunk(b"IDAT", b"x\x9c\x03\0\0\0\0\x01"),
        chunk(b"IEND", b""),
    ]
    .concat();
    for (bytes, word) in [(&huge[..], "60000"), (b"PK\x03\x04zip", "zip"), (b"hello", "no PNG"), (b"", "empty")] {
        let answer = served.ask(&bring, bytes);
        assert!(answer.starts_with("HTTP/1.1 422") && answer.contains(word), "{word}: {answer}");
    }
    let grey = [b"P5\n8 8\n255\n", &[7; 64][..]].concat();
    let answer = served.ask(&bring, &grey);
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("picture-"), "{answer}");
    let saved = fs::read_dir(served.place.path().join("pictures")).unwrap().count();
    assert_eq!(saved, 1);
    let paint = served.post("/api/masks?source=0", "application/octet-stream");
    assert_eq!(served.status(&paint, &[255; 64]), 200);
    for wrong in [&[255; 63][..], &[1; 64], &[0; 64]] {
        assert_eq!(served.status(&paint, wrong), 422);
    }
    let away = served.post("/api/pictures?source=0&left=7&top=0&side=8", "application/octet-stream");
    assert!(served.ask(&away, &grey).contains("does not lie in"));
}

#[test]
fn work_is_streamed_line_by_line_and_dropped_with_its_reader() {
    let served = serve();
    let head = served.post("/api/draw", "application/json");
    let body = br#"{"source":0,"update":null,"codes":[{"seed":1,"image":2}],"steps":null,"noise":true,"states":[0]}"#;
    let (answer, draw) = thread::scope(|scope| {
        let (address, head) = (&served.address, &head);
        let reader = scope.spawn(move || ask(address, head, body));
        let job = served.page.next(Duration::from_secs(10)).unwrap();
        job.reply.send(&serde_json::json!({ "k": 0 }));
        job.reply.send(&serde_json::json!({ "done": true }));
        let Ask::Draw(draw) = job.ask else { panic!("another job") };
        drop(job.reply);
        (reader.join().unwrap(), draw)
    });
    assert!(answer.contains("{\"k\":0}\n") && answer.contains("{\"done\":true}\n"), "{answer}");
    assert_eq!((draw.codes[0].seed(), draw.codes[0].noise()), (1, 2));

    let mut gone = TcpStream::connect(&served.address).unwrap();
    let head = head.replace("HOST", &served.address).replace('\n', "\r\n");
    gone.write_all(format!("{head}\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes()).unwrap();
    gone.write_all(body).unwrap();
    let job = served.page.next(Duration::from_secs(10)).unwrap();
    job.reply.send(&serde_json::json!({ "k": 0 }));
    drop(gone);
    let begun = Instant::now();
    while !job.reply.is_over() && begun.elapsed() < Duration::from_secs(10) {
        job.reply.send(&serde_json::json!({ "k": 1 }));
        thread::sleep(Duration::from_millis(10));
    }
    assert!(job.reply.is_over() && begun.elapsed() < Duration::from_secs(5), "who is gone needs no more");
}

#[test]
fn a_slow_client_keeps_nobody_waiting() {
    let served = serve();
    let cookie = served.cookie();
    let slow = TcpStream::connect(&served.address).unwrap();
    let (address, head) = (&served.address, format!("\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n"));
    thread::scope(|scope| {
        let slow = scope.spawn(move || {
            let mut slow = slow;
            slow.write_all(format!("GET / HTTP/1.1\r\nHost: {address}\r\nX: ").as_bytes()).unwrap();
            for _ in 0..4 {
                thread::sleep(Duration::from_secs(1));
                slow.write_all(b"x").unwrap();
            }
            slow.write_all(head.as_bytes()).unwrap();
            let mut answer = String::new();
            slow.read_to_string(&mut answer).unwrap();
            answer
        });
        let fine = format!("GET /api/sources HTTP/1.1\nHost: HOST\nCookie: {cookie}");
        for _ in 0..20 {
            let begun = Instant::now();
            assert_eq!(served.status(&fine, b""), 200);
            assert!(begun.elapsed() < Duration::from_secs(2));
            assert!(!slow.is_finished(), "all this happens beside it");
        }
        assert!(slow.join().unwrap().starts_with("HTTP/1.1 200"), "the slow one is welcome too");
    });
}

#[test]
fn another_user_of_the_machine_reads_neither_the_token_nor_a_picture() {
    let served = serve();
    let folder = served.place.path().join("pictures");
    let redirect = served.page.redirect(&folder).unwrap();
    let bring = served.post("/api/pictures?source=0", "application/octet-stream");
    assert_eq!(served.status(&bring, &[b"P5\n8 8\n255\n", &[7; 64][..]].concat()), 200);
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(&redirect).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(fs::read_to_string(&redirect).unwrap().contains(&served.token));
    // the rights say so; where we may become somebody else, the system does too
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return;
    }
    fs::set_permissions(served.place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let as_nobody = |words: &[&str]| {
        let user = ["--reuid=65534", "--regid=65534", "--clear-groups"];
        Command::new("setpriv").args(user).args(words).output().unwrap()
    };
    assert!(as_nobody(&["ls", served.place.path().to_str().unwrap()]).status.success(), "nobody gets as far as this");
    for words in [["cat", redirect.to_str().unwrap()], ["ls", folder.to_str().unwrap()]] {
        let found = as_nobody(&words);
        assert!(!found.status.success() && found.stdout.is_empty(), "{words:?}: {found:?}");
    }
}
