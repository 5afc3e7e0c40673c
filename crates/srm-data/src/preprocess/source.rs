//! Find the images of a folder, a zip archive, CIFAR-10 or IDX files, and read them one by one.

use crate::{
    DataError,
    map::Map,
    preprocess::{
        decode::{Background, Picture},
        records::{self, Records},
    },
};
use sha2::{Digest, Sha256};
use std::{
    fs,
    io::{Cursor, Read},
    path::{Path, PathBuf},
};
use zip::ZipArchive;

/// Endings of the image files that are read; the content decides the format.
const ENDINGS: [&str; 8] = ["png", "jpg", "jpeg", "pgm", "ppm", "pnm", "bmp", "webp"];

/// Images in their order: by name in folders and archives, as stored in CIFAR-10 and IDX files.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// The input's own name, without its folder.
    pub(crate) name: String,
    /// What it turned out to be.
    pub(crate) kind: &'static str,
    pub(crate) items: Items,
}

#[derive(Clone, Debug)]
pub(crate) enum Items {
    /// Name below the folder, and path.
    Files(Vec<(String, PathBuf)>),
    /// Name and index in the archive.
    Zip(ZipArchive<Cursor<Map>>, Vec<(String, usize)>),
    /// Raw pixels of one size.
    Records(Vec<Records>),
}

impl Source {
    /// Look at `input` and list what it holds.
    pub(crate) fn open(input: &Path) -> Result<Self, DataError> {
        let found = fs::metadata(input).map_err(DataError::io("read", input))?;
        let name = fs::canonicalize(input).unwrap_or_else(|_| input.to_owned());
        let name = name.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (kind, items) = if found.is_dir() { open_folder(input)? } else { open_file(input)? };
        Ok(Self { name, kind, items })
    }

    pub(crate) fn len(&self) -> usize {
        match &self.items {
            Items::Files(files) => files.len(),
            Items::Zip(_, entries) => entries.len(),
            Items::Records(parts) => parts.iter().map(Records::len).sum(),
        }
    }

    /// Keep the first `count` images.
    pub(crate) fn truncate(&mut self, count: usize) {
        match &mut self.items {
            Items::Files(files) => files.truncate(count),
            Items::Zip(_, entries) => entries.truncate(count),
            Items::Records(parts) => {
                let mut left = count;
                for part in parts.iter_mut() {
                    part.truncate(left);
                    left -= part.len();
                }
            }
        }
    }

    /// The image's name within the source.
    pub(crate) fn name_of(&self, index: usize) -> String {
        match &self.items {
            Items::Files(files) => files[index].0.clone(),
            Items::Zip(_, entries) => entries[index].0.clone(),
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
                let mut file =
                    fs::File::open(&files[index].1).map_err(|error| format!("it cannot be read ({error})"))?;
                file.read_to_end(buffer).map_err(|error| format!("it cannot be read ({error})"))?;
                let digest = Sha256::digest(&buffer);
                Picture::decode(buffer, background).map(|picture| (picture, Some(digest.into())))
            }
            Items::Zip(archive, entries) => {
                let damaged = |error: &dyn std::fmt::Display| format!("the archive is damaged there ({error})");
                let mut entry = archive.by_index(entries[index].1).map_err(|error| damaged(&error))?;
                entry.read_to_end(buffer).map_err(|error| damaged(&error))?; // checks the CRC
                Picture::decode(buffer, background).map(|picture| (picture, None))
            }
            Items::Records(parts) => {
                let (part, index) = records::locate(parts, index);
                Ok((part.picture(index), None))
            }
        }
    }
}

fn open_folder(folder: &Path) -> Result<(&'static str, Items), DataError> {
    let mut files = Vec::new();
    list(folder, "", &mut files)?;
    files.sort();
    let unpacked = |name: &str| name.strip_suffix(".gz").is_some_and(|twin| folder.join(twin).is_file());
    let is_part = |name: &str| records::is_cifar(name) || (records::is_idx(name) && !unpacked(name));
    let parts: Vec<_> = files.iter().filter(|(name, _)| is_part(name)).collect();
    if !parts.is_empty() {
        let kind = if records::is_cifar(&parts[0].0) { "CIFAR-10" } else { "IDX" };
        let parts = parts.iter().map(|(_, path)| Records::open(path)).collect::<Result<_, _>>()?;
        return Ok((kind, Items::Records(parts)));
    }
    let all = files.len();
    files.retain(|(name, _)| is_image(name));
    if files.is_empty() {
        return Err(DataError::NoImagesIn { path: folder.to_owned(), others: all });
    }
    Ok(("folder", Items::Files(files)))
}

