//! Compile the stand-in for a GPU, crates/srm-energy/cuda/stand_in.cpp, once for all tests.

use std::{
    env, fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    process::{self, Command},
};

/// The library, as SRM_LIBTORCH_CUDA and SRM_CUDA_SHIM take it; `libtorch`: the folder of the libraries that the tests run on.
pub fn library(libtorch: &Path) -> PathBuf {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/srm-energy/cuda");
    let include = libtorch.join("../include");
    let mut hasher = DefaultHasher::new();
    for name in ["stand_in.cpp", "guarded.h", "graph.h"] {
        fs::read(sources.join(name)).expect("the sources are in the repository").hash(&mut hasher);
    }
    fs::canonicalize(libtorch).expect("libtorch is there").hash(&mut hasher);
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("stand_in_{:016x}.so", hasher.finish()));
    if !file.exists() {
        let new = file.with_extension(process::id().to_string());
        let compiler = env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
        let mut words = compiler.split_whitespace();
        let done = Command::new(words.next().unwrap_or("c++"))
            .args(words)
            .args(["-std=c++20", "-O1", "-shared", "-fPIC", "-o"])
            .arg(&new)
            .arg(sources.join("stand_in.cpp"))
            .arg("-I")
            .arg(&include)
            .arg("-I")
            .arg(include.join("torch/csrc/api/include"))
            .status();
        assert!(done.is_ok_and(|status| status.success()), "{compiler} compiles {}", sources.display());
        fs::rename(&new, &file).expect("a target folder that can be written");
    }
    file
}
