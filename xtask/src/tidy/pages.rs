//! Check that the pages people read first are true: the table of places, the rows of crates, links, the README's length.

use super::{Fault, LAYERS};
use std::{fs, path::Path};

/// The page that says where things are.
const ARCHITECTURE: &str = "ARCHITECTURE.md";
/// Its section with rows of `| what | `path` | `item` |`.
const PLACES: &str = "## Where to find things";
const README: &str = "README.md";
/// A first page is read at one go.
const LONGEST_README: usize = 150;
/// What may stand before the name of an item.
const KINDS: [&str; 7] = ["fn", "struct", "trait", "const", "enum", "type", "mod"];

/// Check one page of the workspace by its name.
pub(super) fn page(root: &Path, name: &str, text: &str) -> Vec<Fault> {
    let mut faults = links(root, name, text);
    if name == ARCHITECTURE {
        faults.extend(places(root, text));
        faults.extend(crates(text));
    }
    let lines = text.lines().count();
    if name == README && lines > LONGEST_README {
        let place = format!("{name}:{lines}");
        let repair = format!("move what is beyond {LONGEST_README} to the page of the crate that it is about");
        faults.push(Fault { place, rule: "the README has at most 150 lines", repair });
    }
    faults
}

/// Each row of the table of places names a file that there is, and an item that the file defines.
fn places(root: &Path, text: &str) -> Vec<Fault> {
    let section = (1..).zip(text.lines()).skip_while(|(_, line)| *line != PLACES).skip(1);
    let section = section.take_while(|(_, line)| !line.starts_with("## "));
    // the first two are the table's head
    let rows: Vec<_> = section.filter(|(_, line)| line.starts_with('|')).skip(2).collect();
    if rows.is_empty() {
        let repair = format!("write it below the heading `{PLACES}`");
        return vec![Fault { place: format!("{ARCHITECTURE}:1"), rule: "there is a table of places", repair }];
    }
    let fault = |(number, row): (usize, &str)| {
        let repair = match place(row) {
            None => "write | what | `path` | `item` |".to_owned(),
            Some((path, item)) => match fs::read_to_string(root.join(path)) {
                Err(error) => format!("{path} cannot be read ({error}): name the file that has {item}"),
                Ok(source) if defines(&source, item) => return None,
                Ok(_) => format!("{path} defines no {item}: name the file that does, or the item's new name"),
            },
        };
        Some(Fault { place: format!("{ARCHITECTURE}:{number}"), rule: "a row of places leads to its item", repair })
    };
    rows.into_iter().filter_map(fault).collect()
}

/// Path and item of a row.
fn place(row: &str) -> Option<(&str, &str)> {
    fn quoted(cell: &str) -> Option<&str> {
        cell.strip_prefix('`')?.strip_suffix('`').filter(|name| !name.is_empty())
    }
    match row.split('|').map(str::trim).collect::<Vec<_>>()[..] {
        ["", what, path, item, ""] if !what.is_empty() => Some((quoted(path)?, quoted(item)?)),
        _ => None,
    }
}

/// Whether Rust source defines the item; the field of a struct counts.
fn defines(source: &str, item: &str) -> bool {
    source.lines().map(str::trim_start).filter(|line| !line.starts_with("//")).any(|line| {
        let words: Vec<&str> = line.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
        let field = line.trim_start_matches("pub(crate) ").trim_start_matches("pub ");
        words.windows(2).any(|pair| KINDS.contains(&pair[0]) && pair[1] == item)
            || field.strip_prefix(item).is_some_and(|rest| rest.starts_with(": "))
    })
}

/// Each crate has its row among the crates.
fn crates(text: &str) -> Vec<Fault> {
    let rows = LAYERS.iter().map(|(name, _)| format!("| `{name}` |"));
    let missing = rows.filter(|row| !text.lines().any(|line| line.starts_with(row)));
    let fault = |row| Fault {
        place: format!("{ARCHITECTURE}:1"),
        rule: "every crate has a row that says its duty",
        repair: format!("add {row} duty | may depend on |"),
    };
    missing.map(fault).collect()
}

