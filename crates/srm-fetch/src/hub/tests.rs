//! Try the hub's protocol and cache against a server on 127.0.0.1 that speaks as the hub does.

mod refused;

use crate::{
    FetchError, Refusal, Source,
    testing::{Heard, Reply, Request, Server, downloader, nobody, safetensors, stopped_downloader},
};
use sha1::{Digest, Sha1};
use sha2::Sha256;
use srm_files::hex;
use std::{fs, os::unix::fs::symlink, path::Path, path::PathBuf};
use tempfile::TempDir;

const FILE: &str = "model.safetensors";
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const NEWER: &str = "fedcba9876543210fedcba9876543210fedcba98";

fn sha256(body: &[u8]) -> String {
    hex(&Sha256::digest(body))
}

/// The answer to a question about a file that lies in the repository itself, at `commit`.
fn in_git(body: &[u8], commit: &str) -> Reply {
    let name = hex(&Sha1::new_with_prefix(format!("blob {}\0", body.len())).chain_update(body).finalize());
    Reply::file(body).with("X-Repo-Commit", commit).with("ETag", &format!("\"{name}\""))
}

/// The answer to a question about a large file, whose content is at `url`.
fn in_storage(body: &[u8], url: &str) -> Reply {
    Reply::status(302, &[])
        .with("X-Repo-Commit", COMMIT)
        .with("X-Linked-Etag", &format!("\"{}\"", sha256(body)))
        .with("X-Linked-Size", &body.len().to_string())
        .with("ETag", "W/\"of the pointer\"")
        .with("Location", url)
}

fn no_file() -> Reply {
    Reply::status(404, &[("X-Error-Code", "EntryNotFound"), ("X-Error-Message", "Entry not found")])
}

/// A hub of one repository `me/net` whose one file `name` is answered with `reply`.
fn hub_of(name: &'static str, reply: Reply) -> Server {
    Server::start(move |request| {
        match request.path.strip_prefix("/me/net/resolve/").and_then(|rest| rest.split_once('/')) {
            Some(("main" | COMMIT, file)) if file == name => reply.clone(),
            _ => no_file(),
        }
    })
}

/// A user with a home of their own.
struct User {
    home: TempDir,
}

impl User {
    fn new() -> User {
        User { home: tempfile::tempdir().unwrap() }
    }

    /// What `hf:…` brings from the hub at `endpoint`, and what was said.
    fn fetch(&self, name: &str, endpoint: &str, set: &[(&str, &str)]) -> (Result<PathBuf, FetchError>, Heard) {
        let home = self.home.path().to_str().unwrap();
        let set = [&[("HOME", home), ("HF_ENDPOINT", endpoint)], set].concat();
        let (downloader, heard) = downloader(&set);
        (Source::parse(name).unwrap().unwrap().fetch(&downloader), heard)
    }

    fn cache(&self) -> PathBuf {
        self.home.path().join(".cache/huggingface/hub/models--me--net")
    }

    /// Every file and link of the repository's cache, and of a link what it names.
    fn files(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![self.cache()];
        while let Some(folder) = folders.pop() {
            for path in fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()) {
                let name = path.strip_prefix(self.cache()).unwrap().display().to_string();
                match fs::read_link(&path) {
                    Ok(target) => found.push(format!("{name} -> {}", target.display())),
                    Err(_) if path.is_dir() => folders.push(path),
                    Err(_) => found.push(name),
                }
            }
        }
        found.sort();
        found
    }

    /// Lay a file out as huggingface_hub does.
    fn has(&self, revision: &str, commit: &str, body: &[u8]) {
        let put = |path: PathBuf, body: &[u8]| {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, body).unwrap();
        };
        let (cache, etag) = (self.cache(), sha256(body));
        put(cache.join("refs").join(revision), commit.as_bytes());
        put(cache.join("blobs").join(&etag), body);
        let link = cache.join("snapshots").join(commit).join(FILE);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink(Path::new("../../blobs").join(etag), link).unwrap();
    }
}

