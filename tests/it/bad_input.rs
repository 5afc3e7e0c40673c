//! Every kind of bad input: a message with cause and remedy, and the documented exit code.

use std::fs;

use crate::common::{folder, smoke, srm, text, write_npy};

const SMOKE: [&str; 3] = ["train", "--config", "configs/smoke.json"];

/// Train on a data file instead of the built-in set, for as long as it takes to fail.
fn train_on(images: &str, run: &str) -> crate::common::Run {
    srm(&[&SMOKE[..], &["--run", run, "--set", &format!("data.images={images}"), "--set", "data.count=null"]].concat())
}

#[test]
fn unknown_keys_are_refused_with_the_key_that_was_meant() {
    let run = srm(&[&SMOKE[..], &["--set", "train.batchsize=4"]].concat());
    run.failed_with(2, &["1 problem in configs/smoke.json", "train.batchsize = 4: is no known key"]);
    srm(&[&SMOKE[..], &["--set", "train.updtes=4"]].concat()).failed_with(2, &["did you mean train.updates?"]);
}

#[test]
fn several_wrong_values_are_reported_at_once() {
    let run =
        srm(&[&SMOKE[..], &["--set", "energy.size=33", "--set", "train.batch=0", "--set", "langevin.delta_tau=1e-4"]]
            .concat());
    run.failed_with(
        2,
        &["3 problems", "energy.size = 33: must be 4, 8, 16, 32, 64 or 128", "train.batch = 0", "both forms"],
    );
}

#[test]
fn a_missing_or_broken_config_is_bad_usage() {
    srm(&["train", "--config", "no/such.json"])
        .failed_with(2, &["cannot read the config no/such.json", "No such file"]);
    let place = folder();
    let file = place.path().join("broken.json");
    fs::write(&file, "{ \"data\": ").expect("a writable temporary folder");
    srm(&["train", "--config", text(&file)]).failed_with(2, &["broken.json is no valid JSON at line 1"]);
}

#[test]
fn a_command_with_a_bad_config_makes_no_folder() {
    let place = folder();
    let (out, config) = (place.path().join("out"), place.path().join("bad.json"));
    fs::write(&config, "{ \"data\": ").expect("a writable temporary folder");
    for words in [
        "sample --out OUT/x.png",
        "interpolate --out OUT/x.png",
        "reconstruct --images x.npy --out OUT/x.png",
        "evaluate --data x.npy --out OUT/x.json",
        "diagnose moments --data x.npy --out OUT",
        "diagnose moments --frozen --data x.npy --out OUT",
        "diagnose chains --out OUT",
    ] {
        let words = format!("{words} --weights none.pth --config {}", text(&config)).replace("OUT", text(&out));
        let run = srm(&words.split(' ').collect::<Vec<_>>());
        run.failed_with(2, &["bad.json is no valid JSON at line 1"]);
        assert!(!out.exists(), "{words}");
    }
}

#[test]
fn wrong_flags_are_bad_usage() {
    for arguments in [
        &["train", "--nonsense"][..],
        &["sample", "--out", "x.png"],
        &["sample", "--weights", "a", "--out", "b.png", "--count", "0"],
        &["train", "--device", "gpu"],
    ] {
        let run = srm(arguments);
        assert_eq!(run.code, 2, "{arguments:?}: {}", run.stderr);
        assert!(run.stderr.contains("error: ") && run.stdout.is_empty(), "{}", run.stderr);
    }
    srm(&["sample", "--weights", "a", "--out", "x.jpg"]).failed_with(2, &["this form is not written"]);
    srm(&["sample", "--weights", "a", "--out", "x.npy", "--nearest", "d.npy"]).failed_with(2, &["give --out X.png"]);
    srm(&["sample", "--weights", "a", "--out", "x.png", "--chain", "x.png"]).failed_with(2, &["name the same file"]);
}

#[test]
fn missing_data_names_the_command_that_gets_it() {
    let place = folder();
    let run = text(place.path());
    for (images, remedy) in [
        ("data/none/celeba_32_center178_train.npy", "`cargo xtask fetch-celeba`"),
        ("data/none/fashion.npy", "`cargo xtask fetch-fashion-mnist`"),
        ("data/none/cifar10.npy", "`cargo xtask fetch-cifar10`"),
        ("data/none/mine.npy", "`cargo xtask preprocess --input FOLDER"),
    ] {
        train_on(images, run).failed_with(1, &["the images", images, "do not exist", remedy]);
    }
    train_on("synthetic:stripes", run).failed_with(2, &["no such built-in set", "synthetic:blobs"]);
}

#[test]
fn arrays_of_the_wrong_kind_are_refused() {
    let place = folder();
    let (file, run) = (place.path().join("x.npy"), place.path().join("run"));
    let refused = |parts: &[&str]| {
        train_on(text(&file), text(&run)).failed_with(1, &[&["x.npy"], parts].concat());
        fs::remove_dir_all(&run).expect("the run folder was made before the images were opened");
    };
    write_npy(&file, "<f4", "(16, 32, 32, 3)", 16 * 32 * 32 * 3 * 4);
    refused(&["u8"]);
    write_npy(&file, "|u1", "(16, 32, 32)", 16 * 32 * 32);
    refused(&["[n, h, w, c]"]);
    write_npy(&file, "|u1", "(16, 32, 32, 3)", 1000);
    refused(&[]);
    fs::write(&file, []).expect("a writable temporary folder");
    refused(&[]);
}

