//! Kill the program a thousand times, fill its disk, move its clock, start it twice: what is on the disk must be whole after
//! each, and the end must have the bits of a run that nothing disturbed.

mod check;
mod jobs;
mod program;
mod server;
mod tally;

use crate::{setup, workspace};
use anyhow::{Context, Result, bail};
use jobs::{Bench, Kind, Unbroken};
use program::{Ending, Fault, Place, Random};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    thread,
    time::{Duration, Instant},
};
use tally::Tally;

/// Workers side by side, each with one program at a time.
const WORKERS: u64 = 2;
/// Kills and, of each of the other faults, cases of the short set.
const SHORT: (u64, u64) = (33, 2);
/// Cases of each of the other faults in a thousand kills.
const CASES: u64 = 20;
/// Longest delay of a kill after the begin of a call, in microseconds; a score takes about so long.
const DELAY: u64 = 20_000;
/// Name of a torture's folder, before its process number.
const WORK: &str = "work-";
const NO_SPACE: i32 = 28;
const READ_ONLY: i32 = 30;

/// Options of `cargo xtask torture`.
#[derive(clap::Args)]
pub struct Args {
    /// Kills in all, shared among the phases
    #[arg(long, value_name = "N", default_value_t = 1000)]
    kills: u64,
    /// Where the draws of phase, call and moment begin
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Only one phase: checkpoint, metrics, rollback, scoring, preprocess, unpacking, fetch, …
    #[arg(long, value_name = "PHASE")]
    only: Option<String>,
    /// The short set of the tests: about thirty kills, under a minute
    #[arg(long)]
    short: bool,
    /// The program to torture [default: the one that this builds]
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Fetch from this server of the torture: what it starts and kills
    #[arg(long, value_name = "URL", hide = true, requires = "into")]
    fetch: Option<String>,
    #[arg(long, value_name = "DIR", hide = true)]
    into: Option<PathBuf>,
}

/// Torture, print the table, and write `target/torture/report.json`.
///
/// # Errors
/// Something was broken, or the torture cannot begin.
pub fn run(args: Args) -> Result<()> {
    if let (Some(url), Some(folder)) = (&args.fetch, &args.into) {
        return server::fetch(url, folder);
    }
    let out = workspace::root().join("target/torture");
    let (kills, cases) = if args.short { SHORT } else { (args.kills, CASES * args.kills.min(1000) / 1000) };
    // a phase that there is not is refused before anything is built
    let tally = Tally::new(kills, args.only.as_deref(), &out)?;
    let srm = match args.program {
        Some(path) => fs::canonicalize(&path).with_context(|| format!("{} is not there", path.display()))?,
        None => {
            setup::ensure_done()?;
            workspace::build_srm()?
        }
    };
    let begun = Instant::now();
    remove_leftovers(&out)?;
    let root = out.join(format!("{WORK}{}", std::process::id()));
    fs::create_dir_all(&root).with_context(|| format!("cannot create {}", root.display()))?;
    let bench = Bench::new(&root, srm)?;
    let mut whole = BTreeMap::new();
    let killed = Kind::KILLED.into_iter().filter(|kind| tally.wants(*kind));
    for kind in killed.chain(args.only.is_none().then_some(Kind::Calm)) {
        whole.insert(kind, bench.unbroken(kind)?);
    }
    let worker = |number: u64| -> Result<()> {
        let mut random = Random(args.seed.wrapping_mul(WORKERS).wrapping_add(number));
        while let Some(kind) = tally.next() {
            chain(&bench, kind, &whole[&kind], &root.join(format!("{number}-{kind:?}")), &tally, &mut random)?;
        }
        if args.only.is_none() {
            let place = root.join(format!("{number}-Calm"));
            for case in (0..4 * cases).filter(|case| case % WORKERS == number) {
                disturb(&bench, case % 4, &whole[&Kind::Calm], &place, &tally, &mut random)?;
            }
        }
        Ok(())
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|number| scope.spawn(move || worker(number))).collect();
        workers.into_iter().try_for_each(|worker| worker.join().unwrap_or_else(|_| bail!("a worker panicked")))
    })?;
    fs::remove_dir_all(&root).with_context(|| format!("cannot remove {}", root.display()))?;
    tally.report(begun.elapsed(), args.seed)
}

