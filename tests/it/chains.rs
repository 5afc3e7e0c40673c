//! Diagnosing chains from outside: numbers, charts and pictures, long runs that are killed and go on, bad input.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use serde_json::Value;

use crate::common::{command, folder, png_size, smoke, srm, text, write_npy};

/// `srm diagnose chains` of the smoke run with few chains.
fn arguments<'a>(out: &'a Path, extra: &[&'a str]) -> Vec<&'a str> {
    let (run, _) = smoke();
    let few = ["--chains", "10", "--mixing-starts", "3", "--mixing-noises", "4", "--long-chains", "3"];
    [&["diagnose", "chains", "--weights", text(run), "--out", text(out)], &few[..], extra].concat()
}

#[test]
fn everything_is_in_the_folder_and_the_numbers_are_sane() {
    let place = folder();
    let (out, data) = (place.path().join("chains"), place.path().join("data.npy"));
    write_npy(&data, "|u1", "(20, 32, 32, 3)", 20 * 32 * 32 * 3); // all bytes 7
    let extra = ["--data", text(&data), "--long-steps", "150", "--beyond", "15", "--json"];
    let said = srm(&arguments(&out, &extra)).done().json();
    let kept: Value =
        serde_json::from_str(&fs::read_to_string(out.join("chains.json")).expect("written")).expect("JSON");
    assert_eq!(kept, said);
    for file in said["files"].as_array().expect("names").iter().filter_map(Value::as_str) {
        let bytes = fs::read(out.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert!(!file.ends_with(".svg") || bytes.starts_with(b"<svg"), "{file}");
    }
    assert_eq!(png_size(&out.join("mixing.png")), (4 * 34 + 2, 3 * 34 + 2));
    let steps = said["long"]["picture_steps"].as_array().expect("steps").len() as u32;
    assert_eq!(png_size(&out.join("long.png")), (steps * 34 + 2, 3 * 34 + 2));

    let short = said["short"]["statistics"].as_array().expect("a row per step");
    assert_eq!(short.len(), 16);
    // uniform on [-1, 1]: std √(1/3) = 0.577, four standard errors of 30,720 pixels are 0.006
    let std = short[0]["std"].as_f64().expect("a number");
    assert!((std - 0.577).abs() < 0.006, "{std}");
    assert_eq!((short[0]["distance"].as_f64(), short[0]["chains"].as_u64()), (Some(0.0), Some(10)));
    assert!(short.windows(2).all(|pair| pair[0]["distance"].as_f64() < pair[1]["distance"].as_f64()));
    assert_eq!(
        (said["data"]["count"].as_u64(), said["data"]["std"].as_f64().map(|std| std < 1e-3)),
        (Some(20), Some(true))
    );
    // the long chains begin as the short ones do: chains 0 to 2 of both are the same images at step 0
    let largest = said["long"]["largest"].as_f64().expect("a number");
    assert!(largest >= 0.99, "{largest}");
    let curve = said["mixing"]["curve"].as_array().expect("points");
    assert_eq!((curve[0]["intraclass"].as_f64(), curve[0]["within"].as_f64()), (Some(1.0), Some(0.0)));
    let at_k = said["mixing"]["at_k"]["intraclass"].as_f64().expect("a number");
    assert!((0.5..1.0).contains(&at_k), "ten steps of noise 0.01 cannot hide a start of std 0.577: {at_k}");
    let accepted = said["metropolis"]["acceptance"].as_f64().expect("a share");
    assert!((0.0..=1.0).contains(&accepted), "{accepted}");
    // seven logged updates are too few for correlations: said, not guessed
    assert!(said["training"].is_null());
    let reason = said["left_out"][0].as_str().expect("a reason");
    assert!(reason.contains("equally spaced") && reason.contains("log.every"), "{reason}");
}

#[test]
fn gap_and_gradient_of_a_longer_log_are_correlated() {
    let place = folder();
    let (run, out) = (place.path().join("run"), place.path().join("chains"));
    let set = ["--set", "log.every=1", "--set", "log.tensorboard=false"];
    srm(&[&["train", "--config", "configs/smoke.json", "--run", text(&run)], &set[..]].concat()).done();
    let few = ["--chains", "2", "--mixing-starts", "0", "--metropolis-steps", "0"];
    let arguments = [&["diagnose", "chains", "--weights", text(&run), "--out", text(&out)], &few[..]].concat();
    let said = srm(&[&arguments[..], &["--json"]].concat()).done().json();
    let training = &said["training"];
    assert_eq!((training["correlated"].as_u64(), training["spacing"].as_u64()), (Some(30), Some(1)));
    assert_eq!(training["autocorrelation"]["gap"][0].as_f64(), Some(1.0));
    assert_eq!(training["cross_correlation"]["lags"].as_array().map(Vec::len), Some(15)); // −7 to 7, a quarter of 30
    assert!(said["mixing"].is_null() && said["metropolis"].is_null() && said["long"].is_null());
    let late = srm(&[&arguments[..], &["--after", "20"]].concat()).done();
    assert!(late.stderr.contains("11 equally spaced") && late.stdout.contains("short run"), "{}", late.stderr);
}

/// Wait for a save, then send the signal.
fn interrupted(arguments: &[&str], file: &Path, signal: &str) -> i32 {
    let before = fs::read(file).ok();
    let mut child = command(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary was built for this test");
    for _ in 0..3000 {
        if fs::read(file).ok() != before || child.try_wait().expect("a child").is_some() {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().expect("kill runs");
    assert!(sent.success(), "the run was over before the signal");
    child.wait().expect("it ends").code().unwrap_or(-1)
}

#[test]
fn long_chains_that_are_killed_or_stopped_go_on_to_the_same_bits() {
    let place = folder();
    let (broken, whole) = (place.path().join("broken"), place.path().join("whole"));
    let long = ["--long-steps", "1500", "--metropolis-steps", "0", "--save-every", "0"];
    let begin = arguments(&broken, &long);
    let file = broken.join("long.safetensors");
    assert_eq!(interrupted(&begin, &file, "-KILL"), -1);
    let after_kill = fs::read(&file).expect("whole");
    assert_eq!(interrupted(&begin, &file, "-INT"), 130);
    let refused = srm(&[&begin[..], &["--seed", "2"]].concat());
    refused.failed_with(1, &["long.safetensors", "seed = 1, now it is 2", "delete the file"]);
    let done = srm(&begin).done();
    assert!(done.stderr.contains("go on from step") && done.stdout.contains("1500 steps"), "{}", done.stderr);
    srm(&arguments(&whole, &["--long-steps", "1500", "--metropolis-steps", "0", "--threads", "1"])).done();
    let bits = |folder: &Path, name: &str| fs::read(folder.join(name)).expect("written");
    assert!(bits(&broken, "long.safetensors") == bits(&whole, "long.safetensors"), "the chains differ");
    assert!(bits(&broken, "long.png") == bits(&whole, "long.png"), "the pictures differ");
    assert!(bits(&broken, "long_f.svg") == bits(&whole, "long_f.svg"), "the charts differ");
    assert_ne!(after_kill, bits(&whole, "long.safetensors"));
    srm(&arguments(&whole, &["--long-steps", "500"])).failed_with(1, &["gone 1500 steps already", "at least 1500"]);
    fs::write(&file, "PK").expect("written");
    srm(&begin).failed_with(1, &["long.safetensors", "delete it to begin anew"]);
}

#[test]
fn bad_input_says_what_is_wrong_and_what_helps() {
    let (run, _) = smoke();
    let place = folder();
    let out = place.path().join("chains");
    let fails = |code, extra: &[&str], parts: &[&str]| srm(&arguments(&out, extra)).failed_with(code, parts);
    fails(2, &["--beyond", "5"], &["--beyond 5", "K = 10"]);
    fails(2, &["--long-steps", "many"], &["--long-steps"]);
    fails(2, &["--metropolis-scale", "0"], &["must be a number > 0"]);
    fails(1, &["--data", "data/celeba/none_celeba_64.npy"], &["do not exist", "cargo xtask"]);
    let data = place.path().join("small.npy");
    write_npy(&data, "|u1", "(3, 16, 16, 3)", 3 * 16 * 16 * 3);
    fails(1, &["--data", text(&data)], &["small.npy", "16×16×3", "32×32×3"]);
    let one = ["--mixing-starts", "1"];
    let arguments = ["diagnose", "chains", "--weights", text(run), "--out", text(&out)];
    srm(&[&arguments[..], &one].concat()).failed_with(2, &["--mixing-starts 1", "2 or more"]);
    srm(&["diagnose", "chains", "--weights", text(run), "--out", text(&data)]).failed_with(2, &["it is a file"]);
    srm(&["diagnose", "chains", "--weights", "none", "--out", text(&out)]).failed_with(1, &["none", "do not exist"]);
    srm(&["diagnose", "chains", "--weights", text(run)]).failed_with(2, &["--out"]);
}

#[test]
fn chains_that_blow_up_before_k_are_an_exit_code_and_those_after_are_data() {
    let place = folder();
    let write = |name: &str, noise: &str| {
        let config = srm_config::Config::load(
            crate::common::root().join("configs/smoke.json"),
            &[format!("langevin.noise_std={noise}")],
        );
        let path = place.path().join(name);
        fs::write(&path, config.expect("sound").to_json()).expect("a writable temporary folder");
        path
    };
    let (wild, out) = (write("wild.json", "3e38"), place.path().join("chains"));
    let lost = srm(&arguments(&out, &["--config", text(&wild), "--metropolis-steps", "0"]));
    lost.failed_with(3, &["every short chain blew up", "of 10", "chains.json"]);
    let kept: Value =
        serde_json::from_str(&fs::read_to_string(out.join("chains.json")).expect("written")).expect("JSON");
    assert_eq!(kept["short"]["blown_up"].as_array().map(Vec::len), Some(10));
}
