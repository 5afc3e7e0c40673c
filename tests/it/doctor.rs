//! The doctor from outside: it reports what is missing instead of failing.

use std::{fs, path::Path, process::Command};

use serde_json::Value;

use crate::common::{command, folder, srm, text};

#[test]
fn it_reports_every_part_as_one_json_object() {
    let said = srm(&["doctor", "--json"]).done().json();
    assert_eq!(said["command"], "doctor");
    assert!(said["libtorch"]["folder"].is_string(), "{said}");
    assert!(said["cpu"]["cores"].as_u64().is_some_and(|cores| cores >= 1));
    assert_eq!(said["cuda"]["available"], false);
    let problem = said["cuda"]["problem"].as_str().unwrap_or_default();
    assert!(problem.contains("no CUDA build of libtorch was found"), "{said}");
    assert_eq!(said["mpi"].as_str().is_some_and(|name| !name.is_empty()), cfg!(feature = "mpi"), "{}", said["mpi"]);
    let configs = said["configs"].as_array().expect("a list");
    let smoke = configs.iter().find(|config| config["file"] == "configs/smoke.json").expect("smoke is there");
    assert_eq!(smoke["ready"], true, "the smoke config needs no download");
}

#[test]
fn it_names_remedies_in_a_folder_where_nothing_is() {
    let place = folder();
    let output = command(&["doctor"]).current_dir(place.path()).output().expect("the binary was built for this test");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success());
    for part in ["libtorch   2.", "cargo xtask setup --cuda", "fetch-celeba", "run srm in the repository's folder"] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
}

#[test]
fn it_says_which_file_under_data_is_damaged() {
    let place = folder();
    std::fs::create_dir_all(place.path().join("data/mine")).expect("a writable temporary folder");
    std::fs::write(place.path().join("data/mine/broken.npy"), "no array").expect("a writable temporary folder");
    let output = command(&["doctor", "--json"]).current_dir(place.path()).output().expect("the binary was built");
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one object");
    assert_eq!(said["data"][0]["file"], "data/mine/broken.npy");
    assert!(said["data"][0]["problem"].is_string(), "{said}");
}

/// Make a libtorch folder whose libraries are empty and whose `build-version` says `version`.
fn foreign_libtorch(root: &Path, version: &str) {
    fs::create_dir(root.join("lib")).expect("a writable temporary folder");
    fs::write(root.join("build-version"), version).expect("a writable temporary folder");
    for name in ["libc10.so", "libtorch_cpu.so", "libtorch.so", "libgomp.so.1"] {
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-nostdlib", "-x", "c", "/dev/null", "-o", text(&root.join("lib").join(name))]);
        let made = compiler.arg(format!("-Wl,-soname,{name}")).status().expect("a C compiler: the build needs one");
        assert!(made.success());
    }
}

/// `srm doctor --json` with `folder` on LD_LIBRARY_PATH: what it found of libtorch, and what it said on stderr.
fn doctor_with_library_path(folder: &Path) -> (Value, String) {
    let output = command(&["doctor", "--json"]).env("LD_LIBRARY_PATH", folder).output().expect("the binary was built");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let found: Value = serde_json::from_slice(&output.stdout).expect("one object");
    (found["libtorch"].clone(), said)
}

#[test]
fn a_foreign_libtorch_on_the_library_path_is_passed_over_and_said() {
    let (own, _) = doctor_with_library_path(Path::new("")); // names nothing
    assert_eq!(own["problems"], serde_json::json!([]));
    // a version that fits, but libraries that do not load
    for (version, why) in [("2.5.1+cu124", "but srm needs 2.11.0"), ("2.11.0+cu130", "which does not load")] {
        let place = folder();
        foreign_libtorch(place.path(), version);
        let (found, said) = doctor_with_library_path(&place.path().join("lib"));
        assert_eq!((&found["folder"], &found["version"]), (&own["folder"], &own["version"]));
        let named = format!("LD_LIBRARY_PATH names libtorch {version} in {}/lib, {why}", place.path().display());
        assert!(found["problems"][0].as_str().is_some_and(|problem| problem.starts_with(&named)), "{found}");
        assert!(said.contains(&named) && said.contains("env -u LD_LIBRARY_PATH"), "{said}");
    }
}

#[test]
fn a_fitting_libtorch_on_the_library_path_wins() {
    let (own, _) = doctor_with_library_path(Path::new("")); // names nothing
    let own_folder = Path::new(own["folder"].as_str().expect("a folder"));
    let place = tempfile::tempdir_in(own_folder.join("../..")).expect("links need the file system of the libraries");
    let lib = place.path().join("lib");
    fs::create_dir(&lib).expect("a writable folder");
    fs::write(place.path().join("build-version"), "2.11.0+mine").expect("a writable folder");
    for entry in fs::read_dir(own_folder).expect("it is there").flatten() {
        fs::hard_link(entry.path(), lib.join(entry.file_name())).expect("one file system");
    }
    let (found, said) = doctor_with_library_path(&lib);
    let lib = fs::canonicalize(&lib).expect("it is there");
    assert_eq!(found["folder"].as_str(), lib.to_str(), "{said}");
    assert_eq!((&found["version"], &found["problems"]), (&"2.11.0+mine".into(), &serde_json::json!([])));
    assert!(!said.contains("LD_LIBRARY_PATH"), "{said}");
}

#[test]
fn variables_that_would_stop_the_next_build_are_named() {
    let output =
        command(&["doctor", "--json"]).env("LIBTORCH_USE_PYTORCH", "1").env("LIBTORCH_CXX11_ABI", "1").output();
    let said: Value = serde_json::from_slice(&output.expect("the binary was built").stdout).expect("one object");
    let problem =
        "LIBTORCH_USE_PYTORCH=1 stops the next build of srm: unset LIBTORCH_USE_PYTORCH, or build by cargo xtask";
    assert_eq!(said["libtorch"]["problems"], serde_json::json!([problem]));
}
