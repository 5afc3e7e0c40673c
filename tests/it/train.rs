//! Training from outside: the run folder, what is printed, how a run ends.

use std::fs;

use serde_json::Value;

use crate::common::{folder, png_size, smoke, srm, text};

#[test]
fn the_smoke_config_trains_in_under_30_seconds_and_leaves_a_whole_run_folder() {
    let (run, said) = smoke();
    assert_eq!(said["command"], "train");
    assert_eq!(said["outcome"], "finished");
    assert_eq!(said["updates"], 30);
    assert_eq!(said["images_seen"], 240);
    assert!(said["seconds"].as_f64().is_some_and(|seconds| seconds < 30.0), "{said}");

    let config = srm_config::Config::load(run.join("config.json"), &[]).expect("the saved config loads");
    assert_eq!(config.langevin.block, Some(8), "the block is resolved and written down");
    let metrics = fs::read_to_string(run.join("metrics.jsonl")).expect("metrics were written");
    let lines: Vec<Value> =
        metrics.lines().map(|line| serde_json::from_str(line).expect("one object per line")).collect();
    let updates: Vec<u64> = lines.iter().filter_map(|line| line["update"].as_u64()).collect();
    assert_eq!(updates, [1, 5, 10, 15, 20, 25, 30]);
    for line in &lines {
        for key in [
            "f_data",
            "f_sample",
            "gap",
            "chain_grad_norm",
            "theta_grad_norm",
            "sample_std",
            "lr",
            "data_noise",
            "seconds",
            "images_seen",
        ] {
            assert!(line[key].as_f64().is_some_and(f64::is_finite), "{key} in {line}");
        }
    }
    assert_eq!(said["last"], lines[lines.len() - 1]);
    // 8 x 8 images of 32 px with 2 px padding
    let (width, height) = png_size(&run.join("samples/x_000030.png"));
    assert!(width == height && (8 * 32 + 7 * 2..=8 * 32 + 9 * 2).contains(&width), "{width} x {height}");
    for update in ["000015", "000030"] {
        for file in ["weights.safetensors", "optimizer.safetensors", "state.json"] {
            assert!(run.join("checkpoints").join(update).join(file).is_file(), "{update}/{file}");
        }
    }
}

#[test]
fn the_grid_of_a_run_is_what_sample_draws_with_seed_1() {
    let (run, _) = smoke();
    let place = folder();
    let grid = place.path().join("grid.png");
    srm(&["sample", "--weights", text(run), "--seed", "1", "--count", "64", "--out", text(&grid)]).done();
    let (ours, theirs) = (fs::read(grid), fs::read(run.join("samples/x_000030.png")));
    assert!(ours.expect("written") == theirs.expect("written"), "the two pictures differ");
}

#[test]
fn a_dry_run_prints_the_resolved_config_and_writes_nothing() {
    let place = folder();
    let run = place.path().join("run");
    let arguments =
        ["train", "--config", "configs/smoke.json", "--set", "train.updates=7", "--dry-run", "--run", text(&run)];
    let plain = srm(&arguments).done();
    let config = srm_config::Config::from_json(&plain.stdout, &[]).expect("stdout is a config");
    assert_eq!((config.train.updates, config.checkpoint.keep_last, config.langevin.block), (7, 2, Some(8)));
    let object = srm(&[&arguments[..], &["--json"]].concat()).done().json();
    assert_eq!(object["config"]["train"]["updates"], 7);
    assert_eq!(object["run"], text(&run));
    assert!(!run.exists());
}

#[test]
fn without_a_config_it_takes_the_one_for_this_machine_and_says_so() {
    let run = srm(&["train", "--dry-run"]).done();
    assert!(run.stderr.contains("no --config: taking configs/grids32-cpu.json"), "{}", run.stderr);
    let config = srm_config::Config::from_json(&run.stdout, &[]).expect("stdout is a config");
    assert_eq!((config.energy.size, config.energy.channels), (32, 3));
    let run = srm(&["train", "--set", "data.images=data/none/celeba_32_center178_train.npy"]);
    run.failed_with(1, &["taking configs/grids32-cpu.json", "`cargo xtask fetch-celeba`"]);
}

#[test]
fn training_repeats_bit_for_bit_whatever_the_threads() {
    let place = folder();
    let weights = ["1", "2"].map(|threads| {
        let run = place.path().join(threads);
        let arguments =
            ["train", "--config", "configs/smoke.json", "--set", "train.updates=3", "--set", "langevin.block=4"];
        srm(&[&arguments[..], &["--run", text(&run), "--threads", threads]].concat()).done();
        fs::read(run.join("checkpoints/000003/weights.safetensors")).expect("weights at the end")
    });
    assert!(weights[0] == weights[1], "one thread and two give different weights");
}

#[test]
fn a_run_folder_in_use_is_refused_until_overwrite() {
    let place = folder();
    let run = text(place.path());
    let arguments = ["train", "--config", "configs/smoke.json", "--set", "train.updates=1", "--run", run];
    srm(&arguments).done();
    srm(&arguments).failed_with(2, &["the run folder", run, "is not empty", "--resume", "--overwrite", "--run DIR"]);
    fs::write(place.path().join("notes.txt"), "mine").expect("a writable temporary folder");
    srm(&[&arguments[..], &["--overwrite"]].concat()).done();
    assert!(place.path().join("notes.txt").is_file(), "--overwrite deletes what a run left, nothing else");
}

#[test]
fn divergence_stops_with_code_3_and_says_where() {
    let place = folder();
    let arguments = ["train", "--config", "configs/smoke.json", "--run", text(place.path()), "--json"];
    let run = srm(&[&arguments[..], &["--set", "langevin.noise_std=3e38"]].concat());
    run.failed_with(
        3,
        &["training diverged at update 1", "Langevin step", "5 rollbacks did not help", "lower train.learning_rate"],
    );
    assert_eq!(run.json()["outcome"], "diverged");
}
