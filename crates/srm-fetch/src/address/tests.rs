//! Try plain addresses against a server on 127.0.0.1.

use crate::{
    FetchError, Refusal, Source,
    testing::{Heard, Reply, Request, Server, downloader, nobody, safetensors},
};
use std::{fs, path::Path, path::PathBuf, sync::Arc, sync::Mutex};

fn fetch(url: &str, home: &Path) -> (Result<PathBuf, FetchError>, Heard) {
    let (downloader, heard) = downloader(&[("HOME", home.to_str().unwrap())]);
    (Source::parse(url).unwrap().unwrap().fetch(&downloader), heard)
}

/// A server whose one file at `path` can be changed.
fn server(path: &'static str, reply: Reply) -> (Server, Arc<Mutex<Reply>>) {
    let reply = Arc::new(Mutex::new(reply));
    let given = reply.clone();
    let answer = move |request: &Request| {
        let reply = given.lock().unwrap().clone();
        let etag = reply.headers.iter().find(|(name, _)| *name == "ETag").map(|(_, etag)| etag.clone());
        match request.path.split('?').next() == Some(path) {
            true if etag.is_some() && request.header("if-none-match") == etag.as_deref() => Reply::status(304, &[]),
            true => reply,
            false => Reply::status(404, &[]),
        }
    };
    (Server::start(answer), reply)
}

#[test]
fn a_file_is_brought_once_and_again_when_it_has_changed() {
    for (old, new) in [(Some("\"one\""), Some("\"two\"")), (Some("W/\"one\""), Some("W/\"two\"")), (None, None)] {
        let home = tempfile::tempdir().unwrap();
        let (body, other) = (safetensors(1000, 1), safetensors(1000, 2)); // of one length
        let with = |body: &[u8], etag: Option<&str>| match etag {
            Some(etag) => Reply::file(body).with("ETag", etag),
            None => Reply::file(body),
        };
        let (server, reply) = server("/a/net.safetensors", with(&body, old));
        let url = format!("{}/a/net.safetensors", server.url);
        let path = fetch(&url, home.path()).0.unwrap();
        assert!(path.starts_with(home.path().join(".cache/srm/weights")) && path.ends_with("net.safetensors"));
        assert_eq!(server.lines(), ["GET /a/net.safetensors"; 2]);
        assert_eq!(fetch(&url, home.path()).0.unwrap(), path);
        // where nothing tells one content from another it is brought each time
        let questions = if old.is_some() { 1 } else { 2 };
        assert_eq!(server.lines(), vec!["GET /a/net.safetensors"; questions]);
        *reply.lock().unwrap() = with(&other, new);
        assert_eq!(fs::read(fetch(&url, home.path()).0.unwrap()).unwrap(), other);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 3, "file, source.json and lock");
    }
}

#[test]
fn what_lies_here_serves_while_the_server_is_away_and_what_does_not_is_an_error() {
    let home = tempfile::tempdir().unwrap();
    let (server, reply) = server("/net.safetensors", Reply::file(&safetensors(10, 1)).with("ETag", "\"a\""));
    let url = format!("{}/net.safetensors", server.url);
    let path = fetch(&url, home.path()).0.unwrap();
    *reply.lock().unwrap() = Reply::status(503, &[]);
    let (found, heard) = fetch(&url, home.path());
    assert_eq!(found.unwrap(), path);
    assert_eq!(heard.borrow().len(), 1);
    assert!(
        heard.borrow()[0].ends_with(&format!("HTTP 503 Service Unavailable: taking {url} from the cache")),
        "{heard:?}"
    );
    let error = fetch(&format!("{}/net.safetensors", nobody()), home.path()).0.unwrap_err().to_string();
    assert!(error.contains("refuses the connection") && error.contains("check the network"), "{error}");
    // a file that was cut in the cache is not taken
    fs::write(&path, b"cut").unwrap();
    assert!(matches!(fetch(&url, home.path()).0, Err(FetchError::NotCached { .. })));
}

#[test]
fn a_folder_means_the_weights_in_it_under_either_name() {
    for name in ["/nets/v1.0/model.safetensors", "/nets/v1.0/diffusion_pytorch_model.safetensors"] {
        let home = tempfile::tempdir().unwrap();
        let (server, _) = server(name, Reply::file(&safetensors(10, 1)));
        for folder in ["/nets/v1.0", "/nets/v1.0/"] {
            let path = fetch(&format!("{}{folder}", server.url), home.path()).0.unwrap();
            assert_eq!(path.file_name().unwrap(), name.rsplit('/').next().unwrap());
        }
        assert_eq!(fs::read_dir(home.path().join(".cache/srm/weights")).unwrap().count(), 1);
        let error = fetch(&format!("{}/none", server.url), home.path()).0.unwrap_err();
        assert!(matches!(error, FetchError::Refused { why: Refusal::NoFile, .. }));
        assert!(
            error.to_string().contains("/none/model.safetensors: there is no such file (HTTP 404 Not Found)"),
            "{error}"
        );
    }
}

