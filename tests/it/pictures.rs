//! Pictures and arrays of images as people have them: what is taken, what is left out, and what is said of the rest.

use std::{fs, path::Path};

use crate::common::{folder, smoke, srm, text, write_npy};

/// A grey square of 32 × 32 pixels as PGM.
fn square(level: u8) -> Vec<u8> {
    [b"P5\n32 32\n255\n".to_vec(), vec![level; 32 * 32]].concat()
}

fn put(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).expect("a writable temporary folder");
}

#[test]
fn a_folder_from_another_system_is_taken_as_it_is() {
    let (run, _) = smoke();
    let place = folder();
    let (photos, real) = (place.path().join("photos"), place.path().join("real.npy"));
    fs::create_dir(&photos).expect("a writable temporary folder");
    for (name, bytes) in [
        ("0.png", square(10)), // the content decides the format
        ("1.JFIF", square(20)),
        ("3.jpe", square(30)),
        ("4.dib", square(40)),
        ("._0.png", vec![0; 64]),
        (".DS_Store", vec![0; 8]),
        ("2.gif", b"GIF89a".to_vec()),
    ] {
        put(&photos.join(name), &bytes);
    }
    std::os::unix::fs::symlink(".", photos.join("all")).expect("a writable temporary folder");
    write_npy(&real, "|u1", "(4, 32, 32, 3)", 4 * 32 * 32 * 3);
    let not_taken = "1 .gif (2.gif), 2 hidden (";
    let scored = srm(&["evaluate", "--samples", text(&photos), "--data", text(&real), "--json"]).done();
    assert_eq!(scored.json()["results"][0]["count"], 4);
    assert!(scored.stderr.contains(not_taken), "{}", scored.stderr);
    let out = place.path().join("x.png");
    let arguments = ["reconstruct", "--weights", text(run), "--images", text(&photos), "--iterations", "1", "--json"];
    let found = srm(&[&arguments[..], &["--out", text(&out)]].concat()).done();
    let names = ["0.png", "1.JFIF", "3.jpe", "4.dib"].map(|name| photos.join(name));
    assert_eq!(found.json()["names"], serde_json::json!(names));
    assert!(found.stderr.contains(not_taken), "{}", found.stderr);
}

#[test]
fn a_picture_that_promises_too_much_is_an_error_at_every_door() {
    let (run, _) = smoke();
    let place = folder();
    let file = |name: &str| place.path().join(name);
    let (bomb, real, sound, out) = (file("bomb.ppm"), file("real.npy"), file("0.pgm"), file("x.png"));
    put(&bomb, b"P6\n9999999 9999999\n255\n");
    put(&sound, &square(7));
    write_npy(&real, "|u1", "(4, 32, 32, 3)", 4 * 32 * 32 * 3);
    let reconstruct = ["reconstruct", "--weights", text(run), "--out", text(&out), "--images"];
    for arguments in [
        &["evaluate", "--data", text(&real), "--samples", text(&bomb)][..],
        &[&reconstruct[..], &[text(&bomb)]].concat(),
        &[&reconstruct[..], &[text(&sound), "--mask", text(&bomb)]].concat(),
    ] {
        let run = srm(arguments);
        run.failed_with(1, &["bomb.ppm", "it claims 9999999×9999999 pixels in 23 bytes"]);
        assert!(!run.stderr.contains("--skip-bad"), "{}", run.stderr);
    }
}

#[test]
fn channels_first_is_refused_at_every_door_with_the_line_that_mends_it() {
    let (run, _) = smoke();
    let place = folder();
    let (file, out) = (place.path().join("nchw.npy"), place.path().join("x.png"));
    write_npy(&file, "|u1", "(8, 3, 32, 32)", 8 * 3 * 32 * 32);
    let line = "numpy.save('images.npy', numpy.ascontiguousarray(numpy.load('nchw.npy').transpose(0, 2, 3, 1)))";
    let images = format!("data.images={}", file.display());
    let weights = ["--weights", text(run), "--out", text(&out)];
    for arguments in [
        &["evaluate", "--data", text(&file), "--self-check"][..],
        &["train", "--config", "configs/smoke.json", "--run", text(&place.path().join("run")), "--set", &images],
        &[&["sample", "--count", "4", "--nearest", text(&file)], &weights[..]].concat(),
        &[&["reconstruct", "--images", text(&file)], &weights[..]].concat(),
    ] {
        let run = srm(arguments);
        run.failed_with(1, &["u8 [8, 3, 32, 32]", line]);
        assert!(run.stderr.lines().count() < 6, "{}", run.stderr);
    }
}

#[test]
fn what_comes_in_the_place_of_an_array_is_named_with_what_helps() {
    let place = folder();
    let file = place.path().join("x.npy");
    let evaluate = |path: &Path| srm(&["evaluate", "--data", text(path), "--self-check"]);
    for (bytes, what, help) in [
        (&b"\x89HDF\r\n\x1a\n"[..], "an HDF5 file", "h5py.File"),
        (b"PAR1", "a Parquet table", "pandas.read_parquet"),
        (b"<!DOCTYPE html>", "a web page saved as a file", "download the file itself"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer", "`git lfs pull`"),
        (b"7z\xBC\xAF\x27\x1C", "packed with 7-Zip", "`7z x FILE`"),
        (b"GIF89a", "a picture (GIF)", "`magick mogrify -format png"),
        (b"", "an empty file", "download it again"),
    ] {
        put(&file, bytes);
        evaluate(&file).failed_with(1, &["x.npy: expected u8 [n, h, w, c]", what, help]);
    }
    evaluate(place.path()).failed_with(1, &["got a folder: `cargo xtask preprocess --input PATH"]);
}
