//! Every command on a GPU, on the stand-in for one: two devices whose memory is this machine's, which refuse what a card refuses.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::{Run, command, folder, read_npy, run, text};
use crate::explore::{Served, pixels};

#[path = "../stand_in.rs"]
mod stand_in;

const GRIDS: &str = r#"langevin.grids=[{"size":8,"steps":6},{"size":32,"steps":8}]"#;

fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY
        .get_or_init(|| stand_in::library(&srm_energy::libtorch::loaded_from().expect("these tests run on libtorch")))
}

/// The program where a GPU seems to be.
fn with_gpu(arguments: &[&str]) -> Command {
    let mut command = command(arguments);
    command.env("SRM_LIBTORCH_CUDA", library()).env("SRM_CUDA_SHIM", library()).env_remove("SRM_CUDA_TRY");
    command
}

fn srm(arguments: &[&str]) -> Run {
    run(&mut with_gpu(arguments))
}

/// The same where what is tried on a GPU is on.
fn trying(what: &str, arguments: &[&str]) -> Run {
    run(with_gpu(arguments).env("SRM_CUDA_TRY", what))
}

/// Twelve updates of a small net into `out`, with an average of the weights and scores.
fn train<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let settings = [
        "train.updates=12",
        "train.ema=0.9",
        "checkpoint.every=6",
        "log.every=1",
        "evaluate.every=6",
        "evaluate.count=8",
    ];
    let fixed = ["train", "--config", "configs/smoke.json", "--run", out, "--device", "cuda", "--json"];
    let settings = settings.iter().flat_map(|setting| ["--set", setting]);
    fixed.into_iter().chain(settings).chain(more.iter().copied()).collect()
}

fn ladder<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let start = r#"langevin.init={"colours":{"size":2}}"#;
    [&["--set", "langevin.steps=null", "--set", GRIDS, "--set", start][..], more].concat()
}

fn weights(out: &Path) -> Vec<u8> {
    fs::read(out.join("checkpoints/000012/weights.safetensors")).expect("twelve updates")
}

/// A trained ladder and a plain net, made once for all tests.
fn runs() -> &'static [PathBuf; 2] {
    static RUNS: OnceLock<(TempDir, [PathBuf; 2])> = OnceLock::new();
    let (_, runs) = RUNS.get_or_init(|| {
        let place = folder();
        let [plain, grids] = ["plain", "grids"].map(|name| place.path().join(name));
        srm(&train(text(&plain), &[])).done();
        srm(&train(text(&grids), &ladder(&[]))).done();
        (place, [plain, grids])
    });
    runs
}

