//! Check that runs are scored on time, that the best is kept, and that scores change no bit.

use super::{Net, RunIn, Trainer, config, create, images, options, snapshot};
use crate::{End, Evaluation, RunFolder, Score, TrainError};
use srm_config::Config;
use srm_energy::Trainable;
use srm_langevin::Stop;
use srm_ranks::Ranks;
use srm_run::{Checkpoint, Environment, Lock, ScoreRecord, checkpoints};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Gives the scores of a list in turn; what it is asked to score is the net of the moment.
struct Listed {
    scores: Vec<f64>,
    asked: usize,
}

impl Evaluation<Net> for Listed {
    fn score(&mut self, net: &Net, _ranks: &dyn Ranks) -> crate::Result<Option<Score>> {
        let value = self.scores[self.asked];
        self.asked += 1;
        let length = net.named_parameters()[0].1.norm().double_value(&[]);
        let details = BTreeMap::from([("length".to_owned(), length)]);
        Ok(Some(Score { name: "list".into(), value, details, count: 7 }))
    }
}

/// Is stopped in so many scores, then gives those of a list.
struct Stopped {
    list: Listed,
    stops: usize,
}

impl Evaluation<Net> for Stopped {
    fn score(&mut self, net: &Net, ranks: &dyn Ranks) -> crate::Result<Option<Score>> {
        match self.stops {
            0 => self.list.score(net, ranks),
            _ => {
                self.stops -= 1;
                Err(srm_langevin::LangevinError::Stopped.into())
            }
        }
    }
}

/// Cannot score.
struct Broken;

#[derive(Debug, thiserror::Error)]
#[error("cannot compare")]
struct CannotCompare(#[source] std::fmt::Error);

impl Evaluation<Net> for Broken {
    fn score(&mut self, _net: &Net, _ranks: &dyn Ranks) -> crate::Result<Option<Score>> {
        Err(TrainError::Evaluation { source: CannotCompare(std::fmt::Error).into() })
    }
}

fn scored(folder: &Path, config: &Config, scores: &[f64]) -> Trainer {
    let mut trainer = Trainer::from_config(config, images(folder, 20), options(2)).unwrap();
    trainer.score_with(Box::new(Listed { scores: scores.to_vec(), asked: 0 }));
    trainer
}

/// scores.jsonl without the wall clock.
fn lines(run: &Path) -> Vec<ScoreRecord> {
    let text = fs::read_to_string(run.join("scores.jsonl")).unwrap();
    let read = |line| ScoreRecord { seconds: 0.0, ..serde_json::from_str(line).unwrap() };
    text.lines().map(read).collect()
}

#[test]
fn a_run_is_scored_on_time_keeps_its_best_and_changes_no_bit() {
    let folder = tempfile::tempdir().unwrap();
    let (plain, run) = (folder.path().join("plain"), folder.path().join("run"));
    // updates 5, 10 and, as the last, 12
    let settings = config(&["evaluate.every=5", "train.ema=0.9"]);
    let without = config(&["train.ema=0.9"]);
    scored(folder.path(), &without, &[]).run_in(create(&plain, &without), &Stop::default()).unwrap();
    assert!(!plain.join("scores.jsonl").exists());
    let mut trainer = scored(folder.path(), &settings, &[3.0, 2.0, 2.5]);
    trainer.run_in(create(&run, &settings), &Stop::default()).unwrap();
    let found = lines(&run);
    assert_eq!(found.iter().map(|line| line.update).collect::<Vec<_>>(), [5, 10, 12]);
    assert_eq!(found.iter().map(|line| line.best).collect::<Vec<_>>(), [true, true, false]);
    assert!(found.iter().all(|line| line.averaged && line.count == 7));
    assert_eq!(trainer.state().best.as_ref().map(|best| (best.update, best.score)), Some((10, 2.0)));
    let best = run.join("checkpoints/best");
    assert_eq!(Checkpoint::new(&best).damage().unwrap(), None);
    let kept = snapshot(&best);
    assert_eq!(kept.state.update, 10);
    // the averaged weights of update 10 were scored
    let length = kept.ema.unwrap().iter().find(|(name, _)| name == "f.0.weight").unwrap().1.norm().double_value(&[]);
    assert_eq!(found[1].details["length"], length);
    // rollbacks and resumes never see it as one of theirs
    assert_eq!(checkpoints(&run.join("checkpoints")).unwrap().len(), 2);
    let last = |run: &Path| fs::read(run.join("checkpoints/000012/weights.safetensors")).unwrap();
    assert!(last(&plain) == last(&run));
}

#[test]
fn a_killed_run_scores_as_an_unbroken_one_and_other_scores_do_not_compare() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, broken) = (folder.path().join("whole"), folder.path().join("broken"));
    let settings = config(&["evaluate.every=3"]);
    scored(folder.path(), &settings, &[4.0, 2.0, 3.0, 5.0])
        .run_in(create(&whole, &settings), &Stop::default())
        .unwrap();
    // a kill after update 11 leaves the checkpoint of update 8 as the newest, with the scores of 3, 6 and 9 in the log
    {
        let short = config(&["evaluate.every=3", "train.updates=11", "checkpoint.every=4"]);
        let mut trainer = scored(folder.path(), &short, &[4.0, 2.0, 3.0, 5.0]);
        trainer.run_in(create(&broken, &short), &Stop::default()).unwrap();
        fs::remove_dir_all(broken.join("checkpoints/000011")).unwrap();
    }
    let resume = |settings: &Config| {
        let lock = Lock::take(&broken).unwrap();
        let fingerprint = images(folder.path(), 20).fingerprint();
        RunFolder::resume(lock, settings, Environment::default(), &fingerprint).unwrap()
    };
    let other = config(&["evaluate.every=3", "evaluate.count=50"]);
    assert_eq!(resume(&other).1.saved.unwrap().state.best, None);
    let (sink, found) = resume(&settings);
    let mut trainer = scored(folder.path(), &settings, &[3.0, 5.0]);
    trainer.restore(&found.saved.unwrap()).unwrap();
    assert_eq!(trainer.state().best.as_ref().map(|best| best.update), Some(6));
    trainer.run_in(sink, &Stop::default()).unwrap();
    assert_eq!(lines(&whole), lines(&broken));
    let kept = |run: &Path| fs::read(run.join("checkpoints/best/weights.safetensors")).unwrap();
    assert!(kept(&whole) == kept(&broken));
}

