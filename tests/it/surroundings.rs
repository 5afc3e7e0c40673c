//! What lies around the program: names that are not UTF-8, other working folders, logs instead of terminals, closed streams, editors.

use std::{
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::common::{command, folder, root, run, smoke, srm, text, write_npy};

#[test]
fn every_command_works_in_a_folder_whose_name_is_not_utf_8() {
    let place = folder();
    let odd = place.path().join(OsStr::from_bytes(b"b\xff"));
    let file = |name: &str| odd.join(name).into_os_string();
    let run_folder = file("run");
    let words = |text: &str| text.split(' ').map(|word| OsStr::new(word).to_owned()).collect::<Vec<_>>();
    // `@NAME` stands for a file in the folder
    let ends_well = |line: &str| {
        let words = words(line).into_iter().map(|word| match word.to_str().and_then(|word| word.strip_prefix('@')) {
            Some(name) => file(name),
            None => word,
        });
        let said = run(command(&[]).args(words).arg("--json")).done().json();
        assert!(said.to_string().contains("/b\u{fffd}"), "{line}: {said}");
    };
    ends_well("train --config configs/smoke.json --run @run --set train.updates=16");
    assert!(Path::new(&run_folder).join("checkpoints/000016/weights.safetensors").exists());
    ends_well("train --run @run --resume --set train.updates=17");
    ends_well("train --run @run --resume --dry-run");
    ends_well("sample --weights @run --count 24 --out @x.npy");
    ends_well("sample --weights @run --count 4 --out @x.png --chain @c.png --animate @a.png --nearest @x.npy");
    ends_well("sample --weights @run --count 2 --out @pictures");
    ends_well("interpolate --weights @run --pairs 1 --points 3 --out @i.png --npy @i.npy --animate @w.png");
    fs::copy(Path::new(&file("pictures")).join("000000.png"), file("mask.png")).expect("a picture of the samples");
    ends_well(
        "reconstruct --weights @run --images @pictures --iterations 2 --out @r.png --npy @r.npy --animate @m.png --mask @mask.png",
    );
    ends_well(
        "evaluate --weights @run --newest --data @x.npy --count 8 --out @e.json --save-stats @s.npz --nearest @n.png",
    );
    ends_well("evaluate --samples @x.npy --data @s.npz");
    ends_well("diagnose moments --weights @run --data @x.npy --count 20 --out @moments");
    ends_well(
        "diagnose chains --weights @run --data @x.npy --out @chains --chains 8 --mixing-starts 0 --long-steps 12 --long-chains 2",
    );
    ends_well("report @run --iterations 2");
    assert!(Path::new(&run_folder).join("report.html").exists());
}

#[test]
fn logs_and_help_have_colours_as_the_environment_says() {
    let coloured = |set: &[(&str, &str)], arguments: &[&str]| {
        let mut command = command(arguments);
        for name in ["NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
            command.env_remove(name);
        }
        let said = run(command.envs(set.iter().copied()));
        (said.stdout + &said.stderr).contains('\u{1b}')
    };
    // a log line comes with the second: it names the config that is taken
    for arguments in [&["train", "--help"][..], &["train", "--dry-run"], &["train", "--nonsense"]] {
        assert!(!coloured(&[], arguments), "{arguments:?}: a pipe");
        assert!(coloured(&[("FORCE_COLOR", "1")], arguments), "{arguments:?}");
        assert!(coloured(&[("CLICOLOR_FORCE", "1"), ("TERM", "dumb")], arguments), "{arguments:?}");
        assert!(!coloured(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], arguments), "{arguments:?}");
    }
}

#[test]
fn a_long_command_without_a_terminal_says_how_far_it_is() {
    let (weights, _) = smoke();
    let place = folder();
    let out = place.path().join("x.npy");
    let arguments = [
        "sample",
        "--weights",
        text(weights),
        "--count",
        "600",
        "--steps",
        "40",
        "--block",
        "8",
        "--out",
        text(&out),
        "--json",
    ];
    let said = run(command(&arguments).env("SRM_PROGRESS_SECONDS", "0.1").env("FORCE_COLOR", "1")).done();
    said.json();
    let line =
        said.stderr.lines().find(|line| line.starts_with("steps: ")).unwrap_or_else(|| panic!("{}", said.stderr));
    assert!(line.contains(" of 3000 (") && !line.contains('\u{1b}'), "{line}");
    // ten seconds apart where nobody asks for more
    let said = srm(&["sample", "--weights", text(weights), "--count", "8", "--out", text(&out)]).done();
    assert!(!said.stderr.contains("steps: "), "{}", said.stderr);
}

/// A repository elsewhere with a config, images beside it and a folder to work in: config, images, folder.
fn elsewhere(place: &Path) -> (PathBuf, PathBuf, PathBuf) {
    let (repository, work) = (place.join("repository"), place.join("work"));
    for folder in [&repository.join("configs"), &repository.join("data"), &repository.join(".git"), &work] {
        fs::create_dir_all(folder).expect("a writable temporary folder");
    }
    let (config, images) = (repository.join("configs/mine.json"), repository.join("data/x.npy"));
    let smoke = fs::read_to_string(root().join("configs/smoke.json")).expect("a config");
    let mut tree: Value = serde_json::from_str(&smoke).expect("JSON");
    tree["data"] = serde_json::json!({ "images": "data/x.npy" });
    tree["train"]["updates"] = 2.into();
    fs::write(&config, tree.to_string()).expect("a writable temporary folder");
    write_npy(&images, "|u1", "(16, 32, 32, 3)", 16 * 32 * 32 * 3);
    (config, images, work)
}