#[test]
fn every_command_runs_there() {
    let place = folder();
    let out = |name: &str| place.path().join(name).to_str().expect("UTF-8").to_owned();
    for (number, weights) in runs().iter().enumerate() {
        let (weights, chains) = (text(weights), out(&format!("chains{number}")));
        let on = |arguments: &[&str]| {
            let said = srm(&[arguments, &["--device", "cuda:1", "--json"]].concat()).done();
            assert!(said.stderr.is_empty() || !said.stderr.contains("CPU"), "{}", said.stderr);
            said.json()
        };
        let (x, strip, moving) = (out("x.npy"), out("strip.png"), out("moving.png"));
        let drawn = on(&[
            "sample",
            "--weights",
            weights,
            "--count",
            "21",
            "--out",
            &x,
            "--chain",
            &strip,
            "--animate",
            &moving,
        ]);
        assert_eq!(drawn["device"], "cuda:1");
        on(&[
            "sample",
            "--weights",
            weights,
            "--code",
            "7",
            "--code",
            "2:3",
            "--quiet-tail",
            "2",
            "--out",
            &out("codes.png"),
        ]);
        on(&["interpolate", "--weights", weights, "--pairs", "2", "--points", "4", "--out", &out("rows.png")]);
        for (latent, method) in [("free", "adam"), ("free", "residual"), ("support", "gradient")] {
            let flags = ["--images", &x, "--count", "3", "--iterations", "8", "--latent", latent, "--method", method];
            let said = on(&[&["reconstruct", "--weights", weights, "--out", &out("found.png")][..], &flags].concat());
            let curve = said["curve"].as_array().expect("errors");
            assert!(curve.last().and_then(Value::as_f64) < curve[0].as_f64(), "{latent}: {said}");
        }
        on(&[
            "evaluate",
            "--weights",
            weights,
            "--newest",
            "--data",
            &x,
            "--count",
            "10",
            "--reconstruct",
            &x,
            "--reconstruct-count",
            "2",
        ]);
        on(&["diagnose", "chains", "--weights", weights, "--out", &chains, "--chains", "4", "--long-steps", "60"]);
        on(&["report", weights, "--iterations", "5"]);
        on(&["export", weights, "--hub", &out("hub"), "--overwrite"]);
    }
    let plain = runs()[0].join("checkpoints/000012");
    let moments = [
        "diagnose",
        "moments",
        "--weights",
        text(&plain),
        "--data",
        &out("x.npy"),
        "--count",
        "20",
        "--out",
        &out("moments"),
    ];
    srm(&[&moments[..], &["--device", "cuda", "--frozen", "--updates", "4"]].concat()).done();
    let texture = ["train", "--config", "configs/texture.json", "--device", "cuda", "--run", &out("texture")];
    srm(&[&texture[..], &["--set", "train.updates=1", "--set", "energy.features=2", "--set", "train.batch=2"]].concat()).done();
    let wide = [
        "sample",
        "--weights",
        &out("texture"),
        "--size",
        "96x64",
        "--count",
        "1",
        "--out",
        &out("wide.png"),
        "--device",
        "cuda",
    ];
    srm(&wide).done();
    let doctor = srm(&["doctor", "--json"]).done().json();
    assert_eq!(
        (&doctor["cuda"]["available"], doctor["cuda"]["devices"].as_array().map(Vec::len)),
        (&Value::from(true), Some(2))
    );
    srm(&["sample", "--weights", text(&plain), "--device", "cuda:9", "--out", &out("none.png")])
        .failed_with(1, &["cuda:9", "2 CUDA devices"]);
}

#[test]
fn the_page_draws_and_reconstructs_there() {
    let place = folder();
    for (number, run) in runs().iter().enumerate() {
        let graphs = |arguments: &[&str]| {
            let mut command = with_gpu(arguments);
            command.env("SRM_CUDA_TRY", "graph");
            command
        };
        let served = Served::by(graphs, &[text(run), "--device", "cuda:1"], &place.path().join(format!("{number}")));
        let codes = json!([{ "seed": 1, "image": 5 }, { "mix": [[-0.6, 1, 3], [0.8, 1, 4]], "noise_image": 3 }]);
        let asked =
            json!({ "source": 0, "update": null, "codes": codes, "steps": null, "noise": true, "states": [0, 3] });
        let lines = served.lines("/api/draw", &asked);
        let [_, _, last, done] = &lines[..] else { panic!("{lines:?}") };
        assert_eq!(pixels(last).len(), 2 * 32 * 32 * 3);
        assert!(done["command"].as_str().is_some_and(|command| command.contains("--device cuda:1")), "{done}");
        let grey = [b"P5\n32 32\n255\n".to_vec(), (0..32 * 32).map(|i| (i % 251) as u8).collect()].concat();
        let brought = served.ask("POST /api/pictures?source=0&left=0&top=0&side=32", &grey);
        let brought: Value = serde_json::from_str(brought.split_once("\r\n\r\n").expect("a body").1).expect("JSON");
        let lines = served.lines(
            "/api/reconstruct",
            &json!({
                "source": 0, "update": null, "picture": brought["picture"], "mask": null, "observed_noise": null,
                "iterations": 3, "starts": 2, "latent": "free", "seed": 4,
            }),
        );
        assert_eq!(lines.len(), 3 + 3, "{lines:?}");
    }
}

