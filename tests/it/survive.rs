//! Kill, interrupt and resume runs from outside: the end must be that of an unbroken run.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde_json::Value;

use crate::common::{command, folder, srm, text};

/// A small net on built-in images: an update takes milliseconds, and a checkpoint every fifth update takes as long.
/// The rate is so low that thousands of updates stay healthy with three steps per chain.
pub const SMALL: [&str; 21] = [
    "train",
    "--config",
    "configs/smoke.json",
    "--set",
    "energy.features=2",
    "--set",
    "langevin.steps=3",
    "--set",
    "langevin.block=4",
    "--set",
    "log.every=1",
    "--set",
    "log.samples_every=50",
    "--set",
    "checkpoint.every=5",
    "--set",
    "checkpoint.keep_last=3",
    "--set",
    "data.flip=true",
    "--set",
    "train.learning_rate=1e-5",
];

/// metrics.jsonl without the wall clock.
pub fn metrics(run: &Path) -> Vec<Value> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).expect("a run folder");
    let mut lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("whole lines")).collect();
    for line in lines.iter_mut().filter_map(Value::as_object_mut) {
        line.remove("seconds");
    }
    lines
}

/// Start the program without waiting for it.
fn start(arguments: &[&str]) -> Child {
    command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary was built for this test")
}

pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_secs(120), "{what} did not happen in two minutes");
        std::thread::sleep(Duration::from_micros(200));
    }
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |found| found.len())
}

/// A number below `range`, different at every call and run: the moments of the kills shall not repeat.
fn random(range: u64) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").subsec_nanos();
    (u64::from(now).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33) % range
}

/// Tensor files of a checkpoint by name.
fn tensors(checkpoint: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(checkpoint)
        .unwrap_or_else(|error| panic!("{}: {error}", checkpoint.display()))
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|kind| kind == "safetensors"))
        .map(|path| {
            (path.file_name().expect("a file").to_string_lossy().into_owned(), fs::read(&path).expect("readable"))
        })
        .collect();
    files.sort();
    files
}

/// Size of the one TensorBoard file: all its numbers have fixed widths, so a double or missing event shows.
pub fn events_size(run: &Path) -> u64 {
    let files: Vec<_> = fs::read_dir(run)
        .expect("a run folder")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.to_string_lossy().contains("tfevents"))
        .collect();
    assert_eq!(files.len(), 1, "{files:?}");
    length(&files[0])
}

/// Kill a run at least 30 times, half of them while it writes a checkpoint, and compare its end with an unbroken run's.
fn kill_and_compare(more: &[&str], updates: u64) {
    let place = folder();
    let (whole, broken) = (place.path().join("whole"), place.path().join("broken"));
    let updates = format!("train.updates={updates}");
    let arguments = [&SMALL[..], &["--set", &updates], more].concat();
    srm(&[&arguments[..], &["--run", text(&whole)]].concat()).done();

    let resume = [&arguments[..], &["--run", text(&broken), "--resume"]].concat();
    let (log, writing) = (broken.join("metrics.jsonl"), broken.join("checkpoints/.writing"));
    let (mut kills, mut in_writes, mut lives) = (0, 0, 0);
    while kills < 30 {
        lives += 1;
        assert!(lives < 80, "only {kills} kills in {lives} lives");
        let before = length(&log);
        let mut child = start(&resume);
        // a resumed run first cuts the log back, so any change of its length means that it is at work
        let mut ended = false;
        wait_until("an update", || {
            ended = child.try_wait().expect("ours").is_some();
            ended || (length(&log) != before && length(&log) > 0)
        });
        if lives % 2 == 0 && !ended {
            wait_until("a checkpoint", || {
                ended = child.try_wait().expect("ours").is_some();
                ended || writing.exists()
            });
            std::thread::sleep(Duration::from_micros(random(1_500)));
        } else {
            std::thread::sleep(Duration::from_micros(random(60_000)));
        }
        if child.try_wait().expect("ours").is_none() {
            child.kill().expect("ours");
            kills += 1;
            in_writes += u32::from(writing.exists());
        }
        child.wait().expect("ours");
    }
    srm(&resume).done();
    assert!(in_writes >= 3, "only {in_writes} kills met the write of a checkpoint");
    let last = |run: &Path| {
        let latest = fs::read_to_string(run.join("checkpoints/latest")).expect("a pointer");
        tensors(&run.join("checkpoints").join(latest.trim()))
    };
    assert!(last(&whole) == last(&broken), "the tensors differ");
    assert_eq!(metrics(&whole), metrics(&broken));
    assert_eq!(events_size(&whole), events_size(&broken));
    let grid = |run: &Path| fs::read(run.join("samples/x_000100.png")).expect("a grid");
    assert!(grid(&whole) == grid(&broken));
    assert!(!writing.exists(), "what a killed write left is gone");
}

