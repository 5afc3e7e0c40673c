//! Several processes under mpirun: the same result for any number of them, and nothing lost where one dies. Built with the
//! feature `mpi`, which `cargo xtask test` adds where mpirun is installed.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::common::{command, folder, root, smoke, srm, text};
use crate::survive::{SMALL, metrics};

/// `mpirun -n RANKS srm ARGUMENTS`, a thread each, more ranks than cores allowed; whoever runs the tests may be root.
fn mpirun(ranks: usize, arguments: &[&str]) -> Command {
    let mut command = Command::new("mpirun");
    command
        .args(["--oversubscribe", "--bind-to", "none", "-n", &ranks.to_string(), env!("CARGO_BIN_EXE_srm")])
        .args(arguments)
        .args(["--threads", "1"])
        .current_dir(root())
        .env("OMPI_ALLOW_RUN_AS_ROOT", "1")
        .env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")
        // a container may forbid one process to read another's memory: then through shared memory alone
        .env("OMPI_MCA_btl_vader_single_copy_mechanism", "none")
        .env("XDG_CACHE_HOME", "/nonexistent-cache");
    command
}

fn run(mut command: Command) -> Output {
    command.output().expect("mpirun is installed where the feature mpi is on")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// All tensor files of a checkpoint.
fn tensors(checkpoint: &Path) -> Vec<Vec<u8>> {
    ["weights.safetensors", "optimizer.safetensors"]
        .map(|name| fs::read(checkpoint.join(name)).unwrap_or_else(|error| panic!("{}: {error}", checkpoint.display())))
        .into()
}

/// Train with 1, 2 and 4 ranks: one run folder each, the same in every number and bit but those of the clock.
fn same_for_any_number_of_ranks(arguments: &[&str], updates: u64) {
    let place = folder();
    let runs = [1, 2, 4].map(|ranks| {
        let path = place.path().join(format!("{ranks}"));
        let arguments = [arguments, &["--run", text(&path), "--json"]].concat();
        let output = match ranks {
            1 => command(&arguments).output().expect("the binary was built for this test"),
            _ => run(mpirun(ranks, &arguments)),
        };
        assert!(output.status.success(), "{ranks} ranks: {}", said(&output));
        // one voice: rank 0's
        let lines = String::from_utf8_lossy(&output.stdout).lines().count();
        assert_eq!(lines, 1, "{ranks} ranks: {}", String::from_utf8_lossy(&output.stdout));
        path
    });
    let last = |run: &Path| tensors(&run.join(format!("checkpoints/{updates:06}")));
    for run in &runs[1..] {
        assert!(last(&runs[0]) == last(run), "{}: other bits", run.display());
        assert_eq!(metrics(&runs[0]), metrics(run));
        assert_eq!(fs::read_dir(run.join("samples")).expect("grids").count(), 1);
    }
}

#[test]
fn two_and_four_ranks_give_the_bits_of_one_on_smoke() {
    let settings = ["train", "--config", "configs/smoke.json", "--set", "train.batch=24", "--set", "log.every=1"];
    same_for_any_number_of_ranks(&settings, 30);
}

#[test]
fn two_and_four_ranks_give_the_bits_of_one_on_garments() {
    if !root().join("data/fashion-mnist/fashion_mnist_32_train.npy").exists() {
        assert!(std::env::var_os("SRM_NEEDS_FASHION").is_none(), "`cargo xtask fetch-fashion-mnist` has not run");
        return;
    }
    let settings = ["train", "--config", "configs/fashion32-plain.json", "--set", "train.updates=50"];
    let smaller = ["--set", "energy.features=4", "--set", "langevin.steps=10", "--set", "langevin.block=4"];
    same_for_any_number_of_ranks(&[&settings[..], &smaller].concat(), 50);
}

#[test]
fn a_rank_that_is_killed_ends_the_job_and_the_run_goes_on_to_the_same_bits() {
    let place = folder();
    let (whole, broken) = (place.path().join("whole"), place.path().join("broken"));
    let settings = [&SMALL[..], &["--set", "train.updates=200"]].concat();
    let output = run(mpirun(2, &[&settings[..], &["--run", text(&whole)]].concat()));
    assert!(output.status.success(), "{}", said(&output));
    let arguments = [&settings[..], &["--run", text(&broken), "--resume"]].concat();
    // rank 0, which writes the checkpoints, and rank 1
    for (rank, updates) in [("1", 30), ("0", 100)] {
        let mut job = mpirun(2, &arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("mpirun");
        let begun = Instant::now();
        let lines = || fs::read_to_string(broken.join("metrics.jsonl")).map_or(0, |text| text.lines().count());
        while lines() < updates {
            assert!(begun.elapsed() < Duration::from_secs(120), "no progress");
            assert!(job.try_wait().expect("a child").is_none(), "it ended before the kill");
            std::thread::sleep(Duration::from_millis(1));
        }
        kill(rank, text(&broken));
        let output = job.wait_with_output().expect("the launcher ends");
        assert!(!output.status.success());
        assert!(said(&output).contains("signal 9"), "{}", said(&output));
    }
    // and on with another number of ranks
    let output = run(mpirun(3, &arguments));
    assert!(output.status.success(), "{}", said(&output));
    assert!(
        said(&output).contains("processes before: 2, now: 3; the run goes on with the same bits"),
        "{}",
        said(&output)
    );
    assert!(!said(&output).contains("will not be bit for bit"), "{}", said(&output));
    assert!(tensors(&whole.join("checkpoints/000200")) == tensors(&broken.join("checkpoints/000200")));
    assert_eq!(metrics(&whole), metrics(&broken));
}

#[test]
fn a_signal_to_the_launcher_saves_once_however_long_an_update_takes() {
    let place = folder();
    let run_folder = place.path().join("run");
    let slow = ["--set", "energy.features=16", "--set", "langevin.steps=150", "--set", "train.batch=16"];
    let arguments = ["train", "--config", "configs/smoke.json", "--set", "log.every=1", "--run", text(&run_folder)];
    let mut job = mpirun(2, &[&arguments[..], &slow].concat());
    let job = job.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("mpirun");
    let begun = Instant::now();
    while fs::read_to_string(run_folder.join("metrics.jsonl")).map_or(0, |text| text.lines().count()) < 2 {
        assert!(begun.elapsed() < Duration::from_secs(120), "no progress");
        std::thread::sleep(Duration::from_millis(20));
    }
    // mpirun passes it on; after SIGINT it would kill the ranks a second later
    assert!(Command::new("kill").args(["-USR1", &job.id().to_string()]).status().expect("kill").success());
    let output = job.wait_with_output().expect("the launcher ends");
    assert!(!output.status.success());
    assert_eq!(said(&output).matches("is saved, --resume goes on from there").count(), 1, "{}", said(&output));
    let history = fs::read_to_string(run_folder.join("history.jsonl")).expect("a run folder");
    assert_eq!(history.matches("interrupted").count(), 1, "{history}");
    let done = metrics(&run_folder).last().expect("updates")["update"].as_u64().expect("a number");
    assert!(run_folder.join(format!("checkpoints/{done:06}/state.json")).exists(), "no checkpoint of update {done}");
}

/// SIGKILL for the rank of the job that works on `run`.
fn kill(rank: &str, run: &str) {
    let mut found = 0;
    for entry in fs::read_dir("/proc").expect("Linux").flatten() {
        let read = |name: &str| fs::read(entry.path().join(name)).unwrap_or_default();
        let has = |bytes: &[u8], word: &str| bytes.split(|&byte| byte == 0).any(|one| one == word.as_bytes());
        let wanted = format!("OMPI_COMM_WORLD_RANK={rank}");
        if has(&read("cmdline"), run) && has(&read("environ"), &wanted) {
            let process = entry.file_name().to_string_lossy().into_owned();
            assert!(Command::new("kill").args(["-9", &process]).status().expect("kill").success());
            found += 1;
        }
    }
    assert_eq!(found, 1, "processes of rank {rank}");
}

#[test]
fn what_one_rank_meets_ends_all_with_its_name_and_cause() {
    let place = folder();
    let (file, fresh) = (place.path().join("file"), place.path().join("fresh"));
    fs::write(&file, "in the way").expect("a writable temporary folder");
    let settings = ["train", "--config", "configs/smoke.json"];
    let output = run(mpirun(2, &[&settings[..], &["--run", text(&file)]].concat()));
    assert!(!output.status.success());
    assert!(said(&output).contains("rank 0 of 2: ") && said(&output).contains("is a file"), "{}", said(&output));
    // a config that is wrong, and a dry run: everybody ends, nothing is written
    let wrong = [&settings[..], &["--run", text(&fresh), "--set", "train.batch=0"]].concat();
    let output = run(mpirun(2, &wrong));
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("train.batch = 0"), "{}", said(&output));
    let output = run(mpirun(2, &[&settings[..], &["--run", text(&fresh), "--dry-run"]].concat()));
    assert!(output.status.success() && !fresh.exists(), "{}", said(&output));
    // chains that blow up on all ranks are one message and one code; a block more than there are chains leaves a rank idle
    let (weights, _) = smoke();
    let wild = place.path().join("wild.json");
    let text_of = fs::read_to_string(root().join("configs/smoke.json")).expect("a config");
    fs::write(&wild, text_of.replace("\"noise_std\": 0.01", "\"noise_std\": 3e38")).expect("writable");
    let out = place.path().join("x.png");
    let sample = ["sample", "--weights", text(weights), "--count", "3", "--out", text(&out), "--config", text(&wild)];
    let output = run(mpirun(2, &sample));
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert_eq!(said(&output).matches("diverged at Langevin step").count(), 1, "{}", said(&output));
    assert!(!out.exists());
    let output = run(mpirun(2, &["interpolate", "--weights", "none", "--out", "none.png"]));
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("this command does not"), "{}", said(&output));
    let output = run(mpirun(2, &["sample", "--weights", "none", "--out", "none.png"]));
    assert!(said(&output).contains("rank 0 of 2: the weights none do not exist"), "{}", said(&output));
}

