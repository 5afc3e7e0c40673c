//! Build the fuzzers with counters in our own crates, and run the campaign.

use crate::{setup, workspace};
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

/// Set while cargo builds the fuzzers: this program then stands between cargo and rustc.
const INSTRUMENTING: &str = "SRM_XTASK_INSTRUMENTS";
/// Inputs a door of the short campaign.
const SHORT: u64 = 500;
/// What libFuzzer needs to see which code an input reaches, and the table of lines needs to name it. Stable rustc passes
/// it all on to LLVM. Only our crates get it: torch-sys and the decoders are not built again.
const FLAGS: [&str; 8] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=3",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cllvm-args=-sanitizer-coverage-prune-blocks=0",
    "-Cdebuginfo=line-tables-only",
    "-Cstrip=none",
];

/// Options of `cargo xtask fuzz`.
#[derive(clap::Args)]
pub struct Args {
    /// Only this door; may be given more than once
    #[arg(long = "door", value_name = "NAME")]
    doors: Vec<String>,
    /// Inputs a door
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    inputs: u64,
    /// Seed of the mutations; each door counts on from it where an input ended its process
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u32,
    /// 500 inputs a door
    #[arg(long, conflicts_with = "inputs")]
    short: bool,
}

/// Build and run.
///
/// # Errors
/// The build fails, or an input broke something: the table says which door, and the inputs lie in the target folder.
pub fn run(args: &Args) -> Result<()> {
    setup::ensure_done()?;
    let this = env::current_exe().context("cannot find this program")?;
    let mut build = workspace::cargo(["build", "--package", "srm-fuzz", "--features", "engine"]);
    let build = build.env("RUSTC_WORKSPACE_WRAPPER", this).env(INSTRUMENTING, "1");
    let program = workspace::build(build, &[], "srm-fuzz")?;
    let metadata = workspace::metadata()?;
    let target = Path::new(metadata["target_directory"].as_str().context("cargo metadata names no target directory")?);
    let out = target.join("fuzz");
    fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
    let inputs = if args.short { SHORT } else { args.inputs };
    let mut campaign = Command::new(program);
    campaign
        .arg("campaign")
        .args(["--inputs", &inputs.to_string(), "--seed", &args.seed.to_string(), "--out"])
        .arg(&out);
    campaign.args(args.doors.iter().flat_map(|door| ["--door", door]));
    let done = campaign.status().context("cannot start the campaign")?;
    match done.success() {
        true => Ok(()),
        false => bail!("an input broke a door; the table above says which"),
    }
}

/// Where cargo calls this program in place of rustc: the words after its name.
pub fn called_for_rustc() -> Option<Vec<OsString>> {
    env::var_os(INSTRUMENTING)?;
    Some(env::args_os().skip(1).collect())
}

/// Be rustc with the flags.
///
/// # Errors
/// rustc cannot be started; otherwise this does not return.
pub fn rustc(words: &[OsString]) -> Result<()> {
    let (program, arguments) = words.split_first().context("cargo names no rustc")?;
    // a build script is a program by itself, without libFuzzer
    let instrumented = !arguments.iter().any(|word| word.to_string_lossy().starts_with("build_script"));
    let flags: &[&str] = if instrumented { &FLAGS } else { &[] };
    let failed = Command::new(program).args(arguments).args(flags).exec();
    Err(failed).with_context(|| format!("cannot start {}", program.display()))
}