/// All files below `folder` with their names relative to it, hidden ones left out.
fn list(folder: &Path, prefix: &str, files: &mut Vec<(String, PathBuf)>) -> Result<(), DataError> {
    for entry in fs::read_dir(folder).map_err(DataError::io("read", folder))? {
        let entry = entry.map_err(DataError::io("read", folder))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        // follows links; one that leads nowhere is listed as a file and refused on reading
        match fs::metadata(entry.path()) {
            Ok(data) if data.is_dir() => list(&entry.path(), &format!("{prefix}{name}/"), files)?,
            _ => files.push((format!("{prefix}{name}"), entry.path())),
        }
    }
    Ok(())
}

fn is_image(name: &str) -> bool {
    let file = name.rsplit('/').next().unwrap_or(name);
    let ending = file.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    !file.starts_with('.') && ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str()))
}

fn open_file(path: &Path) -> Result<(&'static str, Items), DataError> {
    let not_a_source = |got: String| DataError::NotASource { path: path.to_owned(), got };
    let map = Map::open(path)?;
    let bytes = map.as_ref();
    if bytes.is_empty() {
        return Err(not_a_source("an empty file (0 bytes)".into()));
    }
    if bytes.starts_with(b"PK") {
        let damaged =
            |error: zip::result::ZipError| not_a_source(format!("a damaged or cut off zip archive ({error})"));
        let archive = ZipArchive::new(Cursor::new(map)).map_err(damaged)?;
        let mut entries = Vec::new();
        for (index, name) in archive.file_names().enumerate() {
            let name = name.map_err(damaged)?;
            if is_image(&name) && !name.starts_with("__MACOSX/") {
                entries.push((name.into_owned(), index));
            }
        }
        entries.sort();
        if entries.is_empty() {
            return Err(DataError::NoImagesIn { path: path.to_owned(), others: archive.len() });
        }
        return Ok(("zip", Items::Zip(archive, entries)));
    }
    let beginning = String::from_utf8_lossy(&bytes[..bytes.len().min(256)]).trim_start().to_ascii_lowercase();
    if beginning.starts_with("<!doctype") || beginning.starts_with("<html") {
        return Err(not_a_source(
            "a web page, perhaps what a server sent instead of the data; download it again".into(),
        ));
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if records::is_idx(&name) || records::beginning(bytes) == records::IDX_IMAGES {
        return Ok(("IDX", Items::Records(vec![Records::open(path)?])));
    }
    if bytes.starts_with(&records::GZIP) {
        return Ok(("CIFAR-10", Items::Records(Records::open_tar(path)?)));
    }
    if records::is_cifar(&name) {
        return Ok(("CIFAR-10", Items::Records(vec![Records::open(path)?])));
    }
    Err(not_a_source("something else".into()))
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
        let mut source = Source::open(folder.path()).unwrap();
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
        let source = Source::open(&path).unwrap();
        assert_eq!((source.kind, names(&source)), ("zip", vec!["d/1.jpg".to_owned(), "d/2.jpg".to_owned()]));
    }

    #[test]
    fn what_holds_no_images_says_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let message = |path: &Path| Source::open(path).unwrap_err().to_string();
        assert!(message(folder.path()).contains("is empty"), "{}", message(folder.path()));
        assert!(message(&folder.path().join("gone")).contains("cannot read"));
        let path = folder.path().join("x.zip");
        for (content, expected) in [
            ("", "0 bytes"),
            ("<!DOCTYPE html>", "web page"),
            ("PK\x03\x04", "cut off zip"),
            ("words", "something else"),
        ] {
            fs::write(&path, content).unwrap();
            assert!(message(&path).contains(expected), "{}", message(&path));
        }
        assert!(message(folder.path()).contains("1 other file"), "{}", message(folder.path()));
    }
}
