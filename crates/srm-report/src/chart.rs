//! Draw curves and points as an SVG picture.

use crate::ReportError;
use plotters::prelude::*;
use srm_files::write_whole;
use std::{io::Write, ops::Range, path::Path};

/// Pixels of a chart where nobody asks for others.
const SIZE: (u32, u32) = (860, 480);
/// Pixels of letters.
const LETTERS: u32 = 15;
/// Colours that also a colour-blind eye tells apart (Okabe and Ito 2008, their palette with grey for yellow).
const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(0, 0, 0),
    RGBColor(130, 130, 130),
];

/// How a series is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    Line,
    Dashed,
    Dots,
}

#[derive(Clone, Debug)]
struct Series {
    name: String,
    mark: Mark,
    points: Vec<(f64, f64)>,
}

/// Curves and points over common axes. Numbers that are not finite, and on a logarithmic axis those not above 0, leave gaps.
#[derive(Clone, Debug)]
pub struct Chart {
    title: String,
    labels: [String; 2],
    logarithmic: [bool; 2],
    size: (u32, u32),
    series: Vec<Series>,
}

impl Chart {
    /// A chart without curves yet; the labels say units.
    pub fn new(title: &str, x_label: &str, y_label: &str) -> Self {
        let labels = [x_label.to_owned(), y_label.to_owned()];
        Self { title: title.to_owned(), labels, logarithmic: [false; 2], size: SIZE, series: Vec::new() }
    }

    /// Its size in pixels, for charts side by side: letters keep theirs.
    #[must_use]
    pub fn sized(mut self, width: u32, height: u32) -> Self {
        self.size = (width, height);
        self
    }

    /// Logarithmic in x, to base 10.
    #[must_use]
    pub fn log_x(mut self) -> Self {
        self.logarithmic[0] = true;
        self
    }

    /// Logarithmic in y, to base 10.
    #[must_use]
    pub fn log_y(mut self) -> Self {
        self.logarithmic[1] = true;
        self
    }

    /// Add a curve through points (x, y).
    #[must_use]
    pub fn line(self, name: &str, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        self.with(name, Mark::Line, points)
    }

    /// Add a dashed curve, for what the others are compared with.
    #[must_use]
    pub fn dashed(self, name: &str, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        self.with(name, Mark::Dashed, points)
    }

    /// Add points.
    #[must_use]
    pub fn dots(self, name: &str, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        self.with(name, Mark::Dots, points)
    }

    fn with(mut self, name: &str, mark: Mark, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        self.series.push(Series { name: name.to_owned(), mark, points: points.into_iter().collect() });
        self
    }

    /// The chart as an SVG document.
    ///
    /// # Errors
    /// [`ReportError::Chart`] where the plotting library refuses.
    pub fn to_svg(&self) -> Result<String, ReportError> {
        let mut svg = String::new();
        self.draw(&mut svg)
            .map_err(|error| ReportError::Chart { title: self.title.clone(), reason: error.to_string() })?;
        Ok(svg)
    }

    /// Write the chart to an `.svg` file.
    ///
    /// # Errors
    /// [`ReportError::Chart`], [`ReportError::Write`].
    pub fn write(&self, path: &Path) -> Result<(), ReportError> {
        let svg = self.to_svg()?;
        write_whole(path, |file| file.write_all(svg.as_bytes())).map_err(ReportError::write(path))
    }

