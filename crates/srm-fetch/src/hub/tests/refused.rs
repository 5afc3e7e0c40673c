//! Try what the hub refuses and what is not taken from it: messages say cause and remedy, and nothing is kept.

use super::*;

/// The error of `hf:me/net` at a hub that answers everything so.
fn refused(reply: Reply, set: &[(&str, &str)]) -> (FetchError, User) {
    let (user, hub) = (User::new(), Server::start(move |_| reply.clone()));
    let error = user.fetch("hf:me/net", &hub.url, set).0.unwrap_err();
    assert!(!error.to_string().contains("hf_secret"), "{error}");
    (error, user)
}

#[test]
fn each_refusal_says_what_helps() {
    let none: &[(&str, &str)] = &[];
    let token: &[(&str, &str)] = &[("HF_TOKEN", "hf_secret")];
    for (status, code, set, why, parts) in [
        (
            404,
            "RepoNotFound",
            none,
            Refusal::Repository,
            &["no such repository", "HTTP 404", "check the name", "HF_TOKEN"][..],
        ),
        (401, "RepoNotFound", token, Refusal::Repository, &["the token of HF_TOKEN may read it"]),
        (404, "RevisionNotFound", none, Refusal::Revision, &["no such revision", "a branch, a tag or a commit"]),
        (401, "", none, Refusal::Denied, &["HTTP 401", "set HF_TOKEN to a token of http", "/settings/tokens"]),
        (401, "", token, Refusal::Denied, &["the token of HF_TOKEN does not open it"]),
        (401, "GatedRepo", none, Refusal::Gated, &["accept the terms at http", "/me/net, then set HF_TOKEN"]),
        (403, "GatedRepo", token, Refusal::Gated, &["accept the terms", "the account of the token of HF_TOKEN"]),
        (404, "EntryNotFound", none, Refusal::NoWeights, &["no model.safetensors", "see http"]),
        (404, "", none, Refusal::NoWeights, &["no model.safetensors"]),
        (451, "", none, Refusal::Other, &["the server refuses", "HTTP 451"]),
    ] {
        let reply = Reply::status(status, &[("X-Error-Code", code), ("X-Error-Message", "its own words")]);
        let (error, user) = refused(reply, set);
        let message = error.to_string();
        assert!(matches!(error, FetchError::Refused { why: found, .. } if found == why), "{message}");
        assert!(message.starts_with("hf:me/net: ") && message.contains(": its own words)"), "{message}");
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
        assert_eq!(user.files(), [""; 0]);
    }
}

#[test]
fn a_content_that_is_not_what_was_announced_is_not_kept() {
    let (body, other) = (safetensors(1000, 1), safetensors(1000, 2));
    let storage = Server::start({
        let other = other.clone();
        move |_| Reply::file(&other)
    });
    let (error, user) = refused(in_storage(&body, &format!("{}/x", storage.url)), &[]);
    let message = error.to_string();
    let sums = format!("wrong checksum: expected SHA-256 {}, got SHA-256 {}", sha256(&body), sha256(&other));
    assert!(message.contains(&sums), "{message}");
    assert_eq!(user.files(), [""; 0]);

    let reply = in_git(&body, COMMIT);
    let (error, user) = refused(Reply { body: other.clone(), ..reply }, &[]);
    assert!(error.to_string().contains("wrong checksum: expected git blob "), "{error}");
    assert_eq!(user.files(), [""; 0]);

    // of an ETag that is no checksum the length alone is known
    let reply =
        Reply::file(&body).with("X-Repo-Commit", COMMIT).with("ETag", "other-kind").with("X-Linked-Size", "999");
    let (error, user) = refused(reply, &[]);
    assert!(error.to_string().contains("wrong length: expected 999 bytes"), "{error}");
    assert_eq!(user.files(), [""; 0]);
}

