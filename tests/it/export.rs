//! Exporting from outside: the files of the folder, what is refused, and that nothing is half done.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    common::{command, folder, read_npy, root, run as run_in, smoke, srm, text},
    ladder::ladder,
};

const FILES: [&str; 4] = ["README.md", "config.json", "model.safetensors", "samples.png"];

fn export<'a>(hub: &'a Path, weights: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    [&["export", "--hub", text(hub), text(weights)][..], more].concat()
}

fn read(path: PathBuf) -> Vec<u8> {
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The card, and its front matter.
fn card(hub: &Path) -> (String, Value) {
    let text = String::from_utf8(read(hub.join("README.md"))).expect("UTF-8");
    let front = text.strip_prefix("---\n").and_then(|rest| rest.split_once("\n---\n")).expect("front matter").0;
    let front = serde_saphyr::from_str(front).unwrap_or_else(|error| panic!("{error}: {front}"));
    (text, front)
}

/// Names in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Whether two folders hold the same files.
fn assert_same(one: &Path, other: &Path) {
    assert_eq!(names(one), names(other));
    for name in names(one) {
        assert!(read(one.join(&name)) == read(other.join(&name)), "{name}");
    }
}

/// Export, hold the files to the checkpoint's weights and the pictures of `srm sample`, and export again to equal files.
fn holds(run: &Path, weights: &Path) -> (tempfile::TempDir, Value) {
    let place = folder();
    let (hub, again, picture) = (place.path().join("hub"), place.path().join("again"), place.path().join("x.png"));
    let said = srm(&export(&hub, run, &["--json"])).done().json();
    assert_eq!(names(&hub), FILES);
    assert_eq!(names(place.path()), ["hub"]);
    assert!(read(hub.join("model.safetensors")) == read(weights.to_owned()));
    for source in [run, &hub] {
        srm(&["sample", "--weights", text(source), "--count", "64", "--seed", "1", "--out", text(&picture)]).done();
        assert!(read(picture.clone()) == read(hub.join("samples.png")), "{}", source.display());
    }
    srm(&export(&again, run, &[])).done();
    assert_same(&hub, &again);
    for name in ["README.md", "config.json"] {
        let text = String::from_utf8(read(hub.join(name))).expect("UTF-8");
        for private in [text_of(place.path()), text_of(run.parent().expect("in a folder")), text_of(&root())] {
            assert!(!text.contains(&private), "{private} in {name}:\n{text}");
        }
    }
    (place, said)
}

fn text_of(path: &Path) -> String {
    path.canonicalize().expect("it is there").to_string_lossy().into_owned()
}

/// A copy of the smoke run that a test may change.
fn copy_of_smoke(place: &Path) -> PathBuf {
    let run = place.join("my run");
    assert!(Command::new("cp").arg("-r").arg(&smoke().0).arg(&run).status().expect("cp runs").success());
    run
}

#[test]
fn a_run_becomes_a_folder_with_its_weights_settings_picture_and_card() {
    let run = &smoke().0;
    let (place, said) = holds(run, &run.join("checkpoints/000030/weights.safetensors"));
    let hub = place.path().join("hub");
    assert_eq!((&said["name"], &said["license"], &said["update"]), (&json!("OWNER/smoke"), &json!("mit"), &json!(30)));
    assert_eq!((&said["converted"], &said["files"], &said["warnings"]), (&json!(false), &json!(FILES), &json!([])));
    let bytes: u64 = FILES.iter().map(|name| fs::metadata(hub.join(name)).expect("there").len()).sum();
    assert_eq!(said["bytes"], bytes);
    let (card, front) = card(&hub);
    assert!(
        card.contains(said["sha256"].as_str().expect("a sum")) && card.contains("--weights hf:OWNER/smoke"),
        "{card}"
    );
    assert_eq!((&front["license"], &front["library_name"]), (&json!("mit"), &json!("srm")));
    let config: Value = serde_json::from_slice(&read(hub.join("config.json"))).expect("JSON");
    assert_eq!(
        (&config["model_type"], &config["architectures"]),
        (&json!("srm-short-run"), &json!(["ShortRunConvNet"]))
    );
    assert_eq!((&config["energy"]["features"], &config["train"]["updates"]), (&json!(8), &json!(30)));
    assert!(config.get("about").is_none(), "what a preset says of other runs");
    // the settings go on to serve
    srm(&["train", "--config", text(&hub.join("config.json")), "--dry-run"]).done();
    // an exported folder can be exported, by its own settings
    let second = place.path().join("second");
    srm(&export(&second, &hub, &["--name", "me/smoke"])).done();
    assert_eq!(read(second.join("config.json")), read(hub.join("config.json")));
    assert!(self::card(&second).0.contains("--weights hf:me/smoke"));
}

#[test]
fn a_ladder_goes_out_with_all_its_nets_and_only_when_they_have_joined() {
    let run = ladder();
    let (place, _) = holds(run, &run.join("checkpoints/000010/weights.safetensors"));
    let (card, _) = card(&place.path().join("hub"));
    assert!(card.contains("3 at 4 px, 3 at 16 px, 4 at 32 px") && card.contains("nn.functional.interpolate"), "{card}");
    let hub = place.path().join("early");
    srm(&export(&hub, &run.join("checkpoints/000005"), &[]))
        .failed_with(1, &["of a ladder that still grows", "up to 16 px", "give a later checkpoint"]);
    assert!(!hub.exists());
}

#[test]
fn averaged_weights_own_images_and_scores_are_said() {
    let place = folder();
    let (run, hub, images) =
        (place.path().join("cars"), place.path().join("hub"), place.path().join("photos \"1\".npy"));
    srm(&["sample", "--weights", text(&smoke().0), "--count", "16", "--out", text(&images)]).done();
    let data = format!("data.images={}", json!(text(&images)));
    let sets = ["--set", &data, "--set", "data.count=null", "--set", "train.updates=3", "--set", "train.ema=0.9"];
    srm(&[&["train", "--config", "configs/smoke.json", "--run", text(&run)][..], &sets].concat()).done();
    srm(&["evaluate", "--weights", text(&run), "--data", text(&images), "--count", "8"]).done();
    let said = srm(&export(&hub, &run, &["--json"])).done();
    assert!(said.stderr.contains("--license ID"), "{}", said.stderr);
    let said = said.json();
    assert_eq!(
        (&said["scores"], &said["data"], &said["license"]),
        (&json!(1), &json!("photos \"1\".npy"), &json!("other"))
    );
    assert!(read(hub.join("model.safetensors")) == read(run.join("checkpoints/000003/ema.safetensors")));
    let (said, front) = card(&hub);
    assert_eq!(front["license_name"], "to-be-filled-in");
    let evaluation: Value = serde_json::from_slice(&read(run.join("evaluation.json"))).expect("JSON");
    let metric = &front["model-index"][0]["results"][0]["metrics"][0];
    assert_eq!((&metric["value"], &metric["type"]), (&evaluation["results"][0]["frechet"], &json!("frechet_distance")));
    assert!(said.contains("update 3, averaged weights") && said.contains("`photos \"1\".npy`"), "{said}");
    let config: Value = serde_json::from_slice(&read(hub.join("config.json"))).expect("JSON");
    assert_eq!(config["data"]["images"], "photos \"1\".npy");
    let given = srm(&export(&hub, &run, &["--overwrite", "--license", "cc-by-4.0", "--json"])).done().json();
    assert_eq!((&given["license"], &given["warnings"]), (&json!("cc-by-4.0"), &json!([])));
    // scores of other weights are no scores of these
    srm(&["train", "--resume", "--run", text(&run), "--set", "train.updates=4"]).done();
    let later = srm(&export(&hub, &run, &["--overwrite", "--json"])).done().json();
    assert_eq!(later["scores"], 0);
    assert!(later["warnings"][0].as_str().is_some_and(|said| said.contains("scores other weights")), "{later}");
}

#[test]
fn pytorch_s_files_are_converted_and_say_their_settings_by_a_config() {
    let place = folder();
    let (hub, config, out) = (place.path().join("hub"), place.path().join("one.json"), place.path().join("x.npy"));
    let overrides = ["energy.channels=1".to_owned(), "energy.features=1".to_owned()];
    let settings = srm_config::Config::load(root().join("configs/smoke.json"), &overrides).expect("sound");
    fs::write(&config, settings.to_json()).expect("a writable temporary folder");
    let file = root().join("crates/srm-energy/fixtures/pth/plain.pth");
    srm(&export(&hub, &file, &[])).failed_with(1, &["carries no Langevin settings", "--config"]);
    assert_eq!(names(place.path()), ["one.json"]);
    let said = srm(&export(&hub, &file, &["--config", text(&config), "--json"])).done().json();
    assert_eq!(
        (&said["converted"], &said["name"], &said["update"]),
        (&json!(true), &json!("OWNER/plain"), &Value::Null)
    );
    let sample = |weights: &Path, more: &[&str]| {
        srm(&[&["sample", "--weights", text(weights), "--count", "3", "--out", text(&out)][..], more].concat()).done();
        read_npy(&out).1
    };
    assert!(sample(&hub, &[]) == sample(&file, &["--config", text(&config)]));
}

#[test]
fn what_lies_in_the_folder_is_not_lost() {
    let (run, place) = (&smoke().0, folder());
    let (hub, file) = (place.path().join("hub"), place.path().join("file"));
    fs::create_dir(&hub).expect("a writable temporary folder");
    fs::write(hub.join("LICENSE"), "mine").expect("a writable temporary folder");
    fs::write(hub.join("README.md"), "mine").expect("a writable temporary folder");
    fs::write(&file, "mine").expect("a writable temporary folder");
    srm(&export(&hub, run, &[])).failed_with(2, &["is not empty", "--overwrite"]);
    assert_eq!(
        (names(&hub), read(hub.join("README.md"))),
        (vec!["LICENSE".to_owned(), "README.md".to_owned()], b"mine".to_vec())
    );
    let run = run.canonicalize().expect("the smoke run wrote it");
    let here = ["export", "--hub", ".", text(&run), "--overwrite"];
    run_in(command(&here).current_dir(&hub)).failed_with(2, &["you are in it", "name it from there"]);
    let run = &run;
    srm(&export(&hub, run, &["--overwrite"])).done();
    assert_eq!((names(&hub).len(), read(hub.join("LICENSE"))), (5, b"mine".to_vec()));
    assert!(card(&hub).0.contains("# smoke"));
    srm(&export(&file, run, &["--overwrite"])).failed_with(2, &["it is a file"]);
    let own = copy_of_smoke(place.path());
    srm(&export(&own, &own, &["--overwrite"])).failed_with(2, &["folder of a run", "settings would be lost"]);
    assert!(read(own.join("config.json")) == read(run.join("config.json")));
    assert_eq!(names(place.path()), ["file", "hub", "my run"]);
}

#[test]
fn what_cannot_be_exported_is_said_before_anything_is_written() {
    let (run, place) = (&smoke().0, folder());
    let hub = place.path().join("hub");
    let bad = |more: &[&str], code: i32, parts: &[&str]| srm(&export(&hub, run, more)).failed_with(code, parts);
    bad(&["--name", "smoke"], 2, &["--name smoke", "OWNER/NAME"]);
    bad(&["--license", "My Licence"], 2, &["--license My Licence", "cc-by-4.0"]);
    bad(&["--config", "none.json"], 2, &["none.json"]);
    let empty = copy_of_smoke(place.path());
    fs::remove_dir_all(empty.join("checkpoints")).expect("it is there");
    srm(&export(&hub, &empty, &[])).failed_with(1, &["holds no checkpoint and no weights file", "srm train"]);
    srm(&export(&hub, &place.path().join("none"), &[])).failed_with(1, &["do not exist"]);
    assert_eq!(names(place.path()), ["my run"]);
}

#[test]
fn a_full_disk_and_ctrl_c_leave_nothing() {
    let (place, run) = (folder(), &smoke().0);
    let disk = place.path().join("disk");
    fs::create_dir(&disk).expect("a writable temporary folder");
    let script = "mount -t tmpfs -o size=100k tmpfs \"$DISK\" || exit 99
        \"$SRM\" export --hub \"$DISK/hub\" \"$RUN\"; code=$?; ls -A \"$DISK\"; exit $code";
    let output = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", script])
        .env("DISK", &disk)
        .env("RUN", run)
        .env("SRM", env!("CARGO_BIN_EXE_srm"))
        .env("XDG_CACHE_HOME", "/nonexistent-cache")
        .output()
        .expect("unshare is part of util-linux");
    let (said, left) = (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("No space left on device") && said.contains("make room"), "{said}");
    assert_eq!(left, "");

    // chains of a million steps
    let (hub, config) = (place.path().join("hub"), place.path().join("long.json"));
    let settings = fs::read_to_string(run.join("config.json")).expect("the run has settings");
    fs::write(&config, settings.replace("\"steps\": 10", "\"steps\": 1000000")).expect("a writable temporary folder");
    let mut child = command(&export(&hub, run, &["--config", text(&config)]))
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary was built for this test");
    let begun = Instant::now();
    while !place.path().join(".hub.part").exists() {
        assert!(begun.elapsed() < Duration::from_secs(60) && child.try_wait().expect("a child").is_none());
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(200));
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs").success());
    assert_eq!(child.wait().expect("a child").code(), Some(130));
    assert_eq!(names(place.path()), ["disk", "long.json"]);
}
