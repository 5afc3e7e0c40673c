//! Run all tests, after the set-up where it is missing.

use crate::{setup, workspace};
use anyhow::Result;

/// Options of `cargo xtask test`.
#[derive(clap::Args, Default)]
pub struct Args {
    /// Passed on to `cargo test --workspace`, for example `-- -p srm-data` or `-- some_test -- --nocapture`
    #[arg(last = true, allow_hyphen_values = true)]
    passed_on: Vec<String>,
}

/// Run the set-up if needed, then the tests; their own summary lines come last.
pub fn run(args: Args) -> Result<()> {
    setup::ensure_done()?;
    // The tests of several processes where they can run; nothing else needs MPI.
    let scope = Scope::of(&args.passed_on);
    let ranks = scope.has_ranks() && workspace::has_mpi();
    if !ranks {
        eprintln!("without MPI's tests (Debian: libopenmpi-dev openmpi-bin libclang-dev)");
    }
    let words = ["test".to_owned()].into_iter().chain(scope.words(ranks)).chain(args.passed_on);
    workspace::run(&mut workspace::cargo(words))
}

/// The words by which cargo takes everything that the tests take: with other features it would compile the same crates again.
pub fn whole_workspace() -> Vec<String> {
    Scope::of(&[]).words(workspace::has_mpi())
}

/// Which packages cargo is asked to test.
struct Scope {
    /// Those named by `-p`; none: all of the workspace.
    packages: Vec<String>,
    /// Those left out of all, by `--exclude`.
    excluded: Vec<String>,
}

impl Scope {
    fn of(passed_on: &[String]) -> Self {
        // what comes after a second `--` is for the tests
        let words: Vec<&str> = passed_on.iter().map(String::as_str).take_while(|word| *word != "--").collect();
        Self { packages: values(&words, &["--package", "-p"]), excluded: values(&words, &["--exclude"]) }
    }

    fn is_whole(&self) -> bool {
        self.packages.is_empty()
    }

    /// Whether the tests of several processes are among them.
    fn has_ranks(&self) -> bool {
        self.is_whole() && self.has("srm-cli")
    }

    /// Whether a package is tested, for sure: cargo refuses a feature of one that is not. It takes patterns too.
    fn has(&self, package: &str) -> bool {
        let may_mean = |word: &String| word == package || word.contains(['*', '?', '[']);
        match self.is_whole() {
            true => !self.excluded.iter().any(may_mean),
            false => self.packages.iter().any(|word| word == package),
        }
    }

    /// What cargo is told besides what was passed on.
    fn words(&self, ranks: bool) -> Vec<String> {
        let data = self.has("xtask").then_some("xtask/data");
        let features: Vec<&str> = data.into_iter().chain(ranks.then_some("srm-cli/mpi")).collect();
        let features = (!features.is_empty()).then(|| ["--features".to_owned(), features.join(",")]);
        let whole = self.is_whole().then(|| "--workspace".to_owned());
        whole.into_iter().chain(features.into_iter().flatten()).collect()
    }
}

/// The values of an option: the word after it, or what follows it in one word.
fn values(words: &[&str], names: &[&str]) -> Vec<String> {
    let mut values = Vec::new();
    for (i, word) in words.iter().enumerate() {
        let Some((name, rest)) = names.iter().find_map(|name| Some((*name, word.strip_prefix(name)?))) else {
            continue;
        };
        match rest.strip_prefix('=') {
            Some(value) => values.push(value.to_owned()),
            None if rest.is_empty() => values.extend(words.get(i + 1).map(|next| (*next).to_owned())),
            // -pNAME; of a long name, another option
            None if !name.starts_with("--") => values.push(rest.to_owned()),
            None => {}
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_features_of_packages_that_are_tested_are_asked_for() {
        let words = |line: &str, ranks: bool| {
            let passed_on: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            let scope = Scope::of(&passed_on);
            scope.words(ranks && scope.has_ranks()).join(" ")
        };
        for (line, expected) in [
            ("", "--workspace --features xtask/data,srm-cli/mpi"),
            ("some_test -- --exclude xtask", "--workspace --features xtask/data,srm-cli/mpi"),
            ("--exclude srm-cli", "--workspace --features xtask/data"),
            ("--exclude xtask", "--workspace --features srm-cli/mpi"),
            ("--exclude=xtask --exclude srm-cli", "--workspace"),
            ("--exclude x*", "--workspace"),
            ("-p srm-data", ""),
            ("-p srm-data xtask", ""),
            ("--package=xtask", "--features xtask/data"),
            ("-p srm-data -pxtask", "--features xtask/data"),
        ] {
            assert_eq!(words(line, true), expected, "{line}");
        }
        assert_eq!(words("", false), "--workspace --features xtask/data");
    }
}
