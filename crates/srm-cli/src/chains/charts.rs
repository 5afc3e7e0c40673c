//! Draw chains' numbers over steps, with the data's beside them.

use std::path::Path;

use anyhow::Result;
use serde::Serialize;
use srm_eval::{ChainTable, StepStatistics};
use srm_report::Chart;

use super::bench::DataNumbers;

/// How a set of charts looks.
pub struct Charts<'a> {
    pub out: &'a Path,
    /// Before the files' names.
    pub prefix: &'a str,
    /// The title of each: which chains the numbers are of.
    pub title: &'a str,
    pub logarithmic: bool,
    pub data: Option<&'a DataNumbers>,
}

impl Charts<'_> {
    /// Draw f, the gradient's norm, and the pixels; `trained` is the K of training, marked in each. The names of the files.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write(&self, statistics: &[StepStatistics], trained: usize) -> Result<Vec<String>> {
        let Self { title, data, .. } = self;
        let points = |of: &dyn Fn(&StepStatistics) -> f64| {
            statistics.iter().map(|one| (one.step as f64, of(one))).collect::<Vec<_>>()
        };
        let at_k = |of: &dyn Fn(&StepStatistics) -> f64| {
            points(of).into_iter().filter(|point| point.0 == trained as f64).collect::<Vec<_>>()
        };
        let first = if self.logarithmic { 1.0 } else { 0.0 };
        let last = statistics.last().map_or(first, |one| one.step as f64);
        let level = |value: f64| [(first, value), (last, value)];
        let mark = format!("K = {trained}");
        let axis = "Langevin step";
        // nothing bounds f and x of long chains: their axes are logarithmic, and f is counted from where it began
        let (origin, label) = match (self.logarithmic, statistics.first()) {
            (true, Some(start)) => (start.f, "mean f − mean f(z)"),
            _ => (0.0, "mean f"),
        };
        let mut f = Chart::new(&format!("f of {title}"), axis, label).line("chains", points(&|one| one.f - origin));
        let mut r = Chart::new(&format!("Gradient of {title}"), axis, "mean ‖f'(x)‖₂")
            .line("chains", points(&|one| one.gradient_norm));
        let mut pixels = Chart::new(&format!("Pixels of {title}"), axis, "pixel units, data in [-1, 1]")
            .line("std", points(&|one| one.std))
            .line("largest |x|", points(&|one| one.largest))
            .line("rms distance from z", points(&|one| one.distance));
        if let Some(data) = data {
            f = f.dashed("data", level(data.f - origin));
            r = r.dashed("data", level(data.gradient_norm));
            pixels = pixels.dashed("std of data", level(data.std));
        }
        f = f.dots(&mark, at_k(&|one| one.f - origin));
        r = r.dots(&mark, at_k(&|one| one.gradient_norm));
        pixels = pixels.dots(&mark, at_k(&|one| one.std));
        if self.logarithmic {
            (f, pixels) = (f.log_y(), pixels.log_y());
        }
        let mut names = Vec::new();
        for (name, chart) in [("f", f), ("gradient", r), ("pixels", pixels)] {
            names.push(self.save(name, chart)?);
        }
        Ok(names)
    }

    /// Draw the share of accepted proposals between two kept steps.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_acceptance(&self, statistics: &[StepStatistics]) -> Result<String> {
        let points = statistics.iter().map(|one| (one.step as f64, one.acceptance));
        let chart = Chart::new(&format!("Accepted proposals of {}", self.title), "Langevin step", "share accepted");
        self.save("acceptance", chart.line("", points))
    }

    fn save(&self, name: &str, chart: Chart) -> Result<String> {
        let name = format!("{}{name}.svg", self.prefix);
        let chart = if self.logarithmic { chart.log_x() } else { chart };
        chart.write(&self.out.join(&name))?;
        Ok(name)
    }
}

/// Four digits, or a power of ten where the number is very large or small.
pub fn number(value: f64) -> String {
    match value.abs() {
        size if !value.is_finite() || size == 0.0 => format!("{value}"),
        size if !(1e-3..1e5).contains(&size) => format!("{value:.2e}"),
        size if size >= 100.0 => format!("{value:.1}"),
        size if size >= 10.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// Chains that blew up.
#[derive(Serialize)]
pub struct BlownUp(pub Vec<Lost>);

/// A chain, and the step at which it blew up.
#[derive(Serialize)]
pub struct Lost {
    chain: usize,
    step: usize,
}

impl BlownUp {
    /// Those of a table.
    pub fn of(table: &ChainTable) -> BlownUp {
        BlownUp(table.blown_up().into_iter().map(|(chain, step)| Lost { chain, step }).collect())
    }

    /// The last step at which a chain blew up.
    pub fn last_step(&self) -> Option<usize> {
        self.0.iter().map(|one| one.step).max()
    }

    /// In words, of so many chains; empty for none.
    pub fn text(&self, of: usize) -> String {
        let count = self.0.len();
        match (self.0.iter().map(|one| one.step).min(), self.last_step()) {
            (Some(first), Some(last)) if first == last => {
                format!("; {count} of {of} chains blew up at step {first}")
            }
            (Some(first), Some(last)) => format!("; {count} of {of} chains blew up, at steps {first} to {last}"),
            _ => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_four_digits() {
        let texts = [0.0, 1.23456, 23.4567, -456.789, 5e-5, 1e6, f64::NAN].map(number);
        assert_eq!(texts, ["0", "1.235", "23.46", "-456.8", "5.00e-5", "1.00e6", "NaN"]);
    }

    #[test]
    fn chains_that_blew_up_are_counted() {
        let text = |steps: &[usize]| BlownUp(steps.iter().map(|&step| Lost { chain: 3, step }).collect()).text(8);
        assert_eq!(text(&[]), "");
        assert_eq!(text(&[7]), "; 1 of 8 chains blew up at step 7");
        assert_eq!(text(&[7, 90]), "; 2 of 8 chains blew up, at steps 7 to 90");
    }
}
