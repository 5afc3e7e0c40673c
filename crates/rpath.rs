//! Give every binary that links libtorch the absolute path of its libraries, so that it runs by itself.
//!
//! The path goes in as RUNPATH: LD_LIBRARY_PATH still wins, and a moved target folder does no harm.

#![allow(clippy::print_stdout)] // how a build script talks to cargo

use std::{env, fs, path::PathBuf};

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    let Some(folder) = env::var_os("LIBTORCH").map(PathBuf::from) else { return };
    println!("cargo:rerun-if-changed={}", folder.join("build-version").display());
    if let Ok(lib) = fs::canonicalize(folder.join("lib")) {
        println!("cargo:rustc-link-arg=-Wl,--enable-new-dtags,-rpath,{}", lib.display());
    }
}