#[test]
fn a_repository_of_pickles_and_a_pickle_by_another_name_are_refused_with_the_reason() {
    let pickle = [b"\x80\x02}q\x00".as_slice(), &[b'x'; 500]].concat();
    let user = User::new();
    let hub = hub_of("pytorch_model.bin", in_git(&pickle, COMMIT));
    let error = user.fetch("hf:me/net", &hub.url, &[]).0.unwrap_err();
    assert!(matches!(error, FetchError::PickleAlone { .. }));
    let message = error.to_string();
    let url = format!("{}/me/net/resolve/main/pytorch_model.bin", hub.url);
    assert!(
        message.contains(&url) && message.contains("run programs") && message.contains("give its path"),
        "{message}"
    );
    assert!(hub.lines().iter().all(|line| line.starts_with("HEAD ")));

    for (body, what) in [
        (pickle, "a Python pickle, no safetensors"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n".to_vec(), "a Git LFS pointer"),
        (b"no weights at all\n".to_vec(), "a text file"),
    ] {
        let (error, user) = refused(in_git(&body, COMMIT), &[]);
        assert!(matches!(error, FetchError::NotSafetensors { .. }) && error.to_string().contains(what), "{error}");
        assert_eq!(user.files(), [""; 0]);
        // nor is it taken from a cache that another program has filled
        user.has("main", COMMIT, &body);
        let error = user.fetch("hf:me/net", &nobody(), &[("HF_HUB_OFFLINE", "1")]).0.unwrap_err();
        assert!(matches!(error, FetchError::NotSafetensors { .. }), "{error}");
    }
}

#[test]
fn the_second_name_of_weights_is_tried() {
    let (user, body) = (User::new(), safetensors(10, 1));
    let hub = hub_of("diffusion_pytorch_model.safetensors", in_git(&body, COMMIT));
    let path = user.fetch("hf:me/net", &hub.url, &[]).0.unwrap();
    assert!(path.ends_with("diffusion_pytorch_model.safetensors"));
    assert_eq!(user.fetch("hf:me/net", "http://x", &[("HF_HUB_OFFLINE", "1")]).0.unwrap(), path);
}

#[test]
fn nothing_here_and_nobody_to_ask_says_so() {
    let user = User::new();
    let message =
        |endpoint: &str, set: &[(&str, &str)]| user.fetch("hf:me/net", endpoint, set).0.unwrap_err().to_string();
    let offline = message("http://x", &[("HF_HUB_OFFLINE", "1")]);
    assert!(offline.contains("HF_HUB_OFFLINE forbids") && offline.contains("unset HF_HUB_OFFLINE"), "{offline}");
    let away = message(&nobody(), &[]);
    assert!(away.starts_with("hf:me/net is not in the cache /") && away.contains("refuses the connection"), "{away}");
    assert!(away.contains("check the network"), "{away}");
    let secret = message("https://me:secret@hub.org?key=secret", &[]);
    assert!(secret.starts_with("HF_ENDPOINT=hub.org is no address") && !secret.contains("secret"), "{secret}");
    assert!(message("hub.org", &[]).starts_with("HF_ENDPOINT=hub.org is no address of a hub"));
    let spaced = message("http://x", &[("HF_TOKEN", "hf_sec ret")]);
    assert!(spaced.starts_with("HF_TOKEN holds characters") && !spaced.contains("ret;"), "{spaced}");
}

#[test]
fn a_server_that_would_write_elsewhere_is_refused() {
    let body = safetensors(10, 1);
    for (commit, etag, part) in [
        ("../../../../evil", "a", "X-Repo-Commit is"),
        ("", "a", "X-Repo-Commit is"),
        (COMMIT, "../evil", "the ETag is"),
        (COMMIT, "..", "the ETag is"),
        (COMMIT, "", "the ETag is"),
    ] {
        let reply = Reply::file(&body).with("X-Repo-Commit", commit).with("ETag", &format!("\"{etag}\""));
        let (error, user) = refused(reply, &[]);
        assert!(matches!(error, FetchError::Protocol { .. }) && error.to_string().contains(part), "{error}");
        assert_eq!(user.files(), [""; 0]);
    }
    // one that points on in a circle cannot be asked
    let (error, _) = refused(Reply::status(307, &[("Location", "/me/net/resolve/main/model.safetensors")]), &[]);
    assert!(error.to_string().contains("points on more than 10 times"), "{error}");
}
