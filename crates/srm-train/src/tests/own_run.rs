//! Check that a run of a net of the user's own is on disk as the ConvNet's is, and goes on from there.

use super::own_nets::{SPREAD, mlp, ring, settings};
use super::survive::{bytes, metrics};
use crate::{End, RunFolder, Settings, Sink, TrainError, Trainer};
use serde_json::{Value, json};
use srm_energy::Autograd;
use srm_langevin::Stop;
use srm_run::{Environment, Lock, PerImage, Run, RunError, StepRecord};
use std::fs;
use std::path::Path;

/// Ends a run with an error, as a kill would, at an update.
struct DiesAt(u64);

impl Sink for DiesAt {
    fn record(&mut self, record: &StepRecord, _per_image: &PerImage) -> crate::Result<()> {
        match record.update == self.0 {
            true => Err(TrainError::Other("killed".into())),
            false => Ok(()),
        }
    }
}

fn logged() -> Settings {
    let mut settings = settings(40);
    (settings.log.every, settings.log.samples_every) = (1, 20);
    settings.train.ema = Some(0.9);
    settings
}

/// One process of a run: from what is in the folder to the end, or to the update at which it is killed. Update 15 fails
/// once.
fn live(folder: &Path, killed: Option<u64>) -> (crate::Result<End>, u64) {
    let (mut run, saved) = RunFolder::open(folder, &logged(), json!({ "net": "mlp" })).unwrap();
    let mut trainer: Trainer<Autograd> = Trainer::new(mlp(1), ring(400), logged(), SPREAD).unwrap();
    if let Some(saved) = saved {
        trainer.restore(&saved).unwrap();
    }
    let from = trainer.state().update;
    let mut healthy = from > 0;
    trainer.fault = Some(Box::new(move |update, gradients| {
        if update == 15 && !std::mem::replace(&mut healthy, true) {
            let _ = gradients[0].fill_(f64::NAN);
        }
    }));
    let end = trainer.run(&mut run.clone(), &mut (DiesAt(killed.unwrap_or(0)), run.clone()), &Stop::default());
    if let Ok(End::Finished) = end {
        run.samples(7, &trainer.samples(1, 3).unwrap()).unwrap();
        run.end("finished", 40).unwrap();
    }
    (end, from)
}

#[test]
fn a_killed_run_of_an_own_net_goes_on_from_its_folder_to_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, broken) = (folder.path().join("whole"), folder.path().join("broken"));
    assert_eq!(live(&whole, None).0.unwrap(), End::Finished);
    assert!(live(&broken, Some(27)).0.is_err());
    let (end, from) = live(&broken, None);
    assert_eq!((end.unwrap(), from), (End::Finished, 20));
    let last = |run: &Path| bytes(&run.join("checkpoints/000040"));
    assert!(last(&whole) == last(&broken));
    assert_eq!(last(&whole).len(), 3, "weights, moments and average");
    assert_eq!(metrics(&whole), metrics(&broken));

    let run = Run::open(&broken).unwrap();
    let log = run.metrics().unwrap().unwrap();
    assert_eq!(log.kept().map(|step| step.update).collect::<Vec<_>>(), (1..=40).collect::<Vec<_>>());
    assert_eq!((log.rollbacks.len(), log.rollbacks[0].to, log.steps.len()), (1, 10, 44));
    assert_eq!(run.config_text().unwrap().as_deref(), Some("{\n  \"net\": \"mlp\"\n}\n"));
    assert_eq!(run.newest().unwrap().unwrap().state().unwrap().config, json!({ "net": "mlp" }));
    // points are arrays, where images are pictures
    assert_eq!(run.samples().iter().map(|(update, _)| *update).collect::<Vec<_>>(), [7, 20, 40]);
    for (update, path) in run.samples() {
        let (array, other) = (fs::read(&path).unwrap(), fs::read(whole.join(path.strip_prefix(&broken).unwrap())));
        let shape =
            format!("'descr': '<f4', 'fortran_order': False, 'shape': ({}, 2)", if update == 7 { 3 } else { 64 });
        assert!(String::from_utf8_lossy(&array).contains(&shape), "{path:?}");
        assert!(array == other.unwrap(), "{path:?}");
    }
    assert!(broken.join("divergence/x_000015_0.npy").is_file() && broken.join("divergence/x_000015_0.json").is_file());
    let events = fs::read_dir(&broken)
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("events.out.tfevents."));
    assert_eq!(events.count(), 1);
    assert_eq!(
        fs::read_dir(broken.join("checkpoints")).unwrap().count(),
        4,
        "the last three, and what names the newest"
    );
}

