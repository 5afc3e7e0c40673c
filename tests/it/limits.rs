//! Ask for more than there is, and stop what takes long: refused before the work, obeyed within a second.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use crate::common::{command, folder, smoke, srm, text};
use crate::survive::{metrics, wait_until};

/// The smoke config with overrides, in a run folder.
fn train<'a>(run: &'a Path, sets: &[&'a str]) -> Vec<&'a str> {
    let fixed = ["train", "--config", "configs/smoke.json", "--run", text(run)];
    fixed.into_iter().chain(sets.iter().flat_map(|set| ["--set", set])).collect()
}

#[test]
fn more_than_the_machine_holds_is_refused_before_the_work_begins() {
    let place = folder();
    let run = place.path().join("run");
    for (sets, parts) in [
        (&["data.count=100000000000"][..], &["data.count = 100000000000 images would take at least 307.20 TB"][..]),
        (&["data.count=18446744073709551615"], &["data.count = 18446744073709551615 images", "lower data.count"]),
        // 20,000 gradients of 2.8 GB
        (
            &["energy.features=1024", "data.count=10000", "train.batch=10000", "langevin.block=1"],
            &[
                "a net of energy.features 1024, train.batch 10000 in blocks of 1 would take at least",
                "lower energy.features",
            ],
        ),
        (
            &[r#"langevin.init={"persistent":{"size":1000000000000,"restart":0.1}}"#],
            &["would take at least 12.29 PB of memory, this machine has"],
        ),
    ] {
        let begun = Instant::now();
        srm(&train(&run, sets)).failed_with(1, parts);
        assert!(begun.elapsed() < Duration::from_secs(20), "{sets:?}");
        assert!(!run.join("checkpoints").exists(), "{sets:?}: nothing has begun");
    }
    srm(&train(&run, &["langevin.block=1000000"])).failed_with(2, &["langevin.block", "from 1 to 65535"]);
    let (run, _) = smoke();
    let out = place.path().join("x.npy");
    srm(&["sample", "--weights", text(run), "--count", "4294967295", "--out", text(&out)])
        .failed_with(1, &["4294967295 chains in blocks of 8 would take at least", "lower --count or --block"]);
}

#[test]
fn a_block_is_cut_to_the_batch_and_what_a_run_needs_is_said() {
    let place = folder();
    let run = place.path().join("run");
    let done = srm(&train(&run, &["langevin.block=5000", "train.updates=2"])).done();
    assert!(done.stderr.contains("langevin.block 5000 is cut to the batch of 8"), "{}", done.stderr);
    assert!(done.stderr.contains("MB of memory besides the images"), "{}", done.stderr);
    assert!(fs::read_to_string(run.join("config.json")).expect("written").contains(r#""block": 8"#));
}

#[test]
fn the_smallest_rate_there_is_trains_to_the_end() {
    let place = folder();
    let run = place.path().join("run");
    let done = srm(&train(&run, &["train.learning_rate=1e-40", "log.every=1", "train.updates=4"])).done();
    assert!(!done.stderr.contains("rolled back"), "{}", done.stderr);
    assert_eq!(metrics(&run).len(), 4);
    let refused = srm(&train(&run, &["train.data_noise=1e39", "langevin.gradient_scale=1e308"]));
    refused.failed_with(2, &["train.data_noise", "langevin.gradient_scale", "f32 holds"]);
}

/// Start training, wait until it is under way, and send a signal; the exit code and how long it took to obey.
fn stopped(arguments: &[&str], until: impl Fn() -> bool, after: Duration) -> (i32, Duration) {
    let mut child = command(arguments).spawn().expect("the binary was built for this test");
    let begun = Instant::now();
    while !until() {
        assert!(begun.elapsed() < Duration::from_secs(120) && child.try_wait().expect("a child").is_none());
        std::thread::sleep(Duration::from_millis(2));
    }
    std::thread::sleep(after);
    let sent = Instant::now();
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs").success());
    (child.wait().expect("a child").code().unwrap_or(-1), sent.elapsed())
}

#[test]
fn a_signal_in_the_middle_of_a_long_update_stops_within_a_second_and_loses_only_that_update() {
    let place = folder();
    let (whole, broken) = (place.path().join("whole"), place.path().join("broken"));
    let sets = ["langevin.steps=150", "train.updates=8", "log.every=1", "log.samples_every=8"];
    srm(&train(&whole, &sets)).done();
    let mut lives = 0;
    // a few milliseconds after an update is logged, the next one is in hand
    let ended = |run: &Path| run.join("checkpoints/000008").is_dir();
    while !ended(&broken) {
        let before = if broken.join("metrics.jsonl").exists() { metrics(&broken).len() } else { 0 };
        let mut arguments = train(&broken, &sets);
        arguments.push("--resume");
        let log = broken.join("metrics.jsonl");
        let lines = || fs::read_to_string(&log).map_or(0, |text| text.lines().count());
        let (code, took) = stopped(&arguments, || lines() > before || ended(&broken), Duration::from_millis(5));
        assert!(code == 130 || ended(&broken), "{code}");
        assert!(took < Duration::from_secs(2), "{took:?}"); // a second, on a machine with other work
        lives += 1;
        assert!(lives < 30, "it comes to its end");
    }
    srm(&train(&broken, &sets).into_iter().chain(["--resume"]).collect::<Vec<_>>()).done();
    assert!(lives > 2, "{lives} lives");
    let weights = |run: &Path| fs::read(run.join("checkpoints/000008/weights.safetensors")).expect("whole");
    assert!(weights(&whole) == weights(&broken));
    assert_eq!(metrics(&whole), metrics(&broken));
    let grid = |run: &Path| fs::read(run.join("samples/x_000008.png")).expect("whole");
    assert!(grid(&whole) == grid(&broken));
}

#[test]
fn a_signal_before_the_first_update_is_done_says_that_nothing_is_saved() {
    let place = folder();
    let run = place.path().join("run");
    let arguments = train(&run, &["langevin.steps=1000000"]);
    let child = command(&arguments).stderr(std::process::Stdio::piped()).spawn().expect("the binary was built");
    // its first line; a busy machine needs longer than a second to come there
    wait_until("the start of the run", || run.join("history.jsonl").exists());
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().expect("kill runs").success());
    let sent = Instant::now();
    let output = child.wait_with_output().expect("a child");
    assert!(sent.elapsed() < Duration::from_secs(2), "{:?}", sent.elapsed());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    assert!(stderr.contains("interrupted before the end of update 1; --resume begins anew"), "{stderr}");
}
