//! Scores from outside: what they order, what they say beside the number, and what bad input says.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::Stdio,
};

use crate::common::{command, folder, smoke, srm, text, write_npy};

#[test]
fn a_set_is_nearer_to_its_own_kind_than_samples_of_a_tiny_net_and_everything_is_said() {
    let (run, _) = smoke();
    let place = folder();
    let file = |name: &str| place.path().join(name);
    let (real, report, stats) = (file("real.npy"), file("report.json"), file("stats.npz"));
    // The net's own samples of another seed: for its samples there is nothing nearer.
    let arguments = ["sample", "--weights", text(run), "--count", "100", "--seed", "7", "--out", text(&real)];
    srm(&arguments).done();
    let score = |extra: &[&str]| {
        let said =
            srm(&[&["evaluate", "--data", text(&real), "--count", "100", "--json"], extra].concat()).done().json();
        (said["results"][0]["frechet"].as_f64().expect("a distance"), said)
    };
    let saved = ["--out", text(&report), "--save-stats", text(&stats), "--self-check"];
    let (own, said) = score(&[&["--weights", text(run), "--newest"], &saved[..]].concat());
    let black = file("black.npy");
    write_npy(&black, "|u1", "(100, 32, 32, 3)", 100 * 32 * 32 * 3);
    let (far, _) = score(&["--samples", text(&black)]);
    assert!(own * 10.0 < far, "own samples at {own}, black images at {far}");
    let halves = said["self_check"]["frechet"].as_f64().expect("a distance");
    assert!(halves * 10.0 < far, "halves at {halves}, black images at {far}");
    assert_eq!((&said["features"]["name"], &said["features"]["is_fid"]), (&"random-conv".into(), &false.into()));
    let result = &said["results"][0];
    assert_eq!(
        (result["seed"].as_u64(), result["steps"].as_u64(), result["count"].as_u64()),
        (Some(1), Some(10), Some(100))
    );
    assert_eq!(result["sha256"].as_str().map(str::len), Some(64));
    assert!(result["precision"].as_f64().is_some_and(|share| share > 0.5) && result["inception_score"].is_null());
    assert!(said["warnings"][0].as_str().is_some_and(|warning| warning.contains("10000")), "{}", said["warnings"]);
    let kept: serde_json::Value = serde_json::from_str(&fs::read_to_string(&report).expect("written")).expect("JSON");
    assert_eq!(kept["results"], said["results"]);

    // Statistics in place of the images give the same Fréchet distance and nothing that needs the images.
    let arguments = ["evaluate", "--data", text(&stats), "--samples", text(&black), "--json"];
    let again = srm(&arguments).done().json();
    assert_eq!(again["results"][0]["frechet"].as_f64(), Some(far));
    assert!(again["results"][0]["kernel"].is_null());
    assert_eq!((&again["data"]["count"], &again["data"]["statistics"]), (&100.into(), &true.into()));
    // they know of how many images they are: as many samples are drawn
    let arguments = ["evaluate", "--data", text(&stats), "--weights", text(run), "--newest"];
    let said = srm(&[&arguments[..], &["--json"]].concat()).done().json();
    assert_eq!((said["results"][0]["count"].as_u64(), said["results"][0]["frechet"].as_f64()), (Some(100), Some(own)));
    let said = srm(&arguments).done().stdout;
    assert!(said.contains("stats.npz (statistics of 100 images, "), "{said}");
    for (flag, word) in [("--self-check", "halves"), ("--nearest=x.png", "shows")] {
        srm(&[&arguments[..], &[flag]].concat()).failed_with(2, &[word, "statistics alone"]);
    }
    srm(&[&arguments[..], &["--data-count", "5"]].concat()).failed_with(2, &["the first 5 images", "statistics"]);
    // and a run scores itself against them as against the images
    let scores = [&real, &stats].map(|reference| {
        let place = folder();
        let images = format!("evaluate.images={}", text(reference));
        let settings = ["--set", "evaluate.every=30", "--set", "evaluate.count=40", "--set", &images];
        let train = ["train", "--config", "configs/smoke.json", "--run", text(place.path())];
        srm(&[&train[..], &settings].concat()).done();
        let line = fs::read_to_string(place.path().join("scores.jsonl")).expect("a score");
        serde_json::from_str::<serde_json::Value>(&line).expect("JSON")["score"].clone()
    });
    assert!(scores[0].is_f64() && scores[0] == scores[1], "{scores:?}");
}

