//! Decide by name which files of a folder or archive are pictures, walk folders, and note what is left out.

use crate::DataError;
use serde::{Deserialize, Serialize};
use srm_files::{Kind, identify_name};
use std::{
    collections::{BTreeMap, HashSet},
    fmt, fs,
    path::{Path, PathBuf},
};

/// Endings of the picture files that are taken, in any case; the content decides the format.
const ENDINGS: [&str; 17] = [
    "png", "apng", "jpg", "jpeg", "jpe", "jfif", "jif", "jfi", "mpo", "pbm", "pgm", "ppm", "pnm", "pam", "bmp", "dib",
    "webp",
];
/// Names that stand for all of one kind in [`LeftOut`].
const EXAMPLES: usize = 3;
/// Kinds that one line shows.
const SHOWN: usize = 6;

/// Files of one kind that were left out of a folder or archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// The ending with its point (`.gif`), or why: `hidden`, `without an ending`, `links to files taken already`, …
    pub what: String,
    /// How many. A hidden folder counts once.
    pub count: usize,
    /// The first few names.
    pub examples: Vec<String>,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more = if self.count > self.examples.len() { ", …" } else { "" };
        write!(f, "{} {} ({}{more})", self.count, self.what, self.examples.join(", "))
    }
}

impl LeftOut {
    /// The kinds in one line, of many those with most files: `3 .gif (a.gif, b.gif, c.gif), 1 hidden (.x)`.
    pub fn text(kinds: &[Self]) -> String {
        let mut kinds: Vec<&Self> = kinds.iter().collect();
        if kinds.len() > SHOWN {
            kinds.sort_by_key(|kind| std::cmp::Reverse(kind.count));
        }
        let mut texts: Vec<String> = kinds.iter().take(SHOWN).map(ToString::to_string).collect();
        match kinds.iter().skip(SHOWN).map(|kind| kind.count).sum::<usize>() {
            0 => {}
            others => texts.push(format!("{others} of {} other kinds", kinds.len() - SHOWN)),
        }
        texts.join(", ")
    }

    /// The line that helps where pictures of formats that are not read are among them.
    pub fn conversion(kinds: &[Self]) -> Option<String> {
        let foreign = |kind: &&Self| matches!(identify_name(Path::new(&kind.what)), Some(Kind::ForeignPicture(_)));
        let kind = kinds.iter().find(foreign)?;
        Some(format!(
            "{} is not read: convert such pictures, e.g. `magick mogrify -format png *{}`",
            kind.what, kind.what
        ))
    }
}

/// Counts what is left out.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    kinds: BTreeMap<String, LeftOut>,
    hidden: HashSet<String>,
}

impl Tally {
    pub(crate) fn add(&mut self, what: &str, name: &str) {
        let empty = || LeftOut { what: what.to_owned(), count: 0, examples: Vec::new() };
        let kind = self.kinds.entry(what.to_owned()).or_insert_with(empty);
        kind.count += 1;
        if kind.examples.len() < EXAMPLES {
            kind.examples.push(name.to_owned());
        }
    }

    /// Whether the file of this name within an archive is hidden or lies in a hidden folder, which then counts once.
    pub(crate) fn hides(&mut self, name: &str) -> bool {
        let Some(hidden) = hidden_part(name) else { return false };
        if self.hidden.insert(hidden.to_owned()) {
            self.add("hidden", hidden);
        }
        true
    }

    /// Whether the file of this name is a picture; if not, it counts by its ending.
    pub(crate) fn takes(&mut self, name: &str) -> bool {
        let taken = is_picture(name);
        if !taken {
            match ending(name) {
                Some(ending) => self.add(&format!(".{ending}"), name),
                None => self.add("without an ending", name),
            }
        }
        taken
    }

    pub(crate) fn list(self) -> Vec<LeftOut> {
        self.kinds.into_values().collect()
    }
}

/// Whether a file of this name is taken as a picture, whatever folder it lies in.
pub(crate) fn is_picture(name: &str) -> bool {
    ending(name).is_some_and(|ending| ENDINGS.contains(&ending.as_str()))
}

/// The name without its folders.
pub(crate) fn file_name(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

fn ending(name: &str) -> Option<String> {
    file_name(name).rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase())
}

/// The name up to its first hidden part: one that begins with a point, or what macOS adds to archives.
fn hidden_part(name: &str) -> Option<&str> {
    let mut end = 0;
    for part in name.split('/') {
        end += part.len();
        if is_hidden(part) {
            return Some(&name[..end]);
        }
        end += 1;
    }
    None
}

fn is_hidden(part: &str) -> bool {
    part == "__MACOSX" || (part.starts_with('.') && part != "." && part != "..")
}

/// All files below `folder` with their names relative to it, sorted, each real file once.
///
/// Links are followed, after all that is no link, so that a file has its own name rather than a link's. A folder that
/// was walked already, such as one that a link leads back to, is not walked again. A link that leads nowhere is listed
/// as a file, and refused on reading. Hard links are files of their own.
pub(crate) fn walk(folder: &Path, tally: &mut Tally) -> Result<Vec<(String, PathBuf)>, DataError> {
    let mut walk = Walk { tally, seen: HashSet::new(), links: Vec::new(), files: Vec::new() };
    walk.folder(folder, "")?;
    while !walk.links.is_empty() {
        let mut links = std::mem::take(&mut walk.links);
        links.sort();
        for (name, path) in links {
            walk.link(name, path)?;
        }
    }
    walk.files.sort();
    Ok(walk.files)
}

