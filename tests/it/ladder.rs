//! Ladders from outside: one run through every command, and what is said where it cannot go on.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::common::{folder, png_size, read_npy, smoke, srm, text};

const GRIDS: &str = r#"langevin.grids=[{"size":4,"steps":3},{"size":16,"steps":3,"from":4},{"size":32,"steps":4}]"#;

fn train<'a>(run: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let fixed =
        ["train", "--config", "configs/smoke.json", "--run", run, "--device", "cpu", "--set", "langevin.steps=null"];
    let start = r#"langevin.init={"colours":{"size":2}}"#;
    let settings = ["--set", start, "--set", "langevin.noise_std=[[0,0.02],[9,0]]", "--set", "log.every=1"];
    [&fixed[..], &settings[..], more].concat()
}

/// A trained ladder, made once for all tests.
pub fn ladder() -> &'static PathBuf {
    static RUN: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, run) = RUN.get_or_init(|| {
        let place = folder();
        let path = place.path().join("ladder");
        let grids = GRIDS.replace(r#""steps":4}"#, r#""steps":4,"from":6}"#);
        srm(&train(text(&path), &["--set", &grids, "--set", "train.updates=10", "--set", "checkpoint.every=5"])).done();
        (place, path)
    });
    run
}

/// --truncation 1 changes no pixel; at 0 all chains start at one image, and only their noise tells them apart.
fn starts_nearer_the_mean(weights: &str, place: &Path, whole: &Path) {
    let drawn = |psi: &str, more: &[&str]| {
        let out = place.join(format!("psi{psi}{}.npy", more.len()));
        let fixed =
            ["sample", "--weights", weights, "--count", "20", "--truncation", psi, "--out", text(&out), "--json"];
        let said = srm(&[&fixed[..], more].concat()).done().json();
        assert_eq!(said["truncation"].to_string(), format!("{psi}.0"));
        read_npy(&out).1
    };
    assert!(drawn("1", &[]) == read_npy(whole).1);
    let same = drawn("0", &["--quiet-tail", "10"]);
    let (first, others) = same.split_at(same.len() / 20);
    assert!(others.chunks(first.len()).all(|other| other == first));
    assert!(drawn("0", &[]).chunks(first.len()).skip(1).any(|other| other != first), "by their noise");
    let wrong = ["sample", "--weights", weights, "--truncation", "1.5", "--out", "x.png"];
    srm(&wrong).failed_with(2, &["--truncation", "from 0 to 1"]);
    let noise = ["sample", "--weights", text(&smoke().0), "--truncation", "0.5", "--out", "x.png"];
    srm(&noise).failed_with(1, &["--truncation 0.5", "do not start at a law of the data"]);
}

#[test]
fn a_ladder_goes_through_every_command() {
    let (run, place) = (ladder(), folder());
    let weights = text(run);
    let path = |name: &str| place.path().join(name);
    let (grid, strip, array) = (path("grid.png"), path("strip.png"), path("x.npy"));
    let sample =
        ["sample", "--weights", weights, "--count", "4", "--out", text(&grid), "--chain", text(&strip), "--json"];
    let said = srm(&sample).done().json();
    assert_eq!((&said["steps"], &said["quiet_tail"]), (&Value::from(10), &Value::from(0)));
    let (width, height) = png_size(&strip); // 11 states of 4 chains, the coarse ones up-sampled
    assert!((11 * 32..11 * 36).contains(&width) && (4 * 32..4 * 36).contains(&height), "{width} x {height}");
    srm(&["sample", "--weights", weights, "--count", "20", "--out", text(&array)]).done();
    let quiet = path("quiet.npy");
    srm(&["sample", "--weights", weights, "--count", "20", "--quiet-tail", "10", "--out", text(&quiet)]).done();
    assert!(read_npy(&array).1 != read_npy(&quiet).1);
    starts_nearer_the_mean(weights, place.path(), &array);

    let rows = path("rows.png");
    srm(&["interpolate", "--weights", weights, "--pairs", "2", "--points", "5", "--out", text(&rows)]).done();
    assert!((5 * 32..5 * 36).contains(&png_size(&rows).0));
    for (latent, method) in [("free", "adam"), ("free", "residual"), ("support", "gradient"), ("grids", "adam")] {
        let out = path("found.png");
        let method = ["--method", method];
        let flags = ["--images", text(&array), "--iterations", "30", "--latent", latent, "--out", text(&out), "--json"];
        let said = srm(&[&["reconstruct", "--weights", weights][..], &flags, &method].concat()).done().json();
        let curve = said["curve"].as_array().expect("errors");
        assert!(curve.last().and_then(Value::as_f64) < curve[0].as_f64(), "{latent}: {said}");
    }
    let flags = ["--newest", "--data", text(&array), "--count", "20", "--quiet-tail", "2", "--json"];
    let said = srm(&[&["evaluate", "--weights", weights][..], &flags].concat()).done().json();
    assert_eq!(said["results"][0]["quiet_tail"], 2);
    let out = path("chains");
    let flags = ["--out", text(&out), "--chains", "4", "--long-steps", "120", "--json"];
    let said = srm(&[&["diagnose", "chains", "--weights", weights][..], &flags].concat()).done().json();
    assert!(said["left_out"].to_string().contains("Metropolis"), "{said}");
    let report = srm(&["report", weights]).done();
    assert!(report.stdout.contains("report.html"), "{}", report.stdout);
    let page = fs::read_to_string(run.join("report.html")).expect("the page is there");
    assert!(page.contains("Grid of 4 px") && page.contains("Grid of 16 px"));
    let end = run.join("checkpoints/000010");
    let moments =
        ["diagnose", "moments", "--weights", text(&end), "--data", text(&array), "--count", "20", "--out", text(&out)];
    srm(&moments).failed_with(1, &["holds a ladder of 3 grids; diagnose moments works on nets of one grid"]);
}

