//! Time srm beside the published loop, in the profile that run and test share, so that libtorch's glue is not compiled again.

mod scaling;

use crate::{setup, workspace};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::process::Command;

/// How far the baseline may be from the same loop in PyTorch before its ratios stop to count.
const PEER_TOLERANCE: f64 = 0.1;
/// Times that each of the two is measured for --peer, in turn.
const PEER_ROUNDS: usize = 7;

/// Options of `cargo xtask bench`.
#[derive(clap::Args)]
pub struct Args {
    /// Print one JSON object, {"rows": [{"name": "32px-n16", "baseline_ms": …, "srm_ms": …, "ratio": …, …}]}
    #[arg(long, conflicts_with_all = ["peer", "parts"])]
    json: bool,
    /// One row of the table alone
    #[arg(long, value_name = "ROW", conflicts_with = "parts")]
    only: Option<String>,
    /// cpu or cuda: which rows
    #[arg(long, default_value = "cpu", conflicts_with_all = ["peer", "parts"])]
    device: String,
    /// f32, tf32 or bf16: the numbers of srm's side on a GPU
    #[arg(long, conflicts_with_all = ["peer", "parts"])]
    precision: Option<String>,
    /// avx2, avx512 or libtorch: what computes srm's side on the CPU, in place of what suits the net best
    #[arg(long, value_name = "KERNELS", conflicts_with_all = ["peer", "parts", "scaling"])]
    kernels: Option<String>,
    /// Compare the baseline with scripts/published_loop.py in PyTorch 2.11, row by row
    #[arg(long, conflicts_with = "parts")]
    peer: bool,
    /// The Python that has PyTorch
    #[arg(long, value_name = "PATH", default_value = "python3", requires = "peer")]
    python: String,
    /// Time training on one and two ranks with a thread each, with a model on paper for many
    #[arg(long, conflicts_with_all = ["json", "only", "peer", "parts"])]
    scaling: bool,
    /// Run the criterion benches of the parts instead; what follows is passed on, for example a bench's name
    #[arg(long, num_args = 0.., allow_hyphen_values = true, value_name = "ARGUMENT")]
    parts: Option<Vec<String>>,
}

/// Print the table, the comparison with PyTorch, or the criterion benches.
pub fn run(args: Args) -> Result<()> {
    setup::ensure_done()?;
    if let Some(passed_on) = args.parts {
        // Only the bench targets: the unit tests of a library do not understand criterion's options.
        let benches = ["--bench", "kernel", "--bench", "adjoint"].map(str::to_owned);
        return workspace::run(&mut bench(benches.into_iter().chain(passed_on)));
    }
    if args.scaling {
        return scaling::run();
    }
    if args.peer {
        return peer(&args.python, args.only.as_deref());
    }
    let mut arguments = vec!["--bench".to_owned(), "table".to_owned(), "--".to_owned()];
    arguments.extend(args.json.then(|| "--json".to_owned()));
    arguments.extend(["--device".to_owned(), args.device]);
    arguments.extend(args.precision.into_iter().flat_map(|numbers| ["--precision".to_owned(), numbers]));
    arguments.extend(args.kernels.into_iter().flat_map(|kernels| ["--kernels".to_owned(), kernels]));
    arguments.extend(args.only.into_iter().flat_map(|row| ["--only".to_owned(), row]));
    workspace::run(&mut bench(arguments))
}

fn bench(arguments: impl IntoIterator<Item = String>) -> Command {
    let fixed = ["bench", "--profile", "dev", "--workspace"].map(str::to_owned);
    workspace::cargo(fixed.into_iter().chain(arguments))
}

/// Time the baseline of each step row and the same loop in PyTorch in turn.
fn peer(python: &str, only: Option<&str>) -> Result<()> {
    let found = Command::new(python).args(["-c", "import torch; print(torch.__version__)"]).output();
    let version = found.ok().filter(|output| output.status.success()).with_context(|| {
        format!("{python} has no PyTorch; `pip install torch==2.11.0 numpy pillow`, or name another with --python")
    })?;
    println!("PyTorch {}", String::from_utf8_lossy(&version.stdout).trim());
    println!("{:<12} {:>12} {:>12} {:>7}", "row", "baseline ms", "PyTorch ms", "ratio");
    let rows = ["32px-n16", "32px-n32", "32px-n64", "64px-n32", "64px-n64"];
    let mut apart = Vec::new();
    for row in rows.into_iter().filter(|row| only.is_none_or(|only| only == *row)) {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..PEER_ROUNDS {
            let line = baseline(row)?;
            let number = |key: &str| line[key].as_u64().with_context(|| format!("{row}: no {key}"));
            let mut loop_ = Command::new(python);
            loop_.arg(workspace::root().join("scripts/published_loop.py")).arg("--time");
            for (flag, key) in [("--size", "size"), ("--n", "features"), ("--m", "batch"), ("--K", "steps")] {
                loop_.args([flag, &number(key)?.to_string()]);
            }
            ours.push(line["baseline_ms"].as_f64().with_context(|| format!("{row}: no baseline_ms"))?);
            let text = output(&mut loop_)?;
            let timed: Value = serde_json::from_str(&text).with_context(|| format!("{python} printed {text:?}"))?;
            theirs.push(timed["ms"].as_f64().with_context(|| format!("{python} printed {text:?}"))?);
        }
        // The median of the pairs' ratios: a machine that others share changes its speed between rounds, less within one.
        let ratio = median(ours.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs).collect());
        println!("{row:<12} {:>12.2} {:>12.2} {ratio:>7.3}", median(ours), median(theirs));
        if (ratio - 1.0).abs() > PEER_TOLERANCE {
            apart.push(row);
        }
    }
    ensure!(
        apart.is_empty(),
        "{}: the baseline is more than 10 % from PyTorch, so its ratios do not count; is the machine busy?",
        apart.join(", ")
    );
    Ok(())
}

/// The baseline of one row, from a process of its own.
fn baseline(row: &str) -> Result<Value> {
    let arguments = ["--bench", "table", "--", "--only", row, "--baseline-only", "--json"].map(str::to_owned);
    let text = output(&mut bench(arguments))?;
    let table: Value = serde_json::from_str(&text).with_context(|| format!("the bench printed {text:?}"))?;
    Ok(table["rows"][0].clone())
}

/// What a command prints.
fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot start {:?}", command.get_program()))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{:?} failed: {}", command.get_program(), errors.trim());
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
