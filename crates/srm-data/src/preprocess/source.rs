//! Find the pictures of a folder or archive, CIFAR-10 or IDX files, and read them one by one.

use crate::{
    DataError,
    map::Map,
    preprocess::{
        archive::{self, TarContent, TarEntries, ZipEntries},
        decode::{Background, Picture},
        listing::{self, LeftOut, Tally},
        records::{self, Records},
    },
};
use sha2::{Digest, Sha256};
use srm_files::{Kind, identify};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Images in their order: by name in folders and archives, as stored in CIFAR-10 and IDX files.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// The input's own name, without its folder.
    pub(crate) name: String,
    /// What it turned out to be.
    pub(crate) kind: &'static str,
    pub(crate) items: Items,
    /// What is not taken of a folder or archive.
    pub(crate) left_out: Vec<LeftOut>,
}

#[derive(Clone, Debug)]
pub(crate) enum Items {
    /// Name below the folder, and path.
    Files(Vec<(String, PathBuf)>),
    /// Name and index in the archive.
    Zip(archive::Zip, ZipEntries),
    /// The bytes in which the entries lie, name and place.
    Tar(Map, TarEntries),
    /// Raw pixels of one size.
    Records(Vec<Records>),
}

impl Source {
    /// Look at `input` and list what it holds. The pictures of a packed tar are unpacked into a nameless file in
    /// `scratch`.
    pub(crate) fn open(input: &Path, scratch: &Path) -> Result<Self, DataError> {
        let found = fs::metadata(input).map_err(DataError::io("read", input))?;
        let name = fs::canonicalize(input).unwrap_or_else(|_| input.to_owned());
        let name = name.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (kind, items, left_out) = if found.is_dir() { open_folder(input)? } else { open_file(input, scratch)? };
        let source = Self { name, kind, items, left_out };
        match source.len() {
            0 => Err(DataError::NoImagesIn { path: input.to_owned(), left_out: source.left_out }),
            _ => Ok(source),
        }
    }

    pub(crate) fn len(&self) -> usize {
        match &self.items {
            Items::Files(files) => files.len(),
            Items::Zip(_, entries) => entries.len(),
            Items::Tar(_, entries) => entries.len(),
            Items::Records(parts) => parts.iter().map(Records::len).sum(),
        }
    }

    /// Keep the first `count` images.
    pub(crate) fn truncate(&mut self, count: usize) {
        match &mut self.items {
            Items::Files(files) => files.truncate(count),
            Items::Zip(_, entries) => entries.truncate(count),
            Items::Tar(_, entries) => entries.truncate(count),
            Items::Records(parts) => {
                let mut left = count;
                for part in parts.iter_mut() {
                    part.truncate(left);
                    left -= part.len();
                }
            }
        }
    }

    /// Keep the pictures whose names satisfy `belongs`, and the files of raw images.
    pub(crate) fn retain(&mut self, belongs: impl Fn(&str) -> bool) {
        match &mut self.items {
            Items::Files(files) => files.retain(|(name, _)| belongs(name)),
            Items::Zip(_, entries) => entries.retain(|(name, _)| belongs(name)),
            Items::Tar(_, entries) => entries.retain(|(name, _)| belongs(name)),
            Items::Records(parts) => parts.retain(|part| belongs(part.name())),
        }
    }

    /// The image's name within the source.
    pub(crate) fn name_of(&self, index: usize) -> String {
        match &self.items {
            Items::Files(files) => files[index].0.clone(),
            Items::Zip(_, entries) => entries[index].0.clone(),
            Items::Tar(_, entries) => entries[index].0.clone(),
            Items::Records(parts) => {
                let (part, index) = records::locate(parts, index);
                format!("{} image {index}", part.name())
            }
        }
    }

    /// Read and decode one image, `buffer` being any vector, kept to save allocations. Returns also the SHA-256 of the
    /// file where the source is a folder of images.
    pub(crate) fn read(
        &mut self,
        index: usize,
        background: Background,
        buffer: &mut Vec<u8>,
    ) -> Result<(Picture, Option<[u8; 32]>), String> {
        buffer.clear();
        match &mut self.items {
            Items::Files(files) => {
                let unread = |error| format!("it cannot be read ({error})");
                let file = fs::File::open(&files[index].1).map_err(unread)?;
                archive::read_all(file, buffer)?.map_err(unread)?;
                let digest = Sha256::digest(&buffer);
                Picture::decode(buffer, background).map(|picture| (picture, Some(digest.into())))
            }
            Items::Zip(zip, entries) => {
                archive::read_entry(zip, entries[index].1, buffer)?;
                Picture::decode(buffer, background).map(|picture| (picture, None))
            }
            Items::Tar(map, entries) => {
                let bytes = map.as_ref().get(entries[index].1.clone()).ok_or("the archive is cut off there")?;
                Picture::decode(bytes, background).map(|picture| (picture, None))
            }
            Items::Records(parts) => {
                let (part, index) = records::locate(parts, index);
                Ok((part.picture(index), None))
            }
        }
    }
}

/// What [`preprocess()`](crate::preprocess()) would take of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// zip, tar, folder, picture, CIFAR-10 or IDX.
    pub kind: &'static str,
    /// Whether it holds picture files rather than raw images of one size.
    pub pictures: bool,
    /// Images in it; none of them is decoded.
    pub count: usize,
    /// What is not taken.
    pub left_out: Vec<LeftOut>,
}

