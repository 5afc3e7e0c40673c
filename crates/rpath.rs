//! Give every binary that links libtorch the absolute path of its libraries, so that it runs by itself; refuse another libtorch.
//!
//! The path goes in as RPATH, which LD_LIBRARY_PATH does not override: another version there would end each program in the
//! loader, before it can say a word. srm itself takes a fitting one from LD_LIBRARY_PATH. A moved target folder does no harm.

#![allow(clippy::print_stdout)] // how a build script talks to cargo

#[allow(dead_code)] // shared with xtask and srm, which need the rest
#[path = "libtorch_folder.rs"]
mod libtorch_folder;

use libtorch_folder::{OTHER_VARIABLES, misleading, usable};
use std::{
    env, fs,
    path::{Path, PathBuf},
};

fn main() {
    for name in OTHER_VARIABLES.iter().chain(&["LIBTORCH"]) {
        println!("cargo:rerun-if-env-changed={name}");
    }
    let folder = env::var_os("LIBTORCH").map(PathBuf::from);
    // The lowest crate on libtorch speaks for all: each program has it in it.
    if env::var("CARGO_PKG_NAME").is_ok_and(|name| name == "srm-energy")
        && let Some(problem) = problem(folder.as_deref())
    {
        println!("cargo::error={problem}");
    }
    let Some(folder) = folder else { return };
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

/// Why the bindings would not be built on the libtorch that LIBTORCH names.
fn problem(folder: Option<&Path>) -> Option<String> {
    let Some(folder) = folder else {
        return Some("LIBTORCH is not set: call cargo in srm's own folder, where .cargo/config.toml sets it".into());
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