/// Each link to a file leads to one.
fn links(root: &Path, name: &str, text: &str) -> Vec<Fault> {
    let folder = root.join(name).parent().map(Path::to_path_buf).unwrap_or_default();
    let mut faults = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let targets = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.contains("://") && !target.starts_with('#')) {
            let path = target.split('#').next().unwrap_or(target);
            if !folder.join(path).exists() {
                let repair = format!("{target} is not there: say where it is now");
                faults.push(Fault { place: format!("{name}:{number}"), rule: "a link leads somewhere", repair });
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace;

    #[test]
    fn the_pages_of_this_workspace_are_true() {
        let root = workspace::root();
        for name in [ARCHITECTURE, README, "CONTRIBUTING.md", "CHANGELOG.md"] {
            let text = fs::read_to_string(root.join(name)).unwrap();
            assert_eq!(page(&root, name, &text), [], "{name}");
        }
    }

    #[test]
    fn a_row_with_a_wrong_path_or_item_is_named_with_its_line() {
        let found = |row: &str| {
            let text =
                format!("# Page\n\n{PLACES}\n\n| what | file | item |\n|---|---|---|\n{row}\n\n## Next\n\n| a |\n");
            let faults = places(&workspace::root(), &text).into_iter();
            faults.map(|fault| (fault.place, fault.repair)).collect::<Vec<_>>()
        };
        assert_eq!(found("| this test | `xtask/src/tidy/pages.rs` | `places` |"), []);
        assert_eq!(found("| a field | `xtask/src/tidy.rs` | `repair` |"), []);
        for (row, said) in [
            ("| no file | `xtask/src/untidy.rs` | `places` |", "xtask/src/untidy.rs cannot be read"),
            ("| no item | `xtask/src/tidy.rs` | `untidy` |", "xtask/src/tidy.rs defines no untidy"),
            ("| a part of a name | `xtask/src/tidy/pages.rs` | `place_` |", "defines no place_"),
            ("| only called | `xtask/src/tidy/pages.rs` | `read_to_string` |", "defines no read_to_string"),
            ("| no quotes | xtask/src/tidy.rs | `run` |", "write | what | `path` | `item` |"),
            ("| a cell less | `xtask/src/tidy.rs` |", "write | what | `path` | `item` |"),
        ] {
            let faults = found(row);
            let [(place, repair)] = &faults[..] else { panic!("{row}: {faults:?}") };
            assert!(place == "ARCHITECTURE.md:7" && repair.contains(said), "{place}: {repair}");
        }
        assert_eq!(places(&workspace::root(), "# Page\n")[0].rule, "there is a table of places");
    }

    #[test]
    fn items_are_found_where_they_are_defined_alone() {
        let source =
            "//! fn told\npub const fn made() {}\n    pub(crate) std: f64,\nlet calls: u8 = named::<Type>();\n";
        for (item, is_there) in [("made", true), ("std", true), ("told", false), ("named", false), ("Type", false)] {
            assert_eq!(defines(source, item), is_there, "{item}");
        }
    }

    #[test]
    fn crates_without_a_row_broken_links_and_a_long_readme_are_named() {
        let root = workspace::root();
        let rows: String = LAYERS.iter().skip(1).map(|(name, _)| format!("| `{name}` | duty | |\n")).collect();
        assert_eq!(crates(&rows).len(), 1);
        let text = "[a](xtask/src/tidy.rs#L1) [b](https://example.org) [c](#here)\n![d](no/such.png)\n";
        let faults = page(&root, README, text);
        assert_eq!(faults.iter().map(|fault| &*fault.place).collect::<Vec<_>>(), ["README.md:2"]);
        assert_eq!(page(&root, README, &"a\n".repeat(150)), []);
        assert_eq!(page(&root, README, &"a\n".repeat(151))[0].place, "README.md:151");
    }
}