#[test]
fn statistics_that_do_not_say_of_how_many_images_they_are_get_ten_thousand_samples() {
    let (run, _) = smoke();
    let place = folder();
    let stats = place.path().join("stats.npz");
    let mut npz = ndarray_npy::NpzWriter::new(fs::File::create(&stats).expect("a file"));
    npz.add_array("mu", &ndarray::Array1::<f64>::zeros(144)).expect("written");
    npz.add_array("sigma", &ndarray::Array2::<f64>::eye(144)).expect("written");
    npz.finish().expect("written");
    let arguments = ["evaluate", "--data", text(&stats), "--weights", text(run), "--newest"];
    let mut drawing = command(&arguments).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("built");
    let mut said = BufReader::new(drawing.stderr.take().expect("piped")).lines();
    let line = said.find_map(|line| line.ok().filter(|line| line.contains("of how many images"))).expect("a warning");
    assert!(line.contains("drawing 10000 samples") && line.contains("--count N"), "{line}");
    drawing.kill().expect("it draws still"); // they take a while
    drawing.wait().expect("a child");
    let few = srm(&[&arguments[..], &["--count", "20"]].concat()).done().stdout;
    assert!(few.contains("(statistics alone, count unknown, ") && !few.contains(" 0 images"), "{few}");
}

#[test]
fn a_run_folder_gives_a_line_for_each_checkpoint() {
    let (run, _) = smoke();
    let place = folder();
    let (real, report) = (place.path().join("real.npy"), place.path().join("all.json"));
    srm(&["sample", "--weights", text(run), "--count", "40", "--seed", "2", "--out", text(&real)]).done();
    let arguments =
        ["evaluate", "--weights", text(run), "--data", text(&real), "--count", "40", "--out", text(&report)];
    let done = srm(&arguments).done();
    let lines = done.stdout.lines().filter(|line| line.starts_with("update ")).count();
    assert_eq!(lines, 2, "{}", done.stdout); // of the updates 15 and 30
    assert!(done.stdout.contains("Fréchet (random-conv)") && !done.stdout.contains("FID"), "{}", done.stdout);
    // and --update names one of them
    let one = srm(&[&arguments[..7], &["--update", "15", "--json"]].concat()).done().json();
    let all: serde_json::Value = serde_json::from_str(&fs::read_to_string(&report).expect("written")).expect("JSON");
    assert_eq!(one["results"].as_array().map(Vec::len), Some(1));
    for name in ["update", "sha256", "frechet", "kernel", "precision", "recall"] {
        assert_eq!(one["results"][0][name], all["results"][0][name], "{name}");
    }
    srm(&[&arguments[..7], &["--update", "16"]].concat()).failed_with(1, &["16", "15, 30"]);
}

/// A zip by whose only entry, an empty one, a TorchScript archive is known.
fn script_without_content() -> Vec<u8> {
    let name = b"net/constants.pkl";
    let length = (name.len() as u16).to_le_bytes();
    let local = [&b"PK\x03\x04\x14\0"[..], &[0; 20], &length, &[0; 2], name].concat();
    let entry = [&b"PK\x01\x02\x14\0\x14\0"[..], &[0; 20], &length, &[0; 16], name].concat();
    let place = [(entry.len() as u32).to_le_bytes(), (local.len() as u32).to_le_bytes()].concat();
    [&local[..], &entry, b"PK\x05\x06\0\0\0\0\x01\0\x01\0", &place, &[0; 2]].concat()
}

