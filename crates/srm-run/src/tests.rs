//! Check folders of runs that hold no tensors: what stays, what is found again, what a kill leaves.

use super::*;
use crate::layout::{OPTIMIZER, SUMS, WEIGHTS};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// A temporary folder, in memory where there is such a place: a disk takes milliseconds a flush.
fn place() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

fn about(overrides: &[&str]) -> About {
    let text = r#"{ "data": { "images": "a.npy" }, "energy": { "size": 32, "channels": 1 },
        "langevin": { "gradient_scale": 1, "noise_std": 0 },
        "train": { "updates": 20, "batch": 1, "learning_rate": 1e-3, "data_noise": 0.1 },
        "log": { "tensorboard": false }, "checkpoint": { "every": 2, "keep_last": 2 } }"#;
    let overrides: Vec<String> = overrides.iter().map(|set| (*set).to_owned()).collect();
    let config = srm_config::Config::from_json(text, &overrides).unwrap();
    About::of(&config, Environment::default(), "0123456789abcdef")
}

fn step(update: u64, attempt: u32) -> StepRecord {
    StepRecord { update, attempt, gap: 0.5, ..StepRecord::default() }
}

const REGULAR: Kept = Kept { regular: true, calm: true, best: false };

/// Save a checkpoint of two small files.
fn save(run: &mut RunWriter, update: u64, kept: Kept) {
    let state = RunState { update, ..RunState::default() };
    save_state(run, &state, kept);
}

fn save_state(run: &mut RunWriter, state: &RunState, kept: Kept) {
    let files = |folder: &Path| {
        [WEIGHTS, OPTIMIZER]
            .iter()
            .try_for_each(|name| fs::write(folder.join(name), name).map_err(RunError::io(folder)))
    };
    run.checkpoint(state, kept, files).unwrap();
}

/// A run of `updates` updates with a checkpoint at every second.
fn run(folder: &Path, about: About, updates: u64) {
    let mut run = RunWriter::create(Lock::take(folder).unwrap(), about).unwrap();
    for update in 1..=updates {
        run.record(&step(update, 0), &PerImage::default()).unwrap();
        if update.is_multiple_of(2) {
            save(&mut run, update, REGULAR);
        }
    }
}

/// Go on in a folder: the writer, and what was found.
fn resume(folder: &Path, about: About) -> Result<(RunWriter, Resumable)> {
    let lock = Lock::take(folder)?;
    let found = Resumable::find(&lock, &about)?;
    Ok((RunWriter::resume(lock, about, &found)?, found))
}

fn updates(folder: &Path) -> Vec<u64> {
    checkpoints(&folder.join("checkpoints")).unwrap().into_iter().map(|(update, _)| update).collect()
}

fn kept(folder: &Path) -> Vec<u64> {
    Run::open(folder).unwrap().metrics().unwrap().unwrap().kept().map(|step| step.update).collect()
}

#[test]
fn a_run_goes_on_from_its_newest_checkpoint_and_its_logs_are_cut_back_to_it() {
    let folder = place();
    run(folder.path(), about(&[]), 5);
    assert_eq!(kept(folder.path()), [1, 2, 3, 4, 5]);
    let (mut run, found) = resume(folder.path(), about(&[])).unwrap();
    assert_eq!((found.update(), found.changes.len(), found.differences.len()), (Some(4), 0, 0));
    assert_eq!(kept(folder.path()), [1, 2, 3, 4]);
    run.record(&step(5, 0), &PerImage::default()).unwrap();
    run.end("finished", 5).unwrap();
    let history = Run::open(folder.path()).unwrap().history().unwrap().unwrap();
    let events: Vec<&str> = history.records.iter().map(|record| record.event.as_str()).collect();
    assert_eq!((events, history.faults.len()), (vec!["start", "resume", "finished"], 0));
}