#[test]
fn thirty_kills_change_no_bit() {
    kill_and_compare(&[], 700);
}

#[test]
fn thirty_kills_change_no_bit_with_average_bank_and_a_rollback() {
    // The rate jumps to 1e9 at update 42, after the checkpoint of 40: two rollbacks, the second one further, bring it to
    // 1e-3, where it stays.
    let more = [
        "--set",
        "train.ema=0.9",
        "--set",
        r#"langevin.init={"persistent":{"size":32,"restart":0.1}}"#,
        "--set",
        "train.learning_rate=[[0,1e-4],[42,1e-4],[42,1e9],[9999,1e9]]",
        "--set",
        "watch.rate_factor=1e-6",
    ];
    kill_and_compare(&more, 700);
    let place = folder();
    let run = place.path().join("run");
    srm(&[&SMALL[..], &["--set", "train.updates=60", "--run", text(&run)], &more].concat()).done();
    let lines = metrics(&run);
    let rollbacks: Vec<_> = lines.iter().filter(|line| line["event"] == "rollback").map(|line| &line["to"]).collect();
    assert_eq!(rollbacks, [40, 35], "the case that the kills are about");
}

#[test]
fn signals_save_the_state_and_a_resumed_run_ends_as_an_unbroken_one() {
    let place = folder();
    let whole = place.path().join("whole");
    // checkpoints come so seldom that only the signal's can be resumed from
    let arguments = [&SMALL[..], &["--set", "train.updates=300", "--set", "checkpoint.every=100000"]].concat();
    srm(&[&arguments[..], &["--run", text(&whole)]].concat()).done();
    for signal in ["-INT", "-TERM"] {
        let run = place.path().join(signal);
        let fresh = [&arguments[..], &["--run", text(&run)]].concat();
        let mut child = start(&fresh);
        wait_until("an update", || length(&run.join("metrics.jsonl")) > 0);
        let sent = std::process::Command::new("kill").args([signal, &child.id().to_string()]).status();
        assert!(sent.expect("kill is part of every Unix").success());
        assert_eq!(child.wait().expect("ours").code(), Some(130), "{signal}");
        let saved: u64 =
            fs::read_to_string(run.join("checkpoints/latest")).expect("a pointer").trim().parse().expect("n");
        assert!((1..300).contains(&saved), "{signal} after {saved}");
        let resumed = srm(&["train", "--run", text(&run), "--resume", "--json"]).done();
        assert!(resumed.stderr.contains(&format!("resuming after update {saved}")), "{}", resumed.stderr);
        assert_eq!(resumed.json()["updates"], 300);
        let last = |run: &Path| tensors(&run.join("checkpoints/000300"));
        assert!(last(&whole) == last(&run), "{signal}");
        assert_eq!(metrics(&whole), metrics(&run), "{signal}");
    }
}

#[test]
fn resume_begins_where_nothing_is_and_ends_where_all_is_done() {
    let place = folder();
    let run = place.path().join("run");
    let arguments = [&SMALL[..], &["--set", "train.updates=6", "--run", text(&run), "--resume"]].concat();
    assert!(srm(&arguments).done().stderr.contains("beginning at update 0"));
    let again = srm(&arguments).done();
    assert!(again.stderr.contains("all 6 updates are done already"), "{}", again.stderr);
    assert_eq!(metrics(&run).len(), 6);
}