#[test]
fn a_run_there_that_is_broken_off_goes_on_to_the_same_bits() {
    let place = folder();
    let part = place.path().join("part");
    for (whole, more) in runs().iter().zip([vec![], ladder(&[])]) {
        let _ = fs::remove_dir_all(&part);
        let mut half = train(text(&part), &more);
        half.extend(["--set", "train.updates=6"]);
        srm(&half).done();
        srm(&["train", "--resume", "--run", text(&part), "--device", "cuda", "--set", "train.updates=12"]).done();
        assert!(weights(whole) == weights(&part), "{}", whole.display());
    }
}

#[test]
fn recorded_steps_change_no_bit() {
    let place = folder();
    let again = place.path().join("again");
    for (run, more) in runs().iter().zip([vec![], ladder(&[])]) {
        trying("graph", &train(text(&again), &[&more[..], &["--overwrite"]].concat())).done();
        assert!(weights(run) == weights(&again), "{}", run.display());
        let [eager, recorded] = ["eager.npy", "recorded.npy"].map(|name| place.path().join(name));
        let sample = |out: &Path, what: &str| {
            let fixed = ["sample", "--weights", text(run), "--count", "40", "--quiet-tail", "5", "--device", "cuda"];
            trying(what, &[&fixed[..], &["--precision", "bf16", "--block", "16", "--out", text(out)]].concat()).done();
            read_npy(out).1
        };
        assert!(sample(&eager, "") == sample(&recorded, "graph"), "{}", run.display());
        let found = |what: &str| {
            let (images, out, figure) = (text(&eager), place.path().join("found.npy"), place.path().join("found.png"));
            let fixed =
                ["reconstruct", "--weights", text(run), "--images", images, "--count", "3", "--iterations", "4"];
            let out_flags = ["--out", text(&figure), "--npy", text(&out), "--device", "cuda"];
            trying(what, &[&fixed[..], &out_flags].concat()).done();
            read_npy(&out).1
        };
        assert!(found("") == found("graph"), "{}", run.display());
        let near = sample(&recorded, "graph,pad,fuse,same");
        let apart = |(a, b): (&u8, &u8)| f64::from(a.abs_diff(*b));
        let mean = near.iter().zip(&read_npy(&eager).1).map(apart).sum::<f64>() / near.len() as f64;
        assert!(mean < 2.0, "{}: {mean} of 255 grey levels", run.display());
    }
    let sample = ["sample", "--weights", text(&runs()[0]), "--device", "cuda", "--out", text(&again)];
    trying("graphs", &sample).failed_with(1, &["SRM_CUDA_TRY=graphs", "graph, pad, fuse, same"]);
    let missing = run(with_gpu(&sample).env("SRM_CUDA_TRY", "graph").env("SRM_CUDA_SHIM", "/none.so"));
    missing.failed_with(1, &["/none.so", "cargo xtask setup --cuda"]);
}

#[test]
fn a_batch_too_large_for_it_is_told_with_what_takes_less() {
    let place = folder();
    let out = place.path().join("x.npy");
    let weights = text(&runs()[0]);
    let small = |arguments: &[&str]| run(with_gpu(arguments).env("SRM_STAND_IN_MB", "24"));
    let sample = ["sample", "--weights", weights, "--device", "cuda", "--count", "900", "--out", text(&out)];
    small(&[&sample[..], &["--block", "900"]].concat())
        .failed_with(1, &["CUDA out of memory", "900 rows", "blocks of 900", "--block", "smaller batch"]);
    assert!(!out.exists());
    small(&[&sample[..], &["--block", "16"]].concat()).done();
    let run = place.path().join("run");
    let more = ["--set", "data.count=512", "--set", "train.batch=512", "--set", "langevin.block=512"];
    let said = small(&train(text(&run), &more));
    said.failed_with(1, &["512 images", "updates of 512", "CUDA out of memory", "langevin.block"]);
    assert!(said.stderr.lines().count() < 12, "no stack of C++: {}", said.stderr);
}
