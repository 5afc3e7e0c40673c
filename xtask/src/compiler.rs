//! Look for the compilers that the bindings to libtorch are built with, by the words that CXX and CC hold.

use crate::workspace;
use anyhow::{Result, ensure};
use std::{ffi::OsString, path::Path, process::Command};

/// Check that the compiler of `name` (CXX or CC, else `usual`) runs; `package` has it on Debian.
///
/// # Errors
/// It does not run; the message names it and the remedy.
pub fn check(name: &str, usual: &str, package: &str, variable: impl Fn(&str) -> Option<OsString>) -> Result<()> {
    let words = words(name, usual, variable);
    ensure!(
        workspace::succeeds(Command::new(&words[0]).args(&words[1..]).arg("--version")),
        "no compiler: `{}` does not run, and the bindings to libtorch need it; install it (Debian, Ubuntu: apt-get install {package}) or name another in {name}",
        words.join(" ")
    );
    Ok(())
}

/// The command as the `cc` crate takes it: the variable for this machine's kind, then HOST_, then the plain one; a path that
/// exists is one word, blanks or not, and anything else is words, like `ccache g++ -m64`.
pub fn words(name: &str, usual: &str, variable: impl Fn(&str) -> Option<OsString>) -> Vec<String> {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let names = [
        format!("{name}_{target}"),
        format!("{name}_{}", target.replace('-', "_")),
        format!("HOST_{name}"),
        name.into(),
    ];
    let value = names.iter().find_map(|name| variable(name)).unwrap_or_default();
    let value = value.to_string_lossy();
    let value = match value.trim() {
        "" => usual,
        value => value,
    };
    if Path::new(value).is_file() {
        return vec![value.to_owned()];
    }
    value.split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_words_are_those_that_the_bindings_build_script_takes() {
        let folder = tempfile::tempdir().unwrap();
        let blank = folder.path().join("my compiler");
        fs::write(&blank, "").unwrap();
        let blank = blank.to_str().unwrap();
        let under = |set: &[(&str, &str)]| {
            words("CXX", "c++", |name| set.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into()))
        };
        assert_eq!(under(&[]), ["c++"]);
        assert_eq!(under(&[("CXX", " ")]), ["c++"]);
        assert_eq!(under(&[("CXX", "ccache g++ -m64")]), ["ccache", "g++", "-m64"]);
        assert_eq!(under(&[("CXX", blank)]), [blank]);
        assert_eq!(under(&[("CXX", "clang++"), ("HOST_CXX", "ccache g++")]), ["ccache", "g++"]);
    }

    #[test]
    fn a_compiler_of_several_words_is_run_and_one_that_is_not_there_is_named_whole() {
        check("CXX", "c++", "g++", |name| (name == "CXX").then(|| "env cc -pipe".into())).unwrap();
        let none = |name: &str| (name == "CXX").then(|| "ccache-of-nobody g++".into());
        let error = check("CXX", "c++", "g++", none).unwrap_err().to_string();
        assert!(error.contains("`ccache-of-nobody g++` does not run") && error.contains("install g++"), "{error}");
    }
}
