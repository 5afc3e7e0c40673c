//! Weights that lie elsewhere: `--weights hf:owner/name` and `--weights https://…` against a server on 127.0.0.1.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    path::Path,
    process::Command,
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::common::{Run, command, folder, run, smoke, text};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A hub with the repository `me/net`, whose file is also at `/net.safetensors`; another, `me/secret`, wants a token.
struct Hub {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
    /// Whether contents take five seconds.
    is_slow: Arc<AtomicBool>,
}

impl Hub {
    fn start(weights: &Path) -> Hub {
        let body = fs::read(weights).expect("the smoke run wrote it");
        let etag = srm_files::sha256(weights).expect("readable");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let is_slow = Arc::new(AtomicBool::new(false));
        let (seen, slow) = (Arc::clone(&requests), Arc::clone(&is_slow));
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
                let first = lines.next().unwrap_or_default();
                let headers: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
                let has_token = headers.iter().any(|line| line.contains("hf_right"));
                let range = headers.iter().find_map(|line| {
                    line.to_ascii_lowercase().strip_prefix("range: bytes=")?.trim_end_matches('-').parse().ok()
                });
                let line = first.trim_end_matches(" HTTP/1.1").to_owned();
                let part = range.map(|start: usize| format!(" from {start}")).unwrap_or_default();
                seen.lock().expect("nobody panics").push(line.clone() + &part);
                let (method, path) = line.split_once(' ').unwrap_or_default();
                let is_there = match path {
                    "/me/net/resolve/main/model.safetensors" | "/net.safetensors" => true,
                    "/me/secret/resolve/main/model.safetensors" => has_token,
                    _ => false,
                };
                let (status, words, body) = match (is_there, path.starts_with("/me/secret")) {
                    (true, _) => {
                        let status = if range.is_some() { "206 Partial Content" } else { "200 OK" };
                        let start = range.unwrap_or(0);
                        let words =
                            format!("X-Repo-Commit: {COMMIT}\r\nETag: \"{etag}\"\r\nContent-Range: bytes {start}-");
                        (status, words, &body[start..])
                    }
                    (false, true) => ("401 Unauthorized", "X-Error-Message: who are you?".to_owned(), &b""[..]),
                    (false, false) => ("404 Not Found", "X-Error-Code: RepoNotFound".to_owned(), &b""[..]),
                };
                let length = body.len();
                let head =
                    format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{words}\r\n\r\n");
                let body = if method == "HEAD" { &b""[..] } else { body };
                let _ = stream.write_all(head.as_bytes());
                for chunk in body.chunks((body.len() / 100).max(1)) {
                    if stream.write_all(chunk).is_err() {
                        break; // the client was stopped
                    }
                    if slow.load(Ordering::Relaxed) {
                        thread::sleep(Duration::from_millis(50));
                    }
                }
            }
        });
        Hub { url, requests, is_slow }
    }

    /// What was asked since the last call.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.requests.lock().expect("nobody panics"))
    }
}

/// The weights of the smoke run.
fn weights() -> std::path::PathBuf {
    smoke().0.join("checkpoints/000030/weights.safetensors")
}

/// A user with an own home folder.
fn user(home: &Path, endpoint: &str, words: &[&str]) -> Command {
    let mut command = command(words);
    for (name, _) in std::env::vars_os() {
        let known = name.to_string_lossy().to_ascii_lowercase();
        if known.starts_with("hf_") || known.ends_with("_proxy") {
            command.env_remove(name);
        }
    }
    command.env("HOME", home).env("XDG_CACHE_HOME", home.join("cache")).env("HF_ENDPOINT", endpoint);
    command
}

fn sample(home: &Path, endpoint: &str, weights: &str, set: &[(&str, &str)]) -> (Run, Vec<u8>) {
    let out = home.join("x.png");
    let words = ["sample", "--weights", weights, "--count", "2", "--steps", "2", "--out", text(&out), "--json"];
    let ended = run(user(home, endpoint, &words).envs(set.iter().copied()));
    let drawn = fs::read(&out).unwrap_or_default();
    let _ = fs::remove_file(&out);
    (ended, drawn)
}

#[test]
fn a_repository_and_an_address_draw_what_the_file_itself_draws() {
    let (home, hub) = (folder(), Hub::start(&weights()));
    let here = sample(home.path(), &hub.url, text(&weights()), &[]);
    here.0.done();
    assert_eq!(hub.asked(), [""; 0]);
    let address = format!("{}/net.safetensors", hub.url);
    for (name, place) in
        [("hf:me/net", "cache/huggingface/hub/models--me--net/snapshots"), (&address, "cache/srm/weights")]
    {
        let (ended, drawn) = sample(home.path(), &hub.url, name, &[]);
        let said = ended.done();
        assert!(said.stderr.contains("downloading "), "{}", said.stderr);
        let file = said.json()["weights"].as_str().expect("a path").to_owned();
        assert!(Path::new(&file).starts_with(home.path().join(place)), "{file}");
        assert!(drawn == here.1 && !drawn.is_empty(), "{name} draws other images");
    }
    assert_eq!(hub.asked().len(), 4);
    // from the cache, without a request or with one that nobody answers
    for (endpoint, set) in [("http://127.0.0.1:1", &[("HF_HUB_OFFLINE", "1")][..]), ("http://127.0.0.1:1", &[])] {
        let (ended, drawn) = sample(home.path(), endpoint, "hf:me/net", set);
        let said = ended.done();
        assert_eq!(drawn, here.1);
        assert_eq!(said.stderr.contains("taking hf:me/net from the cache"), set.is_empty(), "{}", said.stderr);
    }
    let name = format!("hf:me/net@{COMMIT}");
    assert_eq!(sample(home.path(), &hub.url, &name, &[]).1, here.1);
    assert_eq!(hub.asked(), [""; 0]);
}

