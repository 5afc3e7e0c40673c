//! Check that a cargo project outside the workspace builds by the documented steps, runs, and gives the same numbers.

#[path = "outside/program.rs"]
mod program;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// The project's files, with the places of this checkout and of libtorch filled in.
fn make(project: &Path) {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let libtorch = fs::canonicalize(env::var_os("LIBTORCH").expect("cargo sets it")).unwrap();
    let files = [
        ("Cargo.toml", include_str!("outside/manifest.toml").replace("CRATES", crates.to_str().unwrap())),
        (".cargo/config.toml", format!("[env]\nLIBTORCH = {libtorch:?}\n")),
        ("build.rs", "fn main() {\n    srm_build::rpath();\n}\n".to_owned()),
        ("src/main.rs", include_str!("outside/run.rs").to_owned()),
        ("src/program.rs", include_str!("outside/program.rs").to_owned()),
        ("Cargo.lock", fs::read_to_string(crates.join("../Cargo.lock")).unwrap()),
    ];
    for (name, text) in files {
        let path = project.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

/// Where the project is built: kept, so that the bindings to libtorch are compiled once.
fn target() -> PathBuf {
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|cache| cache.is_absolute());
    cache.or_else(|| env::home_dir().map(|home| home.join(".cache"))).unwrap().join("srm/outside-target")
}

#[test]
fn a_project_outside_the_workspace_gives_the_same_numbers() {
    let inside = program::run().unwrap();
    assert!(inside[1].starts_with("Finished with 1 rollbacks"), "{inside:#?}");
    assert!(inside[2].starts_with("Interrupted { update: 35 }"), "{inside:#?}");
    let weights = |line: &str| line.split_once(": ").map(|(_, weights)| weights.to_owned());
    assert_eq!(weights(&inside[1]), weights(&inside[3]), "a resumed run has the bits of the unbroken one");

    let folder = tempfile::tempdir().unwrap();
    make(folder.path());
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["run", "--quiet"]).current_dir(folder.path()).env("CARGO_TARGET_DIR", target());
    // what cargo gives a test of the workspace
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_") && !["CARGO_HOME", "CARGO_TARGET_DIR"].contains(&&*text) {
            cargo.env_remove(&name);
        }
    }
    for name in ["LIBTORCH", "LD_LIBRARY_PATH", "RUSTC_WORKSPACE_WRAPPER"] {
        cargo.env_remove(name);
    }
    let output = cargo.output().unwrap();
    let (said, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}");
    assert_eq!(said.lines().collect::<Vec<_>>(), inside, "{told}");
}
