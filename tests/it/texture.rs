//! Nets for images of any size: learned from crops of one picture, drawn at any height and width.

use std::{fs, path::Path};

use serde_json::json;

use crate::{
    common::{Run, folder, png_pixels, read_npy, smoke, srm, text},
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

fn sample(run: &Path, out: &Path, more: &[&str]) -> Run {
    srm(&[&["sample", "--weights", text(run), "--out", text(out)], more].concat())
}

/// Header and bytes of the samples.
fn drawn(run: &Path, out: &Path, more: &[&str]) -> (String, Vec<u8>) {
    sample(run, out, more).done();
    read_npy(out)
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
    let drawn = |more: &[&str]| drawn(&run, &out, more);
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
    let sample = |weights: &Path, size: &str| sample(weights, &out, &["--count", "1", "--size", size]);
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
        ("langevin.init={\"colours\":{\"size\":2}}", "langevin.init is the law of 2 x 2 px, energy.any_size is on"),
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

/// A ladder whose nets all learn from crops, the finer one later; then sizes, tiles, and pictures that are continued.
#[test]
fn ladders_of_any_size_tile_and_continue_pictures() {
    let place = folder();
    let (source, run, out) = (place.path().join("stripes.pgm"), place.path().join("run"), place.path().join("x.npy"));
    picture(&source);
    let images = format!("data.images={}", text(&source));
    let more = [
        r#"langevin.grids=[{"size":8,"steps":4},{"size":16,"steps":6,"from":2}]"#,
        r#"langevin.init="zeros""#,
        "langevin.noise_std=0.05",
    ];
    srm(&training(&images, text(&run), &more)).done();
    let sample = |more: &[&str]| sample(&run, &out, more);
    let drawn = |more: &[&str]| drawn(&run, &out, more);
    let (header, three) = drawn(&["--size", "40x24", "--count", "3"]);
    assert!(header.contains("(3, 24, 40, 1)"), "{header}");
    assert!(three[..24 * 40] != three[24 * 40..2 * 24 * 40], "the noise of the steps tells samples apart");
    let tile = drawn(&["--size", "40x24", "--count", "3", "--tile"]).1;
    assert!(tile != three && tile.len() == three.len());
    // the picture of 48 × 40 px stays in the middle of what is drawn, to the bit
    let (_, grown) = drawn(&["--size", "64x56", "--count", "2", "--grow", text(&source)]);
    let stripes = fs::read(&source).expect("the picture").split_off(b"P5\n48 40\n255\n".len());
    for image in grown.chunks_exact(64 * 56) {
        for (row, kept) in image.chunks_exact(64).skip(8).zip(stripes.chunks_exact(48)) {
            assert_eq!(row[8..56], *kept);
        }
    }
    assert!(grown[..64 * 8] != grown[64 * 56..64 * 56 + 64 * 8]);
    // a mask's hole is drawn anew, in the picture's size
    let mask = place.path().join("mask.pgm");
    let hole = |i: usize| (8..24).contains(&(i / 48)) && (8..24).contains(&(i % 48));
    let white = (0..40 * 48).map(|i| if hole(i) { 0 } else { 255 }).collect();
    fs::write(&mask, [b"P5\n48 40\n255\n".to_vec(), white].concat()).expect("a disk");
    let (header, filled) = drawn(&["--count", "1", "--grow", text(&source), "--mask", text(&mask)]);
    assert!(header.contains("(1, 40, 48, 1)"), "{header}");
    let (inside, outside): (Vec<_>, Vec<_>) = (0..40 * 48).partition(|&i| hole(i));
    assert!(outside.iter().all(|&i| filled[i] == stripes[i]) && inside.iter().any(|&i| filled[i] != stripes[i]));
    // what cannot be
    sample(&["--size", "32", "--grow", text(&source)]).failed_with(2, &["48x40 px do not lie in 32x32", "--size"]);
    sample(&["--size", "48x40", "--grow", text(&source)]).failed_with(2, &["all of 48x40 px stays", "--mask"]);
    sample(&["--mask", text(&mask)]).failed_with(2, &["--grow"]);
    fs::write(&mask, [b"P5\n40 48\n255\n".to_vec(), vec![0; 40 * 48]].concat()).expect("a disk");
    sample(&["--grow", text(&source), "--mask", text(&mask)]).failed_with(2, &["40x48 px", "48x40"]);
    sample(&["--grow", text(&place.path().join("none.png"))]).failed_with(1, &["none.png"]);
    self::sample(&smoke().0, &out, &["--tile"]).failed_with(2, &["--tile", "32x32 px alone", "energy.any_size"]);
}

/// Chains that are kept over the updates, from zeros on: a killed run resumes to the same weights.
#[test]
fn warm_chains_from_zeros_resume_to_the_bit() {
    let place = folder();
    let source = place.path().join("stripes.pgm");
    picture(&source);
    let images = format!("data.images={}", text(&source));
    let kept = r#"langevin.init={"persistent":{"size":4,"restart":0,"zeros":true}}"#;
    let weights = |run: &Path| fs::read(run.join("checkpoints/000006/weights.safetensors")).expect("weights");
    let [whole, parts] = ["whole", "parts"].map(|name| place.path().join(name));
    let batch = ["train.batch=4", "checkpoint.every=3", kept];
    srm(&training(&images, text(&whole), &batch)).done();
    srm(&training(&images, text(&parts), &[&batch[..], &["train.updates=3"]].concat())).done();
    srm(&["train", "--resume", "--run", text(&parts), "--set", "train.updates=6"]).done();
    assert!(weights(&whole) == weights(&parts));
}
