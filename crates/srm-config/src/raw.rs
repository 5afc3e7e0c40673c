//! Hold what was typed, the JSON tree with its overrides, until it is checked.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};

use crate::{Config, ConfigError, JsonError, Problem, fields::Fields, parse_json};

/// Bytes of a config at most: a data file given by mistake is not read to its end.
const LONGEST: u64 = 16 << 20;

/// A config as typed: well-formed JSON, nothing else known yet.
#[derive(Clone, Debug)]
pub struct RawConfig {
    origin: String,
    tree: Value,
    problems: Vec<Problem>,
}

impl RawConfig {
    /// Read a JSON file, in UTF-8 or UTF-16.
    ///
    /// # Errors
    /// The file cannot be read, is longer than any config, or holds no JSON.
    pub fn open(path: &Path) -> Result<RawConfig, ConfigError> {
        let cannot = |source| ConfigError::Read { path: path.to_owned(), source };
        if path.is_dir() {
            return Err(ConfigError::Folder { path: path.to_owned(), example: config_in(path) });
        }
        let mut bytes = Vec::new();
        File::open(path).map_err(cannot)?.take(LONGEST + 1).read_to_end(&mut bytes).map_err(cannot)?;
        match bytes.len() as u64 > LONGEST {
            true => Err(ConfigError::TooLong { path: path.to_owned(), limit: LONGEST }),
            false => RawConfig::parse(&bytes, &path.display().to_string()),
        }
    }

    /// Parse JSON text in UTF-8 or UTF-16; `origin` names it in messages.
    ///
    /// # Errors
    /// The text is no JSON.
    pub fn parse(text: &[u8], origin: &str) -> Result<RawConfig, ConfigError> {
        let tree = parse_json(text).map_err(|source| ConfigError::Json { origin: origin.to_owned(), source })?;
        Ok(RawConfig { origin: origin.to_owned(), tree, problems: Vec::new() })
    }

    /// Apply overrides `a.b=JSON` in order; what is wrong with one is reported by [`RawConfig::check`].
    #[must_use]
    pub fn with_overrides(mut self, overrides: &[String]) -> RawConfig {
        for text in overrides {
            if let Err((rule, hint)) = self.apply(text) {
                let path = format!("--set {text}");
                self.problems.push(Problem { path, value: None, rule: rule.to_owned(), hint: Some(hint) });
            }
        }
        self
    }

    /// Check everything: the one crossing from what was typed to what is run.
    ///
    /// # Errors
    /// Every problem of the tree and of the overrides.
    pub fn check(mut self) -> Result<Config, ConfigError> {
        let config = Fields::open(&self.tree, "", &mut self.problems, Config::read);
        match config {
            Some(config) if self.problems.is_empty() => Ok(config),
            _ => Err(ConfigError::Invalid { origin: self.origin, problems: self.problems }),
        }
    }

    fn apply(&mut self, text: &str) -> Result<(), (&'static str, String)> {
        let example = || "for example --set train.updates=500".to_owned();
        let (path, value) = text.split_once('=').ok_or_else(|| ("has no '='", example()))?;
        let keys: Vec<&str> = path.trim().split('.').collect();
        if keys.iter().any(|key| key.is_empty()) {
            return Err(("must start with a dotted path", example()));
        }
        let value = typed(value.trim())?;
        let mut place = &mut self.tree;
        for key in &keys {
            if place.is_null() {
                *place = Value::Object(Map::new());
            }
            let map = place.as_object_mut().ok_or_else(|| ("leads through a value that is no object", example()))?;
            place = map.entry(*key).or_insert(Value::Null);
        }
        *place = value;
        Ok(())
    }
}

/// The value of an override: JSON, or a bare word, which is a string; but not one that another language takes for something else.
fn typed(text: &str) -> Result<Value, (&'static str, String)> {
    match parse_json(text.as_bytes()) {
        Ok(value) => return Ok(value),
        Err(JsonError::Empty) => return Err(("has no value", "write null to remove the key".to_owned())),
        Err(error) if text.starts_with(['[', '{', '"']) => {
            let reason = match error {
                JsonError::Syntax { column, message, .. } => format!("at its character {column}: {message}"),
                other => other.to_string(),
            };
            return Err((
                "the value is no valid JSON",
                format!("put the whole argument in single quotes, or the shell takes its own share; {reason}"),
            ));
        }
        Err(_) => {}
    }
    let write = |json: &str| Err(("the value is no JSON", format!("write {json}, or \"{text}\" for the text itself")));
    match text {
        "True" | "TRUE" => return write("true"),
        "False" | "FALSE" => return write("false"),
        "None" | "Null" | "NULL" | "nil" => return write("null"),
        _ => {}
    }
    // .5, 5., +1, 1_000, 1,000 and NaN: numbers elsewhere
    match text.replace(['_', ','], "").parse::<f64>() {
        Ok(number) if number.is_finite() => write(&Value::from(number).to_string()),
        Ok(_) => Err(("the value is no finite number", "every setting is finite".to_owned())),
        Err(_) => Ok(Value::String(text.to_owned())),
    }
}

/// A JSON file of a folder, that of a run before others.
fn config_in(folder: &Path) -> Option<PathBuf> {
    let run = Some(folder.join("config.json")).filter(|file| file.is_file());
    let json = |path: &PathBuf| path.extension().is_some_and(|kind| kind == "json");
    run.or_else(|| fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).filter(json).min())
}

/// Read one section that stands alone, as in a weights file; all problems become one line.
pub(crate) fn read_section<T>(
    tree: &Value,
    name: &str,
    read: impl FnOnce(&mut Fields<'_>) -> Option<T>,
) -> Result<T, String> {
    let mut problems = Vec::new();
    let found = Fields::open(tree, name, &mut problems, read);
    match found {
        Some(found) if problems.is_empty() => Ok(found),
        _ => Err(problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("; ")),
    }
}
