//! Check the card for every kind of data, with scores and without, as a hub reads it.

use serde_json::{Value, from_value};

use super::*;
use crate::export::scores::{self, Scores};

fn config(images: &str, langevin: Value) -> Config {
    let tree = json!({
        "data": { "images": images, "flip": true },
        "energy": { "size": 32, "channels": 3, "features": 8 },
        "langevin": langevin,
        "train": { "updates": 6000, "batch": 16, "learning_rate": [[0, 2e-4], [6000, 2e-5]], "seed": 7, "ema": 0.999 },
    });
    Config::from_json(&tree.to_string(), &[]).unwrap()
}

/// The card of a run on these images, and its front matter.
fn card(images: &str, license: Option<&str>, change: impl Fn(&mut Source)) -> (String, Value) {
    let config = config(images, json!({ "steps": 30, "gradient_scale": 1.0, "noise_std": 0.01 }));
    let mut source = Source::for_tests(config.clone(), DataSet::of(&config.data.images, None));
    change(&mut source);
    let license = License::of(license, &source.data).unwrap();
    let nets = config.langevin.nets(&config.energy);
    let card = Card {
        name: "me/faces",
        nets: &nets,
        langevin: &config.langevin,
        source: &source,
        license: &license,
        sha256: "0123abcd",
    };
    let text = card.text();
    let front = read(&text);
    (text, front)
}

/// The front matter, held to what the hub documents.
fn read(card: &str) -> Value {
    let (front, body) = card.strip_prefix("---\n").and_then(|rest| rest.split_once("---\n")).unwrap();
    assert!(body.starts_with("\n# "), "{body}");
    let front: Value = serde_saphyr::from_str(front).unwrap_or_else(|error| panic!("{error}\n{front}"));
    let known = [
        "license",
        "license_name",
        "license_link",
        "library_name",
        "pipeline_tag",
        "tags",
        "datasets",
        "metrics",
        "model-index",
    ];
    for (key, value) in front.as_object().unwrap() {
        assert!(known.contains(&&**key), "{key}");
        match &**key {
            "tags" | "datasets" | "metrics" => {
                assert!(value.as_array().unwrap().iter().all(Value::is_string), "{key}: {value}")
            }
            "model-index" => assert!(value.is_array()),
            _ => assert!(value.is_string(), "{key}: {value}"),
        }
    }
    assert_eq!(front["pipeline_tag"], "unconditional-image-generation");
    assert_eq!(front["license"] == "other", front.get("license_name").is_some() && front.get("license_link").is_some());
    for entry in front.get("model-index").and_then(Value::as_array).into_iter().flatten() {
        assert!(entry["name"].is_string());
        for result in entry["results"].as_array().unwrap() {
            assert!(
                result["task"]["type"].is_string()
                    && result["dataset"]["type"].is_string()
                    && result["dataset"]["name"].is_string()
            );
            for metric in result["metrics"].as_array().unwrap() {
                assert!(
                    metric["type"].is_string() && metric["value"].is_number() && metric["name"].is_string(),
                    "{metric}"
                );
            }
        }
    }
    front
}

