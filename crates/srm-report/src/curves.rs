//! Draw the numbers of a run over its updates, with its rollbacks marked.

use maud::{Markup, html};
use srm_run::{GridRecord, Metrics, StepRecord};

use crate::{
    Chart, RunFiles,
    page::Section,
    pictures::{chart, figure, missing},
};

/// Pixels of a chart: two stand side by side, and one is as wide as a phone.
pub const SIZE: (u32, u32) = (520, 320);
/// Points a curve; more are thinned.
const POINTS: usize = 1200;

/// One curve of the section.
struct Curve {
    of: Box<dyn Fn(&StepRecord) -> f64>,
    title: String,
    label: &'static str,
    logarithmic: bool,
    /// The height of a dashed line to compare with.
    beside: Option<f64>,
    caption: &'static str,
}

/// The curves; `data_std` is the pixels' standard deviation in the run's data.
pub fn section(files: &RunFiles, data_std: Option<f64>) -> Section {
    let body = match files.metrics.steps.is_empty() {
        true => missing("metrics.jsonl holds no line yet: there is no curve to draw."),
        false => html! {
            div.charts { @for curve in curves(data_std) { (draw(files, &curve)) } }
            @for size in grids(files) {
                h3 { "Grid of " (size) " px" }
                div.charts { @for curve in curves_of_grid(size) { (draw(files, &curve)) } }
            }
            @if !files.metrics.rollbacks.is_empty() {
                p.remark {
                    "Upright green lines mark refused updates, after which the run was rolled back. Dashed in orange: what that \
                    took back, but for what lies far outside of what remained."
                }
            }
        },
    };
    Section { id: "curves", title: "Training curves", body }
}

fn curves(data_std: Option<f64>) -> [Curve; 6] {
    let spread = match data_std {
        None => "Standard deviation of the samples' pixels on the [-1, 1] scale.",
        Some(_) => {
            "Standard deviation of the samples' pixels on the [-1, 1] scale. Dashed: that of the data without noise."
        }
    };
    let norm = "‖∇θ d‖₂ over all weights, before any clip.";
    let rate = "ADAM's rate, rollbacks included.";
    let sigma = "Standard deviation σ of the noise on the data.";
    [
        Curve { beside: Some(0.0), ..plain(|step| step.gap, "Energy gap d", "d", GAP) },
        plain(|step| step.chain_grad_norm, "Gradient along the chain", "r", R),
        Curve { logarithmic: true, ..plain(|step| step.theta_grad_norm, "Gradient of the weights", "norm", norm) },
        Curve { beside: data_std, ..plain(|step| step.sample_std, "Spread of the samples", "std", spread) },
        Curve { logarithmic: true, ..plain(|step| step.lr, "Learning rate", "rate", rate) },
        plain(|step| step.data_noise, "Noise on the data", "σ", sigma),
    ]
}

/// What d is.
const GAP: &str = "d = mean f(data) − mean f(samples). Healthy where it stays bounded and swings about a level near 0.";
/// What r is.
const R: &str = "r = mean over chains and steps of ‖f'(x)‖₂ per image.";

fn plain(of: impl Fn(&StepRecord) -> f64 + 'static, title: &str, label: &'static str, caption: &'static str) -> Curve {
    Curve { of: Box::new(of), title: title.to_owned(), label, logarithmic: false, beside: None, caption }
}

/// The sizes of the coarser grids of a ladder's run.
fn grids(files: &RunFiles) -> Vec<u64> {
    files.metrics.steps.last().map(|step| step.grids.iter().map(|grid| grid.size).collect()).unwrap_or_default()
}

/// The curves of a coarser grid.
fn curves_of_grid(size: u64) -> [Curve; 3] {
    let of = move |number: fn(&GridRecord) -> f64| {
        move |step: &StepRecord| step.on_grid(size).map_or(f64::NAN, |grid| number(&grid))
    };
    let spread = "Standard deviation of the pixels at the end of the grid, on the [-1, 1] scale.";
    [
        Curve { beside: Some(0.0), ..plain(of(|grid| grid.gap), "Energy gap d", "d", GAP) },
        plain(of(|grid| grid.chain_grad_norm), "Gradient along the chain", "r", R),
        plain(of(|grid| grid.sample_std), "Spread of the samples", "std", spread),
    ]
}

fn draw(files: &RunFiles, curve: &Curve) -> Markup {
    let kept = kept(&files.metrics, &*curve.of);
    let positive = kept.iter().all(|point| point.1 > 0.0);
    let mut drawn = Chart::new(&curve.title, "update", curve.label).sized(SIZE.0, SIZE.1);
    if curve.logarithmic && positive {
        drawn = drawn.log_y();
    }
    // No legend: it would lie over the curve, and the words below name what is dashed and upright. The order gives the
    // colours, so every part is drawn in every chart.
    drawn = match kept.len() {
        1 => drawn.dots("", kept.clone()),
        _ => drawn.line("", thinned(&kept, POINTS)),
    };
    drawn = drawn.dashed("", taken_back(&files.metrics, &*curve.of, bounds(&kept)));
    drawn = drawn.line("", marks(&files.metrics, bounds(&kept)));
    if let (Some(height), Some(first), Some(last)) = (curve.beside, kept.first(), kept.last()) {
        drawn = drawn.dashed("", [(first.0, height), (last.0, height)]);
    }
    let alt = match (kept.first(), kept.last()) {
        (Some(first), Some(last)) => {
            format!("{} over updates {} to {}: from {:.4} to {:.4}", curve.title, first.0, last.0, first.1, last.1)
        }
        _ => format!("{}: no numbers", curve.title),
    };
    figure(Ok(chart(&drawn, &alt)), html! { (curve.caption) })
}

