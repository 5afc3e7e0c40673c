//! Hand in a damaged run folder: to `srm train --resume`, and to `srm report`.

use super::{Door, clear, no_mending};
use crate::formats::{change_parts, change_safetensors, join_parts, split_parts};
use crate::mutate::change_bytes;
use crate::tree::{change_json, change_lines};
use crate::{Dice, formats};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use srm_config::Config;
use srm_data::{ImageSet, synthetic, write_npy};
use srm_energy::{ConvNet, Ladder, Precision};
use srm_files::hex;
use srm_report::{Grid, Report, RunFiles};
use srm_run::{Environment, Lock};
use srm_train::{GRID_COUNT, GRID_SEED, RunFolder, Sink, Step, Store, TrainError, TrainerOptions, Why};
use std::path::Path;
use std::sync::LazyLock;
use tch::Device;

/// The files of a run; an input holds some of them, by their number here.
const FILES: [&str; 14] = [
    "config.json",
    "metrics.jsonl",
    "scores.jsonl",
    "history.jsonl",
    "checkpoints/000002/state.json",
    "checkpoints/000002/weights.safetensors",
    "checkpoints/000002/optimizer.safetensors",
    "checkpoints/000002/ema.safetensors",
    "checkpoints/000002/bank.safetensors",
    "checkpoints/000002/SHA256SUMS",
    "checkpoints/latest",
    "evaluation.json",
    "divergence/x_000002_0.json",
    "diagnostics/chains/chains.json",
];
const STATE: u8 = 4;
const SUMS: u8 = 9;
/// Images of the run.
const IMAGES: usize = 2;

/// What all doors begin with.
static RUN: LazyLock<Vec<(u8, Vec<u8>)>> = LazyLock::new(run);

pub(super) const RESUME: Door = Door {
    name: "resume",
    what: "state.json, logs and config of a run, by way of `srm train --resume`; one update is made",
    sources: &[
        "crates/srm-run/src/about.rs",
        "crates/srm-run/src/checkpoint.rs",
        "crates/srm-run/src/log_file.rs",
        "crates/srm-run/src/state.rs",
        "crates/srm-run/src/writer.rs",
        "crates/srm-train/src/run_folder.rs",
    ],
    longest: 1 << 15,
    seeds: || vec![join_parts(&RUN)],
    header,
    change: |bytes, dice| change_parts(bytes, dice, change_text),
    mend: no_mending,
    enter: resume,
};

pub(super) const CHECKPOINT_TENSORS: Door = Door {
    name: "checkpoint",
    what: "weights, moments, average and bank of a checkpoint, by way of `srm train --resume`; one update is made",
    sources: &[
        "crates/srm-train/src/tensor_file.rs",
        "crates/srm-train/src/adam.rs",
        "crates/srm-train/src/ema.rs",
        "crates/srm-train/src/replay_buffer.rs",
    ],
    longest: 1 << 15,
    seeds: || vec![join_parts(&RUN)],
    header,
    change: |bytes, dice| change_parts(bytes, dice, change_tensors),
    mend: no_mending,
    enter: resume,
};

pub(super) const REPORT: Door = Door {
    name: "report",
    what: "every text of a run folder, by way of `srm report --no-figures`",
    sources: &["crates/srm-report/src"],
    longest: 1 << 14,
    seeds: || {
        let mut parts: Vec<(u8, Vec<u8>)> =
            RUN.iter().filter(|(number, _)| !(5..=9).contains(number)).cloned().collect();
        let evaluation = json!({ "features": { "name": "random-conv", "is_fid": false, "sha256": "0123456789abcdef" },
            "data": { "file": "x.npy", "count": 3, "manifest": { "crop": "none" } }, "warnings": ["few samples"],
            "results": [{ "update": 2, "count": 4, "steps": 2, "seed": 1, "frechet": 1.5,
                "kernel": { "mean": 0.5, "std": 0.1 }, "precision": 0.5, "recall": 0.25 }] });
        let divergence = json!({ "update": 2, "attempt": 0, "reason": { "kind": "gradient_not_finite" },
            "text": "numbers were no longer finite", "refused": null, "last": [{ "update": 1, "gap": 0.5 }] });
        let score = json!({ "update": 2, "attempt": 0, "name": "frechet", "score": 1.5, "count": 4, "averaged": true });
        let rollback = json!({ "event": "rollback", "update": 2, "to": 1, "attempt": 1, "reason": "gap",
            "rate_factor": 0.5, "extra_noise": 0.0 });
        let diagnostics = json!({ "a": { "b": 0.5 }, "c": [1, 2], "long": [[1], [2]] });
        parts.push((2, format!("{score}\n").into_bytes()));
        parts
            .extend([(11, &evaluation), (12, &divergence), (13, &diagnostics)].map(|(n, v)| (n, v.to_string().into())));
        let mut rolled = parts.clone();
        rolled
            .iter_mut()
            .filter(|(number, _)| *number == 1)
            .for_each(|(_, log)| log.extend(format!("{rollback}\n").bytes()));
        vec![join_parts(&parts), join_parts(&rolled)]
    },
    header: |bytes| split_parts(bytes).iter().any(|(number, _)| *number < 4),
    change: |bytes, dice| change_parts(bytes, dice, change_text),
    mend: no_mending,
    enter: |bytes, folder| {
        let run = folder.join("run");
        write(bytes, &run);
        if let Ok(files) = RunFiles::read(&run) {
            let (grid, remedy) = (Grid { seed: GRID_SEED, count: GRID_COUNT }, Some("`make images`".to_owned()));
            let html = Report { files: &files, grid, images: None, remedy, figures: None }.page().html;
            assert!(html.ends_with("</html>"), "the page is whole");
            // what a log says is text, and never becomes part of the page
            assert!(!html.contains("<script>"), "a name in a log became a script");
        }
    },
};

