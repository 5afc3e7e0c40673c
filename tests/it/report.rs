//! Gather runs in a page: whole, closed to the network, escaped, and there whatever is broken.

use std::{
    fs,
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    common::{folder, png_pixels, smoke, srm, text},
    survive::SMALL,
};

/// The page of a run, and what `--json` said.
fn report(run: &Path, more: &[&str]) -> (String, Value) {
    let place = folder();
    let out = place.path().join("page.html");
    let said = srm(&[&["report", text(run), "--out", text(&out), "--json"], more].concat()).done().json();
    let html = fs::read_to_string(&out).expect("the program wrote it");
    assert_eq!(said["bytes"].as_u64(), Some(html.len() as u64));
    (html, said)
}

/// A copy of the smoke run that a test may break, as training has left it: other tests score the run itself at this time.
fn copy() -> (TempDir, PathBuf) {
    fn all(from: &Path, to: &Path) {
        fs::create_dir_all(to).expect("a writable temporary folder");
        for entry in fs::read_dir(from).expect("a run folder").flatten() {
            let (from, to) = (entry.path(), to.join(entry.file_name()));
            match from.is_dir() {
                true => all(&from, &to),
                false if from.ends_with("evaluation.json") => {}
                false => assert!(fs::copy(&from, &to).is_ok(), "{}", to.display()),
            }
        }
    }
    let place = folder();
    let run = place.path().join("run");
    all(&smoke().0, &run);
    (place, run)
}

/// Values of an attribute, as they stand.
fn attributes<'a>(html: &'a str, name: &str) -> Vec<&'a str> {
    html.split(&format!(" {name}=\"")).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

/// Nothing in the page may ask for anything or run anything.
fn assert_closed(html: &str) {
    let lower = html.to_lowercase();
    assert!(!lower.contains("<script") && !lower.contains("javascript:") && !lower.contains("@import"));
    assert!(!lower.contains(" onload=") && !lower.contains(" onerror=") && !lower.contains("<iframe"));
    for source in attributes(html, "src") {
        assert!(source.starts_with("data:image/"), "{}", &source[..source.len().min(80)]);
    }
    for link in attributes(html, "href") {
        assert!(link.starts_with('#') || link == "data:,", "{link}");
    }
    for address in lower.split("url(").skip(1) {
        assert!(address.trim_start_matches(['"', '\'']).starts_with("data:"), "{}", &address[..address.len().min(80)]);
    }
    assert!(html.contains("default-src 'none'"), "the page carries its policy");
}

#[test]
fn a_page_holds_the_run_and_asks_for_nothing() {
    let (_place, run) = copy();
    let (html, said) = report(&run, &["--iterations", "4"]);
    let sections = "samples curves chains interpolation reconstruction settings machine history again"
        .split(' ')
        .collect::<Vec<_>>();
    assert_eq!(said["sections"], serde_json::json!(sections));
    assert_eq!((&said["notes"], said["iterations"].as_u64()), (&serde_json::json!([]), Some(4)));
    assert_closed(&html);
    let ids = attributes(&html, "id");
    for section in sections {
        assert_eq!(ids.iter().filter(|id| **id == section).count(), 1, "{section}");
    }
    // six curves in line; every picture and chart has words for those who do not see it
    assert_eq!(html.matches("<svg").count(), 6);
    assert_eq!(html.matches("<img").count(), attributes(&html, "alt").iter().filter(|alt| !alt.is_empty()).count());
    for fact in ["30 of 30", "finished", "synthetic:blobs", "32×32 RGB, n 8, LeakyReLU 0.2", "K 10 from uniform noise"]
    {
        assert!(html.contains(fact), "{fact}");
    }

    // The strip is that of `srm sample --chain`, to the pixel: the same chains by the same keys.
    let place = folder();
    let (strip, out) = (place.path().join("chain.png"), place.path().join("x.png"));
    srm(&["sample", "--weights", text(&run), "--count", "8", "--out", text(&out), "--chain", text(&strip)]).done();
    let part = html.split("id=\"chains\"").nth(1).expect("a section");
    let source = attributes(part, "src")[0].strip_prefix("data:image/png;base64,").expect("a PNG");
    assert!(png_pixels(&STANDARD.decode(source).expect("base64")) == png_pixels(&fs::read(&strip).expect("written")));
}

