//! Give every program that links libtorch the absolute path of its libraries, so that it runs by itself; refuse another libtorch.
//!
//! A package whose programs, tests or examples use srm's crates takes this crate as a build-dependency, and its `build.rs` is
//!
//! ```no_run
//! // build.rs
//! srm_build::rpath();
//! ```
//!
//! cargo hands such a path to the package's own programs alone, never on to packages that depend on it: hence one line in each.
//! The path goes in as RPATH, which LD_LIBRARY_PATH does not override: another version there would end each program in the
//! loader, before it can say a word. srm itself takes a fitting one from LD_LIBRARY_PATH. A moved target folder does no harm.

#![deny(missing_docs)]
#![allow(clippy::print_stdout)] // how a build script talks to cargo

pub mod folder;

use folder::{OTHER_VARIABLES, misleading, usable};
use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// What a build script calls: the libraries of the libtorch that `LIBTORCH` names are found by the package's programs at run time.
pub fn rpath() {
    let Some(folder) = libtorch() else { return };
    // one that is not there would make cargo build anew each time
    let stated = ["build-version", "include/torch/headeronly/version.h"].map(|name| folder.join(name));
    if let Some(stated) = stated.iter().find(|stated| stated.exists()) {
        println!("cargo:rerun-if-changed={}", stated.display());
    }
    if let Ok(lib) = fs::canonicalize(folder.join("lib")) {
        // One argument each: -Wl would cut a path at its commas.
        for word in ["--disable-new-dtags", "-rpath", &lib.display().to_string()] {
            println!("cargo:rustc-link-arg=-Xlinker\ncargo:rustc-link-arg={word}");
        }
    }
}

/// What the build script of the lowest crate on libtorch calls, for each program has it in it: a libtorch that does not serve
/// stops the build with what to do.
pub fn check() {
    if let Some(problem) = problem(libtorch().as_deref()) {
        println!("cargo::error={problem}");
    }
}

/// What LIBTORCH names.
fn libtorch() -> Option<PathBuf> {
    for name in OTHER_VARIABLES.iter().chain(&["LIBTORCH"]) {
        println!("cargo:rerun-if-env-changed={name}");
    }
    env::var_os("LIBTORCH").map(PathBuf::from)
}

/// Why the bindings would not be built on the libtorch that LIBTORCH names.
fn problem(folder: Option<&Path>) -> Option<String> {
    let Some(folder) = folder else {
        return Some("LIBTORCH is not set: in srm's own folder .cargo/config.toml sets it; a project of your own needs the lines that `cargo xtask setup` prints there".into());
    };
    if !folder.is_absolute() {
        return Some(format!(
            "LIBTORCH=\"{}\" is no absolute path: unset it, or give the whole path",
            folder.display()
        ));
    }
    let misleading = misleading(folder, |name| env::var_os(name));
    if !misleading.is_empty() {
        let unset: Vec<&str> = misleading.iter().filter_map(|setting| setting.split('=').next()).collect();
        return Some(format!(
            "{} would build the bindings on another libtorch than {}; leave it out: env -u {} cargo … (cargo xtask does so itself)",
            misleading.join(", "),
            folder.display(),
            unset.join(" -u ")
        ));
    }
    let fault = usable(folder).err()?;
    Some(format!(
        "{fault}; `cargo xtask setup` fetches the right one, and LIBTORCH set by yourself must be unset for it"
    ))
}