/// Run a command with 1, 2 and 3 ranks, each writing into a folder of its own: what it printed as JSON must be the same but for
/// the clock and the folder, and so must every file.
fn same_files(arguments: &[&str], outputs: &[(&str, &str)]) {
    let place = folder();
    let done = [1, 2, 3].map(|ranks| {
        let out = place.path().join(format!("{ranks}"));
        let files: Vec<_> = outputs.iter().map(|(_, name)| out.join(name)).collect();
        let named = outputs.iter().zip(&files).flat_map(|((flag, _), file)| [*flag, text(file)]);
        let arguments: Vec<&str> = arguments.iter().copied().chain(named).chain(["--json"]).collect();
        let output = match ranks {
            1 => command(&arguments).args(["--threads", "1"]).output().expect("the binary was built for this test"),
            _ => run(mpirun(ranks, &arguments)),
        };
        assert!(output.status.success(), "{ranks} ranks: {}", said(&output));
        let printed = String::from_utf8_lossy(&output.stdout).replace(text(&out), "OUT");
        let mut object: Value = serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"));
        forget_the_clock(&mut object);
        (object, files.iter().map(|file| fs::read(file).expect("an output")).collect::<Vec<_>>())
    });
    for (ranks, (object, files)) in [(2, &done[1]), (3, &done[2])] {
        assert_eq!(&done[0].0, object, "{ranks} ranks");
        for ((one, many), (flag, _)) in done[0].1.iter().zip(files).zip(outputs) {
            // a report is JSON with the clock in it, and was compared as it was printed
            assert!(one == many || *flag == "--out" && arguments[0] == "evaluate", "{flag} of {ranks} ranks");
        }
    }
}