#[test]
fn each_data_set_has_its_terms() {
    let (text, front) = card("data/celeba/celeba_32_center178_train.npy", None, |source| source.images = Some(800));
    assert_eq!((&front["license"], &front["license_name"]), (&json!("other"), &json!("celeba-agreement")));
    assert_eq!(front["license_link"], "http://mmlab.ie.cuhk.edu.hk/projects/CelebA.html");
    assert_eq!(front["datasets"], json!(["celeba"]));
    for part in [
        "CelebA's agreement: non-commercial research only; the photos belong to their owners",
        "800 images were used",
        "learned from 800 images alone",
        "srm sample --weights hf:me/faces --out x.png",
        "arxiv.org/abs/1904.09770",
        "| learning rate, ADAM | 0.0002 to 0.00002, β 0.9 and 0.999 |",
        "| these weights | update 6,000, averaged weights |",
        "from the run `x` at update 6,000.",
        "`0123abcd`",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    assert!(!text.contains("data/celeba/"), "no path\n{text}");
    let fashion = card("data/fashion-mnist/fashion_mnist_32_train.npy", None, |_| ());
    assert_eq!(
        (&fashion.1["license"], &fashion.1["datasets"]),
        (&json!("mit"), &json!(["zalando-datasets/fashion_mnist"]))
    );
    assert!(!fashion.0.contains("celebrities") && fashion.0.contains("under the MIT licence"));
    assert_eq!(card("data/cifar10/cifar10_32_train.npy", None, |_| ()).1["license"], "unknown");
    assert!(card("synthetic:blobs", None, |_| ()).1.get("datasets").is_none());
    let (text, front) = card("photos.npy", None, |_| ());
    assert_eq!((&front["license"], &front["license_name"]), (&json!("other"), &json!("to-be-filled-in")));
    assert!(text.contains("**to be filled in**"), "{text}");
    let (text, front) = card("photos.npy", Some("cc-by-4.0"), |_| ());
    assert_eq!(front["license"], "cc-by-4.0");
    assert!(text.contains("Licence of the weights: `cc-by-4.0`."), "{text}");
    let (text, _) = card("photos.npy", Some("mit"), |source| {
        (source.data, source.settings, source.update, source.is_run) = (DataSet::Unknown, None, None, false);
    });
    assert!(text.contains("Not known from the weights") && text.contains("srm 0.1.0, from `x`.\n"), "{text}");
}

#[test]
fn scores_stand_in_front_and_below_and_are_called_what_they_are() {
    let (text, front) = card("celeba_32.npy", None, |_| ());
    assert!(front.get("model-index").is_none() && front.get("metrics").is_none() && !text.contains("## Scores"));
    let with = |network: &str, is_fid| {
        let report = scores::tests::report(network, is_fid);
        card("celeba_32.npy", None, |source| source.scores = Scores::of(report.clone(), "bb").ok())
    };
    let (text, front) = with("random-conv", false);
    let metric = &front["model-index"][0]["results"][0]["metrics"][0];
    assert_eq!((&metric["type"], &metric["value"]), (&json!("frechet_distance"), &json!(0.1804)));
    assert_eq!(front["metrics"][0], "frechet_distance");
    for part in [
        "against 99 images of `CelebA (celeba_32_center178_test.npy)`, by features of `random-conv`",
        "| Fréchet distance (random-conv features) | 0.1804 | 1,000 | 1 | 30 |",
        "| Kernel distance (random-conv features) | -3.50e-5 | 1,000 | 1 | 30 |",
        "not the FID",
        "biased upwards",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    let (text, front) = with("inception", true);
    assert_eq!(front["model-index"][0]["results"][0]["metrics"][0]["name"], "FID");
    assert!(text.contains("| FID | 0.1804 |") && !text.contains("not the FID"), "{text}");
}

#[test]
fn odd_names_break_neither_yaml_nor_tables() {
    for name in ["a|b`c*.npy", "no", "x: [y]\n---\n# z.npy", "\u{1b}[31m.npy", "\"'&<b>.npy", "漢字.npy", "null"] {
        let (text, front) = card(name, Some("mit"), |source| source.name = name.to_owned());
        assert_eq!(front["license"], "mit");
        assert!(!text.contains('\u{1b}') && !text.contains("\n# z"), "{text}");
        let table: Vec<&str> = text.lines().filter(|line| line.starts_with("| images ")).collect();
        assert_eq!(table.len(), 1, "{text}");
        assert_eq!(table[0].matches('|').count(), 3, "{}", table[0]);
        let report = json!({
            "data": { "file": name, "count": 3, "manifest": null },
            "features": { "name": name, "is_fid": false, "sha256": null },
            "results": [{ "sha256": "bb", "count": 3, "seed": null, "steps": null, "frechet": 1e-9, "kernel": null,
                "precision": null, "recall": null, "inception_score": null }],
        });
        let (text, front) = card("x.npy", Some("mit"), |source| source.scores = Scores::of(report.clone(), "bb").ok());
        assert_eq!(front["model-index"][0]["results"][0]["metrics"][0]["value"], 1e-9);
        assert!(text.lines().all(|line| !line.starts_with("| Fréchet") || line.matches('|').count() == 6), "{text}");
    }
}

#[test]
fn a_ladder_says_its_grids() {
    let grids = json!([{ "size": 8, "steps": 15, "features": 16 }, { "size": 32, "steps": 30 }]);
    let config =
        config("x.npy", json!({ "grids": grids, "gradient_scale": 1.0, "noise_std": [[0, 0.015], [44, 0.0]] }));
    let source = Source::for_tests(config.clone(), DataSet::Synthetic);
    let (nets, license) = (config.langevin.nets(&config.energy), License::of(None, &source.data).unwrap());
    assert_eq!(nets, [from_value(json!({ "size": 8, "channels": 3, "features": 16 })).unwrap(), config.energy.clone()]);
    let card =
        Card { name: "me/l", nets: &nets, langevin: &config.langevin, source: &source, license: &license, sha256: "" };
    let text = card.text();
    for part in [
        "a ladder of ConvNets f",
        "45 Langevin steps (15 at 8 px, 30 at 32 px), up-sampled from grid to grid, from uniform noise",
        "| net | 8 × 8 px, n 16, LeakyReLU(0.2); 32 × 32 px, n 8, LeakyReLU(0.2) |",
        "| b, std of the noise | 0.015 to 0 |",
        "startswith(f\"grid{size}.\")",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
}
