//! Name what is wrong with a config, all of it at once, and how to repair it.

use std::{fmt, path::PathBuf};

use crate::JsonError;

/// One thing wrong with a config.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// Dotted path of the value, such as `langevin.steps`, or the override as typed.
    pub path: String,
    /// The value found, as JSON; `None` where the key is missing.
    pub value: Option<String>,
    /// What the value must be.
    pub rule: String,
    /// What would repair it, where that can be said.
    pub hint: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(out, "{} = {}: {}", self.path, value, self.rule)?,
            None => write!(out, "{}: {}", self.path, self.rule)?,
        }
        match &self.hint {
            Some(hint) => write!(out, " ({hint})"),
            None => Ok(()),
        }
    }
}

/// Why no [`Config`](crate::Config) came out.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the config {}; give --config a JSON file such as configs/smoke.json", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A folder stands where a file should.
    #[error("{} is a folder; give --config a JSON file{}", path.display(), example.as_ref().map_or(String::new(), |file| format!(", such as {}", file.display())))]
    Folder {
        /// The folder.
        path: PathBuf,
        /// A JSON file in it.
        example: Option<PathBuf>,
    },
    /// The file is longer than any config.
    #[error("{} is longer than {limit} bytes, which no config is; give --config a JSON file such as configs/smoke.json", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// What is read at most.
        limit: u64,
    },
    /// The bytes are no JSON.
    #[error("{origin} {source}")]
    Json {
        /// The file, or "the config".
        origin: String,
        /// What they are instead.
        source: JsonError,
    },
    /// The JSON is well formed but says something that no run can do.
    #[error("{} in {origin}:{}", count(problems.len()), lines(problems))]
    Invalid {
        /// The file, or "the config".
        origin: String,
        /// Every problem found, in the order of the sections.
        problems: Vec<Problem>,
    },
}

fn count(problems: usize) -> String {
    if problems == 1 { "1 problem".to_owned() } else { format!("{problems} problems") }
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("\n  {problem}")).collect()
}