#[test]
fn the_newest_the_last_calm_and_every_mth_checkpoint_are_kept() {
    let folder = place();
    let about = about(&["checkpoint.keep_every=6"]);
    let mut run = RunWriter::create(Lock::take(folder.path()).unwrap(), about).unwrap();
    for update in [2, 4, 6, 8, 10, 12] {
        save(&mut run, update, Kept { calm: update <= 4, ..REGULAR });
    }
    save(&mut run, 13, Kept { regular: false, ..REGULAR });
    save(&mut run, 7, Kept { regular: false, best: true, ..REGULAR });
    assert_eq!(updates(folder.path()), [4, 6, 10, 12, 13]);
    let best = Checkpoint::new(folder.path().join("checkpoints/best"));
    assert_eq!((best.damage().unwrap(), best.update(), best.state().unwrap().state.update), (None, None, 7));
    let latest = || fs::read_to_string(folder.path().join("checkpoints/latest")).unwrap();
    assert_eq!(latest(), "000013\n");
    // the pointer names what stays after a rollback; a kill right after it leaves this pointer
    run.forget_after(11).unwrap();
    assert_eq!((latest().as_str(), updates(folder.path())), ("000010\n", vec![4, 6, 10]));
    run.forget_after(3).unwrap();
    assert!(updates(folder.path()).is_empty() && !folder.path().join("checkpoints/latest").exists());
}

#[test]
fn every_kind_of_damage_to_the_newest_checkpoint_is_seen_and_the_one_before_it_taken() {
    for (damage, said) in [
        ("cut", "does not match its checksum"),
        ("gone", "weights.safetensors is missing"),
        ("sums", "SHA256SUMS is missing"),
        ("half", "SHA256SUMS is cut off"),
        ("more", "SHA256SUMS is cut off"),
    ] {
        let folder = place();
        run(folder.path(), about(&[]), 4);
        let path = folder.path().join("checkpoints/000004");
        match damage {
            "cut" => fs::write(path.join(WEIGHTS), "weig").unwrap(),
            "gone" => fs::remove_file(path.join(WEIGHTS)).unwrap(),
            "sums" => fs::remove_file(path.join(SUMS)).unwrap(),
            "half" => fs::write(path.join(SUMS), "0123").unwrap(),
            _ => fs::write(path.join("more"), "").unwrap(),
        }
        let found = Checkpoint::new(&path).damage().unwrap();
        assert!(found.as_ref().is_some_and(|reason| reason.contains(said)), "{damage}: {found:?}");
        assert_eq!(
            newest_weights(folder.path()).unwrap().unwrap().update(),
            Some(if damage == "sums" { 4 } else { 2 })
        );
        let (_, found) = resume(folder.path(), about(&[])).unwrap();
        assert_eq!((found.update(), kept(folder.path())), (Some(2), vec![1, 2]), "{damage}");
        assert!(folder.path().join("checkpoints/000004.damaged").is_dir());
        assert_eq!(fs::read_to_string(folder.path().join("checkpoints/latest")).unwrap(), "000002\n");
    }
    let folder = place();
    run(folder.path(), about(&[]), 2);
    let state = folder.path().join("checkpoints/000002/state.json");
    let text = fs::read_to_string(&state).unwrap().replace("\"rollbacks\": 0", "\"rollbacks\": 9");
    fs::write(&state, text).unwrap();
    assert!(matches!(resume(folder.path(), about(&[])).map(drop), Err(RunError::AllDamaged { .. })));
}

#[test]
fn what_a_kill_leaves_between_the_steps_of_a_write_is_put_right() {
    let folder = place();
    run(folder.path(), about(&[]), 4);
    let place = folder.path().join("checkpoints");
    fs::rename(place.join("000004"), place.join(".replaced-000004")).unwrap();
    fs::create_dir(place.join(".discarded-000002")).unwrap();
    fs::create_dir(place.join(".writing")).unwrap();
    fs::write(folder.path().join(".config.json.part"), "{").unwrap();
    let history = folder.path().join("history.jsonl");
    fs::write(&history, fs::read_to_string(&history).unwrap() + "{\"event\":\"res").unwrap();
    let (_, found) = resume(folder.path(), about(&[])).unwrap();
    assert_eq!(found.update(), Some(4));
    let hidden = |folder: &Path| {
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with('.') && name != ".lock").collect::<Vec<_>>()
    };
    assert_eq!((hidden(&place), hidden(folder.path())), (vec![], vec![]));
    let events: Vec<Value> =
        fs::read_to_string(history).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.iter().map(|event| &event["event"]).collect::<Vec<_>>(), ["start", "resume"]);
}