fn forget_the_clock(value: &mut Value) {
    match value {
        Value::Object(entries) => {
            entries.remove("seconds");
            entries.values_mut().for_each(forget_the_clock);
        }
        Value::Array(entries) => entries.iter_mut().for_each(forget_the_clock),
        _ => {}
    }
}

#[test]
fn samples_scores_and_reconstructions_are_those_of_one_process() {
    let (weights, _) = smoke();
    let place = folder();
    let images = place.path().join("images.npy");
    let drawn = srm(&["sample", "--weights", text(weights), "--seed", "5", "--count", "150", "--out", text(&images)]);
    drawn.done();
    let weights = ["--weights", text(weights)];
    // 21 chains in blocks of 4: six blocks, the last not full; the strip and the animation begin on one rank and end on another
    let sample = [&["sample"], &weights[..], &["--count", "21", "--block", "4"]].concat();
    same_files(&sample, &[("--out", "x.npy"), ("--chain", "chain.png"), ("--animate", "moving.png")]);
    let data = ["--data", text(&images), "--count", "100", "--self-check", "--reconstruct", text(&images)];
    let evaluate = [&["evaluate"], &weights[..], &data, &["--reconstruct-count", "3"]].concat();
    same_files(&evaluate, &[("--out", "report.json"), ("--nearest", "nearest.png"), ("--save-stats", "stats.npz")]);
    // images that are good enough after different numbers of iterations, on ranks that then wait for the others
    let few = ["--images", text(&images), "--count", "5", "--iterations", "12", "--starts", "2", "--block", "4"];
    let reconstruct = [&["reconstruct"], &weights[..], &few, &["--observed-noise", "0.65"]].concat();
    same_files(&reconstruct, &[("--out", "r.png"), ("--npy", "r.npy"), ("--animate", "moving.png")]);
}