    fn draw(&self, svg: &mut String) -> Result<(), Box<dyn std::error::Error>> {
        let area = SVGBackend::with_string(svg, self.size).into_drawing_area();
        area.fill(&WHITE)?;
        let series: Vec<Vec<(f64, f64)>> = self.series.iter().map(|series| self.scaled(&series.points)).collect();
        let all = || series.iter().flatten();
        let mut chart = ChartBuilder::on(&area)
            .caption(&self.title, ("sans-serif", LETTERS + 3))
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(76)
            .build_cartesian_2d(range(all().map(|point| point.0)), range(all().map(|point| point.1)))?;
        let [log_x, log_y] = self.logarithmic;
        chart
            .configure_mesh()
            .x_labels((self.size.0 / 86).max(3) as usize)
            .y_labels((self.size.1 / 48).max(3) as usize)
            .x_desc(&self.labels[0])
            .y_desc(&self.labels[1])
            .x_label_formatter(&|&value| number(value, log_x))
            .y_label_formatter(&|&value| number(value, log_y))
            .light_line_style(TRANSPARENT)
            .bold_line_style(BLACK.mix(0.12))
            .label_style(("sans-serif", LETTERS - 2))
            .axis_desc_style(("sans-serif", LETTERS))
            .draw()?;
        for (i, (Series { name, mark, .. }, points)) in self.series.iter().zip(&series).enumerate() {
            let colour = COLOURS[i % COLOURS.len()];
            let wide = colour.stroke_width(2);
            let gapless = points.split(|point| !(point.0.is_finite() && point.1.is_finite()));
            for (part, piece) in gapless.filter(|piece| !piece.is_empty()).enumerate() {
                let piece = piece.iter().copied();
                let drawn = match mark {
                    Mark::Line => chart.draw_series(LineSeries::new(piece, wide))?,
                    Mark::Dashed => chart.draw_series(DashedLineSeries::new(piece, 6, 5, wide))?,
                    Mark::Dots => chart.draw_series(piece.map(|point| Circle::new(point, 4, colour.filled())))?,
                };
                if part == 0 && !name.is_empty() {
                    let mark = *mark;
                    drawn.label(name).legend(move |(x, y)| match mark {
                        Mark::Line => PathElement::new([(x, y), (x + 18, y)], wide).into_dyn(),
                        Mark::Dashed => PathElement::new([(x, y), (x + 6, y)], wide).into_dyn(),
                        Mark::Dots => Circle::new((x + 9, y), 4, colour.filled()).into_dyn(),
                    });
                }
            }
        }
        if self.series.iter().any(|series| !series.name.is_empty()) {
            chart
                .configure_series_labels()
                .position(emptiest(&series))
                .background_style(WHITE.mix(0.85))
                .border_style(BLACK.mix(0.2))
                .label_font(("sans-serif", LETTERS - 1))
                .draw()?;
        }
        area.present()?;
        Ok(())
    }

    /// Points in the axes' scales; what has no place there is NaN.
    fn scaled(&self, points: &[(f64, f64)]) -> Vec<(f64, f64)> {
        let scale = |value: f64, logarithmic| match logarithmic {
            true if value > 0.0 => value.log10(),
            true => f64::NAN,
            false if value.is_finite() => value,
            false => f64::NAN,
        };
        points.iter().map(|&(x, y)| (scale(x, self.logarithmic[0]), scale(y, self.logarithmic[1]))).collect()
    }
}

/// The corner that the curves leave free, for the legend.
fn emptiest(series: &[Vec<(f64, f64)>]) -> SeriesLabelPosition {
    let all = || series.iter().flatten();
    let (x, y) = (range(all().map(|point| point.0)), range(all().map(|point| point.1)));
    // points along every piece, since a straight line crosses a corner without a point in it
    let between = |(a, b): (&(f64, f64), &(f64, f64))| {
        let (a, b) = (*a, *b);
        (0..=20).map(move |i| f64::from(i) / 20.0).map(move |t| (a.0 + t * (b.0 - a.0), a.1 + t * (b.1 - a.1)))
    };
    let along = || series.iter().flat_map(|points| points.iter().zip(points.iter().skip(1)).flat_map(between));
    let share = |value: f64, range: &Range<f64>| (value - range.start) / (range.end - range.start);
    let crowd = |right: bool, upper: bool| {
        let inside = |&(px, py): &(f64, f64)| {
            let (u, v) = (share(px, &x), share(py, &y));
            (if right { u > 0.6 } else { u < 0.4 }) && (if upper { v > 0.65 } else { v < 0.35 })
        };
        along().filter(inside).count()
    };
    let corners = [
        (crowd(true, true), SeriesLabelPosition::UpperRight),
        (crowd(false, true), SeriesLabelPosition::UpperLeft),
        (crowd(true, false), SeriesLabelPosition::LowerRight),
        (crowd(false, false), SeriesLabelPosition::LowerLeft),
    ];
    let least = corners.iter().map(|(count, _)| *count).min();
    let found = corners.into_iter().find(|(count, _)| Some(*count) == least);
    found.map_or(SeriesLabelPosition::UpperRight, |(_, corner)| corner)
}