#[test]
fn a_score_that_a_stop_has_cut_short_is_made_when_the_run_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, broken) = (folder.path().join("whole"), folder.path().join("broken"));
    let settings = config(&["evaluate.every=3"]);
    let list = [4.0, 2.0, 3.0, 5.0];
    scored(folder.path(), &settings, &list).run_in(create(&whole, &settings), &Stop::default()).unwrap();
    let mut ends = Vec::new();
    while ends.last() != Some(&End::Finished) {
        let mut trainer = Trainer::from_config(&settings, images(folder.path(), 20), options(2)).unwrap();
        // two lives end in the first score
        let stops = usize::from(ends.len() < 2);
        trainer.score_with(Box::new(Stopped { list: Listed { scores: list.to_vec(), asked: 0 }, stops }));
        let lock = Lock::take(&broken).unwrap();
        let fingerprint = trainer.data().fingerprint().unwrap();
        let (sink, found) = RunFolder::resume(lock, &settings, Environment::default(), &fingerprint).unwrap();
        if let Some(saved) = found.saved {
            trainer.restore(&saved).unwrap();
        }
        ends.push(trainer.run_in(sink, &Stop::default()).unwrap());
    }
    assert_eq!(ends, [End::Interrupted { update: 3 }, End::Interrupted { update: 3 }, End::Finished]);
    assert_eq!(lines(&whole), lines(&broken));
}

#[test]
fn the_best_survives_a_rollback_to_before_it_and_a_score_without_a_number_is_never_best() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let settings = config(&["evaluate.every=2"]);
    // 2, 4, 6, then trouble at 7 and back to 4: 6 again, 8, 10, 12
    let mut trainer = scored(folder.path(), &settings, &[9.0, 5.0, 1.0, f64::INFINITY, 2.0, 3.0, f64::NAN]);
    let mut injected = false;
    trainer.fault = Some(Box::new(move |update, gradients| {
        if update == 7 && !std::mem::replace(&mut injected, true) {
            let _ = gradients[0].fill_(f64::NAN);
        }
    }));
    trainer.run_in(create(&run, &settings), &Stop::default()).unwrap();
    let found: Vec<(u64, Option<f64>, bool, u32)> =
        lines(&run).iter().map(|line| (line.update, line.score, line.best, line.attempt)).collect();
    let expected = [
        (2, Some(9.0), true, 0),
        (4, Some(5.0), true, 0),
        (6, Some(1.0), true, 0),
        (6, None, false, 1),
        (8, Some(2.0), false, 1),
        (10, Some(3.0), false, 1),
        (12, None, false, 1),
    ];
    assert_eq!(found, expected);
    assert_eq!(snapshot(&run.join("checkpoints/best")).state.update, 6);
    assert_eq!(trainer.state().best.as_ref().map(|best| best.update), Some(6));
}

#[test]
fn an_evaluation_that_fails_ends_the_run_with_its_own_error_and_all_its_words() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&["evaluate.every=4"]);
    let mut trainer = scored(folder.path(), &config, &[]);
    trainer.score_with(Box::new(Broken));
    let error = trainer.run(&mut (), &mut (), &Stop::default()).unwrap_err();
    let words = format!("cannot score the weights of the run: cannot compare: {}", std::fmt::Error);
    assert_eq!((error.to_string(), trainer.state().update), (words, 4));
    let source = std::error::Error::source(&error).unwrap();
    assert!(source.is::<CannotCompare>(), "whoever ran it can tell which");
}