#[test]
fn a_checkpoint_that_cannot_be_written_leaves_nothing_and_the_earlier_one_stays() {
    let folder = place();
    let mut run = RunWriter::create(Lock::take(folder.path()).unwrap(), about(&[])).unwrap();
    save(&mut run, 2, REGULAR);
    let full = |place: &Path| {
        fs::write(place.join(WEIGHTS), "some of it").unwrap();
        Err(RunError::io(place)(std::io::Error::from(std::io::ErrorKind::StorageFull)))
    };
    let failed = run.checkpoint(&RunState { update: 4, ..RunState::default() }, REGULAR, full);
    run.tolerate(failed, RunError::is_write_failure).unwrap();
    assert!(!folder.path().join("checkpoints/.writing").exists());
    assert_eq!(updates(folder.path()), [2]);
    let strange = Err(RunError::NoRun { path: folder.path().to_owned() });
    assert!(run.tolerate(strange, RunError::is_write_failure).is_err(), "no full disk");
}

#[test]
fn settings_may_change_on_the_way_and_a_rate_set_by_hand_is_the_rate() {
    let folder = place();
    let mut run = RunWriter::create(Lock::take(folder.path()).unwrap(), about(&[])).unwrap();
    let best = Some(Best { update: 1, name: "frechet".into(), score: 1.0 });
    let rolled = RunState {
        update: 2,
        attempt: 2,
        rollbacks: 2,
        rate_factor: 0.25,
        extra_noise: 0.5,
        best,
        ..RunState::default()
    };
    save_state(&mut run, &rolled, REGULAR);
    drop(run);
    let found = |set: &[&str]| -> Result<(f64, u32, f64, bool, usize)> {
        let found = Resumable::find(&Lock::take(folder.path()).unwrap(), &about(set))?;
        let state = found.checkpoint.unwrap().1.state;
        Ok((state.rate_factor, state.rollbacks, state.extra_noise, state.best.is_some(), found.differences.len()))
    };
    assert_eq!(found(&["evaluate.every=7"]).unwrap(), (0.25, 2, 0.5, true, 0));
    assert_eq!(found(&["train.learning_rate=1e-4", "evaluate.count=50"]).unwrap(), (1.0, 0, 0.5, false, 0));
    assert_eq!(found(&["train.data_noise=0.2"]).unwrap(), (0.25, 2, 0.0, true, 0));
    let refused = found(&["energy.features=5"]).unwrap_err();
    assert!(matches!(refused, RunError::CannotChange { .. }), "{refused}");
    let moved = About { data: DataFile { fingerprint: "other".into(), ..DataFile::default() }, ..about(&[]) };
    let found = Resumable::find(&Lock::take(folder.path()).unwrap(), &moved).unwrap();
    assert_eq!(found.differences, ["other images: fingerprint 0123456789abcdef -> other"]);
}

