//! Run `srm report`: gather what a run folder holds in one HTML file that opens without network.

mod figures;

use std::{
    fmt,
    io::Write,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context, Result, bail};
use serde::Serialize;
use srm_data::ImageSet;
use srm_files::write_whole;
use srm_report::{Grid, Report as Contents, RunFiles};
use srm_run::layout::{CONFIG, REPORT};
use srm_train::{GRID_COUNT, GRID_SEED};

use crate::{
    flags::ReportFlags,
    images::{self, places},
    session::{Session, Shown, failure, shown, status, usage},
};

/// Read the run, draw its figures, and write the page.
///
/// # Errors
/// Bad usage, a folder that is no run's, a device that is not there, an output that cannot be written. What is missing or
/// damaged in the folder is no error: the page says so.
pub fn run(flags: &ReportFlags, session: &Session) -> Result<()> {
    let begun = Instant::now();
    let out = flags.out.clone().unwrap_or_else(|| flags.run.join(REPORT));
    if !out.extension().is_some_and(|kind| kind.eq_ignore_ascii_case("html") || kind.eq_ignore_ascii_case("htm")) {
        return Err(usage(format!("--out {}: the report is a page; give X.html", out.display())));
    }
    if let Some(given) = flags.images.as_ref().filter(|given| !given.exists()) {
        bail!("--images {}: there is no such file or folder; give a .npy, a folder or a picture", given.display());
    }
    let files = RunFiles::read(&flags.run)?;
    session.prepare([&*out])?;
    session.watch_interrupts()?;
    let data = open_data(&files);
    let figures = match flags.no_figures {
        true => None,
        false => Some(figures::make(flags, &files, data.as_ref(), session)?),
    };
    let fetched = files.config.as_ref().filter(|config| !images::is_synthetic(config));
    let page = Contents {
        files: &files,
        grid: Grid { seed: GRID_SEED, count: GRID_COUNT },
        images: data.as_ref().ok(),
        remedy: fetched.map(|config| images::remedy(&config.data.images)),
        figures: figures.as_ref(),
    }
    .page();
    write(&out, &page.html)?;
    for note in &files.notes {
        tracing::warn!("{note}");
    }

    session.conclude(|| {
        let drawn = figures.and_then(Result::ok);
        Ok(Report {
            command: "report",
            run: Shown(&flags.run),
            out: Shown(&out),
            bytes: page.html.len(),
            sections: page.sections,
            iterations: drawn.as_ref().map(|figures| figures.iterations),
            weights: drawn.map(|figures| figures.file),
            seconds: begun.elapsed().as_secs_f64(),
            notes: &files.notes,
        })
    })
}

/// What was written.
#[derive(Serialize)]
struct Report<'a> {
    command: &'static str,
    run: Shown<'a>,
    out: Shown<'a>,
    bytes: usize,
    sections: Vec<&'static str>,
    /// What the figures were drawn with, where some were.
    #[serde(serialize_with = "shown::optional")]
    weights: Option<PathBuf>,
    iterations: Option<usize>,
    seconds: f64,
    notes: &'a [String],
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = status::duration(self.seconds);
        writeln!(out, "{} sections of {} in {seconds}", self.sections.len(), self.run)?;
        write!(out, "page  {} ({:.1} MB, opens without network)", self.out, self.bytes as f64 / 1e6)
    }
}

/// The run's own images; the error says why they cannot be had.
fn open_data(files: &RunFiles) -> Result<ImageSet, String> {
    let mut config = files.config.clone().ok_or("config.json cannot be read, so nothing names the images")?;
    let source = files.folder.join(CONFIG);
    places::resolve(&mut config, &source, &files.folder)
        .and_then(|()| images::check(&config, &source))
        .and_then(|()| images::open(&config))
        .map_err(|error| failure::text(&error))
}

/// Write the page whole: one that somebody has open is never half a page.
fn write(out: &Path, html: &str) -> Result<()> {
    write_whole(out, |file| file.write_all(html.as_bytes()))
        .with_context(|| format!("cannot write {}; make room, or choose another place with --out", out.display()))
}
