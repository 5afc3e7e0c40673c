//! Zip and tar archives are listed alike, and what cannot be read of them is named.

use super::*;
use crate::preprocess::{
    decode::{Background, Picture},
    source::Source,
};
use flate2::{Compression, write::GzEncoder};
use std::fs;
use zip::{ZipWriter, write::SimpleFileOptions};

/// A grey picture of one pixel.
fn pgm(level: u8) -> Vec<u8> {
    [b"P5\n1 1\n255\n", &[level][..]].concat()
}

/// Names and contents as somebody packs them on a Mac, and on Windows in the case of the zip.
fn files(separator: &str) -> Vec<(String, Vec<u8>)> {
    let name = |name: &str| name.replace('/', separator);
    vec![
        (name("img/b.PGM"), pgm(2)),
        (name("img/a.pgm"), pgm(1)),
        (name("img/._a.pgm"), vec![0; 3]),
        (name("__MACOSX/img/._a.pgm"), vec![0; 3]),
        (name("__MACOSX/img/._b.pgm"), vec![0; 3]),
        (name("img/.cache/c.pgm"), pgm(9)),
        (name("img/d.gif"), b"GIF89a".to_vec()),
    ]
}

fn write_zip(path: &Path, separator: &str) {
    let mut zip = ZipWriter::new(File::create(path).unwrap());
    for (name, bytes) in files(separator) {
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        zip.write_all(&bytes).unwrap();
    }
    zip.finish().unwrap();
}

fn tar() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in [("img/b.PGM".to_owned(), pgm(7))].into_iter().chain(files("/")) {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, format!("./{name}"), &bytes[..]).unwrap();
    }
    tar.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn levels(source: &Source) -> Vec<(String, u8)> {
    let read = |index: usize| {
        let (picture, _): (Picture, _) = source.clone().read(index, Background::White, &mut Vec::new()).unwrap();
        (source.name_of(index), picture.pixels[0])
    };
    (0..source.len()).map(read).collect()
}

#[test]
fn folders_zips_and_tars_give_the_same_pictures_and_leave_the_same_out() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("folder");
    for (name, bytes) in files("/") {
        fs::create_dir_all(folder.join(&name).parent().unwrap()).unwrap();
        fs::write(folder.join(name), bytes).unwrap();
    }
    let path = |name: &str| place.path().join(name);
    write_zip(&path("x.zip"), "/");
    write_zip(&path("windows.zip"), "\\");
    fs::write(path("x.tar"), tar()).unwrap();
    fs::write(path("x.tgz"), gzip(&tar())).unwrap();
    let before = fs::read_dir(place.path()).unwrap().count();
    for name in ["folder", "x.zip", "windows.zip", "x.tar", "x.tgz"] {
        let source = Source::open(&path(name), place.path()).unwrap();
        let expected = [("img/a.pgm".to_owned(), 1), ("img/b.PGM".to_owned(), 2)];
        assert_eq!(levels(&source), expected, "{name}");
        let left_out: Vec<_> = source.left_out.iter().map(|kind| (kind.what.as_str(), kind.count)).collect();
        let twice = name.starts_with("x.t").then_some(("earlier entries of the same name", 1));
        let expected: Vec<_> = [(".gif", 1)].into_iter().chain(twice).chain([("hidden", 3)]).collect();
        assert_eq!(left_out, expected, "{name}");
    }
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), before, "what is unpacked has no name");
}

#[test]
fn damaged_archives_and_bombs_are_refused() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("x.tar.gz");
    let message = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        Source::open(&path, place.path()).unwrap_err().to_string()
    };
    let packed = gzip(&tar());
    assert!(message(&packed[..packed.len() - 30]).contains("damaged or cut off"), "{}", message(&packed[..99]));
    assert!(message(&tar()[..3000]).contains("damaged or cut off"), "{}", message(&tar()[..3000]));
    assert!(message(&gzip(b"words")).contains("packed with gzip: unpack it"));

    // entries that claim two GB and the largest number there can be, of which a few bytes are there
    for claimed in [2_u64 << 30, u64::MAX >> 1] {
        let mut header = tar::Header::new_gnu();
        header.set_path("a.pgm").unwrap();
        header.set_size(claimed);
        header.set_cksum();
        let archive = [header.as_bytes(), &pgm(1)[..]].concat();
        let text = message(&gzip(&archive));
        assert!(text.contains("take more than") || text.contains("damaged or cut off"), "{text}");
        fs::write(&path, &archive).unwrap();
        match Source::open(&path, place.path()) {
            Ok(mut source) => {
                let reason = source.read(0, Background::White, &mut Vec::new()).unwrap_err();
                assert!(reason.contains("cut off"), "{reason}");
            }
            Err(error) => assert!(error.to_string().contains("damaged or cut off"), "{error}"),
        }
    }
}

#[test]
fn entries_that_need_another_program_say_which() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("x.zip");
    write_zip(&path, "/");
    let sound = fs::read(&path).unwrap();
    // in every header, local and central: where the flags stand, the method after them
    let patched = |flags: u16, method: u16| {
        let mut bytes = sound.clone();
        for (mark, at) in [(b"PK\x03\x04", 6), (b"PK\x01\x02", 8)] {
            let starts: Vec<_> = (0..bytes.len() - 4).filter(|&i| bytes[i..].starts_with(mark)).collect();
            for start in starts {
                bytes[start + at..start + at + 2].copy_from_slice(&flags.to_le_bytes());
                bytes[start + at + 2..start + at + 4].copy_from_slice(&method.to_le_bytes());
            }
        }
        fs::write(&path, bytes).unwrap();
        Source::open(&path, place.path()).unwrap_err().to_string()
    };
    for (flags, method, expected) in [
        (0, 9, "compressed with Deflate64, which is not read: unpack the archive (`7z x FILE`)"),
        (0, 14, "compressed with LZMA"),
        (0, 93, "compressed with Zstandard"),
        (0, 77, "compressed with another method"),
        (1, 8, "protected by a password: unpack the archive"),
    ] {
        let text = patched(flags, method);
        assert!(text.contains(expected), "{text}");
    }
}
