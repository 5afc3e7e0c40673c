//! Turn the rules of CONTRIBUTING.md that a program can check into failures with file, line, rule and repair.

mod pages;

use crate::workspace;
use anyhow::{Context, Result, bail};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Which of our crates each crate may depend on.
const LAYERS: &[(&str, &[&str])] = &[
    ("srm-launch", &[]),
    ("srm-build", &[]),
    ("srm-random", &[]),
    ("srm-config", &[]),
    ("srm-terminal", &[]),
    ("srm-files", &[]),
    ("srm-unify", &[]),
    ("srm-fetch", &["srm-terminal", "srm-files", "srm-unify"]),
    ("srm-run", &["srm-config", "srm-files", "srm-unify"]),
    ("srm-data", &["srm-random", "srm-files", "srm-unify"]),
    ("srm-report", &["srm-config", "srm-terminal", "srm-files", "srm-run", "srm-data"]),
    ("srm-explore", &["srm-config", "srm-files", "srm-run", "srm-data"]),
    ("srm-energy", &["srm-build", "srm-random", "srm-config", "srm-files"]),
    ("srm-langevin", &["srm-build", "srm-random", "srm-config", "srm-energy"]),
    ("srm-ranks", &["srm-build", "srm-random"]),
    (
        "srm-train",
        &[
            "srm-build",
            "srm-random",
            "srm-config",
            "srm-files",
            "srm-run",
            "srm-data",
            "srm-ranks",
            "srm-energy",
            "srm-langevin",
        ],
    ),
    ("srm-latent", &["srm-build", "srm-random", "srm-config", "srm-energy", "srm-langevin"]),
    (
        "srm-eval",
        &["srm-build", "srm-random", "srm-config", "srm-files", "srm-run", "srm-data", "srm-energy", "srm-langevin"],
    ),
    ("srm", ALL),
    ("srm-cli", ALL),
    ("srm-fuzz", ALL),
    (
        "xtask",
        &["srm-build", "srm-config", "srm-files", "srm-run", "srm-data", "srm-terminal", "srm-fetch", "srm-unify"],
    ),
];
/// What stands at the top may use whatever is below.
const ALL: &[&str] = &[
    "srm-build",
    "srm-random",
    "srm-config",
    "srm-terminal",
    "srm-files",
    "srm-fetch",
    "srm-run",
    "srm-data",
    "srm-report",
    "srm-explore",
    "srm-ranks",
    "srm-energy",
    "srm-langevin",
    "srm-train",
    "srm-latent",
    "srm-eval",
    "srm-cli",
];
/// About 300 lines are the aim; from here on a file must be split.
const LONGEST_FILE: usize = 400;
/// Crates that talk to a person, or to cargo.
const MAY_PRINT: [&str; 5] =
    ["crates/srm-build/", "crates/srm-cli/", "crates/srm-fuzz/", "crates/srm-launch/", "xtask/"];

/// A rule that a file breaks.
#[derive(Debug, PartialEq, Eq)]
struct Fault {
    place: String,
    rule: &'static str,
    repair: String,
}

/// Options of `cargo xtask tidy`: none.
#[derive(clap::Args, Default)]
pub struct Args {}

/// Check the workspace.
///
/// # Errors
/// When a rule is broken; every fault has been printed then.
pub fn run(_args: Args) -> Result<()> {
    let root = workspace::root();
    let mut faults = layers(&workspace::metadata()?)?;
    let (mut unsafe_places, mut count) = (Vec::new(), 0);
    for path in sources(&root)? {
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let name = path.strip_prefix(&root).unwrap_or(&path).display().to_string();
        match path.extension().is_some_and(|kind| kind == "rs") {
            true => faults.extend(rust(&name, &text, &mut unsafe_places)),
            false => faults.extend(white_space(&name, &text)),
        }
        if name.ends_with(".md") {
            faults.extend(pages::page(&root, &name, &text));
        }
        count += 1;
    }
    faults.extend(configs(&root)?);
    for place in &unsafe_places {
        println!("unsafe code: {place}");
    }
    for Fault { place, rule, repair } in &faults {
        println!("{place}: {rule}; {repair}");
    }
    match faults.len() {
        0 => println!("tidy: {count} files are in order"),
        1 => bail!("tidy found 1 fault"),
        many => bail!("tidy found {many} faults"),
    }
    Ok(())
}