/// From the least to the most finite value, with some room; never empty.
fn range(values: impl Iterator<Item = f64>) -> Range<f64> {
    let (low, high) = values
        .filter(|value| value.is_finite())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    match low < high {
        true => low - 0.03 * (high - low)..high + 0.03 * (high - low),
        false if low.is_finite() => low - 0.5 * low.abs().max(1e-6)..high + 0.5 * high.abs().max(1e-6),
        false => 0.0..1.0,
    }
}

/// A number at an axis.
fn number(value: f64, logarithmic: bool) -> String {
    // between two powers of ten a tick lies at an odd number: two digits say where
    let two_digits = |value: f64| format!("{value:.1e}").parse().unwrap_or(value);
    let value = if logarithmic { two_digits(10f64.powf(value)) } else { value };
    match value.abs() {
        size if size < 1e-12 && !logarithmic => "0".to_owned(),
        size if !(1e-3..1e5).contains(&size) => format!("{value:.1e}"),
        size if size >= 100.0 => format!("{value:.0}"),
        _ => {
            let text = format!("{value:.3}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_at_axes_are_short() {
        let cases = [(0.0, "0"), (0.5, "0.5"), (-2.0, "-2"), (1234.4, "1234"), (1e-5, "1.0e-5"), (2.5e6, "2.5e6")];
        for (value, text) in cases {
            assert_eq!(number(value, false), text);
        }
        let logarithmic = [2.0, 1.5, -0.25, -3.5, -15.0].map(|value| number(value, true));
        assert_eq!(logarithmic, ["100", "32", "0.56", "3.2e-4", "1.0e-15"]);
    }

    #[test]
    fn a_gap_parts_a_curve_and_an_odd_number_has_no_place() {
        let chart = Chart::new("a < b", "step", "r").log_y();
        let points = [(0.0, 1.0), (1.0, 10.0), (2.0, f64::NAN), (3.0, -1.0), (4.0, 5.0), (5.0, 6.0)];
        let svg = chart.line("r", points).dashed("floor", [(0.0, 2.0), (5.0, 2.0)]).to_svg().unwrap();
        // two pieces of the curve and its sign in the legend; names are escaped
        assert_eq!(svg.matches("stroke=\"#0072B2\"").count(), 3, "{svg}");
        assert!(svg.contains("a &lt; b") && !svg.contains("NaN"), "{svg}");
    }

    #[test]
    fn the_legend_goes_where_no_curve_is() {
        let line = |points: [(f64, f64); 2]| format!("{:?}", emptiest(&[points.to_vec()]));
        assert_eq!(line([(0.0, 0.0), (1.0, 1.0)]), "UpperLeft");
        assert_eq!(line([(0.0, 1.0), (1.0, 0.0)]), "UpperRight");
        assert_eq!(format!("{:?}", emptiest(&[vec![(0.0, 1.0), (1.0, 1.0), (0.0, 0.0)]])), "LowerRight");
    }

    #[test]
    fn a_chart_of_nothing_is_a_frame() {
        assert!(Chart::new("empty", "x", "y").to_svg().unwrap().starts_with("<svg"));
        let flat = Chart::new("flat", "x", "y").dots("one", [(1.0, 0.0)]).to_svg().unwrap();
        assert!(flat.contains("<circle"), "{flat}");
    }
}