#[test]
fn a_config_elsewhere_finds_its_images_from_any_folder_and_so_does_its_run() {
    let place = folder();
    let (config, images, work) = elsewhere(place.path());
    let train = |arguments: &[&str], here: &Path| {
        run(command(&[&["train", "--run", text(&place.path().join("run"))], arguments].concat()).current_dir(here))
    };
    let said =
        train(&["--config", text(&config), "--set", "evaluate.every=2", "--set", "evaluate.images=data/x.npy"], &work);
    let said = said.done();
    assert!(said.stderr.contains("data/x.npy is not in the working folder, taking"), "{}", said.stderr);
    let kept = srm_config::Config::load(place.path().join("run/config.json"), &[]).expect("a config");
    assert_eq!((kept.data.images, kept.evaluate.images), (images.clone(), Some(images.clone())));
    train(&["--resume", "--set", "train.updates=3"], Path::new("/")).done();
    // in the folder that leads there the path stays as it was typed
    let run_folder = config.parent().and_then(Path::parent).expect("a repository").join("runs/a");
    let arguments = ["train", "--config", "configs/mine.json", "--run", text(&run_folder)];
    run(command(&arguments).current_dir(images.parent().and_then(Path::parent).expect("a repository"))).done();
    let kept = srm_config::Config::load(run_folder.join("config.json"), &[]).expect("a config");
    assert_eq!(kept.data.images, Path::new("data/x.npy"));
    run(command(&["train", "--run", text(&run_folder), "--resume", "--set", "train.updates=3"]).current_dir("/"))
        .done();
    // nowhere: all places are named
    fs::remove_file(&images).expect("a file");
    let said = run(command(&["train", "--config", text(&config), "--run", "none"]).current_dir(&work));
    let here = work.join("data/x.npy");
    said.failed_with(1, &["data/x.npy do not exist (looked for", text(&here), text(&images), "cargo xtask preprocess"]);
}

#[test]
fn the_default_config_is_found_from_a_folder_inside_the_repository() {
    let said = run(command(&["train", "--dry-run"]).current_dir(root().join("crates/srm-cli/src"))).done();
    assert!(said.stderr.contains("configs/grids32-cpu.json"), "{}", said.stderr);
}

#[test]
fn configs_as_editors_save_them_are_taken_and_others_are_called_what_they_are() {
    let place = folder();
    let file = place.path().join("x.json");
    let dry_run = |bytes: &[u8]| {
        fs::write(&file, bytes).expect("a writable temporary folder");
        srm(&["train", "--config", text(&file), "--dry-run"])
    };
    let smoke = fs::read(root().join("configs/smoke.json")).expect("a config");
    let plain = dry_run(&smoke).done().stdout;
    let utf16 = String::from_utf8_lossy(&smoke).replace('\n', "\r\n");
    let utf16: Vec<u8> = [0xfeff].into_iter().chain(utf16.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    for bytes in [[b"\xef\xbb\xbf", &smoke[..]].concat(), utf16] {
        assert_eq!(dry_run(&bytes).done().stdout, plain);
    }
    dry_run(b"{\n  \"data\": { \"images\": 'x.npy' }\n}")
        .failed_with(2, &["x.json", "line 2, column 23", "single quote"]);
    dry_run(b"data:\n  images: x.npy\n").failed_with(2, &["x.json", "this is YAML", "json.dump"]);
    dry_run(b"").failed_with(2, &["x.json is empty"]);
    dry_run(b"\x93NUMPY\x01\0").failed_with(2, &["x.json is no text (a binary file)"]);
    srm(&["train", "--config", "configs"]).failed_with(2, &["configs is a folder", "such as configs/"]);
    let set = ["train", "--config", "configs/smoke.json", "--set", "data.flip=True", "--set", "train.learning_rate=.5"];
    srm(&set).failed_with(2, &["2 problems", "write true", "write 0.5"]);
}

#[test]
fn a_reader_that_goes_away_and_closed_streams_stop_no_run() {
    let place = folder();
    let train = |name: &str, streams: &str| {
        let run = place.path().join(name);
        let script = format!("({{ \"$@\" {streams}; echo $? >\"$0.code\"; }}) | head -n 1");
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]).arg(&run).arg(env!("CARGO_BIN_EXE_srm"));
        shell.args(["train", "--config", "configs/smoke.json", "--set", "log.every=1", "--run"]).arg(&run);
        // no HOME, no language, a log level that nobody understands
        let shell = shell.current_dir(root()).env_remove("HOME").env("LANG", "C").env("RUST_LOG", "=,=");
        assert!(shell.stdin(Stdio::null()).status().expect("a shell").success());
        let code = fs::read_to_string(place.path().join(format!("{name}.code"))).expect("written at the end");
        assert_eq!(code, "0\n", "{streams}");
        assert!(run.join("checkpoints/000030/weights.safetensors").exists(), "{streams}");
    };
    train("gone", "2>&1");
    train("closed", "<&- >&- 2>&-");
}

#[test]
fn nonsense_around_a_command_is_said_and_does_no_harm() {
    let (weights, _) = smoke();
    let place = folder();
    let out = place.path().join("x.npy");
    let sample = ["sample", "--weights", text(weights), "--count", "4", "--out", text(&out)];
    let said = run(command(&sample).env("RUST_LOG", "srm=loud")).done();
    assert!(said.stderr.contains("RUST_LOG=srm=loud is not understood"), "{}", said.stderr);
    let said = srm(&[&sample[..], &["--threads", "65535"]].concat()).done();
    assert!(said.stderr.contains("--threads 65535: taking "), "{}", said.stderr);
    // a working folder where nothing can be written
    run(command(&sample).current_dir("/sys")).done();
}
