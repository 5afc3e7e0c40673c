//! Hold what was typed, the JSON tree with its overrides, until it is checked.

use serde_json::{Map, Value};

use crate::{Config, ConfigError, Problem, fields::Fields};

/// A config as typed: well-formed JSON, nothing else known yet.
#[derive(Clone, Debug)]
pub struct RawConfig {
    origin: String,
    tree: Value,
    problems: Vec<Problem>,
}

impl RawConfig {
    /// Parse JSON text; `origin` names it in messages.
    ///
    /// # Errors
    /// The text is no JSON.
    pub fn parse(text: &str, origin: &str) -> Result<RawConfig, ConfigError> {
        let tree = serde_json::from_str(text).map_err(|error| {
            let message = error.to_string();
            let message = message.split(" at line ").next().unwrap_or_default().to_owned();
            ConfigError::Syntax { origin: origin.to_owned(), line: error.line(), column: error.column(), message }
        })?;
        Ok(RawConfig { origin: origin.to_owned(), tree, problems: Vec::new() })
    }

    /// Apply overrides `a.b=JSON` in order; what is wrong with one is reported by [`RawConfig::check`].
    #[must_use]
    pub fn with_overrides(mut self, overrides: &[String]) -> RawConfig {
        for text in overrides {
            if let Err((rule, hint)) = self.apply(text) {
                self.problems.push(Problem {
                    path: format!("--set {text}"),
                    value: None,
                    rule: rule.to_owned(),
                    hint: Some(hint.to_owned()),
                });
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

    fn apply(&mut self, text: &str) -> Result<(), (&'static str, &'static str)> {
        const EXAMPLE: &str = "for example --set train.updates=500";
        let (path, value) = text.split_once('=').ok_or(("has no '='", EXAMPLE))?;
        let keys: Vec<&str> = path.trim().split('.').collect();
        if keys.iter().any(|key| key.is_empty()) {
            return Err(("must start with a dotted path", EXAMPLE));
        }
        let value = value.trim();
        let value = match serde_json::from_str(value) {
            Ok(value) => value,
            Err(_) if value.starts_with(['[', '{', '"']) => {
                return Err(("the value is no valid JSON", "put the whole argument in single quotes"));
            }
            Err(_) => Value::String(value.to_owned()),
        };
        let mut place = &mut self.tree;
        for key in &keys {
            if place.is_null() {
                *place = Value::Object(Map::new());
            }
            let map = place.as_object_mut().ok_or(("leads through a value that is no object", EXAMPLE))?;
            place = map.entry(*key).or_insert(Value::Null);
        }
        *place = value;
        Ok(())
    }
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
