//! Read the name of a repository, and let none through that means a folder elsewhere.

use crate::FetchError;
use std::fmt;

/// The branch that is meant where no revision is given.
const MAIN: &str = "main";
/// Letters of an owner or a name at most, as the hub has it.
const LONGEST: usize = 96;
/// Letters of a revision at most.
const LONGEST_REVISION: usize = 200;

/// A repository of a model hub at one revision. Its text is `hf:owner/name@revision`, `main` left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    pub(super) owner: String,
    pub(super) name: String,
    /// A branch, a tag, a commit, or a reference like `refs/pr/1`.
    pub(super) revision: String,
}

impl Repository {
    /// Read `owner/name` or `owner/name@revision`, without the `hf:`.
    ///
    /// # Errors
    /// [`FetchError::Name`].
    pub fn parse(text: &str) -> Result<Repository, FetchError> {
        let wrong = |fault| FetchError::Name { name: format!("hf:{}", shown(text)), fault };
        let (path, revision) = text.split_once('@').unwrap_or((text, MAIN));
        let (owner, name) = path.split_once('/').ok_or_else(|| wrong("it has no / between owner and name"))?;
        for part in [owner, name] {
            if let Some(fault) = fault(part) {
                return Err(wrong(fault));
            }
        }
        if let Some(fault) = fault_of_revision(revision) {
            return Err(wrong(fault));
        }
        Ok(Repository { owner: owner.to_owned(), name: name.to_owned(), revision: revision.to_owned() })
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "hf:{}/{}", self.owner, self.name)?;
        if self.revision == MAIN { Ok(()) } else { write!(out, "@{}", self.revision) }
    }
}

/// What was typed, on one line and not endless.
fn shown(text: &str) -> String {
    text.chars().take(LONGEST_REVISION).collect::<String>().escape_debug().to_string()
}

/// What is wrong with an owner or a name, by the hub's own rules (huggingface_hub, `utils/_validators.py`).
fn fault(part: &str) -> Option<&'static str> {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    match part {
        "" => Some("owner and name cannot be empty"),
        _ if part.contains('/') => Some("it has more than one /"),
        _ if !part.chars().all(allowed) => Some("owner and name have letters, digits, -, _ and . alone"),
        _ if part.contains("..") || part.contains("--") => Some("owner and name have no -- and no .. in them"),
        _ if part.starts_with(['-', '.']) || part.ends_with(['-', '.']) => {
            Some("owner and name do not begin or end with - or .")
        }
        _ if part.len() > LONGEST => Some("owner and name have 96 letters at most"),
        _ => None,
    }
}

/// What is wrong with a revision: it becomes a path in the cache.
fn fault_of_revision(revision: &str) -> Option<&'static str> {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || "-_.+/".contains(letter);
    match revision {
        "" => Some("the revision after @ is empty"),
        _ if !revision.chars().all(allowed) => Some("a revision has letters, digits, -, _, ., + and / alone"),
        _ if revision.split('/').any(|part| part.is_empty() || part.starts_with('.')) => {
            Some("no part of a revision is empty or begins with .")
        }
        _ if revision.len() > LONGEST_REVISION => Some("a revision has 200 letters at most"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_shown_as_they_are_typed() {
        for text in ["me/net", "a.b/c_d-1", "me/net@v1.0", "me/net@refs/pr/3"] {
            assert_eq!(Repository::parse(text).unwrap().to_string(), format!("hf:{text}"));
        }
        assert_eq!(Repository::parse("me/net@main").unwrap(), Repository::parse("me/net").unwrap());
    }

    #[test]
    fn what_names_nothing_or_leaves_the_cache_is_refused_with_its_fault() {
        let long = format!("me/{}", "n".repeat(97));
        for (text, fault) in [
            ("net", "no /"),
            ("", "no /"),
            ("/net", "empty"),
            ("me/", "empty"),
            ("me/net/model.safetensors", "more than one /"),
            ("../net", ".."),
            ("me/..", ".."),
            ("me/a--b", "--"),
            (".me/net", "begin or end"),
            ("me/net.", "begin or end"),
            ("me/n t", "alone"),
            ("me/né", "alone"),
            ("me/n\net", "alone"),
            ("me/n%2e", "alone"),
            (&long, "96"),
            ("me/net@", "empty"),
            ("me/net@../../x", "begins with ."),
            ("me/net@/etc", "empty"),
            ("me/net@a b", "alone"),
            ("me/net@a@b", "alone"),
        ] {
            let error = Repository::parse(text).unwrap_err();
            assert!(error.is_usage());
            let message = error.to_string();
            assert!(message.contains(fault) && !message.contains('\n'), "{text:?}: {message}");
        }
    }
}
