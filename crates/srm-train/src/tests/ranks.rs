//! Check that any number of ranks gives the bits of one, here with threads for ranks.

use super::{Memory, RunIn, Trainer, config, create, images, options, stop_after};
use crate::{End, RunFolder};
use srm_config::Config;
use srm_langevin::Stop;
use srm_ranks::{Ranks, threads};
use srm_run::{Environment, Lock, StepRecord};
use std::path::Path;
use std::sync::OnceLock;
use std::time::Instant;

/// A trainer with a fault where `fault` says: one NaN at update 7.
fn trainer(images: srm_data::ImageSet, config: &Config, fault: bool) -> Trainer {
    let mut trainer = Trainer::from_config(config, images, options(1)).unwrap();
    let mut injected = !fault;
    trainer.fault = Some(Box::new(move |update, gradients| {
        if update == 7 && !std::mem::replace(&mut injected, true) {
            let _ = gradients[0].get(0).fill_(f64::NAN);
        }
    }));
    trainer
}

/// Train with so many ranks to the end, or until rank `stops` asks to stop at its third update.
fn run(folder: &Path, config: &Config, ranks: usize, fault: bool, stops: Option<usize>) -> Vec<(End, Vec<StepRecord>)> {
    run_until(folder, config, ranks, fault, |rank, trainer| match stops == Some(rank) {
        true => stop_after(trainer, 3),
        false => Stop::default(),
    })
}

/// Train with so many ranks to the end, or until one asks to stop as `stop(rank, its trainer)` says.
fn run_until(
    folder: &Path,
    config: &Config,
    ranks: usize,
    fault: bool,
    stop: impl Fn(usize, &mut Trainer) -> Stop + Copy + Send,
) -> Vec<(End, Vec<StepRecord>)> {
    let name = folder.join(format!("{ranks}"));
    std::thread::scope(|scope| {
        let ranks = threads(ranks).into_iter().map(|own| {
            let (config, name, images) = (config.clone(), name.clone(), images(folder, 20));
            scope.spawn(move || {
                let mut trainer = trainer(images, &config, fault);
                let rank = own.rank();
                let stop = stop(rank, &mut trainer);
                if rank > 0 {
                    trainer.set_ranks(Box::new(own)).unwrap();
                    let mut memory = Memory::default();
                    return (trainer.run(&mut (), &mut memory, &stop).unwrap(), memory.0);
                }
                let sink = match name.exists() {
                    false => create(&name, &config),
                    true => {
                        let lock = Lock::take(&name).unwrap();
                        let fingerprint = trainer.data().fingerprint().unwrap();
                        let (sink, found) =
                            RunFolder::resume(lock, &config, Environment::default(), &fingerprint).unwrap();
                        trainer.restore(&found.saved.unwrap()).unwrap();
                        sink
                    }
                };
                trainer.set_ranks(Box::new(own)).unwrap();
                (trainer.run_in(sink, &stop).unwrap(), Vec::new())
            })
        });
        ranks.collect::<Vec<_>>().into_iter().map(|rank| rank.join().unwrap()).collect()
    })
}

fn weights(folder: &Path, ranks: usize) -> Vec<u8> {
    std::fs::read(folder.join(format!("{ranks}/checkpoints/000012/weights.safetensors"))).unwrap()
}

fn metrics(folder: &Path, ranks: usize) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join(format!("{ranks}/metrics.jsonl"))).unwrap();
    let cut = |line: &str| line.split_once(",\"seconds\"").map_or(line.to_owned(), |(numbers, _)| numbers.to_owned());
    text.lines().map(cut).collect()
}

#[test]
fn any_number_of_ranks_gives_the_same_bits_through_a_rollback() {
    // 14 chains in blocks of 4: 4 and 7 blocks, so that ranks own unequal and for 5 ranks no blocks
    let variants: [&[&str]; 5] = [
        &[],
        &["train.ema=0.9", "train.f_l2=0.1", "train.spectral_norm=1.0"],
        &[r#"langevin.init={"persistent":{"size":20,"restart":0.3}}"#],
        super::LADDER,
        super::GROWING,
    ];
    for variant in variants {
        let folder = tempfile::tempdir().unwrap();
        let config = config(&[&["log.every=1", "train.batch=14"], variant].concat());
        for ranks in [1, 2, 3, 5] {
            let ended = run(folder.path(), &config, ranks, true, None);
            assert!(ended.iter().all(|(end, _)| *end == End::Finished), "{ranks} ranks, {variant:?}");
            assert!(weights(folder.path(), 1) == weights(folder.path(), ranks), "{ranks} ranks, {variant:?}");
            assert_eq!(metrics(folder.path(), 1), metrics(folder.path(), ranks), "{ranks} ranks, {variant:?}");
            // all ranks saw the same numbers, those after the rollback too
            let gaps = |records: &[StepRecord]| records.iter().map(|record| record.gap).collect::<Vec<_>>();
            assert!(ended[1..].iter().all(|(_, records)| records.len() == 14 && gaps(records) == gaps(&ended[1].1)));
        }
        assert!(metrics(folder.path(), 1).iter().any(|line| line.contains("rollback")));
    }
}

#[test]
fn a_stop_at_one_rank_in_the_middle_of_its_chains_drops_the_update_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&["log.every=1", "train.batch=14", "langevin.steps=100"]);
    run(folder.path(), &config, 1, false, None);
    let stop = |rank, trainer: &mut Trainer| match rank {
        1 => {
            // once update 4 is done, and update 5 under way
            let (made, begun) = (stop_after(trainer, 4), OnceLock::new());
            Stop::when(move || made.asked() && begun.get_or_init(Instant::now).elapsed().as_millis() > 20)
        }
        _ => Stop::default(),
    };
    let ended = run_until(folder.path(), &config, 2, false, stop);
    let ends: Vec<&End> = ended.iter().map(|(end, _)| end).collect();
    assert!(matches!(ends[0], End::Interrupted { .. }) && ends[0] == ends[1], "{ends:?}");
    run(folder.path(), &config, 2, false, None);
    assert!(weights(folder.path(), 1) == weights(folder.path(), 2));
    assert_eq!(metrics(folder.path(), 1), metrics(folder.path(), 2));
}

#[test]
fn a_stop_at_one_rank_stops_all_and_another_number_of_ranks_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&["log.every=1", "train.batch=14"]);
    run(folder.path(), &config, 1, false, None);
    let ended = run(folder.path(), &config, 3, false, Some(2));
    assert!(ended.iter().all(|(end, _)| *end == End::Interrupted { update: 3 }), "{ended:?}");
    std::fs::rename(folder.path().join("3"), folder.path().join("2")).unwrap();
    run(folder.path(), &config, 2, false, None);
    assert!(weights(folder.path(), 1) == weights(folder.path(), 2));
    assert_eq!(metrics(folder.path(), 1), metrics(folder.path(), 2));
}