fn layers(metadata: &serde_json::Value) -> Result<Vec<Fault>> {
    let mut faults = Vec::new();
    for package in metadata["packages"].as_array().context("cargo metadata lists no packages")? {
        let name = package["name"].as_str().unwrap_or_default();
        let place = format!("{}:1", workspace::shown(Path::new(package["manifest_path"].as_str().unwrap_or_default())));
        let Some((_, allowed)) = LAYERS.iter().find(|(layer, _)| *layer == name) else {
            let repair = format!("give {name} its place in LAYERS of xtask/src/tidy.rs");
            faults.push(Fault { place, rule: "every crate has a layer", repair });
            continue;
        };
        let dependencies = package["dependencies"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|dependency| dependency["name"].as_str());
        for dependency in dependencies {
            if LAYERS.iter().any(|(layer, _)| *layer == dependency)
                && !allowed.contains(&dependency)
                && dependency != name
            {
                let repair = format!(
                    "remove {dependency}; {name} may use {}",
                    if allowed.is_empty() { "none of our crates".into() } else { allowed.join(", ") }
                );
                faults.push(Fault {
                    place: place.clone(),
                    rule: "build, random, config, terminal, files, fetch <- run | data | report | energy | ranks <- langevin <- train | latent | eval <- cli",
                    repair,
                });
            }
        }
    }
    Ok(faults)
}

