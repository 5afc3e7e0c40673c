//! Start a program under `faults.c`, which kills it, fills its disk or moves its clock at a chosen call.

use anyhow::{Context, Result, ensure};
use std::{
    collections::BTreeMap,
    fmt, fs,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Longer than any of these programs takes on a busy machine.
const HANGS: Duration = Duration::from_secs(120);
const SIGKILL: i32 = 9;

/// Where in a call the process dies.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    Before,
    /// In the middle of what it writes.
    Half,
    After,
    /// So many microseconds after its begin.
    Later(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Before => formatter.write_str("before"),
            Place::Half => formatter.write_str("half"),
            Place::After => formatter.write_str("after"),
            Place::Later(microseconds) => write!(formatter, "{microseconds}"),
        }
    }
}

/// What happens to a program.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Nothing; the calls are counted.
    None,
    /// A kill at the `call`-th call of `phase`, from 1.
    Call { phase: &'static str, call: u64, place: Place },
    /// A kill from outside after so long.
    Time(Duration),
    /// `count` calls from the `first` on fail with this errno.
    Disk { errno: i32, first: u64, count: u64 },
    /// From the `first` call on the wall clock is so far off.
    Clock { first: u64, seconds: i64 },
}

/// How a program ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ending {
    Killed,
    Exit(i32),
}

/// A program to be started again and again in one place.
pub struct Job<'a> {
    /// The folder whose changes count.
    pub folder: &'a Path,
    /// The one phase of a program that has no others; empty for `srm train`.
    pub phase: &'static str,
    /// Updates between two scores.
    pub scored: u64,
}

/// The compiled `faults.c`.
pub struct Faults {
    library: PathBuf,
}

impl Faults {
    /// Compile it into `folder`.
    ///
    /// # Errors
    /// There is no C compiler.
    pub fn compile(folder: &Path) -> Result<Self> {
        let (source, library) = (folder.join("faults.c"), folder.join("faults.so"));
        fs::write(&source, include_str!("faults.c")).with_context(|| format!("cannot write {}", source.display()))?;
        let compiled = Command::new("cc")
            .args(["-O1", "-shared", "-fPIC", "-o"])
            .args([&library, &source])
            .args(["-ldl", "-lpthread"])
            .status();
        let compiled = compiled.context("no C compiler `cc`; install it (Debian, Ubuntu: apt-get install g++)")?;
        ensure!(compiled.success(), "cc cannot compile {} ({compiled})", source.display());
        Ok(Self { library })
    }

    /// Run the program to its end: how it ended, what it said, and the calls of each phase where it ended by itself.
    ///
    /// # Errors
    /// It does not start, or hangs.
    pub fn run(&self, command: &mut Command, job: &Job<'_>, fault: &Fault) -> Result<(Ending, String, Counts)> {
        let (said, counts) = (beside(job.folder, "said"), beside(job.folder, "counts"));
        let file = fs::File::create(&said).with_context(|| format!("cannot write {}", said.display()))?;
        let mut child = self.start(command.stdout(Stdio::null()).stderr(file), job, fault)?;
        if let Fault::Time(after) = fault {
            thread::sleep(*after);
            // it may be over by now
            let _ = child.kill();
        }
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if begun.elapsed() > HANGS {
                child.kill()?;
                anyhow::bail!("it hangs: not done after {} s; {fault:?}", HANGS.as_secs());
            }
            thread::sleep(Duration::from_millis(2));
        };
        let ending = match (status.signal(), status.code()) {
            (Some(SIGKILL), _) => Ending::Killed,
            (signal, code) => Ending::Exit(code.unwrap_or(128 + signal.unwrap_or(0))),
        };
        let said = fs::read_to_string(&said).unwrap_or_default();
        let found = fs::read_to_string(&counts).unwrap_or_default();
        let found = found.lines().filter_map(|line| {
            let (name, count) = line.split_once(' ')?;
            Some((name.to_owned(), count.parse().ok()?))
        });
        Ok((ending, said, found.collect()))
    }

    /// Start the program without waiting for it.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(&self, command: &mut Command, job: &Job<'_>, fault: &Fault) -> Result<Child> {
        command
            .stdin(Stdio::null())
            .env("LD_PRELOAD", &self.library)
            .env("TORTURE_FOLDER", job.folder)
            .env("TORTURE_PHASE", job.phase)
            .env("TORTURE_SCORED", job.scored.to_string());
        match fault {
            Fault::None => command.env("TORTURE_COUNTS", beside(job.folder, "counts")),
            Fault::Call { phase, call, place } => command.env("TORTURE_KILL", format!("{phase} {call} {place}")),
            Fault::Time(_) => command,
            Fault::Disk { errno, first, count } => command.env("TORTURE_FAIL", format!("{errno} {first} {count}")),
            Fault::Clock { first, seconds } => command.env("TORTURE_CLOCK", format!("{first} {seconds}")),
        };
        command.spawn().with_context(|| format!("{} did not start", command.get_program().display()))
    }
}

/// Calls of each phase, and `total`.
pub type Counts = BTreeMap<String, u64>;

/// A file of ours beside the program's folder, where it disturbs nothing.
fn beside(folder: &Path, ending: &str) -> PathBuf {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    folder.with_file_name(format!("{name}.{ending}"))
}

/// Random numbers by SplitMix64 (Steele, Lea, Flood 2014): the seed in the report repeats every draw of one worker.
pub struct Random(pub u64);

impl Random {
    /// A number from `low` to `high`, both among them.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        low + (z ^ (z >> 31)) % (high.max(low) - low + 1)
    }
}
