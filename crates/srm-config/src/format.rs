//! Print JSON for reading: one key a line, lists of numbers on one line.

use serde_json::Value;

/// Canonical text of a tree, indented by two spaces, ending with a line feed.
pub fn pretty(tree: &Value) -> String {
    let mut out = String::new();
    write(tree, 0, &mut out);
    out.push('\n');
    out
}

fn write(value: &Value, depth: usize, out: &mut String) {
    match value {
        Value::Object(map) if depth < 2 && !map.is_empty() => {
            let items = map.iter().map(|(key, value)| (Some(key), value));
            block(items, ['{', '}'], depth, out);
        }
        Value::Array(items) if items.iter().any(Value::is_string) => {
            block(items.iter().map(|item| (None, item)), ['[', ']'], depth, out);
        }
        other => out.push_str(&inline(other)),
    }
}

fn block<'a>(
    items: impl Iterator<Item = (Option<&'a String>, &'a Value)>,
    brackets: [char; 2],
    depth: usize,
    out: &mut String,
) {
    out.push(brackets[0]);
    for (index, (key, value)) in items.enumerate() {
        out.push_str(if index == 0 { "\n" } else { ",\n" });
        out.push_str(&"  ".repeat(depth + 1));
        if let Some(key) = key {
            out.push_str(&format!("{}: ", Value::String(key.clone())));
        }
        write(value, depth + 1, out);
    }
    out.push('\n');
    out.push_str(&"  ".repeat(depth));
    out.push(brackets[1]);
}

fn inline(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let items = map.iter().map(|(key, value)| format!("{}: {}", Value::String(key.clone()), inline(value)));
            format!("{{ {} }}", items.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}