#[test]
fn a_file_of_the_repository_lies_in_the_cache_as_the_hubs_own_library_lays_it() {
    let (user, body) = (User::new(), safetensors(50_000, 1));
    let hub = hub_of(FILE, in_git(&body, COMMIT));
    let etag = hex(&Sha1::new_with_prefix(format!("blob {}\0", body.len())).chain_update(&body).finalize());
    for asked in [
        vec![format!("HEAD /me/net/resolve/main/{FILE}"), format!("GET /me/net/resolve/main/{FILE}")],
        vec![format!("HEAD /me/net/resolve/main/{FILE}")], // it has not changed
    ] {
        let path = user.fetch("hf:me/net", &hub.url, &[]).0.unwrap();
        assert_eq!(path, user.cache().join("snapshots").join(COMMIT).join(FILE));
        assert_eq!(fs::read(path).unwrap(), body);
        assert_eq!(hub.lines(), asked);
    }
    let link = format!("snapshots/{COMMIT}/{FILE} -> ../../blobs/{etag}");
    assert_eq!(user.files(), [format!("blobs/{etag}"), "refs/main".to_owned(), link]);
    assert_eq!(fs::read_to_string(user.cache().join("refs/main")).unwrap(), COMMIT);
}

#[test]
fn a_download_that_was_cut_goes_on_where_it_broke_in_this_call_and_in_the_next() {
    let (user, body) = (User::new(), safetensors(300_000, 2));
    let reply = in_git(&body, COMMIT);
    let broken = hub_of(FILE, Reply { cut: Some(100_000), ..reply.clone() });
    // each connection brings 100,000 bytes more, and what is left is less
    user.fetch("hf:me/net", &broken.url, &[]).0.unwrap();
    let path = format!("GET /me/net/resolve/main/{FILE}");
    let ranges = ["", " bytes=100000-", " bytes=200000-", " bytes=300000-"].map(|range| format!("{path}{range}"));
    assert_eq!(broken.lines()[1..], ranges);

    let (user, etag) = (User::new(), reply.headers[1].1.trim_matches('"').to_owned());
    let part = user.cache().join("blobs").join(format!("{etag}.incomplete"));
    fs::create_dir_all(part.parent().unwrap()).unwrap();
    fs::write(&part, &body[..123_456]).unwrap(); // huggingface_hub was killed here
    let hub = hub_of(FILE, reply);
    let found = user.fetch("hf:me/net", &hub.url, &[]).0.unwrap();
    assert_eq!(fs::read(found).unwrap(), body);
    assert_eq!(hub.lines()[1..], [format!("{path} bytes=123456-")]);
    assert!(!part.exists());
}

#[test]
fn whoever_is_stopped_leaves_a_part_that_the_next_call_ends() {
    let (user, body) = (User::new(), safetensors(500_000, 3));
    let hub = hub_of(FILE, in_git(&body, COMMIT));
    let set = [("HOME", user.home.path().to_str().unwrap()), ("HF_ENDPOINT", &hub.url)];
    let source = Source::parse("hf:me/net").unwrap().unwrap();
    let error = source.fetch(&stopped_downloader(&set)).unwrap_err();
    assert!(matches!(error, FetchError::Stopped), "{error}");
    let files = user.files();
    assert!(files.len() == 1 && files[0].ends_with(".incomplete"), "{files:?}");
    let arrived = user.cache().join(&files[0]).metadata().unwrap().len();
    assert!((1..body.len() as u64).contains(&arrived), "{arrived}");
    hub.lines();
    assert_eq!(fs::read(user.fetch("hf:me/net", &hub.url, &[]).0.unwrap()).unwrap(), body);
    assert!(hub.lines()[1].ends_with(&format!(" bytes={arrived}-")));
}

