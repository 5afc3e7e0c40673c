//! Count what was done to whom and what broke, and report it.

use super::{jobs::Kind, program::Fault};
use crate::workspace;
use anyhow::{Context, Result, bail};
use serde_json::json;
use srm_files::write_whole;
use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Shares of the phases in all kills, in per mille; at least 50 in a thousand are inside of each.
const SHARES: [(&str, u64); 10] = [
    ("checkpoint", 130),
    ("metrics", 100),
    ("rollback", 100),
    ("scoring", 100),
    ("training, any moment", 160),
    ("preprocess", 100),
    ("unpacking", 100),
    ("fetch", 80),
    ("fetch-from", 70),
    ("the others, any moment", 60),
];

/// What all workers count.
pub struct Tally {
    wanted: BTreeMap<&'static str, u64>,
    out: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    kills: BTreeMap<&'static str, u64>,
    /// Programs that came to their end, and those of them that had been killed before.
    ended: u64,
    resumed: u64,
    disturbed: BTreeMap<&'static str, u64>,
    broken: Vec<String>,
}

impl Tally {
    /// Share `kills` among the phases, or give all to `only` one.
    ///
    /// # Errors
    /// There is no such phase.
    pub fn new(kills: u64, only: Option<&str>, out: &Path) -> Result<Self> {
        let names = || SHARES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        let wanted: BTreeMap<_, _> = match only {
            None => SHARES.iter().map(|&(name, share)| (name, (share * kills).div_ceil(1000))).collect(),
            Some(only) => SHARES.iter().filter(|(name, _)| *name == only).map(|&(name, _)| (name, kills)).collect(),
        };
        if wanted.is_empty() {
            bail!("--only {}: there is no such phase; there are {}", only.unwrap_or_default(), names());
        }
        Ok(Self { wanted, out: out.to_owned(), state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Kills that a phase still wants.
    fn left(&self, phase: &str) -> u64 {
        let wanted = self.wanted.get(phase).copied().unwrap_or(0);
        wanted.saturating_sub(self.state().kills.get(phase).copied().unwrap_or(0))
    }

    /// Whether a kind of program is killed at all.
    pub fn wants(&self, kind: Kind) -> bool {
        self.phase_of(kind).is_some()
    }

    /// The phase of a program that wants most kills.
    pub fn phase_of(&self, kind: Kind) -> Option<&'static str> {
        let phases = kind.phases().iter().copied().chain([kind.any_moment()]);
        let left = phases.map(|phase| (self.left(phase), phase));
        left.max_by_key(|(left, _)| *left).filter(|(left, _)| *left > 0).map(|(_, phase)| phase)
    }

    /// The kind of program that wants most kills; `None` when all have theirs.
    pub fn next(&self) -> Option<Kind> {
        let wanted = |kind: &Kind| kind.phases().iter().map(|phase| self.left(phase)).sum::<u64>();
        Kind::KILLED.into_iter().filter(|kind| self.wants(*kind)).max_by_key(wanted)
    }

    /// A kill met the phase.
    pub fn killed(&self, phase: &'static str) {
        *self.state().kills.entry(phase).or_default() += 1;
    }

    /// A program came to its end with the bits of the unbroken one.
    pub fn ended(&self, resumed: bool) {
        let mut state = self.state();
        state.ended += 1;
        state.resumed += u64::from(resumed);
    }

    /// A run met another fault.
    pub fn disturbed(&self, name: &'static str) {
        *self.state().disturbed.entry(name).or_default() += 1;
    }

    /// Something is broken: keep its folder and go on.
    ///
    /// # Errors
    /// The folder cannot be kept, or ten things are broken already.
    pub fn broken(&self, what: &str, faults: &[String], lives: &[Fault], place: &Path) -> Result<()> {
        let mut state = self.state();
        let kept = self.out.join(format!("broken-{}", state.broken.len() + 1));
        if kept.exists() {
            fs::remove_dir_all(&kept)?;
        }
        fs::rename(place, &kept).with_context(|| format!("cannot keep {}", place.display()))?;
        let text = format!("{what}: {}; lives {lives:?}; kept in {}", faults.join("; "), workspace::shown(&kept));
        eprintln!("broken: {text}");
        state.broken.push(text);
        if state.broken.len() == 10 {
            bail!("ten things are broken; the first: {}", state.broken[0]);
        }
        Ok(())
    }

    /// Print the table and write the report.
    ///
    /// # Errors
    /// Something was broken, or the report cannot be written.
    pub fn report(&self, took: Duration, seed: u64) -> Result<()> {
        let state = self.state();
        println!("{:<26} {:>7}", "SIGKILL in", "times");
        for (name, _) in SHARES.iter().filter(|(name, _)| self.wanted.contains_key(name)) {
            println!("{name:<26} {:>7}", state.kills.get(name).copied().unwrap_or(0));
        }
        let kills: u64 = state.kills.values().sum();
        println!("{:<26} {kills:>7}", "in all");
        for (name, count) in &state.disturbed {
            println!("{name:<26} {count:>7}");
        }
        println!(
            "{} programs to their end, {} of them resumed; {} broken; {}",
            state.ended,
            state.resumed,
            state.broken.len(),
            workspace::duration(took)
        );
        let object = json!({
            "seed": seed, "kills": kills, "phases": state.kills, "ended": state.ended, "resumed": state.resumed,
            "disturbed": state.disturbed, "broken": state.broken, "minutes": took.as_secs_f64() / 60.0,
        });
        let path = self.out.join("report.json");
        write_whole(&path, |file| writeln!(file, "{object:#}"))
            .with_context(|| format!("cannot write {}", path.display()))?;
        match state.broken.len() {
            0 => Ok(()),
            count => bail!("{count} broken; {}", workspace::shown(&path)),
        }
    }
}
