//! Read the JSON that people write: decode its bytes, parse it, and say what else the text is.

use std::borrow::Cow;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::not_json::explain;

/// Why bytes are no JSON.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// There is nothing.
    #[error("is empty; copy configs/smoke.json, or write {{ ... }}")]
    Empty,
    /// The bytes are no text.
    #[error("is no text ({what}); JSON is text in UTF-8")]
    NotText {
        /// What tells so.
        what: String,
    },
    /// The text is no JSON.
    #[error("is no valid JSON at line {line}, column {column}: {message}")]
    Syntax {
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// What stands there, and what JSON has instead.
        message: String,
    },
}

/// The text of bytes: UTF-8 with or without a byte order mark, or UTF-16 of either byte order, as Windows saves it.
///
/// # Errors
/// [`JsonError::NotText`].
pub fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, JsonError> {
    let not_text = |what: String| JsonError::NotText { what };
    // without a mark the zero half of the first character tells, which is ASCII in JSON
    let text = match bytes {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => return Err(not_text("UTF-32: save it as UTF-8".to_owned())),
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes)?,
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes)?,
        [1..=0x7f, 0, ..] => utf16(bytes, u16::from_le_bytes)?,
        [0, 1..=0x7f, ..] => utf16(bytes, u16::from_be_bytes)?,
        _ if bytes.iter().take(1024).any(|&byte| byte < b'\t') => return Err(not_text("a binary file".to_owned())),
        _ => {
            let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
            let wrong = |error: std::str::Utf8Error| {
                let line = 1 + bytes[..error.valid_up_to()].iter().filter(|&&byte| byte == b'\n').count();
                not_text(format!("line {line} holds bytes that are no UTF-8: save it as UTF-8"))
            };
            Cow::Borrowed(std::str::from_utf8(bytes).map_err(wrong)?)
        }
    };
    match text.contains('\0') {
        true => Err(not_text("it holds zero bytes".to_owned())),
        false => Ok(text),
    }
}

fn utf16<'a>(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<Cow<'a, str>, JsonError> {
    let wrong = || JsonError::NotText { what: "it begins as UTF-16 and is none: save it as UTF-8".to_owned() };
    let (pairs, rest) = bytes.as_chunks::<2>();
    let text = char::decode_utf16(pairs.iter().map(|pair| unit(*pair))).collect::<Result<String, _>>();
    text.ok().filter(|_| rest.is_empty()).map(Cow::Owned).ok_or_else(wrong)
}

/// Parse JSON as people write it; a key that stands twice in one object is an error, since one of the values would be lost.
///
/// # Errors
/// The bytes are no text or the text is no JSON: what it is instead, and where.
pub fn parse_json(bytes: &[u8]) -> Result<Value, JsonError> {
    let text = decode(bytes)?;
    if text.trim().is_empty() {
        return Err(JsonError::Empty);
    }
    serde_json::from_str::<Tree>(&text).map(|tree| tree.0).map_err(|error| {
        let start = |line: usize| text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum::<usize>();
        // in column 0 the parser means the end of the line before
        let (line, at) = match error.column() {
            0 => (error.line().saturating_sub(1).max(1), start(error.line()).saturating_sub(1)),
            column => (error.line(), start(error.line()) + column - 1),
        };
        let at = (0..=at.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        let column = 1 + text[start(line).min(at)..at].chars().count();
        let said = error.to_string();
        let said = said.rsplit_once(" at line ").map_or(&*said, |(said, _)| said);
        JsonError::Syntax { line, column, message: explain(&text, at, said) }
    })
}

/// A value whose objects have no key twice.
struct Tree(Value);

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Tree, D::Error> {
        deserializer.deserialize_any(TreeVisitor).map(Tree)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Value;

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Tree(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if map.contains_key(&key) {
                return Err(A::Error::custom(format_args!("the key {key:?} stands here twice; keep one of them")));
            }
            map.insert(key, entries.next_value::<Tree>()?.0);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests;