/// Delete the folders of tortures that were killed themselves.
fn remove_leftovers(out: &Path) -> Result<()> {
    for entry in fs::read_dir(out).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(process) = name.strip_prefix(WORK)
            && !Path::new("/proc").join(process).exists()
        {
            let path = entry.path();
            fs::remove_dir_all(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

/// One program from its beginning to its end, killed on the way as often as phases want it.
fn chain(bench: &Bench, kind: Kind, whole: &Unbroken, place: &Path, tally: &Tally, random: &mut Random) -> Result<()> {
    bench.prepare(kind, place)?;
    let mut lives = Vec::new();
    loop {
        let (phase, fault) = match tally.phase_of(kind) {
            // as many lives as there are to a run: it shall come to its end, too
            Some(phase) if lives.len() < 12 => (phase, kill(kind, phase, whole, random)),
            _ => ("", Fault::None),
        };
        lives.push(fault.clone());
        let (ending, said, _) = bench.faults.run(&mut bench.command(kind, place)?, &bench.job(kind, place), &fault)?;
        let ended = ending == Ending::Exit(0);
        let mut faults = bench.faults(kind, place, whole, ended);
        if !ended && ending != Ending::Killed {
            faults.push(format!("it ended with {ending:?}: {}", last_lines(&said)));
        }
        if ending == Ending::Killed {
            tally.killed(phase);
        }
        if !faults.is_empty() {
            return tally.broken(&format!("{kind:?}"), &faults, &lives, place);
        }
        if ended {
            tally.ended(lives.len() > 1);
            return Ok(());
        }
    }
}

/// A kill in a phase: at any of its calls, before, in or after it.
fn kill(kind: Kind, phase: &'static str, whole: &Unbroken, random: &mut Random) -> Fault {
    if phase == kind.any_moment() {
        return Fault::Time(Duration::from_micros(random.between(0, whole.duration.as_micros() as u64)));
    }
    let call = random.between(1, whole.counts.get(phase).copied().unwrap_or(1));
    let place = match random.between(0, 3) {
        0 => Place::Before,
        1 => Place::Half,
        2 => Place::After,
        _ => Place::Later(random.between(0, DELAY)),
    };
    Fault::Call { phase, call, place }
}

/// The end of what a program said.
fn last_lines(said: &str) -> String {
    let lines: Vec<&str> = said.lines().rev().take(5).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("; ")
}

/// One of the other faults in a run: a full disk, a read-only disk, a clock that jumps, a second start.
fn disturb(
    bench: &Bench,
    which: u64,
    whole: &Unbroken,
    place: &Path,
    tally: &Tally,
    random: &mut Random,
) -> Result<()> {
    let kind = Kind::Calm;
    bench.prepare(kind, place)?;
    let total = whole.counts.get("total").copied().unwrap_or(1);
    let (first, count) = (random.between(1, total), random.between(1, total / 2));
    let (name, fault) = match which {
        0 => ("full disk", Fault::Disk { errno: NO_SPACE, first, count }),
        1 => ("read-only disk", Fault::Disk { errno: READ_ONLY, first, count }),
        2 => {
            let seconds = random.between(0, 200_000_000) as i64 - 100_000_000;
            ("clock that jumps", Fault::Clock { first, seconds })
        }
        _ => ("two starts", Fault::None),
    };
    let mut faults = Vec::new();
    let (job, mut command) = (bench.job(kind, place), bench.command(kind, place)?);
    let second = match which {
        3 => {
            let said = place.with_extension("second");
            let stderr = fs::File::create(&said)?;
            let command = &mut bench.command(kind, place)?;
            Some((bench.faults.start(command.stdout(Stdio::null()).stderr(stderr), &job, &Fault::None)?, said))
        }
        _ => None,
    };
    let (mut ending, mut said, _) = bench.faults.run(&mut command, &job, &fault)?;
    if let Some((mut second, path)) = second {
        let code = second.wait()?.code().unwrap_or(-1);
        let other = fs::read_to_string(path)?;
        let refused = |code, said: &str| code == 1 && said.contains("is in use by");
        match ending {
            Ending::Exit(0) if code == 0 || refused(code, &other) => {}
            Ending::Exit(one) if refused(one, &said) && code == 0 => ending = Ending::Exit(0),
            _ => faults.push(format!("of two starts one ends with {ending:?}: {said}, the other with {code}: {other}")),
        }
    }
    match ending {
        Ending::Exit(0) => {}
        // an error that it says; the run goes on when the disk is well again
        Ending::Exit(1) if which < 2 && said.contains("error: ") => {
            faults.extend(bench.faults(kind, place, whole, false));
            (ending, said, _) = bench.faults.run(&mut bench.command(kind, place)?, &job, &Fault::None)?;
        }
        _ => {}
    }
    match ending {
        Ending::Exit(0) => faults.extend(bench.faults(kind, place, whole, true)),
        _ => faults.push(format!("it ended with {ending:?}: {}", last_lines(&said))),
    }
    // What the run has warned of: the best state of a moment without a disk is gone with it, and `latest` stays behind where
    // the disk is not well again at the end.
    // A checkpoint whose turn came without a disk is missing, and an older one stays in its place; the last must be there.
    let latest = fs::read_to_string(whole.folder.join("checkpoints/latest"))?;
    let last = format!("checkpoints/{}/", latest.trim());
    let other_checkpoint =
        |fault: &str| fault.starts_with("checkpoints/0") && !fault.starts_with(&last) && !fault.contains("differs");
    let warned = |fault: &str| {
        fault.starts_with("checkpoints/best")
            || fault.starts_with("checkpoints/latest differs")
            || other_checkpoint(fault)
    };
    faults.retain(|fault| which > 1 || !warned(fault));
    tally.disturbed(name);
    match faults.is_empty() {
        true => Ok(()),
        false => tally.broken(name, &faults, &[fault], place),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_torture_left_is_removed_and_a_live_one_keeps_its_folder() {
        let out = tempfile::tempdir().unwrap();
        let names = [format!("{WORK}{}", std::process::id()), format!("{WORK}4294967295"), "broken-1".to_owned()];
        names.iter().for_each(|name| fs::create_dir_all(out.path().join(name).join("0-Train")).unwrap());
        remove_leftovers(out.path()).unwrap();
        assert_eq!(names.map(|name| out.path().join(name).exists()), [true, false, true]);
        remove_leftovers(&out.path().join("nothing")).unwrap();
    }
}
