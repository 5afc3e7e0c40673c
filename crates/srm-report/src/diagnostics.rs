//! Show what `srm diagnose` has left in the run folder: its charts, its pictures and its numbers.

use std::path::Path;

use maud::{Markup, html};
use serde_json::Value;
use srm_run::layout::DIAGNOSTICS;

use crate::{
    RunFiles, facts,
    folder::reason,
    page::Section,
    pictures::{Picture, figure, missing, svg_file},
};

/// CSS pixels that a picture fills at most.
const WIDTH: u32 = 840;
/// Numbers of a list that are still printed one by one.
const SHORT: usize = 6;

/// The section; none where nothing was diagnosed.
pub fn section(files: &RunFiles) -> Option<Section> {
    if files.diagnostics.is_empty() {
        return None;
    }
    let root = files.folder.join(DIAGNOSTICS);
    let kind = |path: &Path, kind: &str| path.extension().is_some_and(|found| found == kind);
    let of = |name: &'static str| files.diagnostics.iter().filter(move |path| kind(path, name));
    let body = html! {
        div.plates {
            @for path in of("svg") { (figure(svg_file(path, &title(path, &root)), html! { (title(path, &root)) })) }
        }
        @for path in of("png") {
            (figure(
                Picture::read(path).map(|picture| picture.show(&title(path, &root), WIDTH)),
                html! { (title(path, &root)) },
            ))
        }
        @for path in of("json") { (numbers(path, &root)) }
    };
    Some(Section { id: "diagnostics", title: "Diagnostics", body })
}

/// A file's name for people: `long_chains.svg` in `chains/` is `chains: long chains`.
fn title(path: &Path, root: &Path) -> String {
    let inside = path.strip_prefix(root).unwrap_or(path).with_extension("");
    let parts: Vec<String> = inside.iter().map(|part| part.to_string_lossy().replace(['_', '-'], " ")).collect();
    parts.join(": ")
}

/// The numbers of a JSON file as a folded table.
fn numbers(path: &Path, root: &Path) -> Markup {
    let object: Value = match srm_run::json(path) {
        Ok(object) => object,
        Err(error) => return missing(&reason(error)),
    };
    let mut rows = Vec::new();
    flatten("", &object, &mut rows);
    html! {
        details {
            summary { "Numbers: " (title(path, root)) }
            div.scroll {
                table {
                    tbody { @for (key, value) in &rows { tr { th scope="row" { (key) } td { (value) } } } }
                }
            }
        }
    }
}

/// A row for each number, text or short list of the tree, under its dotted path; of a long list its length.
fn flatten(key: &str, value: &Value, rows: &mut Vec<(String, String)>) {
    let plain = |value: &Value| match value {
        Value::Number(_) => Some(facts::value(value)),
        Value::String(text) => Some(text.clone()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    };
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                flatten(&if key.is_empty() { name.clone() } else { format!("{key}.{name}") }, value, rows);
            }
        }
        Value::Array(list) => {
            let short: Option<Vec<String>> = list.iter().map(plain).collect();
            match short {
                Some(texts) if texts.len() <= SHORT => rows.push((key.to_owned(), texts.join(", "))),
                Some(texts) => rows.push((key.to_owned(), format!("{} values", texts.len()))),
                None if list.len() <= SHORT => {
                    for (i, value) in list.iter().enumerate() {
                        flatten(&format!("{key}[{i}]"), value, rows);
                    }
                }
                None => rows.push((key.to_owned(), format!("{} entries", list.len()))),
            }
        }
        other => rows.extend(plain(other).map(|text| (key.to_owned(), text))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn trees_become_rows() {
        let tree = json!({ "a": { "b": 0.5, "c": [1, 2] }, "long": vec![0.25; 40], "d": null, "e": [{ "f": "x" }] });
        let mut rows = Vec::new();
        flatten("", &tree, &mut rows);
        let rows: Vec<(&str, &str)> = rows.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(rows, [("a.b", "0.5000"), ("a.c", "1, 2"), ("long", "40 values"), ("e[0].f", "x")]);
    }

    #[test]
    fn names_of_files_become_titles() {
        let root = Path::new("run/diagnostics");
        assert_eq!(title(Path::new("run/diagnostics/chains/long_chains.svg"), root), "chains: long chains");
    }
}