#[test]
fn words_of_the_config_are_words_and_a_run_of_one_line_has_a_page() {
    let place = folder();
    let run = place.path().join("<i>run");
    let about = r#"about="a <b>bold</b> claim & <script>alert(1)</script>""#;
    let one = ["--set", "train.updates=1", "--set", about, "--run", text(&run)];
    srm(&[&SMALL[..], &one].concat()).done();
    let (html, said) = report(&run, &["--no-figures"]);
    assert_closed(&html);
    assert!(html.contains("a &lt;b&gt;bold&lt;/b&gt; claim &amp; &lt;script&gt;alert(1)&lt;/script&gt;"));
    assert!(html.contains("<h1>&lt;i&gt;run</h1>") && !html.contains("<b>") && !html.contains("<i>"));
    assert!(said["weights"].is_null() && !html.contains("id=\"chains\""));
    assert_eq!(fs::read_to_string(run.join("metrics.jsonl")).expect("a log").lines().count(), 1);
    assert_eq!(html.matches("<circle").count(), 6, "one point a chart");
}

#[test]
fn a_rollback_shows_in_facts_curves_history_and_as_evidence() {
    let place = folder();
    let run = place.path().join("run");
    // as in survive.rs: the rate jumps to 1e9 at update 42, and two rollbacks bring it to 1e-3
    let more = [
        "--set",
        "train.learning_rate=[[0,1e-4],[42,1e-4],[42,1e9],[9999,1e9]]",
        "--set",
        "watch.rate_factor=1e-6",
        "--set",
        "train.updates=50",
        "--run",
        text(&run),
    ];
    srm(&[&SMALL[..], &more].concat()).done();
    let (html, said) = report(&run, &["--no-figures"]);
    assert_closed(&html);
    assert!(said["sections"].as_array().is_some_and(|all| all.contains(&"divergence".into())), "{said}");
    let part =
        html.split("id=\"divergence\"").nth(1).and_then(|rest| rest.split("</section>").next()).expect("a section");
    assert_eq!(part.matches("<img").count(), 2, "the samples of both refused updates");
    assert!(part.contains("<td>40</td>") && part.contains("<td>35</td>"), "{part}");
    assert!(html.contains("<dt>Rollbacks</dt><dd>2</dd>"));
    // two upright lines in each of the six charts, in the palette's third colour, which nothing else has
    assert_eq!(html.matches("stroke=\"#009E73\"").count(), 12);
    assert_eq!(html.matches("<strong>rollback</strong>").count(), 2);
    assert_eq!(html.matches("\nsrm report ").count(), 1, "each command once");
    // The refused updates ran at rates of 1e9 and 1e3: the surviving ones alone shape the axis.
    assert!(!html.contains("1.0e9"), "what was taken back does not press the curves flat");
}