#[test]
fn bad_input_says_what_is_wrong_and_what_helps() {
    let (run, _) = smoke();
    let place = folder();
    let file = |name: &str| place.path().join(name);
    let real = file("real.npy");
    srm(&["sample", "--weights", text(run), "--count", "5", "--out", text(&real)]).done();
    let fails = |code: i32, arguments: &[&str], parts: &[&str]| {
        srm(&[&["evaluate"], arguments].concat()).failed_with(code, parts);
    };
    fails(2, &["--data", text(&real)], &["--weights"]);
    fails(1, &["--data", "data/celeba/none_celeba_64.npy", "--samples", text(&real)], &["do not exist"]);
    fails(
        1,
        &["--data", text(&real), "--samples", text(&real), "--features", "none.pth"],
        &["none.pth", "fetch-inception"],
    );
    let wrong = file("net.pt");
    fs::write(&wrong, "no archive").expect("written");
    let data = ["--data", text(&real), "--samples", text(&real), "--features", text(&wrong)];
    fails(1, &data, &["net.pt", "neither", "TorchScript"]);
    // what a zip with a program in it lacks, it is told one by one
    fs::write(&wrong, script_without_content()).expect("written");
    fails(1, &data, &["net.json", "manifest", "dimension"]);
    fs::write(file("net.json"), r#"{"input": [-1, 1], "dimension": 8}"#).expect("written");
    fails(1, &data, &["net.pt", "TorchScript"]);
    let weights = run.join("checkpoints/000030/weights.safetensors");
    fails(1, &["--data", text(&real), "--samples", text(&real), "--features", text(&weights)], &["Conv2d_1a_3x3"]);
    // Too few for the neighbours of precision and recall.
    let few = ["--data", text(&real), "--weights", text(run), "--newest", "--count", "3"];
    fails(1, &few, &["at least 4 images", "--count"]);
    // Statistics of another dimension.
    let stats = file("stats.npz");
    let mut npz = ndarray_npy::NpzWriter::new(fs::File::create(&stats).expect("a file"));
    npz.add_array("mu", &ndarray::Array1::<f64>::zeros(3)).expect("written");
    npz.add_array("sigma", &ndarray::Array2::<f64>::eye(3)).expect("written");
    npz.finish().expect("written");
    fails(1, &["--data", text(&stats), "--samples", text(&real)], &["dimension 144", "dimension 3"]);
    fs::write(&stats, "PK").expect("written");
    fails(1, &["--data", text(&stats), "--samples", text(&real)], &["stats.npz", "mu [d]"]);
}

#[test]
fn a_run_scores_itself_by_the_same_numbers_and_keeps_its_best() {
    let place = folder();
    let run = place.path().join("run");
    // the built-in images again, as a file: evaluate needs one
    let real = place.path().join("real.npy");
    srm(&["sample", "--weights", text(&smoke().0), "--count", "60", "--out", text(&real)]).done();
    let images = format!("evaluate.images={}", text(&real));
    let settings = ["--set", "evaluate.every=10", "--set", "evaluate.count=40", "--set", &images];
    let arguments = ["train", "--config", "configs/smoke.json", "--run", text(&run), "--json"];
    let said = srm(&[&arguments[..], &settings].concat()).done();
    assert_eq!(said.stderr.matches("frechet random-conv").count(), 3, "{}", said.stderr);
    let log = fs::read_to_string(run.join("scores.jsonl")).expect("written");
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let scores: Vec<f64> = lines.iter().map(|line| line["score"].as_f64().expect("a number")).collect();
    let best = said.json()["best"].clone();
    let at = lines.iter().position(|line| line["update"] == best["update"]).expect("one of them");
    assert!(scores.iter().all(|score| *score >= scores[at]), "{scores:?} {best}");

    let again = |weights: &str| {
        let arguments =
            ["evaluate", "--weights", weights, "--newest", "--data", text(&real), "--count", "40", "--json"];
        srm(&arguments).done().json()["results"][0]["frechet"].as_f64().expect("a number")
    };
    assert_eq!(again(text(&run)), scores[2]);
    assert_eq!(again(text(&run.join("checkpoints/best"))), scores[at]);

    let bad = ["--set", "evaluate.every=10", "--set", "evaluate.features=none.pth", "--overwrite"];
    srm(&[&arguments[..5], &bad].concat()).failed_with(1, &["evaluate", "none.pth", "fetch-inception"]);
    // one real image has no covariance: found when its features are made
    let one = place.path().join("one.npy");
    srm(&["sample", "--weights", text(&smoke().0), "--count", "1", "--out", text(&one)]).done();
    let images = format!("evaluate.images={}", text(&one));
    let bad = ["--set", "evaluate.every=10", "--set", &images, "--overwrite"];
    srm(&[&arguments[..5], &bad].concat()).failed_with(1, &["evaluate", "images"]);
    assert!(run.join("metrics.jsonl").exists(), "a config that cannot be scored deletes no run");
}

#[test]
fn copies_are_shown_and_reconstructions_are_scored() {
    let (run, _) = smoke();
    let place = folder();
    let file = |name: &str| place.path().join(name);
    let (real, grid) = (file("real.npy"), file("copies.png"));
    // the same seed: every sample has its copy among the images
    srm(&["sample", "--weights", text(run), "--count", "20", "--seed", "1", "--out", text(&real)]).done();
    let arguments = ["evaluate", "--weights", text(run), "--newest", "--data", text(&real), "--count", "20", "--json"];
    let more = ["--nearest", text(&grid), "--reconstruct", text(&real), "--reconstruct-count", "3"];
    let said = srm(&[&arguments[..], &more].concat()).done().json();
    let nearest = &said["results"][0]["nearest"];
    assert_eq!((nearest["most"].as_f64(), nearest["different"].as_u64()), (Some(0.0), Some(20)));
    // 8 columns of 32 px and 3 rows of pairs, 2 px apart
    assert_eq!(crate::common::png_size(&grid), (8 * 34 + 2, 6 * 34 + 2));
    let found = &said["results"][0]["reconstruction"];
    assert_eq!((found["count"].as_u64(), found["iterations"].as_u64()), (Some(3), Some(200)));
    // black and white lie 4 apart in squares; what is not reconstructed at all is off by about 0.3
    assert!(found["mean_mse"].as_f64().is_some_and(|mse| mse < 0.05), "{found}");
}
