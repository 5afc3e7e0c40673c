//! Serve one file on 127.0.0.1, slowly enough to be killed on the way, and fetch it as every `fetch-…` does.

use crate::download::{Downloader, Patience, RemoteFile};
use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use srm_fetch::Checksum;
use srm_files::hex;
use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::Arc,
    thread,
    time::Duration,
};

/// The name under which it is fetched.
const NAME: &str = "file.bin";
/// Bytes between two pauses.
const CHUNK: usize = 100_000;

/// Serve `body` until this program ends; the URL, with the SHA-256 behind `#`.
///
/// # Errors
/// No port is free.
pub fn start(body: Vec<u8>) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").context("cannot serve on 127.0.0.1")?;
    let digits = hex(&Sha256::digest(&body));
    let url = format!("http://{}/{NAME}#{digits}", listener.local_addr()?);
    let body = Arc::new(body);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let body = Arc::clone(&body);
            // a client that is killed breaks the connection
            thread::spawn(move || drop(answer(stream, &body)));
        }
    });
    Ok(url)
}

fn answer(mut stream: TcpStream, body: &[u8]) -> std::io::Result<()> {
    let lines = BufReader::new(&stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
    let range =
        lines.filter_map(|line| line.to_ascii_lowercase().strip_prefix("range: bytes=").map(str::to_owned)).last();
    let start = range.as_deref().and_then(|range| range.trim_end_matches('-').parse().ok()).unwrap_or(0);
    let (status, rest) = match (range, body.get(start..)) {
        (None, _) => ("200 OK", body),
        (Some(_), Some(rest)) if !rest.is_empty() => ("206 Partial Content", rest),
        _ => ("416 Range Not Satisfiable", &body[..0]),
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\n\
         Content-Range: bytes {start}-\r\nConnection: close\r\n\r\n",
        rest.len()
    )?;
    for chunk in rest.chunks(CHUNK) {
        stream.write_all(chunk)?;
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Fetch from such a server into `folder`.
///
/// # Errors
/// As in [`Downloader::fetch`].
pub fn fetch(url: &str, folder: &Path) -> Result<()> {
    let (url, digits) = url.split_once('#').context("the URL carries the SHA-256 behind #")?;
    let checksum = Checksum::sha256(digits);
    let file = RemoteFile { name: NAME.to_owned(), bytes: None, checksum, mirrors: vec![url.to_owned()] };
    Downloader::new(Patience::default()).fetch(&file, folder).map(drop)
}