#[test]
fn a_growing_ladder_that_was_stopped_goes_on_to_the_same_weights() {
    let (whole, place) = (ladder(), folder());
    let run = place.path().join("again");
    let grids = GRIDS.replace(r#""steps":4}"#, r#""steps":4,"from":6}"#);
    // the settings of the first half must be those of a whole run: a grid that joins must do so before its end
    let first = train(text(&run), &["--set", &grids, "--set", "train.updates=10", "--set", "checkpoint.every=5"]);
    srm(&first).done();
    fs::remove_dir_all(run.join("checkpoints/000010")).expect("the last checkpoint is there");
    srm(&["train", "--resume", "--run", text(&run), "--device", "cpu"]).done();
    let weights =
        |run: &PathBuf| fs::read(run.join("checkpoints/000010/weights.safetensors")).expect("the end is there");
    assert!(weights(&run) == weights(whole));
    // in between two grids had joined, and the weights of then draw on the second
    let (middle, out) = (run.join("checkpoints/000005"), place.path().join("x.npy"));
    let sample = ["sample", "--weights", text(&middle), "--count", "3", "--out", text(&out), "--json"];
    let said = srm(&sample).done().json();
    assert_eq!((&said["shape"], &said["steps"]), (&serde_json::json!([3, 16, 16, 3]), &Value::from(6)));
    let lines = fs::read_to_string(run.join("metrics.jsonl")).expect("metrics are there");
    let sizes = |line: &str| {
        let line: Value = serde_json::from_str(line).expect("a line of JSON");
        line["grids"].as_array().map_or(0, Vec::len)
    };
    assert_eq!(lines.lines().map(sizes).collect::<Vec<_>>(), [0, 0, 0, 0, 1, 1, 2, 2, 2, 2]);
}

#[test]
fn what_a_ladder_cannot_do_is_said() {
    let (run, place) = (ladder(), folder());
    let out = place.path().join("x.png");
    let sample = |more: &[&str]| srm(&[&["sample", "--weights", text(run), "--out", text(&out)][..], more].concat());
    sample(&["--steps", "6"]).failed_with(1, &["--steps 6 ends before the finest grid: the coarser ones have 6"]);
    sample(&["--steps", "7"]).done();
    sample(&["--key", "grid4"]).failed_with(1, &["leave --key out"]);
    sample(&["--config", "configs/smoke.json"])
        .failed_with(1, &["4 px, 3 channels, 8 features", "and 16 px", "the config asks for 32 px"]);
    let fresh = place.path().join("fresh");
    let bad = |setting: &str, part: &str| srm(&train(text(&fresh), &["--set", setting])).failed_with(2, &[part]);
    bad(
        r#"langevin.grids=[{"size":16,"steps":3},{"size":8,"steps":3},{"size":32,"steps":3}]"#,
        "grids go from coarse to fine",
    );
    bad(r#"langevin.grids=[{"size":8,"steps":3},{"size":16,"steps":3}]"#, "energy.size is 32");
    bad(r#"langevin.grids=[{"size":12,"steps":3},{"size":32,"steps":3}]"#, "must be 4, 8, 16, 32, 64 or 128");
    // a start at colours that nobody has measured
    let config = place.path().join("bare.json");
    let resolved = fs::read_to_string(run.join("config.json")).expect("the settings are there");
    let mut bare: Value = serde_json::from_str(&resolved).expect("a config");
    bare["langevin"]["init"] = "colours".into();
    fs::write(&config, bare.to_string()).expect("a writable folder");
    sample(&["--config", text(&config)])
        .failed_with(1, &["colours of its training images", "config.json of its run folder"]);
    sample(&["--config", text(&run.join("config.json"))]).done();
    // a net of a run cannot become another
    let other =
        r#"langevin.grids=[{"size":8,"steps":3},{"size":16,"steps":3,"from":4},{"size":32,"steps":4,"from":6}]"#;
    let resumed = ["train", "--resume", "--run", text(run), "--set", other, "--set", "train.updates=12"];
    srm(&resumed).failed_with(2, &["langevin.grids", "cannot change in a run that goes on"]);
}
