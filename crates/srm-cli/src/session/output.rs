//! Print results on stdout, and logs and bars on stderr without tearing each other apart.

use std::{
    io::{self, IsTerminal, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::Context;
use serde::Serialize;
use srm_terminal::{Bars, ProgressBar, Unit, colours};
use tracing::{Level, Metadata};
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

/// Stdout for results, stderr for all else.
#[derive(Clone)]
pub struct Output {
    json: bool,
    bars: Bars,
    /// Whether this is a process whose words another says: errors alone are printed.
    quiet: Arc<AtomicBool>,
}

impl Output {
    /// Install the one tracing subscriber (RUST_LOG wins, where it can be understood) and be ready to print.
    pub fn install(json: bool) -> Output {
        let output = Output { json, bars: Bars::new(), quiet: Arc::default() };
        let asked = std::env::var_os(EnvFilter::DEFAULT_ENV).filter(|asked| !asked.is_empty());
        let understood = asked.as_ref().and_then(|asked| EnvFilter::try_new(asked.to_str()?).ok());
        let misunderstood = asked.filter(|_| understood.is_none());
        let mut filter = understood.unwrap_or_else(|| EnvFilter::new("info"));
        // at their lower levels these show addresses with their keys, and requests with the token for a model hub
        for silent in ["ureq=info", "ureq_proto=info", "ureq_proto::util=off"] {
            filter = filter.add_directive(silent.parse().expect("a directive"));
        }
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_target(false)
            .without_time()
            .with_ansi(colours(io::stderr().is_terminal()))
            .with_writer(output.clone())
            .init();
        if let Some(asked) = misunderstood {
            tracing::warn!("RUST_LOG={} is not understood: logging as RUST_LOG=info", asked.to_string_lossy());
        }
        output
    }

    /// Print nothing but errors from now on: one process of several speaks for all. With RUST_LOG set, logs are printed too.
    pub fn be_quiet(&self) {
        self.quiet.store(true, Ordering::Relaxed);
        self.bars.hide();
    }

    fn is_quiet(&self) -> bool {
        self.quiet.load(Ordering::Relaxed)
    }

    /// Print the result: `text` for people, or `object` on one line where --json was given.
    ///
    /// # Errors
    /// Stdout cannot be written.
    pub fn result(&self, object: &impl Serialize, text: &str) -> anyhow::Result<()> {
        if self.is_quiet() {
            return Ok(());
        }
        let line = if self.json { serde_json::to_string(object)? } else { text.trim_end().to_owned() };
        let written = writeln!(io::stdout().lock(), "{line}");
        match written {
            // the reader has gone away (`srm doctor | head`): nobody is left to tell
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other.context("cannot write to stdout"),
        }
    }

    /// Print a line on stderr, above any bar.
    pub fn line(&self, text: &str) {
        if !self.is_quiet() {
            self.error(text);
        }
    }

    /// Print a line on stderr, even where this process is quiet.
    pub fn error(&self, text: &str) {
        self.bars.suspend(|| {
            // a closed stderr must not stop a run
            let _ = writeln!(io::stderr().lock(), "{text}");
        });
    }

    /// A bar on stderr in bytes of what `name` says, up to `total` where that is known.
    pub fn bytes(&self, name: &str, total: Option<u64>) -> ProgressBar {
        self.bars.bar(total, Unit::BytesOf(name.to_owned()))
    }

    /// A bar on stderr, `unit` being what it counts; a line now and then where stderr is no terminal.
    pub fn bar(&self, length: u64, unit: &str) -> ProgressBar {
        self.bars.bar(Some(length), Unit::Things(unit.to_owned()))
    }
}

/// Writes one log event at a time with the bars out of the way; or nothing.
pub struct LogWriter(Option<Bars>);

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(bars) = &self.0 {
            // a stderr that is closed, or a file on a full disk, must not stop a run; tracing would panic on the error
            let _ = bars.suspend(|| io::stderr().lock().write_all(bytes));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(()) // stderr holds nothing back
    }
}

impl<'a> MakeWriter<'a> for Output {
    type Writer = LogWriter;

    fn make_writer(&'a self) -> LogWriter {
        LogWriter(Some(self.bars.clone()))
    }

    fn make_writer_for(&'a self, event: &Metadata<'_>) -> LogWriter {
        let wanted = !self.is_quiet() || *event.level() == Level::ERROR || std::env::var_os("RUST_LOG").is_some();
        LogWriter(wanted.then(|| self.bars.clone()))
    }
}