#[test]
fn settings_change_on_the_way_by_set_and_the_net_cannot() {
    let place = folder();
    let run = text(place.path());
    srm(&[&SMALL[..], &["--set", "train.updates=5", "--run", run]].concat()).done();
    let resume = ["train", "--run", run, "--resume"];
    srm(&[&resume[..], &["--set", "energy.features=4", "--set", "energy.size=64"]].concat()).failed_with(
        2,
        &["energy.features: 2 -> 4 cannot change in a run that goes on", "energy.size: 32 -> 64", "--overwrite"],
    );
    let changed = [&resume[..], &["--set", "train.updates=9", "--set", "train.learning_rate=2e-5"]].concat();
    let went_on = srm(&changed).done();
    assert!(went_on.stderr.contains("changed setting train.learning_rate: 0.00001 -> 0.00002"), "{}", went_on.stderr);
    let lines = metrics(place.path());
    assert_eq!((lines[4]["lr"].as_f64(), lines[5]["lr"].as_f64(), lines.len()), (Some(1e-5), Some(2e-5), 9));
    let history = fs::read_to_string(place.path().join("history.jsonl")).expect("a history");
    let events: Vec<Value> = history.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let names: Vec<_> = events.iter().map(|event| event["event"].as_str().unwrap_or_default()).collect();
    assert_eq!(names, ["start", "finished", "resume", "finished"]);
    assert_eq!(events[2]["changes"][1]["key"], "train.learning_rate");
    // the file that the run began with no longer says what the run does
    let with_file = srm(&[&resume[..], &["--config", "configs/smoke.json"]].concat()).done();
    assert!(with_file.stderr.contains("configs/smoke.json has another"), "{}", with_file.stderr);
}

#[test]
fn another_thread_count_changes_no_bit_and_so_warns_of_nothing() {
    let place = folder();
    let runs = ["1", "2"].map(|threads| {
        let run = place.path().join(threads);
        let begin = [&SMALL[..], &["--set", "train.updates=5", "--threads", "2", "--run", text(&run)]].concat();
        srm(&begin).done();
        let resume = ["train", "--run", text(&run), "--resume", "--set", "train.updates=10", "--threads", threads];
        let said = srm(&resume).done().stderr;
        assert!(!said.contains("bit for bit"), "{said}");
        tensors(&run.join("checkpoints/000010"))
    });
    assert!(runs[0] == runs[1]);
}

#[test]
fn a_second_run_in_the_same_folder_is_refused_while_the_first_works() {
    let place = folder();
    let run = place.path().join("run");
    let arguments = [&SMALL[..], &["--set", "train.updates=100000", "--run", text(&run)]].concat();
    let mut child = start(&arguments);
    wait_until("an update", || length(&run.join("metrics.jsonl")) > 0);
    for way in ["--resume", "--overwrite"] {
        let refused = srm(&[&arguments[..], &[way]].concat());
        refused.failed_with(1, &["is in use by process", &child.id().to_string()]);
    }
    child.kill().expect("ours");
    child.wait().expect("ours");
    srm(&[&arguments[..], &["--resume", "--set", "train.updates=1"]].concat()).done();
}

/// Resident memory of a process in kB, from the kernel.
fn resident(child: &Child) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or(0)
}

#[test]
fn two_thousand_updates_with_checkpoints_take_no_more_memory_than_two_hundred() {
    let place = folder();
    let run = place.path().join("run");
    let mut child = start(&[&SMALL[..], &["--set", "train.updates=2400", "--run", text(&run)]].concat());
    let lines = || fs::read_to_string(run.join("metrics.jsonl")).unwrap_or_default().lines().count();
    let at = |count: usize| {
        wait_until("an update", || {
            std::thread::sleep(Duration::from_millis(5));
            lines() >= count
        });
        resident(&child)
    };
    let (early, late) = (at(200), at(2000));
    assert_eq!(child.wait().expect("ours").code(), Some(0));
    assert!(
        early.min(late) > 10_000 && late as f64 <= 1.05 * early as f64,
        "{early} kB after 200 updates, {late} kB after 2,000"
    );
}

#[test]
fn a_signal_that_comes_twice_at_once_still_saves_the_state() {
    let place = folder();
    let run = place.path().join("run");
    // updates of more than the few milliseconds in which Slurm sends SIGTERM twice at a time limit
    let slower = ["--set", "energy.features=8", "--set", "langevin.steps=40", "--set", "train.updates=4000"];
    let mut child = start(&[&SMALL[..], &slower, &["--run", text(&run)]].concat());
    wait_until("an update", || length(&run.join("metrics.jsonl")) > 0);
    for _ in 0..2 {
        let sent = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("kill runs");
        assert!(sent.success(), "the run was over before the signal");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(child.wait().expect("a child").code(), Some(130));
    let history = fs::read_to_string(run.join("history.jsonl")).expect("a run folder");
    assert!(history.lines().last().is_some_and(|line| line.contains("interrupted")), "{history}");
    let done = metrics(&run).last().expect("updates")["update"].as_u64().expect("a number");
    assert!(run.join(format!("checkpoints/{done:06}/state.json")).exists(), "no checkpoint of update {done}");
}