#[test]
fn the_token_goes_to_the_hub_itself_and_to_no_other_host() {
    let (user, body) = (User::new(), safetensors(1000, 4));
    let storage = Server::start({
        let body = body.clone();
        move |_| Reply::file(&body)
    });
    let url = format!("{}/content?signature=1", storage.url);
    let hub = Server::start({
        let body = body.clone();
        move |request: &Request| match &*request.path {
            // a repository that was renamed, and a file in the storage
            "/me/net/resolve/main/model.safetensors" => {
                Reply::status(307, &[("Location", "/you/net/resolve/main/model.safetensors")])
            }
            _ => in_storage(&body, &url),
        }
    });
    let path = user.fetch("hf:me/net", &hub.url, &[("HF_TOKEN", "hf_secret\n")]).0.unwrap();
    assert_eq!(fs::read(path).unwrap(), body);
    let asked = hub.taken();
    assert_eq!(asked.len(), 2);
    assert!(asked.iter().all(|request| request.header("authorization") == Some("Bearer hf_secret")), "{asked:?}");
    let asked = storage.taken();
    assert_eq!(asked.iter().map(Request::line).collect::<Vec<_>>(), ["GET /content?signature=1"]);
    assert_eq!(asked[0].header("authorization"), None);
    assert!(user.cache().join("blobs").join(sha256(&body)).is_file());
}

#[test]
fn without_hf_token_that_of_a_login_is_sent() {
    let (body, user) = (safetensors(10, 5), User::new());
    let hub = hub_of(FILE, in_git(&body, COMMIT));
    let (own, other) = (user.home.path().join("own"), user.home.path().join("other/token"));
    for (file, set) in [
        (user.home.path().join(".cache/huggingface/token"), vec![]),
        (own.join("token"), vec![("HF_HOME", own.to_str().unwrap())]),
        (other.clone(), vec![("HF_TOKEN_PATH", other.to_str().unwrap()), ("HF_TOKEN", "")]),
    ] {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, format!("hf_{}\n", set.len())).unwrap();
        user.fetch("hf:me/net", &hub.url, &set).0.unwrap();
        let asked = hub.taken();
        assert_eq!(asked[0].header("authorization"), Some(&*format!("Bearer hf_{}", set.len())));
    }
}

#[test]
fn the_cache_is_where_the_hubs_library_would_look_for_it() {
    let body = safetensors(10, 6);
    let hub = hub_of(FILE, in_git(&body, COMMIT));
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
    for (set, folder) in [
        (vec![("HF_HUB_CACHE", at("a"))], at("a")),
        (vec![("HF_HOME", at("b"))], at("b/hub")),
        (vec![("XDG_CACHE_HOME", at("c"))], at("c/huggingface/hub")),
        (vec![("HF_HUB_CACHE", at("d")), ("HF_HOME", at("e"))], at("d")),
    ] {
        let set: Vec<_> = set.iter().map(|(name, value)| (*name, &**value)).collect();
        let path = User::new().fetch("hf:me/net", &hub.url, &set).0.unwrap();
        assert!(path.starts_with(&folder), "{} {folder}", path.display());
    }
    let user = User::new();
    let path = user.fetch("hf:me/net", &hub.url, &[("HF_HUB_CACHE", "~/hub")]).0.unwrap();
    assert!(path.starts_with(user.home.path().join("hub")), "{}", path.display());
}

#[test]
fn what_the_hubs_library_has_brought_is_used() {
    let (user, body) = (User::new(), safetensors(10, 7));
    user.has("main", COMMIT, &body);
    // a commit is asked for nowhere
    let path = user.fetch(&format!("hf:me/net@{COMMIT}"), &nobody(), &[]).0.unwrap();
    assert_eq!(fs::read(path).unwrap(), body);
    // nor is anything with HF_HUB_OFFLINE
    let (found, heard) = user.fetch("hf:me/net", &nobody(), &[("HF_HUB_OFFLINE", "True")]);
    assert_eq!(fs::read(found.unwrap()).unwrap(), body);
    assert!(heard.borrow().is_empty());
    // a revision without a network is taken as it was
    let (found, heard) = user.fetch("hf:me/net", &nobody(), &[]);
    assert_eq!(fs::read(found.unwrap()).unwrap(), body);
    let said = heard.borrow().join("\n");
    assert!(said.contains("refuses the connection: taking hf:me/net from the cache"), "{said}");
    // and so it is where the server is in trouble
    let hub = Server::start(|_| Reply::status(503, &[]));
    let (found, heard) = user.fetch("hf:me/net", &hub.url, &[]);
    assert_eq!(fs::read(found.unwrap()).unwrap(), body);
    assert!(heard.borrow()[0].contains("HTTP 503"), "{heard:?}");
    assert_eq!(hub.lines().len(), 3);
}

