//! Let Ctrl-C and SIGTERM end a run with its state saved, and a second one at once.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

use crate::output::Output;

static STOP: AtomicBool = AtomicBool::new(false);

/// Watch for Ctrl-C, SIGTERM and SIGHUP from now on.
///
/// # Errors
/// The system refuses a signal handler.
pub fn watch(output: Output) -> Result<()> {
    ctrlc::set_handler(move || {
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        output.line("stopping after this update; once more Ctrl-C stops at once, without saving");
    })
    .context("cannot watch for Ctrl-C")
}

/// Whether somebody asked to stop.
pub fn asked() -> bool {
    STOP.load(Ordering::Relaxed)
}
