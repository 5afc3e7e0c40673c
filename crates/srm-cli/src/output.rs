//! Print results on stdout, and logs and bars on stderr without tearing each other apart.

use std::io::{self, IsTerminal, Write};

use anyhow::Context;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde::Serialize;
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

/// Stdout for results, stderr for all else.
#[derive(Clone)]
pub struct Output {
    json: bool,
    bars: MultiProgress,
}

impl Output {
    /// Install the one tracing subscriber (RUST_LOG wins) and be ready to print.
    pub fn install(json: bool) -> Output {
        let output = Output { json, bars: MultiProgress::new() };
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_target(false)
            .without_time()
            .with_ansi(io::stderr().is_terminal())
            .with_writer(output.clone())
            .init();
        output
    }

    /// Print the result: `text` for people, or `object` on one line where --json was given.
    ///
    /// # Errors
    /// Stdout cannot be written.
    pub fn result(&self, object: &impl Serialize, text: &str) -> anyhow::Result<()> {
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
        self.bars.suspend(|| {
            // a closed stderr must not stop a run
            let _ = writeln!(io::stderr().lock(), "{text}");
        });
    }

    /// A bar on stderr; it stays invisible where stderr is no terminal.
    pub fn bar(&self, length: u64, unit: &str) -> ProgressBar {
        let template = format!("{{bar:32}} {{pos}}/{{len}} {unit}  {{elapsed}} gone, {{eta}} left  {{msg}}");
        let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
        self.bars.add(ProgressBar::new(length).with_style(style))
    }
}

/// Writes one log event at a time with the bars out of the way.
pub struct LogWriter(MultiProgress);

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().lock().write_all(bytes))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl<'a> MakeWriter<'a> for Output {
    type Writer = LogWriter;

    fn make_writer(&'a self) -> LogWriter {
        LogWriter(self.bars.clone())
    }
}
