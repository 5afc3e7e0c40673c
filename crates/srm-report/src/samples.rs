//! Show what the net makes: the newest samples, samples over time, chains, interpolation, reconstruction.

use std::path::PathBuf;

use maud::{Markup, html};

use crate::{
    Figures, Grid, RunFiles,
    facts::thousands,
    page::Section,
    pictures::{Picture, figure, missing},
};

/// Grids over time that the page shows, first and last included.
const OVER_TIME: usize = 8;
/// CSS pixels that the newest grid and the rows fill at most; a grid over time fills a quarter of the column.
const LARGE: u32 = 840;
const SMALL: u32 = 274;

/// The newest grid.
pub fn newest(files: &RunFiles, grid: Grid) -> Section {
    let body = match files.samples.last() {
        None => missing("There is no sample grid yet: log.samples_every says when the first is due."),
        Some((update, path)) => figure(
            shown(path, &format!("Samples after update {update}"), LARGE),
            html! {
                "Samples of the " (steps(files)) " after update " (thousands(*update)) ", seed " (grid.seed) ": the first "
                (grid.count) " images of " code { "srm sample" } " with these weights. Nothing is chosen."
            },
        ),
    };
    Section { id: "samples", title: "Newest samples", body }
}

/// A few grids from first to last: the same start noise through the weights of the time.
pub fn progress(files: &RunFiles, grid: Grid) -> Option<Section> {
    if files.samples.len() < 2 {
        return None;
    }
    let last = files.samples.len() - 1;
    let count = files.samples.len().min(OVER_TIME);
    let chosen: Vec<&(u64, PathBuf)> =
        (0..count).map(|i| &files.samples[(i * last + (count - 1) / 2) / (count - 1)]).collect();
    let body = html! {
        div.grids {
            @for (update, path) in &chosen {
                (figure(
                    shown(path, &format!("Samples after update {update}"), SMALL),
                    html! { "update " (thousands(*update)) },
                ))
            }
        }
        p.remark {
            "Start noise and chain noise are the same in all grids (seed " (grid.seed) "); only the weights differ. "
            (chosen.len()) " of " (files.samples.len()) " grids."
        }
    };
    Some(Section { id: "progress", title: "Samples over time", body })
}

fn shown(path: &std::path::Path, alt: &str, width: u32) -> Result<Markup, String> {
    Picture::read(path).map(|picture| picture.show(alt, width))
}

fn steps(files: &RunFiles) -> String {
    files.config.as_ref().map_or("short run".to_owned(), |config| format!("{}-step run", config.langevin.steps))
}

/// What the newest checkpoint was asked to draw.
pub fn drawn(files: &RunFiles, figures: &Result<Figures, String>) -> Vec<Section> {
    let figures = match figures {
        Ok(figures) => figures,
        Err(reason) => return vec![Section { id: "chains", title: "From noise to image", body: missing(reason) }],
    };
    let weights = html! { @if let Some(update) = files.checkpoint_update() { "Update " (thousands(update)) ", K " (figures.steps) ", seed " (figures.seed) "." } };
    vec![
        Section { id: "chains", title: "From noise to image", body: chains(figures, &weights) },
        Section { id: "interpolation", title: "Interpolation", body: interpolation(figures, &weights) },
        Section { id: "reconstruction", title: "Reconstruction", body: reconstruction(figures, &weights) },
    ]
}

fn chains(figures: &Figures, weights: &Markup) -> Markup {
    let alt = "Chains from noise on the left to images on the right";
    figure(
        as_shown(&figures.chains, |picture| picture.show(alt, LARGE)),
        html! {
            "A chain a row: the start noise on the left, then the state after every " (ordinal(figures.every))
            " Langevin step, x after step " (figures.steps) " on the right. " (weights)
        },
    )
}

fn interpolation(figures: &Figures, weights: &Markup) -> Markup {
    let alt = "Rows of images between two start noises";
    let content = as_shown(&figures.interpolation, |found| found.picture.show(alt, LARGE));
    let caption = html! {
        @if let Ok(found) = &figures.interpolation { (found.rows) " pairs of start noises" } @else { "Pairs of start noises" }
        ", one per row: M(ρ z₁ + √(1−ρ²) z₂) with ρ from 1 on the left to 0 on the right, and one chain noise per row. "
        @if let Ok(found) = &figures.interpolation {
            "Neighbours differ by " (format!("{:.3}", found.mean)) " per pixel (root mean square; at most "
            (format!("{:.3}", found.largest)) ") on the [-1, 1] scale. "
        }
        (weights)
    };
    figure(content, caption)
}

fn reconstruction(figures: &Figures, weights: &Markup) -> Markup {
    let content = as_shown(&figures.reconstruction, |found| {
        found.picture.show("Images, and what the net made of the start noise found for each", LARGE)
    });
    let caption = html! {
        @if let Ok(found) = &figures.reconstruction {
            "The first " (found.count) " images of "
            (found.given.as_ref().map_or("the run's data".to_owned(), |path| path.display().to_string())) ", one per row: M(z) after "
            @for (i, iteration) in found.shown.iter().enumerate() {
                @if i > 0 { ", " }
                (iteration)
            }
            " iterations on ‖x − M(z)‖², the best, and the image itself on the right. Mean squared error a pixel on the [-1, 1] \
            scale: mean " (format!("{:.4}", found.mean)) ", worst " (format!("{:.4}", found.worst)) " after "
            (figures.iterations) " iterations (" (found.method) ", step " (found.step) "). "
            (weights)
            " The right column shows images of the data: mind their licence before you pass this page on."
        }
    };
    figure(content, caption)
}

fn as_shown<T>(made: &Result<T, String>, show: impl Fn(&T) -> Markup) -> Result<Markup, String> {
    made.as_ref().map(show).map_err(Clone::clone)
}

/// `single`, `2nd`, `3rd`, `10th`.
fn ordinal(number: usize) -> String {
    let ending = match (number % 10, number % 100) {
        _ if number == 1 => return "single".to_owned(),
        (1, tens) if tens != 11 => "st",
        (2, tens) if tens != 12 => "nd",
        (3, tens) if tens != 13 => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinals_are_english() {
        assert_eq!(
            [1, 2, 3, 4, 10, 11, 12, 13, 21].map(ordinal),
            ["single", "2nd", "3rd", "4th", "10th", "11th", "12th", "13th", "21st"]
        );
    }
}