#[test]
fn a_folder_of_an_own_run_is_locked_and_says_what_has_changed() {
    let folder = tempfile::tempdir().unwrap();
    let held = RunFolder::open(folder.path(), &logged(), Value::Null).unwrap();
    let refused = RunFolder::open(folder.path(), &logged(), Value::Null).map(drop).unwrap_err();
    assert!(matches!(refused, TrainError::Run(RunError::InUse { .. })), "{refused}");
    drop(held);
    let zero = Settings { checkpoint: srm_config::CheckpointConfig { every: 0, ..logged().checkpoint }, ..logged() };
    assert!(matches!(RunFolder::open(folder.path(), &zero, Value::Null), Err(TrainError::Settings { .. })));
    assert!(RunFolder::open(folder.path(), &logged(), json!(["another"])).unwrap().1.is_none());
    assert_eq!(fs::read_to_string(folder.path().join("config.json")).unwrap(), "[\n  \"another\"\n]\n");
}

type Changed = fn(&mut Settings);

#[test]
fn a_run_of_an_own_net_goes_on_under_its_own_settings_alone() {
    let folder = tempfile::tempdir().unwrap();
    assert!(live(folder.path(), Some(27)).0.is_err());
    let open = |change: Changed| {
        let mut settings = logged();
        change(&mut settings);
        RunFolder::open(folder.path(), &settings, json!({ "net": "mlp" })).map(|(_, saved)| saved.unwrap().state.update)
    };
    let refused: [(Changed, &str); 5] = [
        (|settings| settings.train.learning_rate = 0.5.into(), "train.learning_rate: "),
        (|settings| settings.dynamics.kernel.clip = Some(2.0), "dynamics.clip: null -> 2.0 cannot change"),
        (|settings| settings.dynamics.steps += 1, "dynamics.steps: "),
        (|settings| settings.flip = true, "flip: false -> true cannot change"),
        (|settings| settings.watch.rollbacks += 1, "watch.rollbacks: "),
    ];
    for (change, key) in refused {
        let error = open(change).unwrap_err();
        assert!(matches!(error, TrainError::Run(RunError::CannotChange { .. })), "{error}");
        assert!(error.to_string().starts_with(key), "{error}");
    }
    assert_eq!(open(|_| ()).unwrap(), 20);
    let longer: Changed = |settings| (settings.train.updates, settings.log.every) = (60, 2);
    assert_eq!(open(longer).unwrap(), 20);
}

#[test]
fn a_folder_of_others_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |place: &Path, what: &str| {
        let names = || fs::read_dir(place).unwrap().count();
        let (before, config) = (names(), fs::read(place.join("config.json")).unwrap());
        let error = RunFolder::open(place, &logged(), json!({ "net": "mlp" })).map(drop).unwrap_err().to_string();
        assert!(error.contains(what) && error.contains("a folder of its own"), "{error}");
        assert!(fs::read(place.join("config.json")).unwrap() == config && names() == before);
    };
    let (hub, run) = (folder.path().join("hub"), folder.path().join("run"));
    fs::create_dir_all(&hub).unwrap();
    fs::write(hub.join("config.json"), "{ \"model_type\": \"vit\" }").unwrap();
    refused(&hub, "files of no run");
    let config =
        srm_config::Config::load(concat!(env!("CARGO_MANIFEST_DIR"), "/../../configs/smoke.json"), &[]).unwrap();
    drop(RunFolder::create(Lock::take(&run).unwrap(), &config, Environment::default(), "").unwrap());
    refused(&run, "a run of `srm train`");
}
