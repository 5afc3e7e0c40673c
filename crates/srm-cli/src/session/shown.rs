//! Write paths into JSON as text: serde refuses a path that is not UTF-8, and `json!` then panics after the work is done.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde::{Serialize, Serializer};

/// A path as JSON shows it: its text, U+FFFD in the place of what is no UTF-8.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a>(pub &'a Path);

impl<'a> Shown<'a> {
    /// A path that may not be there.
    pub fn maybe(path: &'a Option<PathBuf>) -> Option<Shown<'a>> {
        path.as_deref().map(Shown)
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(out)
    }
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_string_lossy())
    }
}

/// For `#[serde(serialize_with)]`: as [`Shown`].
pub fn path<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    Shown(path).serialize(serializer)
}

/// For `#[serde(serialize_with)]`: as [`Shown`], null where there is none.
pub fn optional<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    path.as_deref().map(Shown).serialize(serializer)
}