/// The text files that people write: sources, manifests, scripts, configs and pages.
fn sources(root: &Path) -> Result<Vec<PathBuf>> {
    const KINDS: [&str; 7] = ["rs", "toml", "py", "json", "md", "sh", "yml"];
    const TOP: [&str; 9] = [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "CITATION.cff",
        ".editorconfig",
        "Cargo.toml",
        ".ci/run",
        ".cargo/config.toml",
    ];
    let mut files = Vec::new();
    let mut folders: Vec<PathBuf> = ["crates", "xtask", "tests", "scripts", "configs", ".github"]
        .iter()
        .map(|name| root.join(name))
        .filter(|path| path.is_dir())
        .collect();
    files.extend(TOP.map(|file| root.join(file)).into_iter().filter(|path| path.is_file()));
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| KINDS.iter().any(|known| kind == *known)) {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

fn white_space(name: &str, text: &str) -> Vec<Fault> {
    let at = |line: usize| format!("{name}:{line}");
    let mut faults: Vec<Fault> = (1..)
        .zip(text.split('\n'))
        .filter(|(_, line)| line.ends_with([' ', '\t', '\r']))
        .map(|(number, _)| Fault {
            place: at(number),
            rule: "no white space at the end of a line",
            repair: "remove it".into(),
        })
        .collect();
    if !text.is_empty() && (!text.ends_with('\n') || text.ends_with("\n\n")) {
        let place = at(text.lines().count());
        faults.push(Fault {
            place,
            rule: "a file ends with one line feed",
            repair: "add it, or remove the empty lines".into(),
        });
    }
    faults
}

fn rust(name: &str, text: &str, unsafe_places: &mut Vec<String>) -> Vec<Fault> {
    let mut faults = white_space(name, text);
    let mut fault = |line: usize, rule, repair: &str| {
        faults.push(Fault { place: format!("{name}:{line}"), rule, repair: repair.into() })
    };
    if !text.lines().next().is_some_and(|line| line.starts_with("//! ") && line.len() > 10) {
        fault(
            1,
            "a file opens with one `//!` sentence with a verb",
            "write what the file does, for example `//! Decode images.`",
        );
    }
    let lines = text.lines().count();
    if lines > LONGEST_FILE {
        fault(
            lines,
            "a file has at most 400 lines, better 300",
            "move a part with a name of its own into a file of its own",
        );
    }
    let may_print = MAY_PRINT.iter().any(|prefix| name.starts_with(prefix))
        || name.starts_with("tests/")
        || ["/tests", "/examples/", "/build.rs"].iter().any(|part| name.contains(part));
    let printing = ["print", "eprint", "dbg"].map(|name| [format!("{name}!("), format!("{name}ln!(")]).concat();
    let mut in_tests = false;
    for (number, line) in (1..).zip(text.lines()) {
        let code = line.split(" // ").next().unwrap_or(line).trim_start();
        in_tests |= code.starts_with("#[cfg(test)]");
        if code.starts_with("//") {
            continue;
        }
        if !may_print && !in_tests && printing.iter().any(|call| calls(code, call)) {
            fault(number, "libraries never print", "use a tracing event, or return the value");
        }
        if code.starts_with("#") && code.contains("allow(unsafe_code)") {
            unsafe_places.push(format!("{name}:{number}"));
            if !text.contains("SAFETY") {
                fault(number, "unsafe code says why it is sound", "write a `// SAFETY:` comment at each unsafe block");
            }
        }
    }
    faults
}

/// Whether `code` calls the macro, and not one whose name only ends alike.
fn calls(code: &str, call: &str) -> bool {
    code.match_indices(call)
        .any(|(at, _)| !code[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_' || before == '"'))
}

fn configs(root: &Path) -> Result<Vec<Fault>> {
    let folder = root.join("configs");
    let mut paths: Vec<PathBuf> = fs::read_dir(&folder)
        .with_context(|| format!("cannot read {}", folder.display()))?
        .flatten()
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    let mut faults = Vec::new();
    for path in paths.iter().filter(|path| path.extension().is_some_and(|kind| kind == "json")) {
        if let Err(error) = srm_config::Config::load(path, &[]) {
            faults.push(Fault {
                place: format!("{}:1", workspace::shown(path)),
                rule: "every config loads",
                repair: error.to_string(),
            });
        }
    }
    Ok(faults)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(name: &str, text: &str) -> Vec<(String, &'static str)> {
        rust(name, text, &mut Vec::new()).into_iter().map(|fault| (fault.place, fault.rule)).collect()
    }

    #[test]
    fn a_tidy_file_has_no_fault() {
        assert!(rules("crates/srm-data/src/a.rs", "//! Decode images.\n\nfn a() {}\n").is_empty());
        assert!(rules("xtask/src/a.rs", "//! Print things.\nfn a() { println!(\"a\"); }\n").is_empty());
        assert!(
            rules("crates/srm-data/src/a.rs", "//! Pretty things.\nfn a() { pretty_print!(1); } // println!(2)\n")
                .is_empty()
        );
    }

    #[test]
    fn each_rule_names_its_line() {
        let name = "crates/srm-data/src/a.rs";
        let first = |text: &str| {
            rules(name, text)
                .into_iter()
                .next()
                .map(|(place, rule)| (place.rsplit(':').next().unwrap().to_owned(), rule))
                .unwrap()
        };
        assert_eq!(first("fn a() {}\n"), ("1".into(), "a file opens with one `//!` sentence with a verb"));
        assert_eq!(first("//! Decode images.\nlet a = 1; \n").0, "2");
        assert_eq!(first("//! Decode images.\nfn a() {}").1, "a file ends with one line feed");
        assert_eq!(first("//! Decode images.\nfn a() { eprintln!(\"x\"); }\n"), ("2".into(), "libraries never print"));
        assert_eq!(
            first("//! Map files.\n\n#[allow(unsafe_code)]\nfn a() {}\n"),
            ("3".into(), "unsafe code says why it is sound")
        );
        assert_eq!(first(&format!("//! Be long.\n{}", "fn a() {}\n".repeat(400))).0, "401");
    }

    #[test]
    fn the_layers_hold() {
        assert_eq!(layers(&workspace::metadata().unwrap()).unwrap(), []);
        let wrong = serde_json::json!({ "packages": [
            { "name": "srm-train", "manifest_path": "crates/srm-train/Cargo.toml", "dependencies": [{ "name": "srm-eval" }, { "name": "tch" }] },
            { "name": "srm-new", "manifest_path": "crates/srm-new/Cargo.toml", "dependencies": [] },
        ] });
        let faults = layers(&wrong).unwrap();
        assert_eq!(faults.len(), 2);
        assert!(faults[0].repair.starts_with("remove srm-eval") && faults[1].repair.contains("srm-new"));
    }

    #[test]
    fn every_config_loads() {
        assert_eq!(configs(&workspace::root()).unwrap(), []);
    }
}
