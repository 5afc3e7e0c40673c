//! Run pip against a package index of files, under settings of every kind that a user may have for other work.

use super::*;
use srm_fetch::Checksum;
use std::{env, io::Write, os::unix::fs::PermissionsExt};

/// An executable that prints `words` and ends with `code`.
fn stub(folder: &Path, name: &str, words: &str, code: i32) -> String {
    let path = folder.join(name);
    fs::write(&path, format!("#!/bin/sh\n{words}\nexit {code}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn the_first_python_with_a_new_pip_is_taken_and_what_is_missing_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let none = folder.path().join("none").to_str().unwrap().to_owned();
    let bare = stub(folder.path(), "bare", "echo No module named pip >&2", 1);
    let old = stub(folder.path(), "old", "echo 'pip 20.2.4 from /usr/lib/pip (python 3.7)'", 0);
    let new = stub(folder.path(), "new", "echo 'pip 20.3 from /usr/lib/pip (python 3.7)'", 0);
    assert_eq!(interpreter(&[&none, &bare, &old, &new]).unwrap(), new);
    for (candidates, message) in [
        (vec![&*none], "python3 was not found".to_owned()),
        (vec![&*none, &bare], format!("{bare} has no pip, which fetches libtorch: install it")),
        (vec![&*bare, &old], format!("{old} has pip 20.2.4, but pip 20.3 or newer must fetch libtorch")),
    ] {
        let error = interpreter(&candidates).unwrap_err().to_string();
        assert!(error.starts_with(&message), "{error}");
    }
}

/// Put a wheel of the package `probe` into `folder`.
fn put_wheel(folder: &Path, version: &str) -> std::path::PathBuf {
    let path = folder.join(format!("probe-{version}-cp311-cp311-manylinux_2_28_x86_64.whl"));
    let mut zip = zip::ZipWriter::new(File::create(&path).unwrap());
    for (name, text) in [
        ("METADATA", format!("Metadata-Version: 2.1\nName: probe\nVersion: {version}\n")),
        ("WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: cp311-cp311-manylinux_2_28_x86_64\n".into()),
        ("RECORD", String::new()),
    ] {
        zip.start_file(format!("probe-{version}.dist-info/{name}"), zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    zip.finish().unwrap();
    path
}

/// A package index of files with `probe` 1.0 and 1.0+cpu, and the wheel that is wanted of it.
fn index(folder: &Path) -> Wheel {
    let package = folder.join("simple/probe");
    fs::create_dir_all(&package).unwrap();
    let wanted = put_wheel(&package, "1.0");
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let names = [name(&wanted), name(&put_wheel(&package, "1.0+cpu"))];
    let links: String = names.iter().map(|name| format!("<a href=\"{name}\">{name}</a>\n")).collect();
    fs::write(package.join("index.html"), format!("<!DOCTYPE html><html><body>{links}</body></html>")).unwrap();
    let Checksum::Sha256(digits) = Checksum::sha256("").of_file(&wanted).unwrap() else { unreachable!() };
    Wheel { package: "probe", version: "1.0", bytes: 1000, sha256: digits.leak() }
}

/// The environment of a user who has these settings of pip.
fn settings(index: &Path, set: &[(&str, &str)]) -> Environment {
    let mine = env::vars_os().filter(|(name, _)| !name.to_string_lossy().to_ascii_uppercase().starts_with("PIP_"));
    let url = format!("file://{}", index.join("simple").display());
    let set = set.iter().map(|&(name, value)| (name.into(), value.into()));
    mine.chain([("PIP_INDEX_URL".into(), url.into())]).chain(set).collect()
}

#[test]
fn no_setting_for_other_work_keeps_pip_from_the_published_wheel() {
    let Ok(python) = interpreter(&INTERPRETERS) else { return };
    let (user, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let wheel = index(user.path());
    let file = user.path().join("pip.conf");
    fs::write(&file, "[global]\nrequire-virtualenv = true\nno-index = true\nconstraint = /nowhere.txt\nquiet = 3\n")
        .unwrap();
    let constraint = user.path().join("constraint.txt");
    fs::write(&constraint, "probe==0.9\n").unwrap();
    let all = [
        ("PIP_CONFIG_FILE", file.to_str().unwrap()),
        ("PIP_REQUIRE_VIRTUALENV", "1"),
        ("PIP_NO_INDEX", "1"),
        ("PIP_USER", "1"),
        ("PIP_TARGET", "/nowhere"),
        ("PIP_PREFIX", "/nowhere"),
        ("PIP_REQUIRE_HASHES", "1"),
        ("PIP_QUIET", "3"),
        ("PIP_CONSTRAINT", constraint.to_str().unwrap()),
        ("PIP_REQUIREMENT", "/nowhere.txt"),
        ("PIP_PLATFORM", "win_amd64"),
        ("PIP_NO_BINARY", ":all:"),
        ("PIP_PYTHON", "/nowhere"),
        ("PIP_LOG", "/nowhere/pip.log"),
        ("PYTHONWARNINGS", "error"),
    ];
    download(python, settings(user.path(), &all), &[&wheel], folder.path()).unwrap();
    assert_eq!(wheel.fault(folder.path()).unwrap(), None);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "one wheel and nothing else");
}

#[test]
fn another_build_under_the_same_name_is_refused_with_what_helps() {
    let Ok(python) = interpreter(&INTERPRETERS) else { return };
    let (user, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut wheel = index(user.path());
    wheel.sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let error = download(python, settings(user.path(), &[]), &[&wheel], folder.path()).unwrap_err().to_string();
    assert!(error.starts_with("pip could not download probe==1.0: ERROR: "), "{error}");
    assert!(error.contains("your package index has another file under this name"), "{error}");
    wheel.version = "3.0";
    let error = download(python, settings(user.path(), &[]), &[&wheel], folder.path()).unwrap_err().to_string();
    assert!(error.contains("PIP_INDEX_URL has this version"), "{error}");
}

#[test]
fn what_stands_in_the_way_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let wheel = Wheel { package: "probe", version: "1.0", bytes: 1, sha256: "0" };
    for (words, help) in [
        (
            "WARNING: Retrying after connection broken by ProxyError(...)\nERROR: none",
            "the proxy http://proxy.org:3128 of HTTPS_PROXY does not answer",
        ),
        ("ERROR: Missing dependencies for SOCKS support.", "apt-get install python3-socks"),
        ("SSLError(CERTIFICATE_VERIFY_FAILED)", "name your company's certificates in SSL_CERT_FILE"),
        ("ERROR: [Errno 28] No space left on device", "df -h"),
        ("ERROR: timed out", "check the internet connection"),
    ] {
        let python = stub(folder.path(), "python", &format!("printf '%s\\n' '{words}' >&2"), 1);
        let environment = vec![("HTTPS_PROXY".into(), "http://me:secret@proxy.org:3128".into())];
        let error = download(&python, environment, &[&wheel], folder.path()).unwrap_err().to_string();
        assert!(error.contains(help) && !error.contains("secret"), "{error}");
    }
}

#[test]
fn a_company_that_only_ssl_cert_file_names_is_known_to_every_pip() {
    let bundle = |set: &[(&str, &str)]| {
        let environment = set.iter().map(|&(name, value)| (name.into(), value.into())).collect();
        let command = command("python3", &environment, Path::new("/f"), Path::new("/l"));
        let given = command.get_envs().find(|(name, _)| *name == "REQUESTS_CA_BUNDLE");
        given.and_then(|(_, value)| Some(value?.to_str()?.to_owned()))
    };
    assert_eq!(bundle(&[("SSL_CERT_FILE", "/company.pem")]).as_deref(), Some("/company.pem"));
    assert_eq!(bundle(&[("SSL_CERT_FILE", "/company.pem"), ("PIP_CERT", "/own.pem")]), None);
}
