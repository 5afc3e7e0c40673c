//! Write front matter as YAML that every reader takes for the same: blocks, and quotes where a word could mean more.

use serde_json::Value;

/// Words that YAML 1.1 or 1.2 reads as no text.
const SPECIAL: [&str; 11] = ["true", "false", "yes", "no", "on", "off", "y", "n", "null", "nan", "inf"];

/// A tree in block form, two spaces a level, ending with a line feed.
pub fn yaml(tree: &Value) -> String {
    let mut out = String::new();
    write(tree, 0, &mut out);
    out
}

/// Write an object or list, whose first line the caller has indented by `depth` levels.
fn write(tree: &Value, depth: usize, out: &mut String) {
    let indent = |out: &mut String, i: usize| {
        if i > 0 {
            out.push_str(&"  ".repeat(depth));
        }
    };
    match tree {
        Value::Object(map) if !map.is_empty() => {
            for (i, (key, value)) in map.iter().enumerate() {
                indent(out, i);
                out.push_str(&text(key));
                out.push(':');
                if is_block(value) {
                    out.push('\n');
                    out.push_str(&"  ".repeat(depth + 1));
                    write(value, depth + 1, out);
                } else {
                    out.push_str(&format!(" {}\n", scalar(value)));
                }
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (i, item) in items.iter().enumerate() {
                indent(out, i);
                out.push_str("- ");
                write(item, depth + 1, out);
            }
        }
        other => out.push_str(&format!("{}\n", scalar(other))),
    }
}

fn is_block(value: &Value) -> bool {
    match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(words) => text(words),
        // never 1e-5, which YAML 1.1 takes for a word
        Value::Number(number) if number.is_f64() => number.as_f64().unwrap_or_default().to_string(),
        other => other.to_string(),
    }
}

/// Words as they are where nobody can misread them, else in double quotes.
fn text(words: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./+".contains(letter);
    let is_special = SPECIAL.contains(&words.to_ascii_lowercase().as_str());
    if words.starts_with(|first: char| first.is_ascii_alphabetic()) && words.chars().all(plain) && !is_special {
        return words.to_owned();
    }
    let mut quoted = String::from("\"");
    for letter in words.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            '\n' => quoted.push_str("\\n"),
            // what YAML does not let stand, and what breaks lines
            letter if letter.is_control() || "\u{2028}\u{2029}\u{feff}".contains(letter) => {
                quoted.push_str(&format!("\\u{:04x}", u32::from(letter)));
            }
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn trees_are_blocks_and_doubtful_words_have_quotes() {
        let tree = json!({
            "license": "cc-by-4.0",
            "tags": ["short-run-mcmc", "no", "1e5", "a: b"],
            "model-index": [{ "name": "x", "results": [{ "task": { "type": "y" }, "value": 1.5e-7, "count": 12 }] }],
            "none": [],
            "off": null,
        });
        let expected = [
            "license: cc-by-4.0",
            "tags:",
            "  - short-run-mcmc",
            "  - \"no\"",
            "  - \"1e5\"",
            "  - \"a: b\"",
            "model-index:",
            "  - name: x",
            "    results:",
            "      - task:",
            "          type: \"y\"",
            "        value: 0.00000015",
            "        count: 12",
            "none: []",
            "\"off\": null",
            "",
        ];
        assert_eq!(yaml(&tree), expected.join("\n"));
    }

    #[test]
    fn a_reader_gets_back_every_letter() {
        let names = [
            "a\"b\\c",
            "two\nlines",
            "tab\there",
            "# no comment",
            "- item",
            "null",
            "Yes",
            "12:30",
            "0x1F",
            "",
            " ",
            "é ü 漢 🦀",
            "\u{7f}\u{85}\u{2028}\u{feff}\u{1b}",
            "{a}",
            "[b]",
            "&c",
            "*d",
            "!e",
            "%f",
            "@g",
            "`h`",
            "i: j",
            "~",
            "=",
            "<<",
            "1_000",
            ".inf",
            "2019-04-21",
            "'",
            "---",
            "...",
        ];
        for name in names {
            let tree = json!({ name: name, "list": [name, { "inner": name }] });
            let text = yaml(&tree);
            let read: Value = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{name:?}: {error}\n{text}"));
            assert_eq!(read, tree, "{text}");
        }
    }
}
