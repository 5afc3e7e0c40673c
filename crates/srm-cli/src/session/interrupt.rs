//! Let Ctrl-C, SIGTERM and SIGUSR1 end a run with its state saved, and a second one at once.
//!
//! SIGUSR1 is what mpirun passes on to all ranks without killing them a second later, as it does after Ctrl-C.

use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1},
    iterator::Signals,
};
use srm_langevin::Stop;

use super::Output;

static STOP: AtomicBool = AtomicBool::new(false);
/// What comes sooner after the first signal is part of it: at a time limit Slurm sends SIGTERM twice within milliseconds.
const AGAIN: Duration = Duration::from_millis(500);

/// Watch for Ctrl-C, SIGTERM, SIGUSR1 and SIGHUP from now on; those that are ignored, as SIGHUP under nohup, stay ignored.
///
/// # Errors
/// The system refuses a signal handler.
pub fn watch(output: Output) -> Result<()> {
    watch_saying(output, "stopping; once more Ctrl-C stops at once")
}

/// [`watch`] with words for the first signal.
///
/// # Errors
/// The system refuses a signal handler.
pub fn watch_saying(output: Output, words: &'static str) -> Result<()> {
    let ignored = ignored_signals();
    let wanted = [SIGINT, SIGTERM, SIGUSR1, SIGHUP].into_iter().filter(|signal| ignored >> (signal - 1) & 1 == 0);
    let mut signals = Signals::new(wanted).context("cannot watch for Ctrl-C")?;
    std::thread::spawn(move || {
        let mut first: Option<Instant> = None;
        for _ in &mut signals {
            match first {
                None => {
                    first = Some(Instant::now());
                    STOP.store(true, Ordering::Relaxed);
                    output.line(words);
                }
                Some(at) if at.elapsed() < AGAIN => {}
                Some(_) => exit(130),
            }
        }
    });
    Ok(())
}

/// Whether somebody asked to stop.
pub fn asked() -> bool {
    STOP.load(Ordering::Relaxed)
}

/// [`asked`] for chains in hand.
pub fn stop() -> Stop {
    Stop::when(asked)
}

/// End the process now, without destructors and what libraries have asked to be called at exit: threads may still compute in
/// libtorch, for nobody, and libtorch's own destructors take a tenth of a second.
pub fn exit(code: u8) -> ! {
    signal_hook::low_level::exit(i32::from(code))
}

/// The signals that this process ignores, a bit each, as the kernel tells; none where it does not.
fn ignored_signals() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
