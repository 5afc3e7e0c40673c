//! Sampling from outside: same seed, same images; every form of output.

use std::fs;

use crate::common::{folder, png_size, read_npy, smoke, srm, text};

#[test]
fn ten_samples_are_the_first_ten_of_fifty() {
    let (run, _) = smoke();
    let place = folder();
    let arrays = ["10", "50"].map(|count| {
        let out = place.path().join(format!("{count}.npy"));
        let said =
            srm(&["sample", "--weights", text(run), "--count", count, "--out", text(&out), "--json"]).done().json();
        assert_eq!(said["shape"], serde_json::json!([count.parse::<u32>().expect("a number"), 32, 32, 3]));
        assert_eq!(said["steps"], 10);
        read_npy(&out)
    });
    assert!(arrays[0].0.contains("'|u1'") && arrays[0].0.contains("(10, 32, 32, 3)"), "{}", arrays[0].0);
    assert!(arrays[1].1.starts_with(&arrays[0].1), "the prefix differs");
    assert!(arrays[0].1.windows(2).any(|pair| pair[0] != pair[1]), "the samples are flat");
}

#[test]
fn threads_change_no_bit_and_seeds_do() {
    let (run, _) = smoke();
    let place = folder();
    let draw = |seed: &str, threads: &str| {
        let out = place.path().join("x.npy");
        let arguments = ["sample", "--weights", text(run), "--count", "20", "--out", text(&out)];
        srm(&[&arguments[..], &["--seed", seed, "--threads", threads]].concat()).done();
        read_npy(&out).1
    };
    assert!(draw("3", "1") == draw("3", "2"), "threads change the samples");
    assert!(draw("3", "2") != draw("4", "2"), "two seeds give the same samples");
}

#[test]
fn grid_strip_and_folder_are_written_as_asked() {
    let (run, _) = smoke();
    let place = folder();
    let (grid, strip) = (place.path().join("new/grid.png"), place.path().join("strip.png"));
    let arguments = ["sample", "--weights", text(run), "--count", "10", "--out", text(&grid), "--chain", text(&strip)];
    let run_of_ten = srm(&arguments).done();
    assert!(run_of_ten.stdout.contains("10 samples of"), "{}", run_of_ten.stdout);
    let (width, height) = png_size(&grid); // 4 x 3 images
    assert!((4 * 32..4 * 36).contains(&width) && (3 * 32..3 * 36).contains(&height), "{width} x {height}");
    let (width, height) = png_size(&strip); // 11 states of 8 chains
    assert!((11 * 32..11 * 36).contains(&width) && (8 * 32..8 * 36).contains(&height), "{width} x {height}");

    let pictures = place.path().join("pictures");
    srm(&["sample", "--weights", text(run), "--count", "3", "--out", text(&pictures)]).done();
    let names: Vec<_> = fs::read_dir(&pictures).expect("the folder was made").filter_map(Result::ok).collect();
    assert_eq!(names.len(), 3);
    assert!(names.iter().all(|entry| png_size(&entry.path()) == (32, 32)));
}

#[test]
fn the_nearest_image_of_a_sample_among_the_samples_is_itself() {
    let (run, _) = smoke();
    let place = folder();
    let (data, grid) = (place.path().join("data.npy"), place.path().join("grid.png"));
    srm(&["sample", "--weights", text(run), "--count", "12", "--out", text(&data)]).done();
    let arguments = ["sample", "--weights", text(run), "--count", "6", "--out", text(&grid), "--columns", "4"];
    let said = srm(&[&arguments[..], &["--nearest", text(&data), "--json"]].concat()).done().json();
    assert_eq!(said["nearest"]["indices"], serde_json::json!([0, 1, 2, 3, 4, 5]));
    assert_eq!(said["nearest"]["distances"], serde_json::json!([0.0, 0.0, 0.0, 0.0, 0.0, 0.0]));
    let (width, height) = png_size(&grid); // two rows of four, each with a row of neighbours
    assert!((4 * 32..4 * 36).contains(&width) && (4 * 32..4 * 36).contains(&height), "{width} x {height}");
}

#[test]
fn fewer_steps_give_other_images() {
    let (run, _) = smoke();
    let place = folder();
    let draw = |steps: &str| {
        let out = place.path().join(format!("{steps}.npy"));
        let arguments =
            ["sample", "--weights", text(run), "--count", "2", "--steps", steps, "--out", text(&out), "--json"];
        assert_eq!(srm(&arguments).done().json()["steps"].to_string(), steps);
        read_npy(&out).1
    };
    assert!(draw("1") != draw("10"), "the number of steps changes nothing");
}

#[test]
fn a_pytorch_state_dict_draws_samples_by_the_settings_of_a_config() {
    let place = folder();
    let (config, out) = (place.path().join("one.json"), place.path().join("x.npy"));
    let smoke = srm_config::Config::load(
        crate::common::root().join("configs/smoke.json"),
        &["energy.channels=1".to_owned(), "energy.features=1".to_owned(), "energy.activation=silu".to_owned()],
    );
    fs::write(&config, smoke.expect("sound").to_json()).expect("a writable temporary folder");
    for file in ["plain.pth", "plain.legacy.pth"] {
        let weights = format!("crates/srm-energy/fixtures/pth/{file}");
        let arguments = ["sample", "--weights", &weights, "--count", "2", "--out", text(&out)];
        srm(&arguments).failed_with(1, &[file, "carries no Langevin settings", "--config"]);
        let said = srm(&[&arguments[..], &["--config", text(&config), "--json"]].concat()).done().json();
        assert_eq!(said["shape"], serde_json::json!([2, 32, 32, 1]));
        assert_eq!(said["steps"], 10);
        srm(&[&arguments[..], &["--config", "configs/smoke.json"]].concat())
            .failed_with(1, &["1 features", "8 features"]);
    }
}

#[test]
fn chains_move_in_an_animated_png() {
    let (run, _) = smoke();
    let place = folder();
    let (out, moving) = (place.path().join("x.npy"), place.path().join("m.png"));
    let arguments = ["sample", "--weights", text(run), "--count", "5", "--out", text(&out), "--animate", text(&moving)];
    let said = srm(&[&arguments[..], &["--json"]].concat()).done().json();
    assert_eq!(said["animate"], text(&moving));
    // five images in three columns; ten steps and the noise before them make eleven frames
    assert_eq!(png_size(&moving), (3 * 34 + 2, 2 * 34 + 2));
    let bytes = fs::read(&moving).expect("written");
    let control = bytes.windows(4).position(|chunk| chunk == b"acTL").expect("an animated PNG");
    assert_eq!(bytes[control + 4..control + 8], [0, 0, 0, 11]);
}
