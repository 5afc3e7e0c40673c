//! Compare preprocessing with Pillow's crop and antialiased resize (fixture: scripts/make_resize_fixture.py).

use srm_data::{Filter, ImageSet, PreprocessOptions, preprocess};
use std::{fs, path::Path};

/// Mean and largest difference in grey levels between our result and Pillow's of the same name.
fn difference(crop: &str, size: usize, filter: &str, source: &str, grey: bool) -> (f64, u8) {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pillow");
    let folder = tempfile::tempdir().unwrap();
    fs::copy(fixture.join(format!("source.{source}")), folder.path().join(format!("a.{source}"))).unwrap();
    let out = folder.path().join("x.npy");
    let text = if crop == "box" { "box:15,40,163,188" } else { crop };
    let options = PreprocessOptions {
        filter: filter.parse::<Filter>().unwrap(),
        channels: grey.then_some(1),
        ..PreprocessOptions::new(folder.path(), text.parse().unwrap(), size, &out)
    };
    preprocess(&options, &|_, _| true).unwrap();
    let ours = ImageSet::open(&out).unwrap();
    let name = format!("{crop}_{size}_{filter}_{source}{}.png", if grey { "_grey" } else { "" });
    let theirs = image::open(fixture.join(name)).unwrap().into_bytes();
    assert_eq!(ours.image(0).len(), theirs.len());
    let differences = ours.image(0).iter().zip(&theirs).map(|(a, b)| a.abs_diff(*b));
    let sum: f64 = differences.clone().map(f64::from).sum();
    (sum / theirs.len() as f64, differences.max().unwrap_or(0))
}

#[test]
fn png_equals_pillow_to_a_rounding() {
    for (crop, size, filter, grey) in [
        ("center178", 64, "bilinear", false),
        ("center178", 32, "lanczos", false),
        ("center140", 32, "box", false),
        ("center140", 48, "hamming", false),
        ("box", 48, "bicubic", false),
        ("box", 64, "bilinear", true),
        ("box", 160, "bicubic", true),
    ] {
        let (mean, largest) = difference(crop, size, filter, "png", grey);
        // both round to 8 bits after each of the two passes, so a level may fall to either side, once per pass
        assert!(mean <= 0.1 && largest <= 2, "{crop} {size} {filter}: mean {mean:.3}, largest {largest}");
    }
}

#[test]
fn jpeg_is_as_close_as_two_decoders_are() {
    let (mean, largest) = difference("center178", 64, "bilinear", "jpg", false);
    // decoders may differ in the inverse transform and in how they enlarge the halved chroma planes
    assert!(mean <= 2.0, "mean {mean:.3}, largest {largest}");
}
