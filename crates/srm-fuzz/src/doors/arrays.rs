//! Hand in arrays of numpy: image sets (.npy) and statistics of features (.npz).

use super::{Door, file};
use crate::Dice;
use crate::formats::{begin_with, mend_zip, u16_le, zip_end};
use crate::mutate::{change_bytes, change_digits};
use ndarray::{Array1, Array2, Array4};
use ndarray_npy::{NpzWriter, WriteNpyExt};
use srm_data::ImageSet;
use srm_eval::{Identity, Moments};
use std::io::Cursor;
use std::path::Path;

const MAGIC: &[u8] = b"\x93NUMPY";

pub(super) const IMAGES: Door = Door {
    name: "npy",
    what: "an image set, u8 `[n, h, w, c]`, by way of every command that takes images",
    sources: &[
        "crates/srm-data/src/image_set.rs",
        "crates/srm-data/src/npy_header.rs",
        "crates/srm-data/src/gallery.rs",
    ],
    longest: 1 << 12,
    seeds: || {
        let mut files = vec![Vec::new(), Vec::new(), Vec::new()];
        let images = Array4::from_shape_fn((3, 4, 4, 3), |(n, h, w, c)| (n * 48 + h * 12 + w * 3 + c) as u8);
        let written = [
            images.write_npy(&mut files[0]),
            images.slice(ndarray::s![.., .., .., ..1]).write_npy(&mut files[1]),
            images.mapv(f32::from).write_npy(&mut files[2]),
        ];
        written.into_iter().for_each(|written| written.expect("an array is written to memory"));
        files
    },
    header: |bytes| bytes.starts_with(MAGIC) && u16_le(bytes, 8).is_some_and(|length| 10 + length <= bytes.len()),
    change: change_shape,
    mend: |bytes| {
        begin_with(bytes, b"\x93NUMPY\x01\x00");
        let header = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(9).saturating_sub(9) as u16;
        bytes.resize(bytes.len().max(10), b'\n');
        bytes[8..10].copy_from_slice(&header.to_le_bytes());
    },
    enter: enter_images,
};

pub(super) const STATISTICS: Door = Door {
    name: "npz",
    what: "mean and covariance of features, by way of `srm evaluate --data STATS.npz`",
    sources: &["crates/srm-eval/src/npz.rs", "crates/srm-eval/src/statistics.rs"],
    longest: 1 << 13,
    seeds: || {
        let (mean, covariance) = (Array1::from(vec![0.5, 1.0]), Array2::<f64>::eye(2));
        let single = (mean.mapv(|x| x as f32), covariance.mapv(|x| x as f32));
        vec![
            npz(|file| {
                file.add_array("mu", &mean)?;
                file.add_array("sigma", &covariance)
            }),
            npz(|file| {
                file.add_array("mu", &single.0)?;
                file.add_array("sigma", &single.1)
            }),
        ]
    },
    header: |bytes| bytes.starts_with(b"PK\x03\x04") && zip_end(bytes).is_some(),
    change: change_shape,
    mend: mend_zip,
    enter: |bytes, folder| {
        let (name, input) = ("random-conv", ([0.0, 1.0], None));
        let network = Identity { name, is_fid: false, dimension: 2, file: None, sha256: None, input };
        let _ = Moments::load(&file(folder, "statistics.npz", bytes), &network);
    },
};

/// Another number in the shape of an array, or a byte.
fn change_shape(bytes: &mut Vec<u8>, dice: &mut Dice) {
    match bytes.windows(5).position(|five| five == b"shape").filter(|_| dice.one_in(3)) {
        Some(at) => change_digits(bytes, at + dice.below(20.min(bytes.len() - at)), dice),
        None => change_bytes(bytes, dice),
    }
}

type Written = Result<(), ndarray_npy::WriteNpzError>;

fn npz(add: impl FnOnce(&mut NpzWriter<&mut Cursor<Vec<u8>>>) -> Written) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    let mut writer = NpzWriter::new(&mut file);
    add(&mut writer).expect("arrays are written to memory");
    writer.finish().expect("arrays are written to memory");
    file.into_inner()
}

fn enter_images(bytes: &[u8], folder: &Path) {
    let path = file(folder, "images.npy", bytes);
    if let Ok(set) = ImageSet::open(&path) {
        assert!(!set.is_empty() && set.height() > 0 && set.width() > 0 && set.channels() > 0);
        assert_eq!(set.image(set.len() - 1).len(), set.height() * set.width() * set.channels());
        set.fingerprint();
    }
    for channels in [1, 3, 4] {
        let _ = srm_data::read_gallery(&path, 4, channels, 2);
    }
}
