//! Hand in a list of which photo belongs to which split.

use super::{Door, file, no_mending, pictures};
use crate::{Dice, mutate::change_bytes};
use srm_data::{Crop, PreprocessOptions, Split, preprocess};
use std::path::Path;

pub(super) const PARTITION: Door = Door {
    name: "partition",
    what: "list_eval_partition.txt and its kin, by way of `cargo xtask preprocess --split`",
    sources: &["crates/srm-data/src/preprocess/partition.rs"],
    longest: 1 << 11,
    seeds: || {
        let list = "000001.jpg 0\n000002.jpg 1\n000003.jpg 2\nmine.png\t0\n";
        let csv = "image_id,partition\n000001.jpg,0\n000002.jpg,2\n";
        vec![list.into(), format!("\u{feff}{list}").into(), csv.into(), list.replace('\n', "\r\n").into()]
    },
    header: |bytes| std::str::from_utf8(bytes).is_ok_and(|text| text.contains([' ', ',', '\t'])),
    change,
    mend: no_mending,
    enter,
};

/// Change a line, or put another separator.
fn change(bytes: &mut Vec<u8>, dice: &mut Dice) {
    let mut lines: Vec<Vec<u8>> = bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    let at = dice.below(lines.len());
    match dice.below(4) {
        0 => {
            lines.insert(at, dice.one_of(&[&b"000001.jpg 3"[..], b"", b" ", b"x", b"000001.jpg, 0", b"a b 0"]).to_vec())
        }
        1 => lines.swap(at, 0),
        2 => drop(lines.remove(at)),
        _ => change_bytes(&mut lines[at], dice),
    }
    *bytes = lines.join(&b'\n');
}

fn enter(bytes: &[u8], folder: &Path) {
    let photos = folder.join("photos");
    if !photos.exists() {
        super::clear(&photos);
        for (name, picture) in ["000001.jpg", "000002.jpg", "000003.jpg", "mine.png"].iter().zip(pictures::seeds()) {
            file(&photos, name, &picture);
        }
    }
    for split in [Split::Train, Split::Valid, Split::Test] {
        let mut options = PreprocessOptions::new(&photos, Crop::Square, 4, &folder.join("out.npy"));
        options.partition = Some(file(folder, "list_eval_partition.txt", bytes));
        options.split = Some(split);
        let _ = preprocess(&options, &|_, _| true);
    }
}
