//! Let Ctrl-C and SIGTERM end a run with its state saved, and a second one at once.

use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
};

use anyhow::{Context, Result};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

use crate::output::Output;

static STOP: AtomicBool = AtomicBool::new(false);

/// Watch for Ctrl-C, SIGTERM and SIGHUP from now on; those that are ignored, as SIGHUP under nohup, stay ignored.
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
    let wanted = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| ignored >> (signal - 1) & 1 == 0);
    let mut signals = Signals::new(wanted).context("cannot watch for Ctrl-C")?;
    std::thread::spawn(move || {
        for _ in &mut signals {
            if STOP.swap(true, Ordering::Relaxed) {
                std::process::exit(130);
            }
            output.line(words);
        }
    });
    Ok(())
}

/// Whether somebody asked to stop.
pub fn asked() -> bool {
    STOP.load(Ordering::Relaxed)
}

/// The signals that this process ignores, a bit each, as the kernel tells; none where it does not.
fn ignored_signals() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
