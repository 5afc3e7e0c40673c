//! Look into a libtorch folder: what it must contain and which version it says. Build scripts, xtask and srm share this file.

use std::{ffi::OsString, fs, path::Path};

/// The libtorch that tch 0.24.0 is made for.
pub const VERSION: &str = "2.11.0";

/// What the bindings' own build script reads besides LIBTORCH. Set for other projects, each makes it build on another libtorch
/// than the one that LIBTORCH names, or builds for another C++ than that one's.
pub const OTHER_VARIABLES: [&str; 6] = [
    "LIBTORCH_USE_PYTORCH",
    "LIBTORCH_LIB",
    "LIBTORCH_INCLUDE",
    "LIBTORCH_CXX11_ABI",
    "LIBTORCH_STATIC",
    "LIBTORCH_BYPASS_VERSION_CHECK",
];

/// Those of [`OTHER_VARIABLES`] whose values lead away from the libtorch in `folder`, as `NAME=value`.
pub fn misleading(folder: &Path, variable: impl Fn(&str) -> Option<OsString>) -> Vec<String> {
    let same = |value: &OsString| {
        fs::canonicalize(value).is_ok_and(|path| fs::canonicalize(folder).is_ok_and(|folder| folder == path))
    };
    let leads_away = |name: &str, value: &OsString| match name {
        "LIBTORCH_LIB" | "LIBTORCH_INCLUDE" => !same(value),
        "LIBTORCH_CXX11_ABI" => value != "1",
        "LIBTORCH_STATIC" => !["0", "false", "FALSE"].iter().any(|off| value == off),
        // The version is checked here in any case.
        "LIBTORCH_BYPASS_VERSION_CHECK" => false,
        _ => true,
    };
    let found = OTHER_VARIABLES.iter().filter_map(|name| Some((name, variable(name)?)));
    found
        .filter(|(name, value)| leads_away(name, value))
        .map(|(name, value)| format!("{name}={}", value.display()))
        .collect()
}

/// Files that a libtorch to build with has.
pub const FILES: [&str; 4] =
    ["lib/libtorch_cpu.so", "lib/libtorch.so", "lib/libc10.so", "include/torch/csrc/autograd/engine.h"];

/// The version of the libtorch in `folder` when srm can be built with it.
///
/// # Errors
/// Why it cannot.
pub fn usable(folder: &Path) -> Result<String, String> {
    let shown = folder.display();
    for file in FILES {
        if !folder.join(file).exists() {
            return Err(format!(
                "{shown} is no libtorch: {file} is missing; give the folder that contains lib/ and include/"
            ));
        }
    }
    match version(folder) {
        None => Err(format!(
            "{shown} does not say its version (no build-version, no include/torch/headeronly/version.h); libtorch {VERSION} is needed"
        )),
        Some(version) if fits(&version) => Ok(version),
        Some(version) => Err(format!("{shown} is libtorch {version}, but tch 0.24.0 needs {VERSION}")),
    }
}

/// Whether a version is the one that is needed, whatever it was built for: 2.11.0, 2.11.0+cpu, 2.11.0+cu130.
pub fn fits(version: &str) -> bool {
    version.split('+').next() == Some(VERSION)
}

/// The version that a libtorch folder states, in `build-version` or in its headers.
pub fn version(folder: &Path) -> Option<String> {
    if let Ok(text) = fs::read_to_string(folder.join("build-version")) {
        return Some(text.trim().to_owned());
    }
    let headers = ["include/torch/headeronly/version.h", "include/torch/csrc/api/include/torch/version.h"];
    let text = headers.iter().find_map(|header| {
        fs::read_to_string(folder.join(header)).ok().filter(|text| text.contains("TORCH_VERSION_MAJOR "))
    })?;
    let number = |part: &str| {
        let line = text.lines().find(|line| line.starts_with(&format!("#define TORCH_VERSION_{part} ")))?;
        line.split_whitespace().nth(2).map(str::to_owned)
    };
    Some(format!("{}.{}.{}", number("MAJOR")?, number("MINOR")?, number("PATCH")?))
}
