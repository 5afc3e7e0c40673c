//! Moment matching from outside: what is written, what is said, and what bad input says.

use std::path::Path;

use serde_json::Value;

use crate::common::{folder, png_size, root, smoke, srm, text, write_npy};

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// 100 samples of the smoke run as its data: nothing is nearer to its samples.
fn data(place: &Path) -> std::path::PathBuf {
    let (run, _) = smoke();
    let real = place.join("real.npy");
    srm(&["sample", "--weights", text(run), "--count", "100", "--seed", "7", "--out", text(&real)]).done();
    real
}

#[test]
fn every_checkpoint_is_measured_layer_by_layer_with_the_noise_of_its_run() {
    let (run, _) = smoke();
    let place = folder();
    let (real, out) = (data(place.path()), place.path().join("moments"));
    let arguments = ["diagnose", "moments", "--data", text(&real), "--out", text(&out), "--count", "40", "--json"];
    let said = srm(&[&arguments[..], &["--weights", text(run)]].concat()).done().json();
    let results = said["results"].as_array().expect("results");
    let updates: Vec<_> = results.iter().map(|result| result["update"].as_u64()).collect();
    assert_eq!(updates, [Some(15), Some(30)]);
    for result in results {
        assert_eq!((number(&result["data_noise"]), &result["flip"]), (0.2, &true.into()));
        let layers = result["layers"].as_array().expect("layers");
        let names: Vec<_> = layers.iter().filter_map(|layer| layer["layer"].as_str()).collect();
        assert_eq!(names, ["f.0", "f.2", "f.4", "f.6", "f.8"]);
        assert_eq!(layers[4]["relative"], result["top"]["relative"]);
    }
    assert!(said["warnings"][0].as_str().is_some_and(|warning| warning.contains("2000")), "{}", said["warnings"]);
    let kept: Value =
        serde_json::from_str(&std::fs::read_to_string(out.join("moments.json")).expect("written")).expect("JSON");
    assert_eq!(kept, said);
    assert!(std::fs::read_to_string(out.join("moments.svg")).expect("written").starts_with("<svg"));

    // The data are samples of the same law, so what is left is the noise of 40 images, twice the floor at most; flat images
    // are another law, and stand out.
    let newest = |data: &Path| {
        let set = ["diagnose", "moments", "--data", text(data), "--out", text(&out), "--count", "40", "--json"];
        srm(&[&set[..], &["--weights", text(run), "--newest", "--data-noise", "0"]].concat()).done().json()["results"]
            [0]["top"]
            .clone()
    };
    let own = newest(&real);
    assert!(number(&own["relative"]) < 2.0 * number(&own["floor"]), "{own}");
    let flat = place.path().join("flat.npy");
    write_npy(&flat, "|u1", "(100, 32, 32, 3)", 100 * 32 * 32 * 3);
    let other = newest(&flat);
    assert!(number(&other["relative"]) > 5.0 * number(&own["relative"]), "{other} and {own}");

    // Fewer than twice the count: halves make the floor, all are compared with, and the text says so.
    let few = ["diagnose", "moments", "--data", text(&real), "--out", text(&out), "--count", "60", "--newest"];
    let few = srm(&[&few[..], &["--weights", text(run)]].concat()).done();
    assert!(few.stdout.contains("60 samples against 100 of 100") && few.stdout.contains("50 and 50"), "{}", few.stdout);
}

#[test]
fn the_frozen_experiment_leaves_numbers_a_chart_and_grids() {
    let (run, _) = smoke();
    let place = folder();
    let (real, out) = (data(place.path()), place.path().join("frozen"));
    let arguments = [
        "diagnose",
        "moments",
        "--frozen",
        "--weights",
        text(run),
        "--data",
        text(&real),
        "--out",
        text(&out),
        "--count",
        "20",
        "--updates",
        "6",
        "--batch",
        "8",
    ];
    let said = srm(&[&arguments[..], &["--json"]].concat()).done().json();
    let errors = said["errors"].as_array().expect("errors");
    assert_eq!((errors[0]["update"].as_u64(), errors[errors.len() - 1]["update"].as_u64()), (Some(0), Some(6)));
    let steps: Vec<_> =
        said["carried"].as_array().expect("states").iter().map(|state| state["step"].as_u64()).collect();
    assert_eq!(steps, [Some(10), Some(20), Some(40), Some(100)]);
    assert_eq!((said["data"]["learned_from"].as_u64(), &said["data"]["disjoint"]), (Some(60), &true.into()));
    for picture in ["frozen_start.png", "frozen_end.png", "frozen_carried.png"] {
        assert!(png_size(&out.join(picture)).0 > 100);
    }
    assert!(out.join("frozen.svg").is_file() && out.join("frozen.json").is_file());
    srm(&[&arguments[..], &["--rate", "1e9"]].concat()).failed_with(3, &["lower the rate"]);
}

#[test]
fn on_the_plane_learning_finds_the_moment_matching_estimate() {
    let place = folder();
    let out = place.path().join("toy");
    let said = srm(&["diagnose", "moments", "--toy", "--out", text(&out), "--json"]).done().json();
    let theta = |key: &str| number(&said[key]["theta"]);
    // 150 updates of 1000 chains know θ to about 0.002 (crates/srm-eval/src/moment_matching/tests.rs), times five
    assert!((theta("learned") - theta("moment_matching")).abs() < 0.01, "{said}");
    assert!((theta("maximum_likelihood") - theta("moment_matching")).abs() > 0.2);
    assert!(std::fs::read_to_string(out.join("figure1.svg")).expect("written").contains("moment matching"));
}

#[test]
fn bad_input_says_what_is_wrong_and_what_helps() {
    let (run, _) = smoke();
    let place = folder();
    let (out, grey) = (place.path().join("out"), place.path().join("grey.npy"));
    write_npy(&grey, "|u1", "(50, 32, 32, 1)", 50 * 32 * 32);
    let fails = |code: i32, arguments: &[&str], parts: &[&str]| {
        srm(&[&["diagnose", "moments", "--out", text(&out)], arguments].concat()).failed_with(code, parts);
    };
    fails(2, &["--weights", text(run)], &["--data"]);
    fails(2, &["--data", text(&grey)], &["--weights"]);
    let set = ["--weights", text(run), "--data", text(&grey)];
    fails(2, &[&set[..], &["--count", "51"]].concat(), &["grey.npy holds 50 images", "lower --count"]);
    fails(2, &[&set[..], &["--count", "5"]].concat(), &["--count"]);
    fails(2, &[&set[..], &["--data-noise=-1"]].concat(), &["--data-noise", ">= 0"]);
    fails(1, &[&set[..], &["--count", "20"]].concat(), &["32×32×1", "32×32×3"]);
    fails(1, &["--weights", text(run), "--data", "data/celeba/none_celeba_64.npy"], &["do not exist"]);
    fails(1, &["--weights", "none", "--data", text(&grey), "--count", "20"], &["none do not exist"]);
    let pth = root().join("crates/srm-energy/fixtures/pth/module.legacy.pth");
    fails(1, &["--weights", text(&pth), "--data", text(&grey), "--count", "20"], &["no Langevin settings", "--config"]);
    assert!(!out.join("moments.json").exists());
}