/// Look at what [`preprocess()`](crate::preprocess()) would take of `input`. A packed tar is unpacked for a moment in the
/// system's temporary folder.
///
/// # Errors
/// [`DataError::Io`], [`DataError::NotASource`], [`DataError::NoImagesIn`].
pub fn survey(input: &Path) -> Result<Survey, DataError> {
    let source = Source::open(input, &std::env::temp_dir())?;
    let pictures = !matches!(source.items, Items::Records(_));
    Ok(Survey { kind: source.kind, pictures, count: source.len(), left_out: source.left_out })
}

/// What was found, its images, and what is left out.
type Found = (&'static str, Items, Vec<LeftOut>);

fn open_folder(folder: &Path) -> Result<Found, DataError> {
    if identify(folder) == Some(Kind::Lmdb) {
        return Err(DataError::NotASource { path: folder.to_owned(), got: Kind::Lmdb.to_string() });
    }
    let mut tally = Tally::default();
    let mut files = listing::walk(folder, &mut tally)?;
    let unpacked = |name: &str| name.strip_suffix(".gz").is_some_and(|twin| folder.join(twin).is_file());
    let is_part = |name: &str| records::is_cifar(name) || (records::is_idx(name) && !unpacked(name));
    let parts: Vec<_> = files.iter().filter(|(name, _)| is_part(name)).collect();
    if !parts.is_empty() {
        let kind = if records::is_cifar(&parts[0].0) { "CIFAR-10" } else { "IDX" };
        let parts = parts.iter().map(|(_, path)| Records::open(path)).collect::<Result<_, _>>()?;
        return Ok((kind, Items::Records(parts), Vec::new()));
    }
    let first = files.first().cloned();
    files.retain(|(name, _)| tally.takes(name));
    if files.is_empty()
        && let Some((name, path)) = first
        && let Some(kind) = identify(&path).filter(|kind| *kind != Kind::Text)
    {
        let got = format!("a folder without pictures; {name} in it is {kind}");
        return Err(DataError::NotASource { path: folder.to_owned(), got });
    }
    Ok(("folder", Items::Files(files), tally.list()))
}

fn open_file(path: &Path, scratch: &Path) -> Result<Found, DataError> {
    let not_a_source = |got: String| DataError::NotASource { path: path.to_owned(), got };
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let kind = identify(path);
    match kind {
        Some(Kind::Empty | Kind::WebPage | Kind::LfsPointer) => {}
        _ if records::is_cifar(&name) => {
            return Ok(("CIFAR-10", Items::Records(vec![Records::open(path)?]), Vec::new()));
        }
        _ if records::is_idx(&name) || kind == Some(Kind::Idx) => {
            return Ok(("IDX", Items::Records(vec![Records::open(path)?]), Vec::new()));
        }
        Some(Kind::Zip) => {
            let (archive, entries, left_out) = archive::list_zip(path, Map::open(path)?)?;
            return Ok(("zip", Items::Zip(archive, entries), left_out));
        }
        Some(Kind::Tar) => {
            return Ok(match archive::list_tar(path, Map::open(path)?, scratch)? {
                TarContent::Cifar(parts) => ("CIFAR-10", Items::Records(parts), Vec::new()),
                TarContent::Pictures(map, entries, left_out) => ("tar", Items::Tar(map, entries), left_out),
            });
        }
        // whatever it holds: reading says what is wrong with it
        _ if matches!(kind, Some(Kind::Picture(_))) || (kind.is_none() && listing::is_picture(&name)) => {
            return Ok(("picture", Items::Files(vec![(name, path.to_owned())]), Vec::new()));
        }
        _ => {}
    }
    Err(not_a_source(kind.map_or_else(|| "no file of a known kind".to_owned(), |kind| kind.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use zip::{ZipWriter, write::SimpleFileOptions};

    #[test]
    fn folders_and_archives_list_images_by_name() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("b")).unwrap();
        for name in ["c.JPG", "b/a.png", "a.webp", ".hidden.png", "notes.txt"] {
            fs::write(folder.path().join(name), b"x").unwrap();
        }
        let open = |path: &Path| Source::open(path, folder.path());
        let mut source = open(folder.path()).unwrap();
        let names = |source: &Source| (0..source.len()).map(|i| source.name_of(i)).collect::<Vec<_>>();
        assert_eq!(names(&source), ["a.webp", "b/a.png", "c.JPG"]);
        source.truncate(2);
        assert_eq!(source.len(), 2);

        let path = folder.path().join("x.zip");
        let mut zip = ZipWriter::new(fs::File::create(&path).unwrap());
        for name in ["d/2.jpg", "d/1.jpg", "__MACOSX/d/._1.jpg", "readme"] {
            zip.start_file(name, SimpleFileOptions::default()).unwrap();
            zip.write_all(b"x").unwrap();
        }
        zip.finish().unwrap();
        let source = open(&path).unwrap();
        assert_eq!((source.kind, names(&source)), ("zip", vec!["d/1.jpg".to_owned(), "d/2.jpg".to_owned()]));
    }

    #[test]
    fn what_holds_no_images_says_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let message = |path: &Path| Source::open(path, folder.path()).unwrap_err().to_string();
        assert!(message(folder.path()).contains("is empty"), "{}", message(folder.path()));
        assert!(message(&folder.path().join("gone")).contains("cannot read"));
        let path = folder.path().join("x.zip");
        for (content, expected) in [
            ("", "0 bytes"),
            ("<!DOCTYPE html>", "web page"),
            ("PK\x03\x04", "cut off zip"),
            ("words", "a text file"),
            ("\x07\x07", "no file of a known kind"),
        ] {
            fs::write(&path, content).unwrap();
            assert!(message(&path).contains(expected), "{}", message(&path));
        }
        assert!(message(folder.path()).contains("only 1 .zip (x.zip)"), "{}", message(folder.path()));
    }
}
