//! Try the downloader against a server on 127.0.0.1 that behaves as badly as real ones do.

mod network;

use super::*;
use crate::testing::downloader;
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    sync::{Arc, Mutex},
    thread,
    time::Instant,
};

/// What the server does with one request.
#[derive(Clone)]
enum Answer {
    /// The whole file, or the rest of it when a range is asked for.
    File(Vec<u8>),
    /// As `File`, but the connection breaks after so many bytes.
    CutOff(Vec<u8>, usize),
    /// The whole file, whatever range is asked for.
    NoRanges(Vec<u8>),
    /// A page with status 200 and this content type.
    Page(&'static str, &'static str),
    /// A bare status.
    Status(&'static str),
    /// No word at all.
    Silence,
}

/// A server that gives its answers in order, one per connection, and then is gone.
struct Server {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

fn serve(answers: Vec<Answer>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/file.zip", listener.local_addr().unwrap());
    let requests = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&requests);
    thread::spawn(move || {
        for answer in answers {
            let Ok((stream, _)) = listener.accept() else { return };
            let range = read_request(&stream);
            seen.lock().unwrap().push(range.map_or("all".to_owned(), |start| format!("from {start}")));
            reply(stream, &answer, range);
        }
    });
    Server { url, requests }
}

/// The start of the range that the request asks for.
fn read_request(stream: impl Read) -> Option<usize> {
    let lines = BufReader::new(stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
    let range =
        lines.filter_map(|line| line.to_ascii_lowercase().strip_prefix("range: bytes=").map(str::to_owned)).last()?;
    range.trim_end_matches('-').parse().ok()
}

fn reply(mut stream: impl Write, answer: &Answer, range: Option<usize>) {
    let (status, kind, body, sent) = match answer {
        Answer::File(body) => (None, "application/zip", &body[..], usize::MAX),
        Answer::CutOff(body, sent) => (None, "application/zip", &body[..], *sent),
        Answer::NoRanges(body) => (Some("200 OK"), "application/zip", &body[..], usize::MAX),
        Answer::Page(kind, body) => (Some("200 OK"), *kind, body.as_bytes(), usize::MAX),
        Answer::Status(status) => (Some(*status), "text/plain", &b""[..], usize::MAX),
        Answer::Silence => {
            thread::sleep(Duration::from_millis(600));
            return;
        }
    };
    let start = if status.is_none() { range.unwrap_or(0) } else { 0 };
    let (status, body) = match (status, range) {
        (Some(status), _) => (status, body),
        (None, Some(start)) if start >= body.len() => ("416 Range Not Satisfiable", &b""[..]),
        (None, Some(start)) => ("206 Partial Content", &body[start..]),
        (None, None) => ("200 OK", body),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nContent-Range: bytes {start}-\r\nConnection: close\r\n\r\n",
        body.len()
    );
    // The client may hang up first, as it does on a web page.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body[..body.len().min(sent)]));
}

/// 300,000 bytes that no compression or repetition makes equal to a part of themselves.
fn content() -> Vec<u8> {
    (0..300_000_u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

fn remote(body: &[u8], mirrors: &[&str]) -> RemoteFile {
    let checksum = Checksum::md5("").of_reader(body).unwrap();
    RemoteFile {
        name: "file.zip".into(),
        bytes: None,
        checksum,
        mirrors: mirrors.iter().map(|&url| url.to_owned()).collect(),
    }
}

fn quick() -> Downloader {
    quick_with(&[])
}

/// An impatient downloader under these variables and no others.
fn quick_with(set: &[(&str, &str)]) -> Downloader {
    downloader(set).0
}

/// The names in a folder, to see that nothing else was left.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_complete_file_arrives_and_is_not_fetched_twice() {
    let (body, folder) = (content(), tempfile::tempdir().unwrap());
    let server = serve(vec![Answer::File(body.clone())]);
    for _ in 0..2 {
        let path = quick().fetch(&remote(&body, &[&server.url]), folder.path()).unwrap();
        assert_eq!(fs::read(path).unwrap(), body);
    }
    assert_eq!(*server.requests.lock().unwrap(), ["all"]);
    assert_eq!(names(folder.path()), ["file.zip"]);
}

#[test]
fn a_file_cut_off_is_resumed_where_it_broke() {
    let (body, folder) = (content(), tempfile::tempdir().unwrap());
    let server = serve(vec![
        Answer::CutOff(body.clone(), 100_000),
        Answer::CutOff(body.clone(), 50_000),
        Answer::File(body.clone()),
    ]);
    let path = quick().fetch(&remote(&body, &[&server.url]), folder.path()).unwrap();
    assert_eq!(fs::read(path).unwrap(), body);
    assert_eq!(*server.requests.lock().unwrap(), ["all", "from 100000", "from 150000"]);
}

#[test]
fn a_part_of_an_earlier_run_is_continued_even_when_the_server_cannot_resume() {
    for (answer, part) in [
        (Answer::File(content()), content()[..200_000].to_vec()),
        (Answer::NoRanges(content()), content()[..200_000].to_vec()),
        (Answer::File(content()), content()),
    ] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file.zip.part"), &part).unwrap();
        let server = serve(vec![answer]);
        let path = quick().fetch(&remote(&content(), &[&server.url]), folder.path()).unwrap();
        assert_eq!(fs::read(path).unwrap(), content());
        assert_eq!(*server.requests.lock().unwrap(), [format!("from {}", part.len())]);
    }
}

#[test]
fn a_damaged_part_costs_one_more_attempt() {
    let (body, folder) = (content(), tempfile::tempdir().unwrap());
    fs::write(folder.path().join("file.zip.part"), vec![7; 1000]).unwrap();
    let server = serve(vec![Answer::File(body.clone()), Answer::File(body.clone())]);
    let path = quick().fetch(&remote(&body, &[&server.url]), folder.path()).unwrap();
    assert_eq!(fs::read(path).unwrap(), body);
    assert_eq!(*server.requests.lock().unwrap(), ["from 1000", "all"]);
}

#[test]
fn each_way_to_fail_names_its_cause_and_leaves_no_file() {
    let page = "<!DOCTYPE html><html><head><title>Google Drive - Quota exceeded</title></head></html>";
    for (answers, cause) in [
        (vec![Answer::File(vec![1; 1000])], "wrong checksum: expected MD5"),
        (vec![Answer::Page("text/html; charset=utf-8", page)], "web page instead of the file"),
        (vec![Answer::Page("application/octet-stream", page)], "web page instead of the file"),
        (vec![Answer::Status("404 Not Found")], "HTTP 404 Not Found"),
        (vec![Answer::Status("503 Service Unavailable"); 3], "HTTP 503"),
        (vec![Answer::Silence; 3], "does not answer"),
        (vec![], "refuses the connection"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let server = serve(answers);
        thread::sleep(Duration::from_millis(20)); // the server without an answer must be gone first
        let error = quick().fetch(&remote(&content(), &[&server.url]), folder.path()).unwrap_err().to_string();
        assert!(error.contains(cause), "{cause}: {error}");
        assert!(error.contains("file.zip could not be downloaded: 127.0.0.1:"), "{error}");
        assert!(names(folder.path()).is_empty(), "{cause}: {:?}", names(folder.path()));
    }
}

#[test]
fn a_server_that_dies_leaves_a_part_for_the_next_run() {
    let (body, folder) = (content(), tempfile::tempdir().unwrap());
    let server = serve(vec![Answer::CutOff(body.clone(), 123_456)]);
    let error = quick().fetch(&remote(&body, &[&server.url]), folder.path()).unwrap_err().to_string();
    assert!(error.contains("refuses the connection"), "{error}");
    assert_eq!(names(folder.path()), ["file.zip.part"]);
    assert_eq!(fs::read(folder.path().join("file.zip.part")).unwrap(), body[..123_456]);
}

#[test]
fn the_next_mirror_takes_over_in_time() {
    let (body, folder) = (content(), tempfile::tempdir().unwrap());
    let good = serve(vec![Answer::File(body.clone()), Answer::File(body.clone())]);
    let bad = serve(vec![Answer::Status("404 Not Found"), Answer::Status("404 Not Found")]);
    // 192.0.2.0/24 is reserved for documentation (RFC 5737), .invalid for names that do not exist (RFC 2606).
    let mirrors = ["http://192.0.2.1/file.zip", "http://mirror.invalid/file.zip", &bad.url, &good.url];
    let (downloader, began) = (quick(), Instant::now());
    for _ in 0..2 {
        let path = downloader.fetch(&remote(&body, &mirrors), folder.path()).unwrap();
        fs::remove_file(path).unwrap();
    }
    // Two dead hosts at 0.6 s at most, once each; the rest is for a busy machine.
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    assert_eq!(good.requests.lock().unwrap().len(), 2);
}

#[test]
fn a_damaged_file_is_replaced() {
    let (body, folder) = (content(), tempfile::tempdir().unwrap());
    fs::write(folder.path().join("file.zip"), b"half").unwrap();
    let server = serve(vec![Answer::File(body.clone())]);
    let path = quick().fetch(&remote(&body, &[&server.url]), folder.path()).unwrap();
    assert_eq!(fs::read(path).unwrap(), body);
}

#[test]
fn a_second_download_of_the_same_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let part = File::create(folder.path().join("file.zip.part")).unwrap();
    part.lock().unwrap();
    let error = quick().fetch(&remote(b"x", &["http://mirror.invalid/"]), folder.path()).unwrap_err().to_string();
    assert!(error.contains("another download"), "{error}");
}

#[test]
fn the_users_mirror_comes_first() {
    let file = with_mirror(remote(b"", &["http://a/file.zip"]), Some("http://b/data/"));
    assert_eq!(file.mirrors, ["http://b/data/file.zip", "http://a/file.zip"]);
}
