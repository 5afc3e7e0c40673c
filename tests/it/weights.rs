//! Weights from outside: every place and form that --weights takes, and --key.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::common::{Run, command, folder, read_npy, root, run, smoke, srm, text};

/// Draw two images of one step with these weights, by the config of the fixtures where they are not a run's.
fn sample(weights: &Path, more: &[&str], out: &Path) -> Run {
    srm(&[&["sample", "--weights", text(weights), "--count", "2", "--steps", "1", "--out", text(out)], more].concat())
}

/// The config of the fixtures' net in a file of `place`.
fn config_of_fixtures(place: &Path) -> PathBuf {
    let (file, smoke) = (place.join("one.json"), root().join("configs/smoke.json"));
    let config = srm_config::Config::load(smoke, &["energy.channels=1".to_owned(), "energy.features=1".to_owned()]);
    fs::write(&file, config.expect("sound").to_json()).expect("a writable temporary folder");
    file
}

fn fixture(name: &str) -> PathBuf {
    root().join("crates/srm-energy/fixtures/pth").join(name)
}

#[test]
fn every_name_of_a_run_s_newest_weights_draws_the_same_images() {
    let (run, _) = smoke();
    let place = folder();
    let out = place.path().join("x.npy");
    let expected = {
        sample(&run.join("checkpoints/000030/weights.safetensors"), &[], &out).done();
        read_npy(&out).1
    };
    let copy = place.path().join("ckpts"); // the folder of checkpoints, under another name and with a link
    fs::create_dir_all(copy.join("000030")).expect("a writable temporary folder");
    for entry in fs::read_dir(run.join("checkpoints/000030")).expect("the smoke run wrote it") {
        let entry = entry.expect("readable");
        fs::copy(entry.path(), copy.join("000030").join(entry.file_name())).expect("a writable temporary folder");
    }
    #[cfg(unix)]
    std::os::unix::fs::symlink("000030", copy.join("latest")).expect("a writable temporary folder");
    let named = ["", "checkpoints", "checkpoints/latest", "checkpoints/000030"].map(|name| run.join(name));
    for weights in named.into_iter().chain([copy.clone(), copy.join("latest")]) {
        sample(&weights, &[], &out).done();
        assert_eq!(read_npy(&out).1, expected, "{}", weights.display());
    }
}

#[test]
fn a_folder_with_one_file_of_weights_is_that_file() {
    let place = folder();
    let (config, out) = (config_of_fixtures(place.path()), place.path().join("x.npy"));
    let by_config = ["--config", text(&config)];
    let expected = {
        sample(&fixture("plain.pth"), &by_config, &out).done();
        read_npy(&out).1
    };
    // a hub's names, an ending that says nothing of the content, and what others' trainers leave
    for name in ["pytorch_model.bin", "model.safetensors", "checkpoints/epoch=3.ckpt", "net.pt"] {
        let hub = place.path().join(name.replace('/', "-"));
        let file = hub.join(name);
        fs::create_dir_all(file.parent().expect("in a folder")).expect("a writable temporary folder");
        fs::copy(fixture("plain.pth"), &file).expect("a writable temporary folder");
        fs::write(hub.join("README.md"), "a model").expect("a writable temporary folder");
        sample(&hub, &by_config, &out).done();
        assert_eq!(read_npy(&out).1, expected, "{name}");
    }
    let two = place.path().join("two");
    fs::create_dir(&two).expect("a writable temporary folder");
    for name in ["a.pth", "b.pth"] {
        fs::copy(fixture("plain.pth"), two.join(name)).expect("a writable temporary folder");
    }
    sample(&two, &by_config, &out).failed_with(1, &["several weights files", "a.pth", "b.pth"]);
}

#[test]
fn a_key_chooses_a_net_and_without_it_they_are_listed() {
    let place = folder();
    let (config, out) = (config_of_fixtures(place.path()), place.path().join("x.npy"));
    let by_config =
        |more: &[&str], file: &str| sample(&fixture(file), &[&["--config", text(&config)], more].concat(), &out);
    by_config(&[], "plain.pth").done();
    let expected = read_npy(&out).1;
    by_config(&[], "two.pth").failed_with(1, &["two.pth", "several nets, at model, ema", "--key NAME"]);
    by_config(&["--key", "teacher"], "two.pth").failed_with(1, &["no net at the key `teacher`", "model, ema"]);
    by_config(&["--key", "ema"], "two.pth").done();
    assert_eq!(read_npy(&out).1, expected);
    // an object of a class of its maker's stands beside these
    by_config(&[], "stranger.pth").done();
    assert_eq!(read_npy(&out).1, expected);
    srm(&["sample", "--key", "ema", "--out", text(&out)]).failed_with(2, &["--weights"]);
}

#[test]
fn weights_that_come_with_srm_draw_where_nothing_is_and_a_path_of_their_name_wins() {
    let place = folder();
    let here = |arguments: &[&str]| run(command(arguments).current_dir(place.path()).env("HOME", place.path()));
    let picture = || read_npy(&place.path().join("x.npy")).1;
    let sample: &[&str] = &["sample", "--weights", "fashion32", "--count", "20", "--out", "x.npy"];
    here(&[sample, &["--json"]].concat()).done();
    let shipped = picture();
    assert_eq!(shipped.len(), 20 * 32 * 32, "twenty images of 32 px");

    here(&["interpolate", "--weights", "fashion32", "--pairs", "1", "--points", "2", "--out", "rows.png"]).done();
    let reconstruct =
        ["reconstruct", "--weights", "fashion32", "--images", "x.npy", "--iterations", "2", "--out", "r.png"];
    assert_eq!(here(&[&reconstruct[..], &["--json"]].concat()).done().json()["weights"], "fashion32");
    let evaluate = ["evaluate", "--weights", "fashion32", "--data", "x.npy", "--count", "20", "--json"];
    let score = here(&evaluate).done().json()["results"][0].clone();
    assert_eq!((&score["samples"], &score["update"]), (&"fashion32".into(), &serde_json::Value::Null));
    assert_eq!(score["sha256"].as_str().map(str::len), Some(64), "{score}");

    let exported = here(&["export", "--hub", "hub", "fashion32", "--json"]).done().json();
    assert_eq!((&exported["data"], &exported["license"]), (&"Fashion-MNIST".into(), &"mit".into()), "{exported}");
    assert_eq!(exported["sha256"], score["sha256"], "the bytes that are in srm");

    let found = here(&["doctor", "--json"]).done().json()["weights"].clone();
    assert_eq!(found[0]["name"], "fashion32", "{found}");
    here(&["sample", "--weights", "fashion31", "--out", "x.npy"])
        .failed_with(1, &["fashion31", "come with srm (fashion32)"]);

    // a folder of that name without weights hides nothing
    let before = picture();
    let into = ["sample", "--weights", "fashion32", "--count", "20", "--out", "fashion32/x.npy"];
    here(&into).done();
    here(&into).done();
    assert_eq!(read_npy(&place.path().join("fashion32/x.npy")).1, before);
    here(&["diagnose", "moments", "--weights", "fashion32", "--data", "x.npy", "--count", "20", "--out", "m"])
        .failed_with(1, &["holds a ladder of 3 grids"]);
    fs::remove_dir_all(place.path().join("fashion32")).expect("it was written");

    let config = config_of_fixtures(place.path());
    fs::copy(fixture("plain.pth"), place.path().join("fashion32")).expect("a writable temporary folder");
    here(&[sample, &["--steps", "1", "--config", text(&config)]].concat()).done();
    assert_ne!(picture(), shipped, "the file of that name wins");
}