#[test]
fn a_branch_that_has_moved_is_brought_anew_and_a_known_content_only_linked() {
    let (user, old, new) = (User::new(), safetensors(10, 8), safetensors(10, 9));
    user.has("main", COMMIT, &old);
    let hub = hub_of(FILE, in_git(&new, NEWER));
    let path = user.fetch("hf:me/net", &hub.url, &[]).0.unwrap();
    assert_eq!(fs::read(path).unwrap(), new);
    assert_eq!(fs::read_to_string(user.cache().join("refs/main")).unwrap(), NEWER);
    assert_eq!(fs::read(user.cache().join("snapshots").join(COMMIT).join(FILE)).unwrap(), old);

    let user = User::new();
    user.has("v1", NEWER, &old);
    let hub = hub_of(FILE, in_storage(&old, "http://storage.invalid/never-asked"));
    let path = user.fetch("hf:me/net", &hub.url, &[]).0.unwrap();
    assert_eq!(fs::read(path).unwrap(), old);
    assert_eq!(hub.lines().len(), 1);
}

#[test]
fn a_commit_a_tag_and_a_request_of_changes_are_revisions() {
    let (user, body) = (User::new(), safetensors(10, 10));
    let hub = Server::start({
        let body = body.clone();
        move |_| in_git(&body, COMMIT)
    });
    for (revision, asked) in [(NEWER, NEWER), ("v1.0", "v1.0"), ("refs/pr/1", "refs%2Fpr%2F1")] {
        user.fetch(&format!("hf:me/net@{revision}"), &hub.url, &[]).0.unwrap();
        assert_eq!(hub.lines()[0], format!("HEAD /me/net/resolve/{asked}/{FILE}"));
    }
    let references: Vec<_> = user.files().into_iter().filter(|file| file.starts_with("refs/")).collect();
    assert_eq!(references, ["refs/refs/pr/1", "refs/v1.0"]);
}

#[test]
fn two_at_once_bring_it_once() {
    let (user, body) = (User::new(), safetensors(1000, 11));
    let hub = hub_of(FILE, in_git(&body, COMMIT));
    let (home, url) = (user.home.path().to_str().unwrap(), &*hub.url);
    let lock = super::cache::Cache::new(user.cache().parent().unwrap(), &super::Repository::parse("me/net").unwrap());
    let etag = in_git(&body, COMMIT).headers[1].1.trim_matches('"').to_owned();
    let path = lock.lock(&etag);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let held = fs::File::create(&path).unwrap();
    held.lock().unwrap(); // huggingface_hub is downloading it
    std::thread::scope(|scope| {
        let waiting = scope.spawn(move || {
            let (downloader, heard) = downloader(&[("HOME", home), ("HF_ENDPOINT", url)]);
            Source::parse("hf:me/net").unwrap().unwrap().fetch(&downloader).unwrap();
            heard.take()
        });
        std::thread::sleep(std::time::Duration::from_millis(300));
        fs::create_dir_all(user.cache().join("blobs")).unwrap();
        fs::write(user.cache().join("blobs").join(&etag), &body).unwrap();
        drop(held);
        assert_eq!(
            waiting.join().unwrap(),
            ["another process is downloading hf:me/net model.safetensors: waiting for it"]
        );
    });
    assert_eq!(hub.lines(), [format!("HEAD /me/net/resolve/main/{FILE}")]);
}
