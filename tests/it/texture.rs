//! Nets for images of any size: learned from crops of one picture, drawn at any height and width.

use std::{fs, path::Path};

use serde_json::json;

use crate::{
    common::{folder, png_pixels, read_npy, smoke, srm, text},
    explore::{Served, made, pixels},
};

/// A grey picture of 48 × 40 px, stripes with a slant.
fn picture(path: &Path) {
    let pixels = (0..40 * 48).map(|i: usize| ((i / 48 + i % 48) % 6 * 40) as u8);
    fs::write(path, [b"P5\n48 40\n255\n".to_vec(), pixels.collect()].concat()).expect("a disk");
}

const SETTINGS: [&str; 9] = [
    "data.crop=24",
    "data.count=20",
    "energy.size=16",
    "energy.channels=1",
    "energy.features=4",
    "energy.any_size=true",
    "energy.reference_std=4",
    "train.updates=6",
    "log.samples_every=6",
];

/// The words of a training on a picture.
fn training<'a>(images: &'a str, run: &'a str, more: &'a [&'a str]) -> Vec<&'a str> {
    let words = ["train", "--config", "configs/smoke.json", "--run", run, "--set", images];
    words.into_iter().chain(SETTINGS.iter().chain(more).flat_map(|set| ["--set", set])).collect()
}

#[test]
fn one_picture_gives_images_of_any_size() {
    let place = folder();
    let (source, run, out) = (place.path().join("stripes.pgm"), place.path().join("run"), place.path().join("x.npy"));
    picture(&source);
    let images = format!("data.images={}", text(&source));
    let scores = ["evaluate.every=6", "evaluate.count=8"];
    let said = srm(&training(&images, text(&run), &scores)).done().stderr;
    assert!(said.contains("20 images of 24 px") && run.join("scores.jsonl").exists(), "{said}");
    // the grid of training: 8 × 8 samples of the crops' size
    let grid = fs::read(run.join("samples/x_000006.png")).expect("a grid");
    assert_eq!(png_pixels(&grid).0, 8 * (24 + 2) + 2);
    let drawn = |more: &[&str]| {
        srm(&[&["sample", "--weights", text(&run), "--out", text(&out)], more].concat()).done();
        read_npy(&out)
    };
    let (header, five) = drawn(&["--size", "40x24", "--count", "5"]);
    assert!(header.contains("(5, 24, 40, 1)"), "{header}");
    assert!(drawn(&["--size", "40x24", "--count", "1", "--block", "1"]).1 == five[..24 * 40], "in any block");
    let mixed = drawn(&["--size", "40x24", "--code", "3", "--code", "0.6@1+0.8@2"]).1;
    assert!(mixed[..24 * 40] == five[3 * 24 * 40..4 * 24 * 40]);
    assert!(drawn(&["--count", "1", "--block", "1"]).0.contains("(1, 256, 256, 1)"));
    // the page names the size that it shows
    let served = Served::new(&[text(&run)], &place.path().join("pictures"));
    let asked = json!({
        "source": 0, "update": null, "codes": [{ "seed": 1, "image": 0 }, { "seed": 1, "image": 1 }], "steps": null, "noise": true,
        "states": "end",
    });
    let lines = served.lines("/api/draw", &asked);
    assert!(pixels(&lines[0]) == made(&lines[1]["command"], &out), "{}", lines[1]["command"]);
    // a killed or longer run goes on from the same crops
    srm(&["train", "--resume", "--run", text(&run), "--set", "train.updates=8"]).done();
}

#[test]
fn what_no_such_net_makes_or_learns_from_is_said() {
    let place = folder();
    let (source, run, out) = (place.path().join("stripes.pgm"), place.path().join("run"), place.path().join("x.png"));
    picture(&source);
    let images = format!("data.images={}", text(&source));
    srm(&training(&images, text(&run), &[])).done();
    let sample = |weights: &Path, size: &str| {
        srm(&["sample", "--weights", text(weights), "--out", text(&out), "--count", "1", "--size", size])
    };
    for size in ["18x16", "16x18", "12x16", "8"] {
        sample(&run, size).failed_with(2, &["--size", "sides of 16 px or more, in multiples of 4"]);
    }
    sample(&smoke().0, "64x64").failed_with(2, &["--size 64x64", "32x32 px alone", "energy.any_size"]);
    for size in ["x", "0x8", "8x99999"] {
        sample(&run, size).failed_with(2, &["--size"]);
    }
    for (i, (set, said)) in [
        ("data.crop=26", "data.crop is 26, the net takes 16 or larger multiples of 4"),
        ("data.crop=44", "48×40 px hold no square of 44"),
        ("energy.any_size=false", "data.crop is 24, the net takes 16, or larger ones with energy.any_size"),
        (
            "langevin.grids=[{\"size\":8,\"steps\":4},{\"size\":16,\"steps\":6}]",
            "energy.any_size is on beside langevin.grids",
        ),
        ("energy.reference_std=0", "energy.reference_std = 0: must be a number > 0"),
    ]
    .into_iter()
    .enumerate()
    {
        let other = place.path().join(i.to_string());
        let found = srm(&training(&images, text(&other), &[set]));
        assert!(found.code != 0 && found.stderr.contains(said), "{set}: {}", found.stderr);
        assert!(found.code == 1 || !other.exists(), "{set}: nothing is left");
    }
    fs::write(&source, [b"P5\n48 40\n255\n".to_vec(), vec![7; 40 * 48]].concat()).expect("a disk");
    let flat = srm(&training(&images, text(&place.path().join("flat")), &[]));
    assert!(flat.code == 1 && flat.stderr.contains("all its pixels are alike"), "{}", flat.stderr);
}
