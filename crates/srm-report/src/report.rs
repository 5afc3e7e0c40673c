//! Gather the sections of a run's page.

use srm_data::ImageSet;

use crate::{
    Figures, RunFiles, curves, diagnostics, divergence,
    page::{self, Section},
    samples, scores, tables,
};

/// What the grids in `samples/` show.
#[derive(Clone, Copy, Debug)]
pub struct Grid {
    /// Seed of start noise and chain noise.
    pub seed: u64,
    /// Samples in a grid.
    pub count: usize,
}

/// What a page is made of: a run folder, and what others hand in.
pub struct Report<'a> {
    /// The run.
    pub files: &'a RunFiles,
    /// What its grids show.
    pub grid: Grid,
    /// The run's own images, where they can be had.
    pub images: Option<&'a ImageSet>,
    /// The command that makes them; `None` where they are built in, or not known.
    pub remedy: Option<String>,
    /// What the net has drawn, or the sentence that says why it has not; `None` leaves these sections out.
    pub figures: Option<&'a Result<Figures, String>>,
}

/// A page of HTML that is whole: it asks for nothing and runs nothing.
pub struct Page {
    /// The document.
    pub html: String,
    /// Names of its sections, in their order: their anchors.
    pub sections: Vec<&'static str>,
}

impl Report<'_> {
    /// The page.
    pub fn page(&self) -> Page {
        let sections = self.sections();
        Page { html: page::page(self.files, &sections), sections: sections.iter().map(|section| section.id).collect() }
    }

    /// The sections that the folder has something for, in the order of the page.
    fn sections(&self) -> Vec<Section> {
        let (files, grid) = (self.files, self.grid);
        let drawn = self.figures.map_or_else(Vec::new, |figures| samples::drawn(files, figures));
        let spread = self.images.and_then(pixel_std);
        let first =
            [Some(samples::newest(files, grid)), Some(curves::section(files, spread)), samples::progress(files, grid)];
        let later = [
            scores::section(files),
            diagnostics::section(files),
            divergence::section(files),
            Some(tables::settings(files)),
            tables::machine(files),
            Some(tables::history(files)),
            Some(tables::again(self)),
        ];
        first.into_iter().flatten().chain(drawn).chain(later.into_iter().flatten()).collect()
    }
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
