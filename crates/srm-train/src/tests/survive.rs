//! Check that runs go on bit for bit, and that they come back from faults.

use super::{RunIn, Trainer, config, create, images, options, stop_after};
use crate::{End, Reason, RunFolder, Sink, Step};
use serde_json::Value;
use srm_config::Config;
use srm_langevin::Stop;
use srm_run::{Environment, Lock, PerImage, RunError, StepRecord};
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Settings that a resumed run must carry on, one set a test case.
const VARIANTS: [&[&str]; 6] = [
    &[],
    &["train.ema=0.9", "train.weight_decay=0.1", "train.clip_parameter_gradient=0.5", "train.f_l2=0.1"],
    &["train.spectral_norm=1.0", "langevin.clip_gradient=0.01", "langevin.init=data"],
    &[r#"langevin.init={"persistent":{"size":9,"restart":0.3}}"#, "train.ema=0.5"],
    super::LADDER,
    super::GROWING,
];

pub(super) fn trainer(folder: &Path, config: &Config) -> Trainer {
    Trainer::from_config(config, images(folder, 20), options(2)).unwrap()
}

/// Go on with the run in `run` to its end, or until `stop` is asked for.
pub(super) fn resume(folder: &Path, run: &Path, config: &Config, stop: &Stop) -> (End, u64) {
    resume_with(trainer(folder, config), run, config, stop)
}

/// [`resume`] with a trainer made ready.
pub(super) fn resume_with(mut trainer: Trainer, run: &Path, config: &Config, stop: &Stop) -> (End, u64) {
    let lock = Lock::take(run).unwrap();
    let fingerprint = trainer.data().fingerprint().unwrap();
    let (sink, found) = RunFolder::resume(lock, config, Environment::default(), &fingerprint).unwrap();
    assert_eq!(found.differences, Vec::<String>::new());
    if let Some(saved) = found.saved {
        trainer.restore(&saved).unwrap();
    }
    let from = trainer.state().update;
    (trainer.run_in(sink, stop).unwrap(), from)
}

/// metrics.jsonl without the wall clock.
pub(super) fn metrics(run: &Path) -> Vec<Value> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let mut lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    lines.iter_mut().filter_map(Value::as_object_mut).for_each(|line| {
        line.remove("seconds");
    });
    lines
}

/// All tensor files of a checkpoint.
pub(super) fn bytes(checkpoint: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(checkpoint)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "safetensors"))
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn a_run_stopped_at_every_third_update_equals_an_unbroken_one() {
    for variant in VARIANTS {
        let folder = tempfile::tempdir().unwrap();
        let (whole, broken) = (folder.path().join("whole"), folder.path().join("broken"));
        let config = config(&[&["log.every=1"], variant].concat());
        trainer(folder.path(), &config).run_in(create(&whole, &config), &Stop::default()).unwrap();
        let mut starts = Vec::new();
        loop {
            let mut trainer = trainer(folder.path(), &config);
            let stop = stop_after(&mut trainer, 3);
            let (end, from) = resume_with(trainer, &broken, &config, &stop);
            starts.push(from);
            if end == End::Finished {
                break;
            }
        }
        assert_eq!(starts, [0, 3, 6, 9, 12], "{variant:?}: the last life makes the last grid");
        let last = |run: &Path| bytes(&run.join("checkpoints/000012"));
        assert!(last(&whole) == last(&broken), "{variant:?}: the tensors differ");
        assert_eq!(metrics(&whole), metrics(&broken), "{variant:?}");
        let expected = 2
            + usize::from(variant.iter().any(|set| set.starts_with("train.ema")))
            + usize::from(variant.iter().any(|set| set.contains("persistent")));
        assert_eq!(last(&whole).len(), expected, "{variant:?}");
    }
}