#[test]
fn refusals_say_what_was_asked_what_the_server_said_and_what_helps() {
    let (home, hub) = (folder(), Hub::start(&weights()));
    let failed = |name: &str, set: &[(&str, &str)], code: i32, parts: &[&str]| {
        let (ended, drawn) = sample(home.path(), &hub.url, name, set);
        ended.failed_with(code, parts);
        assert!(drawn.is_empty() && !ended.stderr.contains("hf_wrong"), "{}", ended.stderr);
    };
    failed(
        "hf:me/other",
        &[],
        1,
        &["hf:me/other: there is no such repository", "(HTTP 404 Not Found)", "check the name"],
    );
    failed("hf:me/secret", &[], 1, &["(HTTP 401 Unauthorized: who are you?)", "set HF_TOKEN"]);
    let (ended, _) = sample(home.path(), &hub.url, "hf:me/secret", &[("HF_TOKEN", "hf_wrong"), ("RUST_LOG", "trace")]);
    ended.failed_with(1, &["the token of HF_TOKEN does not open it"]);
    // nor is it among the bytes of the request (`HEAD /`), which the lowest level would show
    assert!(!ended.stderr.contains("hf_wrong") && !ended.stderr.contains("4845 4144 202f"), "{}", ended.stderr);
    sample(home.path(), &hub.url, "hf:me/secret", &[("HF_TOKEN", "hf_right")]).0.done();
    failed(
        &format!("{}/none/", hub.url),
        &[],
        1,
        &["/none/model.safetensors: there is no such file (HTTP 404 Not Found)"],
    );
    hub.asked();
    for (name, part) in [
        ("hf:net", "no / between owner and name; write hf:owner/name"),
        ("hf:../net", "no .. in them"),
        ("hf:me/net@../x", "begins with ."),
        ("https://host.org/net.pth", "a pickle, which can run programs"),
    ] {
        failed(name, &[], 2, &[part]);
    }
    assert_eq!(hub.asked(), [""; 0]);
    sample(home.path(), &hub.url, "runs/none", &[])
        .0
        .failed_with(1, &["do not exist", "hf:owner/name", "https:// address"]);
}

#[test]
fn a_path_that_exists_wins_over_the_name() {
    let (home, hub) = (folder(), Hub::start(&weights()));
    let place = home.path().join("hf:me");
    fs::create_dir(&place).expect("a writable temporary folder");
    fs::copy(weights(), place.join("net")).expect("a writable temporary folder");
    let words = ["sample", "--weights", "hf:me/net", "--count", "1", "--steps", "1", "--out", "x.png", "--json"];
    let said = run(user(home.path(), &hub.url, &words).current_dir(home.path())).done();
    assert_eq!(said.json()["weights"], "hf:me/net");
    assert_eq!(hub.asked(), [""; 0]);
}

#[test]
fn scores_and_diagnostics_take_them_too() {
    let (home, hub) = (folder(), Hub::start(&weights()));
    let images = home.path().join("x.npy");
    run(&mut command(&["sample", "--weights", text(&weights()), "--count", "40", "--out", text(&images)])).done();
    for words in ["evaluate --out e.json --count 12 --data x.npy", "diagnose moments --count 20 --out m --data x.npy"] {
        let words: Vec<&str> = words.split(' ').chain(["--weights", "hf:me/net", "--json"]).collect();
        let said = run(user(home.path(), &hub.url, &words).current_dir(home.path())).done();
        assert!(said.stdout.contains(COMMIT), "{}", said.stdout);
    }
    // a name that is none is told before the images are read
    let words = ["evaluate", "--weights", "hf:net", "--data", "none.npy"];
    run(&mut user(home.path(), &hub.url, &words)).failed_with(2, &["write hf:owner/name"]);
}

#[test]
fn ctrl_c_leaves_a_part_that_the_next_command_ends() {
    let (home, hub) = (folder(), Hub::start(&weights()));
    hub.is_slow.store(true, Ordering::Relaxed);
    let words = ["evaluate", "--weights", "hf:me/net", "--data", "never-read.npy"];
    let mut command = user(home.path(), &hub.url, &words);
    let child =
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary was built for this test");
    let blobs = home.path().join("cache/huggingface/hub/models--me--net/blobs");
    let arrived = || {
        let part = fs::read_dir(&blobs).ok()?.flatten().next()?;
        let name = part.file_name().into_string().expect("digits");
        Some((name, part.metadata().ok()?.len())).filter(|(_, bytes)| *bytes > 0)
    };
    let begun = Instant::now();
    while arrived().is_none() {
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing arrives");
        thread::sleep(Duration::from_millis(20));
    }
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill is everywhere");
    let ended = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(130), "{said}");
    assert!(said.contains("the same command goes on where it was"), "{said}");
    let (name, bytes) = arrived().expect("a part");
    assert!(name.ends_with(".incomplete"), "{name}");
    hub.is_slow.store(false, Ordering::Relaxed);
    hub.asked();
    sample(home.path(), &hub.url, "hf:me/net", &[]).0.done();
    let path = "/me/net/resolve/main/model.safetensors";
    assert_eq!(hub.asked(), [format!("HEAD {path}"), format!("GET {path} from {bytes}")]);
}
