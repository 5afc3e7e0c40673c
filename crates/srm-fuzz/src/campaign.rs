//! Try all doors, each in a process of its own that is started again when an input ends it.

use crate::record::{Number, Record};
use crate::table::{self, Row};
use anyhow::{Context, Result, bail};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use srm_fuzz::{DOORS, Door};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

/// Processes that inputs of one door may end before it is given up.
const ENDS: usize = 40;
/// Exit codes of libFuzzer: more than 10 s, more memory than it may hold.
const TIMEOUT: i32 = 70;
const MEMORY: i32 = 71;
/// Longest that a process may be silent: an input that hangs where no signal reaches it.
const SILENT: Duration = Duration::from_secs(60);

/// Options of a campaign.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only this door; may be given more than once
    #[arg(long = "door")]
    doors: Vec<String>,
    /// Inputs a door
    #[arg(long, default_value_t = 10_000)]
    inputs: u64,
    /// Seed of the mutations
    #[arg(long, default_value_t = 1)]
    seed: u32,
    /// Where records and finds are put; what is there is deleted
    #[arg(long)]
    out: PathBuf,
    /// Doors that are tried at the same time
    #[arg(long, default_value_t = 2)]
    jobs: usize,
}

/// Try the doors and print the table; whether nothing broke.
pub(crate) fn run(args: &Args) -> Result<bool> {
    let unknown = args.doors.iter().find(|name| DOORS.iter().all(|door| door.name != **name));
    if let Some(name) = unknown {
        let names: Vec<&str> = DOORS.iter().map(|door| door.name).collect();
        bail!("there is no door {name}; the doors are {}", names.join(", "));
    }
    let chosen =
        DOORS.into_iter().filter(|door| args.doors.is_empty() || args.doors.iter().any(|one| one == door.name));
    let chosen: Vec<&Door> = chosen.collect();
    let begun = Instant::now();
    let (waiting, rows) = (Mutex::new(chosen.iter().copied().enumerate()), Mutex::new(Vec::new()));
    let bars = MultiProgress::new();
    thread::scope(|scope| {
        for _ in 0..args.jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().ok().and_then(|mut waiting| waiting.next());
                    let Some((number, door)) = next else { break };
                    let row = try_door(door, args, &bars);
                    if let Ok(mut rows) = rows.lock() {
                        rows.push((number, row));
                    }
                }
            });
        }
    });
    let mut rows = rows.into_inner().unwrap_or_default();
    rows.sort_by_key(|(number, _)| *number);
    let rows = rows.into_iter().map(|(_, row)| row).collect::<Result<Vec<Row>>>()?;
    table::print(&rows, begun.elapsed(), args.seed, &args.out);
    Ok(rows.iter().all(Row::is_good))
}

fn try_door(door: &Door, args: &Args, bars: &MultiProgress) -> Result<Row> {
    let (out, begun) = (args.out.join(door.name), Instant::now());
    if out.exists() {
        fs::remove_dir_all(&out).with_context(|| format!("cannot delete {}", out.display()))?;
    }
    fs::create_dir_all(out.join("found")).with_context(|| format!("cannot make {}", out.display()))?;
    let style =
        ProgressStyle::with_template("{prefix:12} {bar:32} {pos}/{len} inputs  {elapsed} gone, {eta} left  {msg}")?;
    let bar = bars.add(ProgressBar::new(args.inputs).with_style(style).with_prefix(door.name));
    let (mut row, scratch) = (Row::new(door.name), scratch()?);
    for start in 0.. {
        let seed = args.seed.wrapping_add(1_000 * start);
        let (status, silent) = one_process(door, args, (&out, scratch.path()), seed, &bar)?;
        let mut record = Record::open(&out.join("record"), None)?;
        if !silent && status.success() {
            break;
        }
        let how = match status.code() {
            _ if silent => "timeout",
            Some(TIMEOUT) => "timeout",
            Some(MEMORY) => "memory",
            _ => "abort",
        };
        let Some(input) = record.in_hand().map(<[u8]>::to_vec) else {
            bail!("{} ends outside of an input ({status}); see {}", door.name, out.join("log").display());
        };
        keep(&out, how, start, &input)?;
        row.ended(how);
        record.add(Number::Inputs, 1);
        record.add(Number::Passed, u64::from((door.header)(&input)));
        record.end();
        bar.set_message(format!("{} ended the process", row.ends()));
        if row.ends() >= ENDS || record.get(Number::Inputs) >= args.inputs {
            break;
        }
    }
    bar.finish_and_clear();
    bars.remove(&bar);
    row.fill(&Record::open(&out.join("record"), None)?, &lines(door, &out)?, begun.elapsed());
    fs::write(out.join("lines.json"), row.lines_text())?;
    Ok(row)
}

/// A folder in memory, where there is such a place: files are written for every input.
fn scratch() -> Result<tempfile::TempDir> {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.context("cannot make a temporary folder")
}

/// Run a process until it ends, or is silent for too long.
fn one_process(
    door: &Door,
    args: &Args,
    (out, scratch): (&Path, &Path),
    seed: u32,
    bar: &ProgressBar,
) -> Result<(ExitStatus, bool)> {
    let log = File::create(out.join("log")).context("cannot make the log")?;
    let mut child = Command::new(std::env::current_exe()?)
        .args(["child", door.name, "--inputs", &args.inputs.to_string(), "--seed", &seed.to_string(), "--out"])
        .arg(out)
        .arg("--scratch")
        .arg(scratch)
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .context("cannot start a process for the door")?;
    let (mut seen, mut moved) = (0, Instant::now());
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok((status, false));
        }
        let inputs = Record::open(&out.join("record"), None).map_or(0, |record| record.get(Number::Inputs));
        if inputs != seen {
            (seen, moved) = (inputs, Instant::now());
            bar.set_position(inputs);
        }
        if moved.elapsed() > SILENT {
            return Ok((end(&mut child)?, true));
        }
        thread::sleep(Duration::from_millis(100));
    }
}

fn end(child: &mut Child) -> Result<ExitStatus> {
    child.kill()?;
    Ok(child.wait()?)
}

/// Keep an input that ended a process, with what the process said last.
fn keep(out: &Path, how: &str, number: u32, input: &[u8]) -> Result<()> {
    let name = format!("{how}-{number}");
    fs::write(out.join("found").join(&name), input)?;
    fs::copy(out.join("log"), out.join("found").join(format!("{name}.txt")))?;
    Ok(())
}

/// What the table of lines says of a record, from a process of its own: the addresses are that program's.
fn lines(door: &Door, out: &Path) -> Result<serde_json::Value> {
    let record = out.join("record");
    let done = Command::new(std::env::current_exe()?).args(["lines", door.name]).arg(record).output()?;
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    serde_json::from_str(&text).with_context(|| format!("no lines: {}", String::from_utf8_lossy(&done.stderr)))
}