#[test]
fn images_that_do_not_fit_the_net_are_refused() {
    let place = folder();
    let (file, run) = (place.path().join("x.npy"), place.path().join("run"));
    write_npy(&file, "|u1", "(16, 16, 16, 3)", 16 * 16 * 16 * 3);
    train_on(text(&file), text(&run)).failed_with(1, &["16×16×3", "32×32×3"]);
    let few = srm(&[&SMOKE[..], &["--set", "data.count=4", "--run", text(&place.path().join("few"))]].concat());
    few.failed_with(1, &["4 images are fewer than a batch of 8"]);
}

#[test]
fn weights_that_are_missing_empty_or_cut_short_are_refused() {
    let place = folder();
    let out = place.path().join("x.png");
    let sample = |weights: &str| srm(&["sample", "--weights", weights, "--out", text(&out)]);
    sample("no/such.safetensors").failed_with(1, &["the weights no/such.safetensors do not exist"]);
    sample(text(place.path())).failed_with(1, &["holds no checkpoint"]);

    let (run, _) = smoke();
    let whole = fs::read(run.join("checkpoints/000030/weights.safetensors")).expect("the smoke run wrote it");
    for (name, bytes) in [
        ("cut.safetensors", &whole[..whole.len() / 2]),
        ("head.safetensors", &whole[..5]),
        ("empty.safetensors", &[]),
        ("empty.pth", &[]),
        ("noise.pth", &[7; 100]),
    ] {
        let file = place.path().join(name);
        fs::write(&file, bytes).expect("a writable temporary folder");
        sample(text(&file)).failed_with(1, &["cannot load the weights", name]);
    }
    assert!(!out.exists(), "no picture comes out of bad weights");
}

#[test]
fn weights_of_another_net_are_refused() {
    let (run, _) = smoke();
    let place = folder();
    let out = place.path().join("x.png");
    let arguments = ["sample", "--weights", text(run), "--out", text(&out), "--config", "configs/celeba64.json"];
    srm(&arguments).failed_with(1, &["32 px, 3 channels, 8 features", "64 px, 3 channels, 64 features"]);
}

#[test]
fn settings_that_blow_up_the_chains_end_with_code_3() {
    let (run, _) = smoke();
    let place = folder();
    let config = place.path().join("wild.json");
    let saved = fs::read_to_string(run.join("config.json")).expect("the smoke run wrote it");
    let wild = srm_config::Config::from_json(&saved, &["langevin.noise_std=3e38".to_owned()]).expect("sound");
    fs::write(&config, wild.to_json()).expect("a writable temporary folder");
    let out = place.path().join("x.png");
    let arguments = ["sample", "--weights", text(run), "--out", text(&out), "--config", text(&config)];
    srm(&arguments).failed_with(3, &["the chains diverged at Langevin step", "an earlier checkpoint"]);
}

#[test]
fn cuda_that_is_not_there_is_an_error_with_a_remedy() {
    let (run, _) = smoke();
    let place = folder();
    let out = place.path().join("x.png");
    for arguments in [
        &["sample", "--weights", text(run), "--out", text(&out), "--device", "cuda"][..],
        &[&SMOKE[..], &["--run", text(&place.path().join("run")), "--device", "cuda:1"]].concat(),
    ] {
        srm(arguments).failed_with(1, &["no CUDA build of libtorch was found", "cargo xtask setup --cuda"]);
    }
}

#[test]
fn places_that_cannot_be_written_are_named_before_any_work() {
    let (run, _) = smoke();
    // not even root may make files under /sys
    let sample = ["sample", "--weights", text(run), "--out", "/sys/srm/x.png"];
    srm(&sample).failed_with(1, &["cannot write /sys/srm/x.png", "choose a place"]);
    srm(&[&SMOKE[..], &["--run", "/sys/srm"]].concat()).failed_with(1, &["cannot make the run folder /sys/srm"]);
    let place = folder();
    let file = place.path().join("file");
    fs::write(&file, "x").expect("a writable temporary folder");
    srm(&[&SMOKE[..], &["--run", text(&file)]].concat()).failed_with(1, &["is a file", "--run DIR"]);
}

#[cfg(not(feature = "mpi"))]
#[test]
fn a_program_without_mpi_that_is_started_as_several_processes_says_what_to_build() {
    let place = folder();
    let run = place.path().join("run");
    let mut command = crate::common::command(&["train", "--config", "configs/smoke.json", "--run", text(&run)]);
    let output = command.env("OMPI_COMM_WORLD_SIZE", "2").output().expect("the binary was built for this test");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && said.contains("--features mpi"), "{said}");
    assert!(!run.exists());
}