#[test]
fn a_nan_in_a_gradient_costs_only_the_updates_since_the_last_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let config = config(&["log.every=1", "watch.extra_noise=0.01"]);
    let mut trainer = trainer(folder.path(), &config);
    let mut injected = false;
    trainer.fault = Some(Box::new(move |update, gradients| {
        if update == 7 && !std::mem::replace(&mut injected, true) {
            let _ = gradients[2].get(0).fill_(f64::NAN);
        }
    }));
    let sink = create(&run, &config);
    assert_eq!(trainer.run_in(sink, &Stop::default()).unwrap(), End::Finished);
    assert_eq!((trainer.state().rollbacks, trainer.state().rate_factor), (1, 0.5));
    let lines = metrics(&run);
    let at = lines.iter().position(|line| line["event"] == "rollback").unwrap();
    assert_eq!((lines[at]["update"].as_u64(), lines[at]["to"].as_u64()), (Some(7), Some(4)));
    assert!(lines[at]["reason"].as_str().unwrap().contains("gradient of the weights"));
    let updates = |lines: &[Value]| lines.iter().map(|line| line["update"].as_u64().unwrap()).collect::<Vec<_>>();
    assert_eq!(updates(&lines[..at]), [1, 2, 3, 4, 5, 6]);
    assert_eq!(updates(&lines[at + 1..]), [5, 6, 7, 8, 9, 10, 11, 12]);
    // new noise: the same update gives other numbers; and the rate and noise that the rollback set
    assert_ne!(lines[4]["f_sample"], lines[at + 1]["f_sample"]);
    assert_eq!(lines[at + 1]["lr"].as_f64().unwrap(), 0.5 * lines[4]["lr"].as_f64().unwrap());
    assert_eq!(lines[at + 1]["data_noise"].as_f64().unwrap(), 0.04);
    assert!(run.join("divergence/x_000007_0.png").is_file() && run.join("divergence/x_000007_0.json").is_file());
    assert!(fs::read_to_string(run.join("history.jsonl")).unwrap().contains("\"event\":\"rollback\""));
}

#[test]
fn a_rate_that_explodes_is_given_up_after_the_last_rollback_with_the_evidence() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let config = config(&["train.learning_rate=1e9", "train.updates=50", "watch.rollbacks=3", "log.every=1"]);
    let mut trainer = trainer(folder.path(), &config);
    let end = trainer.run_in(create(&run, &config), &Stop::default()).unwrap();
    assert!(matches!(end, End::Diverged { update: 2, .. }), "{end:?}");
    assert_eq!(trainer.state().rollbacks, 3);
    let evidence: Value =
        serde_json::from_str(&fs::read_to_string(run.join("divergence/x_000002_3.json")).unwrap()).unwrap();
    assert_eq!(evidence["last"].as_array().unwrap().len(), 4, "the first update of each attempt");
    assert_eq!(metrics(&run).iter().filter(|line| line["event"] == "rollback").count(), 3);
}

#[test]
fn a_rate_that_is_too_high_is_lowered_until_the_run_is_healthy() {
    let folder = tempfile::tempdir().unwrap();
    let overrides = ["train.learning_rate=0.1", "train.updates=60", "watch.rate_factor=0.1", "checkpoint.every=60"];
    let run = |name: &str, more: &[&str]| {
        let config = config(&[&overrides[..], more].concat());
        let mut trainer = trainer(folder.path(), &config);
        let end = trainer.run_in(create(&folder.path().join(name), &config), &Stop::default()).unwrap();
        (end, trainer.state().rollbacks)
    };
    let (end, _) = run("off", &["watch.rollbacks=0"]);
    assert!(
        matches!(end, End::Diverged { reason: Reason::Strayed { .. } | Reason::ChainNotFinite { .. }, .. }),
        "{end:?}"
    );
    let (end, rollbacks) = run("on", &[]);
    assert_eq!(end, End::Finished);
    assert!((1..=3).contains(&rollbacks), "{rollbacks}");
    let lines = metrics(&folder.path().join("on"));
    let number = |key: &str| lines[lines.len() - 1][key].as_f64().unwrap();
    assert!(number("sample_std") < 1.0 && number("gap").abs() < 10.0 && number("chain_grad_norm") < 5.0, "{lines:?}");
}

/// Injects a NaN at update 10, as often as `failures` says.
pub(super) fn failing(folder: &Path, config: &Config, mut failures: u32) -> Trainer {
    let mut trainer = trainer(folder, config);
    trainer.fault = Some(Box::new(move |update, gradients| {
        if update == 10 && failures > 0 {
            failures -= 1;
            let _ = gradients[0].fill_(f64::INFINITY);
        }
    }));
    trainer
}