struct Walk<'a> {
    tally: &'a mut Tally,
    /// Folders walked and files taken, by their real paths.
    seen: HashSet<PathBuf>,
    /// Links still to follow.
    links: Vec<(String, PathBuf)>,
    files: Vec<(String, PathBuf)>,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &Path, prefix: &str) -> Result<(), DataError> {
        let real = fs::canonicalize(folder).map_err(DataError::io("read", folder))?;
        if !self.seen.insert(real.clone()) {
            self.tally.add("links to folders taken already", prefix.trim_end_matches('/'));
            return Ok(());
        }
        for entry in fs::read_dir(folder).map_err(DataError::io("read", folder))? {
            let entry = entry.map_err(DataError::io("read", folder))?;
            let part = entry.file_name();
            let name = format!("{prefix}{}", part.to_string_lossy());
            let kind = entry.file_type().map_err(DataError::io("read", folder))?;
            if is_hidden(&part.to_string_lossy()) {
                self.tally.add("hidden", &name);
            } else if kind.is_symlink() {
                self.links.push((name, entry.path()));
            } else if kind.is_dir() {
                self.folder(&entry.path(), &format!("{name}/"))?;
            } else {
                self.file(name, entry.path(), real.join(part), kind.is_file());
            }
        }
        Ok(())
    }

    fn link(&mut self, name: String, path: PathBuf) -> Result<(), DataError> {
        match (fs::metadata(&path), fs::canonicalize(&path)) {
            (Ok(found), _) if found.is_dir() => self.folder(&path, &format!("{name}/"))?,
            (Ok(found), Ok(real)) => self.file(name, path, real, found.is_file()),
            _ => self.files.push((name, path)),
        }
        Ok(())
    }

    fn file(&mut self, name: String, path: PathBuf, real: PathBuf, regular: bool) {
        if !regular {
            self.tally.add("pipes, sockets or devices", &name); // reading one may wait for ever
        } else if self.seen.insert(real) {
            self.files.push((name, path));
        } else {
            self.tally.add("links to files taken already", &name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn every_usual_ending_of_a_read_format_is_taken_in_any_case() {
        for ending in ENDINGS {
            assert!(is_picture(&format!("a/b.c.{ending}")) && is_picture(&format!("X.{}", ending.to_uppercase())));
        }
        let mut tally = Tally::default();
        for name in ["a.gif", "b.GIF", "c/d.gif", "e.gif", "f.tif", "README", "g.png"] {
            assert_eq!(tally.takes(name), name == "g.png");
        }
        let text: Vec<String> = tally.list().iter().map(ToString::to_string).collect();
        assert_eq!(text, ["4 .gif (a.gif, b.GIF, c/d.gif, …)", "1 .tif (f.tif)", "1 without an ending (README)"]);
    }

    #[test]
    fn what_is_hidden_counts_once_by_its_highest_part() {
        let mut tally = Tally::default();
        for (name, hidden) in [
            ("__MACOSX/img/._1.png", true),
            ("__MACOSX/img/._2.png", true),
            ("img/.cache/a.png", true),
            ("img/._1.png", true),
            (".hidden.png", true),
            ("./img/1.png", false),
            ("../img/1.png", false),
            ("img/1.png", false),
        ] {
            assert_eq!(tally.hides(name), hidden, "{name}");
        }
        let list = tally.list();
        assert_eq!((list[0].what.as_str(), list[0].count), ("hidden", 4));
        assert_eq!(list[0].examples, ["__MACOSX", "img/.cache", "img/._1.png"]);
    }

    #[test]
    fn each_real_file_is_listed_once_whatever_links_there_are() {
        let place = tempfile::tempdir().unwrap();
        let (folder, elsewhere) = (place.path().join("photos"), place.path().join("more"));
        fs::create_dir_all(folder.join("sub/.cache")).unwrap();
        fs::create_dir(&elsewhere).unwrap();
        for path in ["photos/b.png", "photos/sub/c.png", "photos/.d.png", "more/e.png"] {
            fs::write(place.path().join(path), b"x").unwrap();
        }
        symlink(".", folder.join("all")).unwrap(); // back to the folder
        symlink("..", folder.join("sub/up")).unwrap();
        symlink("b.png", folder.join("a.png")).unwrap(); // before its file by name
        symlink("../more", folder.join("m1")).unwrap(); // two links to one folder elsewhere
        symlink("../more", folder.join("m2")).unwrap();
        symlink("../photos", elsewhere.join("round")).unwrap();
        symlink("gone.png", folder.join("z.png")).unwrap();
        let mut tally = Tally::default();
        let names: Vec<_> = walk(&folder, &mut tally).unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["b.png", "m1/e.png", "sub/c.png", "z.png"]);
        let left_out: Vec<_> = tally.list().into_iter().map(|kind| (kind.what, kind.count)).collect();
        assert_eq!(
            left_out,
            [
                ("hidden".to_owned(), 2),
                ("links to files taken already".to_owned(), 1),
                ("links to folders taken already".to_owned(), 4)
            ]
        );
    }
}