#[test]
fn scores_and_diagnoses_that_are_there_are_shown() {
    let (place, run) = copy();
    let real = place.path().join("real.npy");
    srm(&["sample", "--weights", text(&run), "--count", "40", "--seed", "2", "--out", text(&real)]).done();
    srm(&["evaluate", "--weights", text(&run), "--data", text(&real), "--count", "40", "--self-check"]).done();
    let line = |update: u64, score: &str| {
        format!(
            r#"{{"update":{update},"name":"frechet <x>","score":{score},"precision":0.5,"count":40,"averaged":false,"best":true,"seconds":0.1,"attempt":0}}"#
        )
    };
    let scores = [line(10, "3.5"), line(20, "1.25"), line(30, "null")].join("\n");
    fs::write(run.join("scores.jsonl"), scores).expect("writable");
    let diagnostics = run.join("diagnostics");
    fs::create_dir(&diagnostics).expect("writable");
    let evil = r#"<svg xmlns="http://www.w3.org/2000/svg" id="a"><script>alert(1)</script></svg>"#;
    fs::write(diagnostics.join("gap_over_time.svg"), evil).expect("writable");
    fs::write(diagnostics.join("chains.json"), r#"{"mixing":{"between":0.75},"f":[1,2,3,4,5,6,7,8]}"#)
        .expect("writable");
    let (html, said) = report(&run, &["--no-figures"]);
    assert_closed(&html);
    assert_eq!(said["notes"], serde_json::json!([]));
    for part in ["update 15", "update 30", "real against real (halves)", "Fréchet (random-conv)", "is biased upwards"]
    {
        assert!(html.contains(part), "{part}");
    }
    assert!(
        html.contains("frechet &lt;x&gt;")
            && html.contains("Best, in green: 1.2500 at update 20")
            && html.contains("blew up")
    );
    // the chart is a picture of its own: neither its script nor its id reaches the page
    assert!(html.contains("gap over time") && !attributes(&html, "id").contains(&"a"));
    assert!(html.contains("mixing.between") && html.contains("0.7500") && html.contains("8 values"));
}

#[test]
fn broken_and_missing_files_are_named_and_the_page_is_there() {
    let (_place, run) = copy();
    let log = run.join("metrics.jsonl");
    let lines = fs::read_to_string(&log).expect("a log");
    fs::write(&log, &lines[..lines.len() - 20]).expect("writable");
    let weights = run.join("checkpoints/000030/weights.safetensors");
    let mut bytes = fs::read(&weights).expect("a checkpoint");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&weights, bytes).expect("writable");
    fs::write(run.join("evaluation.json"), "{").expect("writable");
    fs::write(run.join("samples/x_000030.png"), "no picture").expect("writable");
    fs::remove_file(run.join("history.jsonl")).expect("there");
    let (html, said) = report(&run, &["--iterations", "1"]);
    assert_closed(&html);
    let notes = said["notes"].to_string();
    for part in [
        "1 line of metrics.jsonl",
        "checkpoint of update 30 is damaged",
        "evaluation.json cannot be read",
        "history.jsonl is missing",
    ] {
        assert!(notes.contains(part) && html.contains(part), "{part}: {notes}");
    }
    assert!(html.contains("x_000030.png is no whole PNG") && html.contains("no end noted"));
    assert!(said["weights"].as_str().is_some_and(|file| file.contains("000015")), "{said}");

    // nothing but a name is left
    fs::remove_dir_all(run.join("checkpoints")).expect("there");
    fs::remove_dir_all(run.join("samples")).expect("there");
    fs::write(run.join("config.json"), "{ \"data\": <b>").expect("writable");
    fs::write(&log, "").expect("writable");
    let (html, said) = report(&run, &[]);
    assert_closed(&html);
    for part in ["config.json cannot be understood", "no checkpoint that can be used"] {
        assert!(said["notes"].to_string().contains(part), "{part}: {said}");
    }
    assert!(html.contains("metrics.jsonl holds no line yet") && html.contains("There is no sample grid yet"));
}

#[test]
fn data_that_has_gone_leaves_out_the_reconstruction_alone() {
    let (_place, run) = copy();
    let config = run.join("config.json");
    let settings = fs::read_to_string(&config).expect("settings").replace("synthetic:blobs", "data/gone_celeba_64.npy");
    fs::write(&config, settings).expect("writable");
    let (html, _) = report(&run, &["--iterations", "1"]);
    let part = html.split("id=\"reconstruction\"").nth(1).expect("a section");
    assert!(part.contains("data/gone_celeba_64.npy do not exist"), "{}", &part[..part.len().min(400)]);
    assert!(html.split("id=\"interpolation\"").nth(1).expect("a section").contains("Neighbours differ by"));
}

#[test]
fn bad_input_says_what_is_wrong_and_what_helps() {
    let (run, _) = smoke();
    let place = folder();
    let file = |name: &str| place.path().join(name);
    srm(&["report", text(&file("none"))]).failed_with(1, &["none does not exist", "srm train"]);
    srm(&["report", text(place.path())]).failed_with(1, &["is no run folder", "config.json", "runs/demo"]);
    srm(&["report", text(&run.join("config.json"))]).failed_with(1, &["config.json is a file"]);
    srm(&["report", text(run), "--out", text(&file("x.pdf"))]).failed_with(2, &["x.pdf", "X.html"]);
    srm(&["report", text(run), "--out", "/proc/none/x.html"]).failed_with(1, &["cannot write", "/proc/none/x.html"]);
    let page = file("x.html");
    let arguments = ["report", text(run), "--out", text(&page)];
    let with = |more: &[&str]| srm(&[&arguments[..], more].concat());
    with(&["--images", "none.npy"]).failed_with(1, &["--images none.npy", "no such file"]);
    with(&["--device", "cuda"]).failed_with(1, &["--device cuda"]);
    let both = srm(&["report", text(run), "--no-figures", "--iterations", "5"]);
    assert_eq!(both.code, 2, "{}", both.stderr);
    assert!(!page.exists(), "a refused report writes nothing");
}