#[test]
fn a_description_of_the_users_own_stands_in_the_place_of_a_config() {
    let folder = place();
    let own = |said: Value| About { description: Description::Own { said, settings: Value::Null }, ..about(&[]) };
    run(folder.path(), own(json!({ "net": "mlp" })), 2);
    assert!(resume(folder.path(), own(json!({ "net": "mlp" }))).unwrap().1.differences.is_empty());
    let (_, found) = resume(folder.path(), own(Value::Null)).unwrap();
    assert_eq!(found.differences, [r#"description: {"net":"mlp"} -> null"#]);
    let run = Run::open(folder.path()).unwrap();
    assert_eq!(run.config_text().unwrap().as_deref(), Some("null\n"));
    assert!(run.config().unwrap().unwrap().is_err(), "it is no config");
}

#[test]
fn a_run_of_another_program_keeps_the_settings_that_enter_its_updates() {
    let own = |settings: Value| About { description: Description::Own { said: Value::Null, settings }, ..about(&[]) };
    let begun = json!({ "dynamics": { "steps": 10, "clip": null }, "train": { "updates": 4, "batch": 8 }, "log": { "every": 1 } });
    let with = |section: &str, key: &str, value: u64| {
        let mut settings = begun.clone();
        settings[section][key] = value.into();
        own(settings)
    };
    let folder = place();
    run(folder.path(), own(begun.clone()), 2);
    let refused = |about: About| resume(folder.path(), about).map(drop).unwrap_err().to_string();
    assert!(
        refused(with("train", "batch", 9)).starts_with("train.batch: 8 -> 9 cannot change in a run that goes on: ")
    );
    assert!(refused(with("dynamics", "clip", 2)).starts_with("dynamics.clip: null -> 2 cannot change"));
    assert!(resume(folder.path(), with("train", "of_a_later_version", 1)).is_ok());
    let (mut more, found) = resume(folder.path(), with("train", "updates", 6)).unwrap();
    assert_eq!(found.changes.iter().map(|change| &*change.path).collect::<Vec<_>>(), ["train.updates"]);
    save(&mut more, 4, REGULAR);
    drop(more);
    // a checkpoint remembers the settings that it was written under
    assert!(resume(folder.path(), with("train", "updates", 6)).unwrap().1.changes.is_empty());
    assert_eq!(resume(folder.path(), with("log", "every", 5)).unwrap().1.changes.len(), 2);

    // one from before settings were kept goes on with any, and keeps them from then on
    let old = place();
    run(old.path(), own(Value::Null), 2);
    let state = fs::read_to_string(old.path().join("checkpoints/000002/state.json")).unwrap();
    assert!(!state.contains("settings"), "what a config's run writes is as it was");
    let (mut more, _) = resume(old.path(), with("train", "batch", 9)).unwrap();
    save(&mut more, 4, REGULAR);
    drop(more);
    assert!(matches!(resume(old.path(), own(begun)).map(drop), Err(RunError::CannotChange { .. })));
}

#[test]
fn a_run_is_not_begun_over_another_and_nothing_of_that_is_lost() {
    let folder = place();
    let own = |said: Value| About { description: Description::Own { said, settings: Value::Null }, ..about(&[]) };
    run(folder.path(), about(&["log.tensorboard=true"]), 4);
    let contents = || {
        let files = ["config.json", "metrics.jsonl", "history.jsonl", "checkpoints/000004/state.json"];
        files.map(|name| fs::read(folder.path().join(name)).unwrap())
    };
    let before = contents();
    for about in [about(&[]), own(Value::Null)] {
        let refused = RunWriter::create(Lock::take(folder.path()).unwrap(), about).map(drop).unwrap_err().to_string();
        assert!(refused.contains("holds an earlier run, which this run would write over"), "{refused}");
        assert_eq!(contents(), before);
    }
    // any part of one is enough; a report, or what is no run's, is not
    for (name, is_run) in [("samples/x_000002.png", true), ("events.out.tfevents.1.a", true), ("report.html", false)] {
        let part = place();
        let path = part.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::create_dir_all(part.path().join("checkpoints")).unwrap();
        fs::write(path, "something").unwrap();
        let created = RunWriter::create(Lock::take(part.path()).unwrap(), about(&[]));
        assert_eq!(created.is_err(), is_run, "{name}");
    }
    clear(&Lock::take(folder.path()).unwrap()).unwrap();
    RunWriter::create(Lock::take(folder.path()).unwrap(), about(&[])).unwrap();
}

#[test]
fn a_reader_finds_what_a_run_has_written_and_says_what_is_no_run() {
    let folder = place();
    let place = folder.path().join("run");
    let words = |path: &Path| Run::open(path).unwrap_err().to_string();
    assert!(words(&place).contains("run does not exist; give the folder of a run"));
    fs::create_dir(&place).unwrap();
    assert!(words(&place).contains("is no run folder: it holds no config.json"));
    assert!(!is_run(&place) && !is_used(&place));
    run(&place, about(&["evaluate.every=2"]), 4);
    assert!(words(&place.join("config.json")).contains("is a file"));
    let mut writer = resume(&place, about(&["evaluate.every=2", "train.data_noise=0.02"])).unwrap().0;
    let score = |update, attempt| ScoreRecord {
        update,
        attempt,
        name: "frechet".into(),
        score: Some(1.0),
        ..ScoreRecord::default()
    };
    let rollback = |update, to, attempt| Rollback {
        update,
        to,
        attempt,
        reason: "gap".into(),
        rate_factor: 0.5,
        extra_noise: 0.0,
    };
    // 4 is scored, 5 refused: back to 2; 3 and 4 again, 5 refused again
    writer.score(&score(4, 0)).unwrap();
    writer.rollback(&rollback(5, 2, 1)).unwrap();
    writer.record(&step(3, 1), &PerImage::default()).unwrap();
    writer.record(&step(4, 1), &PerImage::default()).unwrap();
    writer.score(&score(4, 1)).unwrap();
    writer.rollback(&rollback(5, 4, 2)).unwrap();
    let last = vec![step(4, 1)];
    let seen =
        Evidence { update: 5, attempt: 1, text: "gap".into(), refused: Some(step(5, 1)), last, reason: json!({}) };
    let png = writer.evidence(&seen, "png").unwrap();
    assert_eq!(png, place.join("divergence/x_000005_1.png"));
    fs::write(place.join("samples/x_000004.png"), "").unwrap();
    fs::write(place.join("samples/.x_000006.png.part"), "").unwrap();

    let run = Run::open(&place).unwrap();
    assert_eq!((run.name().as_str(), kept(&place)), ("run", vec![1, 2, 3, 4]));
    let (metrics, scores) = (run.metrics().unwrap().unwrap(), run.scores().unwrap().unwrap());
    assert_eq!((metrics.steps.len(), metrics.rollbacks.len(), metrics.first_fault()), (6, 2, None));
    let counted: Vec<u32> =
        scores.records.iter().filter(|one| metrics.counts(one.update, one.attempt)).map(|one| one.attempt).collect();
    assert_eq!(counted, [1]);
    let history = run.history().unwrap().unwrap();
    assert_eq!(history.faults, []);
    let [start, .., resume, first, second] = &*history.records else { panic!("{history:?}") };
    assert!(start.event == "start" && start.time.is_some() && start.update == Some(0));
    assert_eq!((&*resume.event, &resume.environment), ("resume", &Some(Environment::default())));
    let changed = resume.changes.iter().flatten().map(|change| &*change.path);
    assert_eq!((changed.collect(), resume.differences.as_deref()), (vec!["train.data_noise"], Some(&[][..])));
    assert_eq!(metrics.rollbacks, [first, second].map(|event| event.rollback.clone().unwrap()));
    assert_eq!(run.config().unwrap().unwrap().unwrap().train.updates, 20);
    assert_eq!(run.samples(), [(4, place.join("samples/x_000004.png"))]);
    assert_eq!(run.troubles().remove(0).1.unwrap(), seen);
    // a record of another form costs itself alone
    let text = fs::read_to_string(png.with_extension("json")).unwrap();
    let mut older: Value = serde_json::from_str(&text).unwrap();
    older["last"] = json!([{ "update": 1, "gap": 0.5 }, older["last"][0]]);
    fs::write(png.with_extension("json"), older.to_string()).unwrap();
    assert_eq!(run.troubles().remove(0).1.unwrap(), seen);
    assert_eq!(run.checkpoints().unwrap().into_iter().map(|(update, _)| update).collect::<Vec<_>>(), [2, 4]);
    let newest = run.newest().unwrap().unwrap();
    assert_eq!((newest.update(), newest.weights()), (Some(4), place.join("checkpoints/000004/weights.safetensors")));
    let of_weights = Checkpoint::of_weights(&newest.weights()).unwrap().unwrap();
    assert_eq!(of_weights.config(), Some(place.canonicalize().unwrap().join("config.json")));
    assert_eq!(Checkpoint::of_weights(&place.join("config.json")).unwrap(), None);
    assert!(run.evaluation().unwrap().is_none());

    drop(writer);
    fs::write(place.join("notes.txt"), "mine").unwrap();
    clear(&Lock::take(&place).unwrap()).unwrap();
    let mut left: Vec<_> = fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, [".lock", "notes.txt"]);
}

#[test]
fn a_folder_has_one_run_at_a_time() {
    let folder = place();
    let held = Lock::take(folder.path()).unwrap();
    let error = Lock::take(folder.path()).unwrap_err();
    assert!(matches!(&error, RunError::InUse { .. }), "{error}");
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
    drop(held);
    Lock::take(folder.path()).unwrap();
}