#[test]
fn ranks_that_have_other_images_are_refused_with_both() {
    let (weights, _) = smoke();
    let place = folder();
    let evaluate = |seed: &str| {
        let images = place.path().join(format!("{seed}.npy"));
        let count = ["--count", "20", "--out", text(&images)];
        srm(&[&["sample", "--weights", text(weights), "--seed", seed], &count[..]].concat()).done();
        ["evaluate", "--weights", text(weights), "--newest", "--data", text(&images)].map(str::to_owned)
    };
    let (one, other) = (evaluate("1"), evaluate("2"));
    let mut job = mpirun(1, &one.each_ref().map(String::as_str));
    let output = run({
        job.args([":", "-n", "1", env!("CARGO_BIN_EXE_srm")]).args(&other).args(["--threads", "1"]);
        job
    });
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("rank 1 of 2: not the images in --data of rank 0: "), "{}", said(&output));
}

#[test]
fn a_run_of_two_ranks_has_the_scores_of_one() {
    let place = folder();
    let scores = [1, 2].map(|ranks| {
        let path = place.path().join(format!("{ranks}"));
        let settings = ["train", "--config", "configs/smoke.json", "--run", text(&path), "--set", "evaluate.every=10"];
        let arguments = [&settings[..], &["--set", "evaluate.count=40", "--set", "train.batch=16"]].concat();
        let output = match ranks {
            1 => command(&arguments).args(["--threads", "1"]).output().expect("the binary was built for this test"),
            _ => run(mpirun(ranks, &arguments)),
        };
        assert!(output.status.success(), "{ranks} ranks: {}", said(&output));
        let lines = fs::read_to_string(path.join("scores.jsonl")).expect("scores");
        let read = |line: &str| serde_json::from_str::<Value>(line).expect("JSON");
        let mut lines: Vec<Value> = lines.lines().map(read).collect();
        lines.iter_mut().for_each(forget_the_clock);
        (lines, tensors(&path.join("checkpoints/best")))
    });
    assert_eq!(scores[0].0.len(), 3);
    assert_eq!(scores[0].0, scores[1].0);
    assert!(scores[0].1 == scores[1].1, "another best checkpoint");
}