#[test]
fn a_cut_download_goes_on_and_another_content_begins_anew() {
    let home = tempfile::tempdir().unwrap();
    let (body, other) = (safetensors(300_000, 1), safetensors(300_000, 2));
    let (server, reply) = server("/net.safetensors", Reply::file(&body).with("ETag", "\"a\"").with("X", "y"));
    let url = format!("{}/net.safetensors", server.url);
    // a connection that brings nothing more ends the call
    reply.lock().unwrap().cut = Some(0);
    let error = fetch(&url, home.path()).0.unwrap_err().to_string();
    assert!(error.contains("broke off"), "{error}");
    reply.lock().unwrap().cut = Some(100_000);
    server.lines();
    let path = fetch(&url, home.path()).0.unwrap();
    assert_eq!(fs::read(&path).unwrap(), body);
    assert_eq!(
        server.lines()[2..],
        [
            "GET /net.safetensors bytes=100000-",
            "GET /net.safetensors bytes=200000-",
            "GET /net.safetensors bytes=300000-"
        ]
    );
    // a part of the old content is no beginning of the new one
    fs::write(path.with_file_name("0123456789abcdef.part"), &body[..1000]).unwrap();
    *reply.lock().unwrap() = Reply::file(&other).with("ETag", "\"b\"");
    assert_eq!(fs::read(fetch(&url, home.path()).0.unwrap()).unwrap(), other);
    assert_eq!(server.lines(), ["GET /net.safetensors"; 2]);
    assert!(!path.with_file_name("0123456789abcdef.part").exists());
}

#[test]
fn a_pickle_and_a_page_are_not_kept_and_refusals_name_the_file() {
    let home = tempfile::tempdir().unwrap();
    for (reply, part) in [
        (Reply::file(b"\x80\x02}q\x00and so on"), "is a Python pickle, no safetensors, and is not taken"),
        (Reply::file(b"<!DOCTYPE html><html>log in</html>"), "web page instead of the file"),
        (Reply::status(403, &[]), "wants to know who asks (HTTP 403 Forbidden); download the file yourself"),
        (Reply::status(410, &[]), "there is no such file (HTTP 410 Gone); check the address"),
    ] {
        let (server, _) = server("/net.safetensors", reply);
        let error =
            fetch(&format!("{}/net.safetensors?key=secret", server.url), home.path()).0.unwrap_err().to_string();
        assert!(error.contains(part) && !error.contains("secret"), "{error}");
    }
    let mut folders = fs::read_dir(home.path().join(".cache/srm/weights")).unwrap();
    let files =
        |folder: PathBuf| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
    assert!(folders.all(|folder| files(folder.unwrap().path()) == ["lock"]));
}

#[test]
fn what_is_no_address_of_weights_is_refused_before_anybody_is_asked() {
    for (text, part) in [
        ("https://", "names no host"),
        ("https:///net.safetensors", "names no host"),
        ("https://me:secret@host.org/net.safetensors", "a name and a password"),
        ("https://host.org/a b", "white space"),
        ("https://host.org/net.pth", "a pickle"),
        ("https://host.org/pytorch_model.BIN?download=true", "a pickle"),
    ] {
        let error = Source::parse(text).unwrap().unwrap_err();
        let message = error.to_string();
        assert!(error.is_usage() && message.contains(part) && !message.contains("secret"), "{message}");
    }
    assert!(Source::parse("http:/x").is_none() && Source::parse("HF:me/net").is_none() && Source::parse("").is_none());
}

#[test]
fn no_name_of_an_address_leaves_its_folder() {
    for (path, name) in [
        ("/a/..", "model.safetensors"),
        ("/a/.safetensors", "model.safetensors"),
        ("/a/...safetensors", "model.safetensors"),
        ("/a/%2e%2e%2fx.safetensors", "2e2e2fx.safetensors"),
        ("/?file=../../x.safetensors", "model.safetensors"),
        ("/Net-1.Safetensors", "Net-1.Safetensors"),
    ] {
        let Source::Address(address) = Source::parse(&format!("https://host.org{path}")).unwrap().unwrap() else {
            panic!("an address");
        };
        assert_eq!(address.files()[0].name(), name, "{path}");
    }
}

#[test]
fn a_server_that_says_nothing_is_waited_for_once() {
    let home = tempfile::tempdir().unwrap();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (url, begun) = (format!("http://{}/x.safetensors", silent.local_addr().unwrap()), std::time::Instant::now());
    let error = fetch(&url, home.path()).0.unwrap_err().to_string();
    assert!(error.contains("accepted the connection but does not answer"), "{error}");
    // 0.25 s of patience; the certificates, and a busy machine, take their time
    assert!(begun.elapsed() < std::time::Duration::from_secs(3), "{:?}", begun.elapsed());
}
