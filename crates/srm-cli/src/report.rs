//! Run `srm report`: gather what a run folder holds in one HTML file that opens without network.

mod curves;
mod diagnostics;
mod divergence;
mod facts;
mod figures;
mod folder;
mod page;
mod pictures;
mod samples;
mod scores;
mod tables;

use std::{io::Write, path::Path, time::Instant};

use anyhow::{Context, Result, bail};
use serde_json::json;
use srm_data::ImageSet;
use srm_files::write_whole;

use crate::{
    flags::ReportFlags,
    images::{self, places},
    session::{Session, Shown, failure, status, usage},
};
use figures::Figures;
use folder::RunFiles;
use page::Section;

/// Read the run, draw its figures, and write the page.
///
/// # Errors
/// Bad usage, a folder that is no run's, a device that is not there, an output that cannot be written. What is missing or
/// damaged in the folder is no error: the page says so.
pub fn run(arguments: &ReportFlags, session: &Session) -> Result<()> {
    let begun = Instant::now();
    let out = arguments.out.clone().unwrap_or_else(|| arguments.run.join("report.html"));
    if !out.extension().is_some_and(|kind| kind.eq_ignore_ascii_case("html") || kind.eq_ignore_ascii_case("htm")) {
        return Err(usage(format!("--out {}: the report is a page; give X.html", out.display())));
    }
    if let Some(given) = arguments.images.as_ref().filter(|given| !given.exists()) {
        bail!("--images {}: there is no such file or folder; give a .npy, a folder or a picture", given.display());
    }
    let files = RunFiles::read(&arguments.run)?;
    session.prepare([&*out])?;
    session.watch_interrupts()?;
    let data = open_data(&files);
    let figures = match arguments.no_figures {
        true => None,
        false => Some(figures::make(arguments, &files, data.as_ref(), session)?),
    };
    let (html, names) = page(&files, data.as_ref().ok(), figures.as_ref());
    write(&out, &html)?;
    for note in &files.notes {
        tracing::warn!("{note}");
    }

    let seconds = begun.elapsed().as_secs_f64();
    let drawn = figures.as_ref().and_then(|figures| figures.as_ref().ok());
    let object = json!({
        "command": "report", "run": Shown(&arguments.run), "out": Shown(&out), "bytes": html.len(), "sections": names,
        "weights": drawn.map(|figures| Shown(&figures.file)), "iterations": drawn.map(|figures| figures.iterations), "seconds": seconds, "notes": files.notes,
    });
    let text = format!(
        "{} sections of {} in {}\npage  {} ({:.1} MB, opens without network)",
        names.len(),
        arguments.run.display(),
        status::duration(seconds),
        out.display(),
        html.len() as f64 / 1e6
    );
    session.output().result(&object, &text)
}

/// The page of a run folder without what its net would have to draw.
///
/// # Errors
/// It is no run folder.
pub fn page_of(folder: &Path) -> Result<String> {
    let files = RunFiles::read(folder)?;
    Ok(page(&files, open_data(&files).as_ref().ok(), None).0)
}

/// The page, and the names of its sections.
fn page(
    files: &RunFiles,
    data: Option<&ImageSet>,
    figures: Option<&Result<Figures, String>>,
) -> (String, Vec<&'static str>) {
    let sections = sections(files, figures, data.and_then(pixel_std));
    (page::page(files, &sections), sections.iter().map(|section| section.id).collect())
}

/// The sections that the folder has something for, in the order of the page.
fn sections(files: &RunFiles, figures: Option<&Result<Figures, String>>, spread: Option<f64>) -> Vec<Section> {
    let drawn = figures.map_or_else(Vec::new, |figures| samples::drawn(files, figures));
    let first = [Some(samples::newest(files)), Some(curves::section(files, spread)), samples::progress(files)];
    let later = [
        scores::section(files),
        diagnostics::section(files),
        divergence::section(files),
        Some(tables::settings(files)),
        tables::machine(files),
        Some(tables::history(files)),
        Some(tables::again(files, figures.and_then(|figures| figures.as_ref().ok()))),
    ];
    first.into_iter().flatten().chain(drawn).chain(later.into_iter().flatten()).collect()
}

/// The run's own images; the error says why they cannot be had.
fn open_data(files: &RunFiles) -> Result<ImageSet, String> {
    let mut config = files.config.clone().ok_or("config.json cannot be read, so nothing names the images")?;
    let source = files.folder.join("config.json");
    places::resolve(&mut config, &source, &files.folder)
        .and_then(|()| images::check(&config, &source))
        .and_then(|()| images::open(&config))
        .map_err(|error| failure::text(&error))
}

/// Standard deviation of the pixels of the first images on the [-1, 1] scale: what `sample_std` should come to.
fn pixel_std(images: &ImageSet) -> Option<f64> {
    const ENOUGH: usize = 512;
    let (mut count, mut sum, mut squares) = (0.0, 0.0, 0.0);
    for i in 0..images.len().min(ENOUGH) {
        for &byte in images.image(i) {
            let value = f64::from(byte) / 127.5 - 1.0;
            (count, sum, squares) = (count + 1.0, sum + value, squares + value * value);
        }
    }
    (count > 0.0).then(|| (squares / count - (sum / count).powi(2)).max(0.0).sqrt())
}

/// Write the page whole: one that somebody has open is never half a page.
fn write(out: &Path, html: &str) -> Result<()> {
    write_whole(out, |file| file.write_all(html.as_bytes()))
        .with_context(|| format!("cannot write {}; make room, or choose another place with --out", out.display()))
}
