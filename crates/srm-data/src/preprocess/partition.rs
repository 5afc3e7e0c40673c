//! Read the list that says which photo is for training, validation or test, in the forms in which it goes around.

use crate::{
    DataError,
    preprocess::{Split, listing::file_name},
};
use srm_files::{BEGINNING, Kind, identify, identify_bytes};
use std::{collections::HashMap, fs, path::Path};

/// Letters of a bad line that are shown.
const SHOWN: usize = 60;

/// A part for each photo: by name, and by name without its ending, for photos that were converted.
pub(crate) struct PartitionList {
    names: HashMap<String, Split>,
    /// None where photos of one stem are in different parts.
    stems: HashMap<String, Option<Split>>,
}

impl PartitionList {
    /// Read `000001.jpg 0` a line, or the CSV of Kaggle with its header: fields set apart by spaces, tabs, commas or
    /// semicolons, in quotes or not; any line ends; UTF-8 or UTF-16, with or without a byte order mark.
    pub(crate) fn read(path: &Path) -> Result<Self, DataError> {
        let bytes = fs::read(path).map_err(DataError::io("read", path))?;
        let no_list = || {
            let kind = identify(path).filter(|kind| *kind != Kind::Text);
            let got = kind.map_or_else(|| "bytes that are no text".to_owned(), |kind| kind.to_string());
            DataError::NoPartition { path: path.to_owned(), got }
        };
        let text = decode(&bytes).ok_or_else(no_list)?;
        if identify_bytes(&bytes[..bytes.len().min(BEGINNING)]) == Some(Kind::WebPage) {
            return Err(no_list());
        }
        let mut list = Self { names: HashMap::new(), stems: HashMap::new() };
        let mut header = true;
        for (i, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            match fields(line) {
                Some((name, part)) => list.insert(&name.replace('\\', "/"), part),
                None if header && line.contains("partition") => {}
                None => {
                    let text = line.chars().take(SHOWN).collect();
                    return Err(DataError::BadPartition { path: path.to_owned(), line: i + 1, text });
                }
            }
            header = false;
        }
        Ok(list)
    }

    fn insert(&mut self, name: &str, part: Split) {
        let kept = self.stems.entry(stem(name).to_owned()).or_insert(Some(part));
        *kept = kept.filter(|kept| *kept == part);
        self.names.insert(name.to_owned(), part);
    }

    /// The part of the photo of this name within its source: listed so, by its file name, or with another ending.
    pub(crate) fn part_of(&self, name: &str) -> Option<Split> {
        let listed = self.names.get(name).or_else(|| self.names.get(file_name(name))).copied();
        listed.or_else(|| self.stems.get(stem(name)).copied().flatten())
    }
}

/// The file's name without its ending.
fn stem(name: &str) -> &str {
    let name = file_name(name);
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

/// Name and part of a line. A name may hold spaces; the part is the last field.
fn fields(line: &str) -> Option<(&str, Split)> {
    let separators: fn(char) -> bool = match line.contains([',', ';', '\t']) {
        true => |letter| matches!(letter, ',' | ';' | '\t'),
        false => char::is_whitespace,
    };
    let (name, part) = line.trim().rsplit_once(separators)?;
    let part = match bare(part) {
        "0" | "train" => Split::Train,
        "1" | "valid" | "val" => Split::Valid,
        "2" | "test" => Split::Test,
        _ => return None,
    };
    let name = bare(name);
    (!name.is_empty()).then_some((name, part))
}

fn bare(field: &str) -> &str {
    field.trim().trim_matches('"')
}

/// Text by its byte order mark, without it; UTF-8 where there is none.
fn decode(bytes: &[u8]) -> Option<String> {
    let wide = |rest: &[u8], unit: fn([u8; 2]) -> u16| {
        let (pairs, _) = rest.as_chunks::<2>();
        String::from_utf16(&pairs.iter().map(|&pair| unit(pair)).collect::<Vec<_>>()).ok()
    };
    let text = match bytes {
        [0xFF, 0xFE, rest @ ..] => wide(rest, u16::from_le_bytes)?,
        [0xFE, 0xFF, rest @ ..] => wide(rest, u16::from_be_bytes)?,
        [0xEF, 0xBB, 0xBF, rest @ ..] => std::str::from_utf8(rest).ok()?.to_owned(),
        _ => std::str::from_utf8(bytes).ok()?.to_owned(),
    };
    (!text.contains('\0')).then(|| text.replace("\r\n", "\n").replace('\r', "\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<PartitionList, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list.txt");
        fs::write(&path, bytes).unwrap();
        PartitionList::read(&path).map_err(|error| error.to_string())
    }

    fn parts(bytes: &[u8]) -> [Option<Split>; 3] {
        let list = read(bytes).unwrap();
        ["1.jpg", "2.jpg", "3.jpg"].map(|name| list.part_of(&format!("img/{name}")))
    }

    #[test]
    fn every_form_of_the_list_says_the_same() {
        let expected = [Some(Split::Train), Some(Split::Valid), Some(Split::Test)];
        let plain = "1.jpg 0\n2.jpg 1\n3.jpg 2\n";
        let kaggle = "image_id,partition\r\n1.jpg,0\r\n2.jpg,1\r\n3.jpg,2";
        let utf16 = |mark: char, unit: fn(u16) -> [u8; 2]| -> Vec<u8> {
            format!("{mark}{plain}").encode_utf16().flat_map(unit).collect()
        };
        for bytes in [
            plain.as_bytes(),
            kaggle.as_bytes(),
            b"\xEF\xBB\xBF1.jpg 0\n2.jpg 1\n3.jpg 2\n",
            b"\xEF\xBB\xBFimage_id,partition\n1.jpg,0\n2.jpg,1\n3.jpg,2\n",
            b"1.jpg\t0\r2.jpg\t1\r3.jpg\t2\r",
            b"\n  1.jpg   0  \n\n2.jpg 1\n3.jpg 2",
            b"\"image_id\";\"partition\"\n\"1.jpg\";\"0\"\n\"2.jpg\"; 1\n\"3.jpg\";2\n",
            b"1.jpg train\n2.jpg val\n3.jpg test\n",
            &utf16('\u{feff}', u16::to_le_bytes),
            &utf16('\u{feff}', u16::to_be_bytes),
        ] {
            assert_eq!(parts(bytes), expected, "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn names_match_with_their_folder_without_it_or_with_another_ending() {
        let list = read(b"a/1.jpg 0\nb/1.jpg 2\n7.jpg 1\nmy photo.jpg 2\n").unwrap();
        for (name, part) in [
            ("a/1.jpg", Some(Split::Train)),
            ("b/1.jpg", Some(Split::Test)),
            ("c/1.png", None), // two of this stem, in different parts
            ("img/7.png", Some(Split::Valid)),
            ("img/my photo.jpg", Some(Split::Test)),
            ("8.png", None),
        ] {
            assert_eq!(list.part_of(name), part, "{name}");
        }
    }

    #[test]
    fn what_is_no_list_is_named() {
        let reason = |bytes: &[u8]| read(bytes).err().unwrap();
        assert!(reason(b"1.jpg 0\n2.jpg three\n").contains("list.txt:2 is \"2.jpg three\""));
        assert!(reason(b"1.jpg\n").contains("list.txt:1"));
        assert!(reason(b"1.jpg 0\nimage_id,partition\n").contains("list.txt:2"));
        assert!(reason(b"<!DOCTYPE html>\n<p>").contains("a web page"));
        assert!(reason(b"PK\x03\x04\xFF\0").contains("a zip archive"));
    }
}