fn header(bytes: &[u8]) -> bool {
    split_parts(bytes).iter().any(|(number, text)| *number == STATE && serde_json::from_slice::<Value>(text).is_ok())
}

fn change_text(number: u8, text: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut changed = match FILES.get(usize::from(number)).unwrap_or(&"") {
        name if name.ends_with("json") => change_json(text, dice),
        name if name.ends_with("jsonl") => change_lines(text, dice),
        _ => text.to_vec(),
    };
    if dice.one_in(8) {
        change_bytes(&mut changed, dice);
    }
    changed
}

fn change_tensors(number: u8, file: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut changed = file.to_vec();
    if FILES.get(usize::from(number)).is_some_and(|name| name.ends_with("safetensors")) {
        change_safetensors(&mut changed, dice);
        if dice.one_in(2) {
            formats::mend_safetensors(&mut changed);
        }
    }
    changed
}

/// Settings of a run with everything on that a checkpoint may hold.
pub(super) fn config() -> Config {
    let text = r#"{ "data": { "images": "blobs.npy" }, "energy": { "size": 32, "channels": 1, "features": 1 },
        "langevin": { "steps": 2, "gradient_scale": 1.0, "noise_std": 0.01, "block": 1,
            "init": { "persistent": { "size": 1, "restart": 0.5 } } },
        "train": { "updates": 4, "batch": 1, "learning_rate": 1e-4, "ema": 0.9 },
        "log": { "every": 1, "samples_every": 100, "tensorboard": false }, "checkpoint": { "every": 2 } }"#;
    Config::from_json(text, &[]).expect("these are settings of a run")
}

type Trainer = srm_train::Trainer<Ladder<ConvNet>>;

/// A trainer on images that stand in the folder.
pub(super) fn trainer(config: &Config, folder: &Path) -> Trainer {
    let path = folder.join("blobs.npy");
    if !path.exists() {
        let pixels = synthetic::blobs(IMAGES, 32, 1, 1);
        let images = ndarray::ArrayView4::from_shape((IMAGES, 32, 32, 1), &pixels).expect("the pixels fill the shape");
        write_npy(&path, &images).expect("the folder of a door can be written to");
    }
    let images = ImageSet::open(&path).expect("what was just written is an image set");
    let options = TrainerOptions { device: Device::Cpu, precision: Precision::F32, threads: 1, block: 1 };
    Trainer::from_config(config, images, options).expect("a small trainer is made")
}

/// The files of a run of two updates.
fn run() -> Vec<(u8, Vec<u8>)> {
    let folder = tempfile::tempdir().expect("a temporary folder is made");
    let (config, run) = (config(), folder.path().join("run"));
    let mut trainer = trainer(&config, folder.path());
    let fingerprint = trainer.data().fingerprint().expect("images have a fingerprint");
    let trained = Lock::take(&run)
        .map_err(TrainError::from)
        .and_then(|lock| RunFolder::create(lock, &config, Environment::default(), &fingerprint))
        .and_then(|mut sink| go_on(&mut trainer, &mut sink, 2));
    trained.expect("a small run trains");
    let files = (0..).zip(FILES).filter(|(number, _)| *number != SUMS);
    files.filter_map(|(number, name)| Some((number, std::fs::read(run.join(name)).ok()?))).collect()
}

/// Make so many updates and save the state: what a run does, but for its grid of samples, which takes longer than all else.
fn go_on(trainer: &mut Trainer, sink: &mut RunFolder, updates: usize) -> srm_train::Result<()> {
    let _guard = tch::no_grad_guard();
    for _ in 0..updates {
        match trainer.update()? {
            Step::Done(record, per_image) => sink.record(&record, &per_image)?,
            Step::Refused(trouble) => sink.trouble(&trouble)?,
            Step::Dropped => {}
        }
    }
    sink.save(&trainer.snapshot(), Why::Regular)
}

/// Write the files of an input; the sums of a checkpoint are made, where the input brings none.
fn write(bytes: &[u8], run: &Path) {
    clear(run);
    let parts = split_parts(bytes);
    let mut sums = String::new();
    for (number, content) in &parts {
        let Some(name) = FILES.get(usize::from(*number)) else { continue };
        let path = run.join(name);
        std::fs::create_dir_all(path.parent().unwrap_or(run)).expect("the folder of a door can be written to");
        std::fs::write(&path, content).expect("the folder of a door can be written to");
        if let Some(file) = name.strip_prefix("checkpoints/000002/") {
            sums += &format!("{}  {file}\n", hex(&Sha256::digest(content)));
        }
    }
    if !sums.is_empty() && parts.iter().all(|(number, _)| *number != SUMS) {
        std::fs::write(run.join(FILES[usize::from(SUMS)]), sums).expect("the folder of a door can be written to");
    }
}

fn resume(bytes: &[u8], folder: &Path) {
    let run = folder.join("run");
    write(bytes, &run);
    let config = config();
    let mut trainer = trainer(&config, folder);
    let fingerprint = trainer.data().fingerprint().expect("images have a fingerprint");
    let found = Lock::take(&run)
        .map_err(TrainError::from)
        .and_then(|lock| RunFolder::resume(lock, &config, Environment::default(), &fingerprint));
    if let Ok((mut sink, found)) = found
        && found.saved.is_none_or(|saved| trainer.restore(&saved).is_ok())
    {
        let _ = go_on(&mut trainer, &mut sink, 1);
    }
}