#[test]
fn a_kill_right_after_a_rollback_loses_neither_its_noise_nor_its_rate() {
    // The fault does not come again: only what the rollback has saved can make the resumed run equal to the unbroken one.
    let folder = tempfile::tempdir().unwrap();
    let config = config(&["log.every=1", "watch.rate_factor=0.25"]);
    let (whole, broken) = (folder.path().join("whole"), folder.path().join("broken"));
    failing(folder.path(), &config, 1).run_in(create(&whole, &config), &Stop::default()).unwrap();
    {
        let folder_of_run = create(&broken, &config);
        let mut trainer = failing(folder.path(), &config, 1);
        let mut sink = (DiesAfterRollback, folder_of_run.clone());
        assert!(trainer.run(&mut folder_of_run.clone(), &mut sink, &Stop::default()).is_err());
    }
    let (end, from) = resume(folder.path(), &broken, &config, &Stop::default());
    assert_eq!((end, from), (End::Finished, 8));
    assert!(bytes(&whole.join("checkpoints/000012")) == bytes(&broken.join("checkpoints/000012")));
    assert_eq!(metrics(&whole), metrics(&broken));
    assert_eq!(metrics(&broken).iter().filter(|line| line["event"] == "rollback").count(), 1);
}

/// Ends a run with an error, as a kill would, at the first update after a rollback.
struct DiesAfterRollback;

impl Sink for DiesAfterRollback {
    fn record(&mut self, record: &StepRecord, _per_image: &PerImage) -> crate::Result<()> {
        match record.attempt {
            0 => Ok(()),
            _ => Err(RunError::CannotChange { change: "the life of this process".into(), why: "it is killed" }.into()),
        }
    }
}

#[test]
fn a_rate_set_by_hand_after_rollbacks_survives_a_kill_too() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let before = config(&["log.every=1"]);
    failing(folder.path(), &before, 2).run_in(create(&run, &before), &Stop::default()).unwrap();
    let after = config(&["log.every=1", "train.updates=30", "train.learning_rate=3e-5", "checkpoint.every=100"]);
    for _ in 0..2 {
        let mut trainer = trainer(folder.path(), &after);
        let fingerprint = trainer.data().fingerprint().unwrap();
        let lock = Lock::take(&run).unwrap();
        let (sink, found) = RunFolder::resume(lock, &after, Environment::default(), &fingerprint).unwrap();
        let saved = found.saved.unwrap();
        assert_eq!((saved.state.update, saved.state.rate_factor, saved.state.rollbacks), (12, 1.0, 0));
        assert_eq!(saved.state.attempt, 2, "the noise stays new");
        assert!(found.changes.iter().any(|change| change.path == "train.learning_rate"), "the second time as well");
        trainer.restore(&saved).unwrap();
        assert!(matches!(trainer.update().unwrap(), Step::Done(..)));
        sink.end("killed", 13).unwrap();
    }
}

#[test]
fn a_run_that_is_never_calm_goes_back_to_its_newest_checkpoint_not_to_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    // wide noise in the chain: a spread of about 0.9 is healthy here, and never well within this limit
    let config = config(&["log.every=1", "watch.std_limit=1.1", "langevin.noise_std=0.25"]);
    let mut trainer = failing(folder.path(), &config, 1);
    assert_eq!(trainer.run_in(create(&run, &config), &Stop::default()).unwrap(), End::Finished);
    let lines = metrics(&run);
    let rollback = lines.iter().find(|line| line["event"] == "rollback").unwrap();
    assert_eq!(rollback["to"].as_u64(), Some(8), "{lines:?}");
    let state = fs::read_to_string(run.join("checkpoints/000012/state.json")).unwrap();
    assert!(state.contains("\"calm\": false"), "{state}");
}