/// A number of the run as it is now over its updates, where it was logged.
fn kept(metrics: &Metrics, of: &dyn Fn(&StepRecord) -> f64) -> Vec<(f64, f64)> {
    let points = metrics.kept().map(|step| (step.update as f64, of(step)));
    points.filter(|point| point.1.is_finite()).collect()
}

/// Least and most of a curve; 0 to 1 where it has no point.
fn bounds(points: &[(f64, f64)]) -> (f64, f64) {
    let fold = |(low, high): (f64, f64), point: &(f64, f64)| (low.min(point.1), high.max(point.1));
    let (low, high) = points.iter().fold((f64::INFINITY, f64::NEG_INFINITY), fold);
    if low <= high { (low, high) } else { (0.0, 1.0) }
}

/// What rollbacks took back, a piece an attempt. Numbers far outside the surviving ones would press those flat: a run that
/// blows up has gone to thousands.
fn taken_back(metrics: &Metrics, of: &dyn Fn(&StepRecord) -> f64, (low, high): (f64, f64)) -> Vec<(f64, f64)> {
    let room = (high - low).max(0.1 * high.abs());
    let mut pieces = Vec::new();
    let mut attempt = None;
    for step in metrics.steps.iter().filter(|step| !metrics.counts(step.update, step.attempt)) {
        if attempt.replace(step.attempt).is_some_and(|before| before != step.attempt) {
            pieces.push((f64::NAN, f64::NAN));
        }
        let value = of(step);
        let near = (low - room..=high + room).contains(&value);
        pieces.push((step.update as f64, if near { value } else { f64::NAN }));
    }
    pieces
}

/// An upright line at each refused update, parted by gaps.
fn marks(metrics: &Metrics, (low, high): (f64, f64)) -> Vec<(f64, f64)> {
    let updates = metrics.rollbacks.iter().map(|rollback| rollback.update as f64);
    updates.flat_map(|update| [(update, low), (update, high), (f64::NAN, f64::NAN)]).collect()
}

/// At most about `most` points of a curve, the least and the most of each stretch: a spike stays.
fn thinned(points: &[(f64, f64)], most: usize) -> Vec<(f64, f64)> {
    if points.len() <= most {
        return points.to_vec();
    }
    let stretch = points.len().div_ceil(most / 2);
    let mut kept = Vec::new();
    for part in points.chunks(stretch) {
        let of = |better: fn(f64, f64) -> bool| {
            (1..part.len()).fold(0, |best, i| if better(part[i].1, part[best].1) { i } else { best })
        };
        let (least, greatest) = (of(|a, b| a < b), of(|a, b| a > b));
        kept.push(part[least.min(greatest)]);
        if least != greatest {
            kept.push(part[least.max(greatest)]);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use srm_run::layout::METRICS;

    #[test]
    fn what_is_damaged_missing_or_taken_back_leaves_the_rest_of_the_curves() {
        let line = |update: u64, attempt: u32, rate: &str| {
            format!(r#"{{"update":{update},"attempt":{attempt},"gap":0.5,"chain_grad_norm":{update}.5,"lr":{rate}}}"#)
        };
        let rollback = r#"{"event":"rollback","update":40,"to":20,"reason":"gap","attempt":1}"#;
        let without = line(20, 0, "0.1").replace(r#","lr":0.1"#, "");
        let lines = [&*line(10, 0, "0.1"), &without, &line(30, 0, "0.1"), "{\"upd", rollback, &line(25, 1, "0.05")];
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(METRICS), lines.join("\n")).unwrap();
        let files = RunFiles::read(folder.path()).unwrap();
        let of_metrics: Vec<&String> = files.notes.iter().filter(|note| note.contains(METRICS)).collect();
        assert_eq!(of_metrics, ["1 line of metrics.jsonl is damaged or half-written and was left out"]);
        let r = |step: &StepRecord| step.chain_grad_norm;
        assert_eq!(kept(&files.metrics, &r), [(10.0, 10.5), (20.0, 20.5), (25.0, 25.5)]);
        assert_eq!(kept(&files.metrics, &|step| step.lr), [(10.0, 0.1), (25.0, 0.05)]);
        assert_eq!(taken_back(&files.metrics, &r, (0.0, 50.0)), [(30.0, 30.5)]);
        assert_eq!(marks(&files.metrics, (0.0, 50.0))[..2], [(40.0, 0.0), (40.0, 50.0)]);
    }

    #[test]
    fn thinning_keeps_the_spikes_and_the_order() {
        let mut points: Vec<(f64, f64)> = (0..10_000).map(|x| (f64::from(x), (f64::from(x) * 0.01).sin())).collect();
        (points[1234].1, points[8765].1) = (50.0, -50.0);
        let thin = thinned(&points, 200);
        assert!(thin.len() <= 200, "{}", thin.len());
        assert!(thin.contains(&(1234.0, 50.0)) && thin.contains(&(8765.0, -50.0)));
        assert!(thin.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert_eq!(thinned(&points[..100], 200), points[..100]);
    }
}
