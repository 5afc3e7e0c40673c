//! Faults of the disk: a full one, and one that gets room again.

use std::{
    fs,
    process::{Command, Stdio},
};

use crate::{
    common::{folder, root, text},
    survive::{SMALL, metrics},
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
    crate::common::srm(&["train", "--run", text(&run), "--resume"]).done();
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
fn a_disk_that_gets_room_again_misses_no_line() {
    // A ballast takes all room but for the folder's own files, from the start: even the log cannot grow. It goes once the
    // run has said so.
    let more = [
        "--set",
        "energy.features=8",
        "--set",
        "train.updates=400",
        "--set",
        "log.tensorboard=false",
        "--set",
        "train.learning_rate=1e-5",
    ];
    let script = "dd if=/dev/zero of=\"$DISK/ballast\" bs=1k count=4056 2>/dev/null
        (eval $SRM 2>\"$KEPT/said\"; echo $? >\"$KEPT/code\") &
        for i in $(seq 600); do grep -q 'training goes on' \"$KEPT/said\" && break; sleep 0.05; done
        rm \"$DISK/ballast\"; wait; cat \"$KEPT/said\" >&2; cp -r \"$DISK/run\" \"$KEPT\"; exit $(cat \"$KEPT/code\")";
    let (code, said, place) = on_small_disk("4096k", &more, script);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("training goes on"), "the disk was never full: {said}");
    let updates: Vec<_> =
        metrics(&place.path().join("kept/run")).iter().map(|line| line["update"].as_u64().unwrap_or(0)).collect();
    assert_eq!(updates, (1..=400).collect::<Vec<_>>());
}
