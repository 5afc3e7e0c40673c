//! Hand in a folder, a zip or a tar of pictures to `cargo xtask preprocess`.

use super::{Door, clear, file, no_mending, pictures};
use crate::formats::{mend_tar, mend_zip, zip_end};
use crate::{Dice, mutate::change_bytes};
use flate2::{Compression, write::GzEncoder};
use srm_data::{Crop, PreprocessOptions, preprocess};
use std::io::{Cursor, Write};
use std::path::Path;
use std::sync::LazyLock;
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

/// Side of the finished images.
const SIDE: usize = 4;
/// A label and the three planes of one of CIFAR-10's images.
pub(super) const CIFAR_RECORD: usize = 3073;

/// A picture to put into folders and archives.
static PICTURE: LazyLock<Vec<u8>> = LazyLock::new(|| pictures::seeds().swap_remove(0));

pub(super) const FOLDERS: Door = Door {
    name: "folders",
    what: "a folder of pictures with folders, links and strange names in it, by way of `cargo xtask preprocess`",
    sources: &[
        "crates/srm-data/src/preprocess/source.rs",
        "crates/srm-data/src/preprocess/listing.rs",
        "crates/srm-data/src/preprocess/archive.rs",
    ],
    longest: 1 << 10,
    seeds: || vec![b"p a.png\np b/c.PNG\nx notes.txt\nl all\n".to_vec(), b"p 000001.jpg\np .x.png\nd e\n".to_vec()],
    header: |bytes| {
        let names = String::from_utf8_lossy(bytes);
        names.lines().any(|line| line.starts_with("p ") && line.to_lowercase().contains("."))
    },
    change: change_bytes,
    mend: no_mending,
    enter: enter_folder,
};

pub(super) const ZIPS: Door = Door {
    name: "zip",
    what: "a zip of pictures, by way of `cargo xtask preprocess`",
    sources: &[
        "crates/srm-data/src/preprocess/source.rs",
        "crates/srm-data/src/preprocess/listing.rs",
        "crates/srm-data/src/preprocess/archive.rs",
    ],
    longest: 1 << 14,
    seeds: || vec![zip(CompressionMethod::Stored), zip(CompressionMethod::Deflated)],
    header: |bytes| bytes.starts_with(b"PK\x03\x04") && zip_end(bytes).is_some(),
    change: change_zip,
    mend: mend_zip,
    enter: |bytes, folder| read(&file(folder, "photos.zip", bytes), folder),
};

pub(super) const TARS: Door = Door {
    name: "tar",
    what: "a tar, packed or not, by way of `cargo xtask preprocess`; half of the inputs are packed by the door",
    sources: &[
        "crates/srm-data/src/preprocess/records.rs",
        "crates/srm-data/src/preprocess/archive.rs",
        "crates/srm-data/src/preprocess/source.rs",
    ],
    longest: 1 << 14,
    seeds: || {
        let record = vec![7; CIFAR_RECORD];
        let photos = tar(&[("photos/a.png", &PICTURE), ("photos/b.png", &PICTURE)]);
        let holes = sparse("c/data_batch_1.bin", 1 << 20);
        vec![tar(&[("c/data_batch_1.bin", &record), ("c/readme.html", b"x")]), packed(&photos), photos, holes]
    },
    header: |bytes| bytes.starts_with(b"\x1F\x8B\x08") || bytes.get(257..262) == Some(b"ustar"),
    change: change_tar,
    mend: |bytes| mend_tar(bytes),
    enter: |bytes, folder| {
        read(&file(folder, "photos.tar", bytes), folder);
        read(&file(folder, "photos.tar.gz", &packed(bytes)), folder);
    },
};

/// Read all that is there, with what is bad left out, so that one bad picture does not hide the rest.
pub(super) fn read(input: &Path, folder: &Path) {
    let mut options = PreprocessOptions::new(input, Crop::Square, SIDE, &folder.join("out.npy"));
    options.skip_bad = true;
    let _ = preprocess(&options, &|_, _| true);
}

pub(super) fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("bytes are packed in memory")
}

fn zip(method: CompressionMethod) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (i, picture) in pictures::seeds().into_iter().enumerate().step_by(4) {
        let options = SimpleFileOptions::default().compression_method(method);
        zip.start_file(format!("photos/{i:06}.png"), options).expect("a zip is written to memory");
        zip.write_all(&picture).expect("a zip is written to memory");
    }
    zip.finish().expect("a zip is written to memory").into_inner()
}

fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, *content).expect("a tar is written to memory");
    }
    tar.into_inner().expect("a tar is written to memory")
}

/// A tar of one file of so many zeros that take no room: GNU's sparse files.
fn sparse(name: &str, zeros: u64) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_path(name).expect("the name is short");
    header.set_entry_type(tar::EntryType::GNUSparse);
    header.set_mode(0o644);
    header.set_size(0);
    if let Some(gnu) = header.as_gnu_mut() {
        gnu.realsize.copy_from_slice(format!("{zeros:011o}\0").as_bytes());
        gnu.sparse[0].offset.copy_from_slice(format!("{zeros:011o}\0").as_bytes());
        gnu.sparse[0].numbytes.copy_from_slice(b"00000000000\0");
    }
    header.set_cksum();
    [&header.as_bytes()[..], &[0; 1024]].concat()
}

/// Another byte in a header of the list at the end, or anywhere.
fn change_zip(bytes: &mut Vec<u8>, dice: &mut Dice) {
    let list = bytes.windows(4).position(|four| four == b"PK\x01\x02").filter(|_| dice.one_in(2));
    match list {
        Some(at) => {
            let mut tail = bytes.split_off(at + 4);
            change_bytes(&mut tail, dice);
            bytes.append(&mut tail);
        }
        None => change_bytes(bytes, dice),
    }
}

/// Another kind or size of the first file, or a byte.
fn change_tar(bytes: &mut Vec<u8>, dice: &mut Dice) {
    match (dice.below(4), bytes.get_mut(..512).filter(|header| header[257..262] == *b"ustar")) {
        (0, Some(header)) => header[156] = dice.one_of(b"0123456LKSxg\0"),
        (1, Some(header)) => {
            let size = dice.one_of(&[0u64, 1, 511, 512, 3073, 0o777_7777_7777]);
            header[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
        }
        _ => change_bytes(bytes, dice),
    }
}

/// A line each: `p` a picture, `x` other bytes, `d` a folder, `l` a link to the folder itself, and the name.
fn enter_folder(bytes: &[u8], folder: &Path) {
    let photos = folder.join("photos");
    clear(&photos);
    for line in String::from_utf8_lossy(bytes).lines().take(16) {
        let Some((kind, name)) = line.split_once(' ') else { continue };
        // what would leave the folder, or no name of the system, is left out
        let path = photos.join(name.trim_start_matches('/'));
        if name.contains("..") || name.contains('\0') {
            continue;
        }
        let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        let _ = made.and_then(|()| match kind {
            "p" => std::fs::write(&path, &*PICTURE),
            "d" => std::fs::create_dir_all(&path),
            "l" => std::os::unix::fs::symlink(&photos, &path),
            _ => std::fs::write(&path, b"words"),
        });
    }
    read(&photos, folder);
    let _ = srm_data::read_gallery(&photos, SIDE, 3, 4);
}
