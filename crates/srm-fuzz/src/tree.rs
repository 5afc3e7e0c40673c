//! Change JSON in its own terms: other numbers, missing and double keys, values of another kind.

use crate::{Dice, mutate::ODD};
use serde_json::{Map, Value, json};

/// Parse, change one place, write; what is no JSON stays as it is.
pub(crate) fn change_json(text: &[u8], dice: &mut Dice) -> Vec<u8> {
    let Ok(mut tree) = serde_json::from_slice::<Value>(text) else { return text.to_vec() };
    let places = count(&tree);
    change(&mut tree, &mut dice.below(places), dice);
    tree.to_string().into_bytes()
}

/// Change one line of a log of JSON lines, or double, drop or cut one.
pub(crate) fn change_lines(text: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> = text.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    let at = dice.below(lines.len());
    match dice.below(8) {
        0 => drop(lines.remove(at)),
        1 => lines.insert(at, lines[at].clone()),
        2 => {
            let other = dice.below(lines.len());
            lines.swap(at, other);
        }
        3 => {
            let end = dice.below(lines[at].len() + 1);
            lines[at].truncate(end);
        }
        _ => lines[at] = change_json(&lines[at], dice),
    }
    lines.join(&b'\n')
}

/// Values in the tree, it included.
fn count(tree: &Value) -> usize {
    1 + match tree {
        Value::Array(list) => list.iter().map(count).sum::<usize>(),
        Value::Object(map) => map.values().map(count).sum(),
        _ => 0,
    }
}

/// Change the value number `left`, counted from the root.
fn change(tree: &mut Value, left: &mut usize, dice: &mut Dice) -> bool {
    if *left == 0 {
        change_here(tree, dice);
        return true;
    }
    *left -= 1;
    match tree {
        Value::Array(list) => list.iter_mut().any(|value| change(value, left, dice)),
        Value::Object(map) => map.values_mut().any(|value| change(value, left, dice)),
        _ => false,
    }
}

fn change_here(value: &mut Value, dice: &mut Dice) {
    match value {
        Value::Object(map) if !map.is_empty() && !dice.one_in(8) => {
            let key = map.keys().nth(dice.below(map.len())).cloned().unwrap_or_default();
            match dice.below(3) {
                0 => drop(map.remove(&key)),
                1 => {
                    let inner = map.remove(&key).unwrap_or(Value::Null);
                    map.insert(format!("{key}{}", dice.one_of(&["s", ".", "\u{e4}", ""])), inner);
                }
                _ => drop(map.insert("extra".to_owned(), odd(dice))),
            }
        }
        Value::Array(list) if !list.is_empty() && !dice.one_in(8) => {
            let at = dice.below(list.len());
            match dice.below(3) {
                0 => drop(list.remove(at)),
                1 => list.push(list[at].clone()),
                _ => list[at] = odd(dice),
            }
        }
        Value::Number(_) if !dice.one_in(4) => *value = number(dice),
        other => *other = odd(dice),
    }
}

fn number(dice: &mut Dice) -> Value {
    let odd = dice.one_of(&ODD);
    match dice.below(4) {
        0 => json!((odd as i64).wrapping_neg()),
        1 => json!(dice.one_of(&[1e-320, 1e-40, 0.1, 1.5, 1e39, 1e308, -0.0, -1e300])),
        _ => json!(odd),
    }
}

/// A value of any kind.
fn odd(dice: &mut Dice) -> Value {
    match dice.below(9) {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(""),
        3 => json!("\u{0}\u{202e}<script>\u{1f600}"),
        4 => json!([]),
        5 => Value::Object(Map::new()),
        6 => json!([[0, 1], [0, 2]]),
        7 => json!("x".repeat(300)),
        _ => number(dice),
    }
}