#[test]
fn trouble_that_comes_again_goes_back_further_as_far_as_there_are_checkpoints() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let config = config(&["checkpoint.keep_last=3", "log.every=1"]);
    let mut trainer = failing(folder.path(), &config, 3);
    assert_eq!(trainer.run_in(create(&run, &config), &Stop::default()).unwrap(), End::Finished);
    let lines = metrics(&run);
    let targets: Vec<u64> =
        lines.iter().filter(|line| line["event"] == "rollback").map(|line| line["to"].as_u64().unwrap()).collect();
    assert_eq!(targets, [8, 4, 4]);
    assert!(run.join("checkpoints/000012").is_dir());
}

#[test]
fn every_kind_of_damage_to_the_newest_checkpoint_is_seen_and_the_one_before_it_taken() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    let config = config(&["log.every=1"]);
    trainer(folder.path(), &config).run_in(create(&whole, &config), &Stop::default()).unwrap();
    let expected = bytes(&whole.join("checkpoints/000012"));
    let (stopped, config) = (folder.path().join("stopped"), &config);
    for (number, file) in
        ["weights.safetensors", "optimizer.safetensors", "state.json", "SHA256SUMS"].iter().enumerate()
    {
        for damage in ["cut", "flip", "missing"] {
            let run = stopped.join(format!("{number}{damage}"));
            let mut trainer = trainer(folder.path(), config);
            let stop = stop_after(&mut trainer, 9);
            resume_with(trainer, &run, config, &stop);
            let path = run.join("checkpoints/000009").join(file);
            let mut content = fs::read(&path).unwrap();
            let middle = content.len() / 2;
            match damage {
                "cut" => content.truncate(middle),
                "flip" => content[middle] ^= 1,
                _ => {}
            }
            fs::write(&path, content).unwrap();
            if damage == "missing" {
                fs::remove_file(&path).unwrap();
            }
            // an older folder with a younger time stamp is still older
            let time = fs::File::open(run.join("checkpoints/000004")).unwrap();
            time.set_modified(SystemTime::now() + Duration::from_secs(86_400)).unwrap();
            let (end, from) = resume(folder.path(), &run, config, &Stop::default());
            assert_eq!((end, from), (End::Finished, 8), "{file} {damage}");
            assert!(run.join("checkpoints/000009.damaged").is_dir());
            assert!(bytes(&run.join("checkpoints/000012")) == expected, "{file} {damage}");
            assert_eq!(metrics(&run), metrics(&whole), "{file} {damage}");
        }
    }
}

#[test]
fn settings_may_change_on_the_way_and_a_rate_set_by_hand_is_the_rate() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let before = config(&["log.every=1", "train.ema=0.9"]);
    let mut begun = trainer(folder.path(), &before);
    let stop = stop_after(&mut begun, 6);
    resume_with(begun, &run, &before, &stop);
    let after = config(&["log.every=1", "train.batch=4", "train.learning_rate=5e-5", "train.spectral_norm=2.0"]);
    let changes = before.changes(&after);
    let paths: Vec<&str> = changes.iter().map(|change| change.path.as_str()).collect();
    assert_eq!(paths, ["train.batch", "train.learning_rate", "train.ema", "train.spectral_norm"]);
    assert!(changes.iter().all(|change| change.refusal().is_none()));
    assert!(before.changes(&config(&["energy.features=5"]))[0].refusal().is_some());

    let mut trainer = trainer(folder.path(), &after);
    let fingerprint = trainer.data().fingerprint().unwrap();
    let lock = Lock::take(&run).unwrap();
    let (sink, found) = RunFolder::resume(lock, &after, Environment::default(), &fingerprint).unwrap();
    assert_eq!(found.changes, changes);
    trainer.restore(&found.saved.unwrap()).unwrap();
    assert_eq!(trainer.run_in(sink, &Stop::default()).unwrap(), End::Finished);
    let lines = metrics(&run);
    assert_eq!(lines[11]["images_seen"].as_u64(), Some(6 * 6 + 6 * 4));
    assert_eq!(lines[11]["lr"].as_f64(), Some(5e-5));
    let history = fs::read_to_string(run.join("history.jsonl")).unwrap();
    assert!(
        history.contains(r#"{"key":"train.learning_rate","from":[[0,0.001],[12,0.0001]],"to":0.00005}"#),
        "{history}"
    );
    assert_eq!(Config::load(run.join("config.json"), &[]).unwrap(), after);
}
