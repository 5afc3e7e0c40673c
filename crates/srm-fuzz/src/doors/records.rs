//! Hand in raw images: IDX (MNIST and its kin) and CIFAR-10's binary version, packed or not.

use super::archives::{CIFAR_RECORD, packed, read};
use super::{Door, file, no_mending};
use crate::{Dice, mutate::ODD, mutate::change_bytes};
use std::path::Path;

pub(super) const RECORDS: Door = Door {
    name: "records",
    what: "IDX files and CIFAR-10 batches, by way of `cargo xtask preprocess`; the door tries each packed too",
    sources: &["crates/srm-data/src/preprocess/records.rs"],
    longest: 1 << 13,
    seeds: || {
        let idx = [&[0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3][..], &[7; 12]].concat();
        vec![packed(&idx), idx, vec![9; CIFAR_RECORD], vec![9; 2 * CIFAR_RECORD]]
    },
    header: |bytes| {
        let whole = !bytes.is_empty() && bytes.len().is_multiple_of(CIFAR_RECORD);
        bytes.starts_with(&[0, 0, 8, 3]) && bytes.len() >= 16 || bytes.starts_with(&[0x1F, 0x8B, 8]) || whole
    },
    change,
    mend: no_mending,
    enter,
};

/// Another number in the header of an IDX file, elsewhere a byte.
fn change(bytes: &mut Vec<u8>, dice: &mut Dice) {
    if bytes.starts_with(&[0, 0, 8, 3]) && bytes.len() >= 16 && dice.one_in(2) {
        let at = 4 + 4 * dice.below(3);
        bytes[at..at + 4].copy_from_slice(&(dice.one_of(&ODD) as u32).to_be_bytes());
    } else {
        let length = bytes.len();
        change_bytes(bytes, dice);
        if dice.one_in(2) {
            bytes.resize(length, 1); // the number of bytes is all that CIFAR-10 has for a header
        }
    }
}

fn enter(bytes: &[u8], folder: &Path) {
    for name in ["data_batch_1.bin", "train-images-idx3-ubyte"] {
        read(&file(folder, name, bytes), folder);
    }
    read(&file(folder, "train-images-idx3-ubyte.gz", &packed(bytes)), folder);
}
