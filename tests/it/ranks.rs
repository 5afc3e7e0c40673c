//! Several processes under mpirun: the same result for any number of them, and nothing lost where one dies. Built with the
//! feature `mpi`, which `cargo xtask test` adds where mpirun is installed.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use crate::common::{command, folder, root, text};
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
    let settings = ["train", "--config", "configs/fashion32.json", "--set", "train.updates=50"];
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
    assert!(tensors(&whole.join("checkpoints/000200")) == tensors(&broken.join("checkpoints/000200")));
    assert_eq!(metrics(&whole), metrics(&broken));
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
    let output = run(mpirun(2, &["sample", "--weights", "none", "--out", "none.png"]));
    assert!(said(&output).contains("only train shares"), "{}", said(&output));
}
