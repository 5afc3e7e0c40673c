//! TensorBoard itself reads the event files, after a kill and a rollback too.

use std::{fs, path::PathBuf, process::Command};

use serde_json::Value;

use crate::{
    common::{folder, root, srm, text},
    survive::SMALL,
};

/// TensorBoard from PyPI, installed once below the target folder for this test only.
fn tensorboard() -> PathBuf {
    let place = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("tensorboard-2.20.0");
    if !place.join("done").exists() {
        let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"];
        let packages = ["tensorboard==2.20.0", "setuptools<81"];
        let status = Command::new("python3").args(install).arg(&place).args(packages).status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "pip could not install tensorboard into {}",
            place.display()
        );
        fs::write(place.join("done"), "").expect("a writable target folder");
    }
    place
}

#[test]
fn tensorboard_reads_scalars_grids_and_histograms_as_they_were_logged() {
    let place = folder();
    let run = place.path().join("run");
    let more = [
        "--set",
        "train.updates=60",
        "--set",
        "train.learning_rate=[[0,1e-4],[42,1e-4],[42,1e9],[9999,1e9]]",
        "--set",
        "watch.rate_factor=1e-6",
        "--run",
        text(&run),
    ];
    srm(&[&SMALL[..], &more].concat()).done();
    // killed on the way, wherever it is, and resumed
    let mut child = crate::common::command(&["train", "--run", text(&run), "--resume", "--set", "train.updates=70000"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("the binary was built for this test");
    let lines = || fs::read_to_string(run.join("metrics.jsonl")).unwrap_or_default().lines().count();
    let before = lines();
    while lines() < before + 7 {
        assert!(child.try_wait().expect("ours").is_none(), "it ended by itself");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    child.kill().expect("ours");
    child.wait().expect("ours");
    srm(&["train", "--run", text(&run), "--resume", "--set", "train.updates=70"]).done();

    let script = root().join("scripts/read_events.py");
    let output = Command::new("python3").arg(script).arg(&run).env("PYTHONPATH", tensorboard()).output();
    let output = output.expect("python3 is there: the set-up needs it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read: Value = serde_json::from_slice(&output.stdout).expect("one object");

    // of an update that was made again after a rollback the last line holds, as it does for TensorBoard
    let text = fs::read_to_string(run.join("metrics.jsonl")).expect("a run folder");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.iter().filter(|line| line["event"] == "rollback").count(), 2);
    for key in
        ["f_data", "f_sample", "gap", "chain_grad_norm", "theta_grad_norm", "sample_std", "lr", "data_noise", "seconds"]
    {
        let mut expected = vec![f32::NAN; 71];
        for line in lines.iter().filter(|line| line["event"].is_null()) {
            let update = line["update"].as_u64().expect("a number") as usize;
            expected[update] = line[key].as_f64().expect("a number") as f32;
        }
        let found = read["scalars"][format!("train/{key}")].as_array().unwrap_or_else(|| panic!("{key} in {read}"));
        let found: Vec<(u64, f32)> = found
            .iter()
            .map(|pair| (pair[0].as_u64().expect("a step"), pair[1].as_f64().expect("a value") as f32))
            .collect();
        let expected: Vec<(u64, f32)> = (1..=70).map(|update| (update, expected[update as usize])).collect();
        assert_eq!(found, expected, "{key}");
    }
    // 8 x 8 images of 32 px with 2 px around each
    assert_eq!(read["images"]["samples"], serde_json::json!([[50, 274, 274], [60, 274, 274], [70, 274, 274]]));
    for tag in ["f_data", "f_sample", "chain_grad_norm"] {
        let histograms = read["histograms"][format!("images/{tag}")].as_array().expect("histograms");
        assert_eq!(histograms.len(), 70, "{tag}");
        assert!(histograms.iter().all(|one| one[1] == 8.0), "{tag}: eight images per batch");
    }
}
