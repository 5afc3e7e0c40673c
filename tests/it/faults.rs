//! Faults of the disk: a full one, and one that gets room again.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use crate::{
    common::{command, folder, root, smoke, srm, text},
    survive::{SMALL, events_size, metrics},
};

/// Run a shell script in a mount namespace of its own with a tmpfs of `size` at $DISK; what it copies to $KEPT stays. $SRM
/// is the program and its arguments for a run in $DISK/run.
fn on_small_disk(size: &str, more: &[&str], script: &str) -> (i32, String, tempfile::TempDir) {
    let place = folder();
    let (disk, kept) = (place.path().join("disk"), place.path().join("kept"));
    for path in [&disk, &kept] {
        fs::create_dir(path).expect("a writable temporary folder");
    }
    let run = disk.join("run");
    let words = [&[env!("CARGO_BIN_EXE_srm")], &SMALL[..], &["--run", text(&run)], more].concat();
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let script = format!("mount -t tmpfs -o size={size} tmpfs \"$DISK\" || exit 99\n{script}");
    let output = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", &script])
        .env("DISK", &disk)
        .env("KEPT", &kept)
        .env("SRM", quoted.join(" "))
        .env("XDG_CACHE_HOME", "/nonexistent-cache")
        .current_dir(root())
        .stdin(Stdio::null())
        .output()
        .expect("unshare is part of util-linux");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let code = output.status.code().unwrap_or(-1);
    assert_ne!(code, 99, "this system lets nobody mount a tmpfs: {said}");
    (code, said, place)
}

/// A checkpoint of this net has about 530 kB: the first fits, the second does not beside it.
const TIGHT: [&str; 4] = ["--set", "energy.features=8", "--set", "train.updates=12"];

#[test]
fn a_full_disk_leaves_the_earlier_checkpoint_whole_and_the_run_goes_on() {
    let script = "eval $SRM; code=$?; cp -r \"$DISK/run\" \"$KEPT\"; exit $code";
    let (code, said, place) = on_small_disk("900k", &TIGHT, script);
    // the last checkpoint cannot be written either, and that is an error
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("No space left on device") && said.contains("training goes on"), "{said}");
    assert!(
        said.matches("training goes on").count() <= 2,
        "once for the checkpoint, once for the last picture: {said}"
    );
    let run = place.path().join("kept/run");
    assert_eq!(fs::read_to_string(run.join("checkpoints/latest")).expect("a pointer"), "000005\n");
    let sums = Command::new("sha256sum")
        .args(["-c", "--quiet", "SHA256SUMS"])
        .current_dir(run.join("checkpoints/000005"))
        .status();
    assert!(sums.expect("sha256sum is part of coreutils").success());
    assert!(!run.join("checkpoints/.writing").exists());
    // with room it goes on from there
    srm(&["train", "--run", text(&run), "--resume"]).done();
    assert_eq!(metrics(&run).len(), 12);
}

#[test]
fn a_full_disk_stops_the_run_where_the_config_says_so() {
    let more = [&TIGHT[..], &["--set", "checkpoint.on_write_error=stop"]].concat();
    let script = "eval $SRM; code=$?; cp -r \"$DISK/run\" \"$KEPT\"; exit $code";
    let (code, said, place) = on_small_disk("900k", &more, script);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("error: ") && said.contains("No space left on device"), "{said}");
    let run = place.path().join("kept/run");
    assert_eq!(fs::read_to_string(run.join("checkpoints/latest")).expect("a pointer"), "000005\n");
    assert_eq!(metrics(&run).len(), 10);
}

#[test]
fn a_disk_that_gets_room_again_misses_nothing() {
    // A ballast takes all room but for the settings, from the start: no log, no event file and no picture can be begun. It
    // goes once the run has said so.
    let more = ["train.updates=400", "evaluate.every=100", "evaluate.count=8", "checkpoint.every=20"];
    let more: Vec<&str> = more.into_iter().flat_map(|setting| ["--set", setting]).collect();
    let script = "dd if=/dev/zero of=\"$DISK/ballast\" bs=1k count=16376 2>/dev/null
        (eval $SRM 2>\"$KEPT/said\"; echo $? >\"$KEPT/code\") &
        for i in $(seq 600); do grep -q 'training goes on' \"$KEPT/said\" && break; sleep 0.05; done
        rm \"$DISK/ballast\"; wait; cat \"$KEPT/said\" >&2; cp -r \"$DISK/run\" \"$KEPT\"; exit $(cat \"$KEPT/code\")";
    let (code, said, place) = on_small_disk("16384k", &more, script);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("training goes on"), "the disk was never full: {said}");
    let (run, whole) = (place.path().join("kept/run"), place.path().join("whole"));
    srm(&[&SMALL[..], &["--run", text(&whole)], &more].concat()).done();
    assert_eq!(metrics(&run), metrics(&whole));
    assert_eq!(events_size(&run), events_size(&whole));
    let read =
        |folder: &Path, name: &str| fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let lines = |folder: &Path, name: &str| String::from_utf8_lossy(&read(folder, name)).lines().count();
    for name in ["scores.jsonl", "history.jsonl"] {
        assert_eq!(lines(&run, name), lines(&whole, name), "{name}");
    }
    for update in (50..=400).step_by(50) {
        let name = format!("samples/x_{update:06}.png");
        assert!(read(&run, &name) == read(&whole, &name), "{name}");
    }
}

#[test]
fn a_log_of_its_own_on_a_full_disk_does_not_stop_a_run() {
    let place = folder();
    let run = place.path().join("run");
    let full = fs::File::options().write(true).open("/dev/full").expect("every Linux has it");
    let arguments = [&SMALL[..], &["--set", "train.updates=6", "--run", text(&run)]].concat();
    let status = command(&arguments).stdout(Stdio::null()).stderr(full).status().expect("built for this test");
    assert_eq!(status.code(), Some(0));
    assert_eq!(metrics(&run).len(), 6);
}

#[test]
fn a_temporary_file_that_a_killed_command_left_is_gone_with_the_next() {
    let place = folder();
    let out = place.path().join("x.npy");
    let left = place.path().join(".x.npy.part");
    fs::write(&left, "half").expect("a writable temporary folder");
    srm(&["sample", "--weights", text(&smoke().0), "--count", "2", "--out", text(&out)]).done();
    let names: Vec<_> = fs::read_dir(place.path()).expect("there").flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(names, ["x.npy"]);
}

/// `cargo xtask torture --short`: about thirty kills of everything.
#[test]
fn the_short_torture_breaks_nothing() {
    let output = Command::new(env!("CARGO"))
        .args(["xtask", "torture", "--short", "--program", env!("CARGO_BIN_EXE_srm")])
        .current_dir(root())
        .output()
        .expect("cargo runs this test");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}{said}", String::from_utf8_lossy(&output.stdout));
}
