//! Draw the numbers of a run over its updates, with its rollbacks marked.

use maud::{Markup, html};
use serde_json::Value;

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
    key: &'static str,
    title: &'static str,
    label: &'static str,
    logarithmic: bool,
    /// The height of a dashed line to compare with.
    beside: Option<f64>,
    caption: Markup,
}

/// The curves; `data_std` is the pixels' standard deviation in the run's data.
pub fn section(files: &RunFiles, data_std: Option<f64>) -> Section {
    let body = match files.metrics.len() {
        0 => missing("metrics.jsonl holds no line yet: there is no curve to draw."),
        _ => html! {
            div.charts { @for curve in curves(data_std) { (draw(files, &curve)) } }
            @if !files.rollbacks.is_empty() {
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
    let plain = |key, title, label, caption| Curve { key, title, label, logarithmic: false, beside: None, caption };
    [
        Curve {
            beside: Some(0.0),
            ..plain(
                "gap",
                "Energy gap d",
                "d",
                html! {
                    "d = mean f(data) − mean f(samples). Healthy where it stays bounded and swings about a level near 0."
                },
            )
        },
        plain(
            "chain_grad_norm",
            "Gradient along the chain",
            "r",
            html! {
                "r = mean over chains and steps of ‖f'(x)‖₂ per image."
            },
        ),
        Curve {
            logarithmic: true,
            ..plain(
                "theta_grad_norm",
                "Gradient of the weights",
                "norm",
                html! {
                    "‖∇θ d‖₂ over all weights, before any clip."
                },
            )
        },
        Curve {
            beside: data_std,
            ..plain(
                "sample_std",
                "Spread of the samples",
                "std",
                html! {
                    "Standard deviation of the samples' pixels on the [-1, 1] scale"
                    @if data_std.is_some() { ". Dashed: that of the data without noise" } "."
                },
            )
        },
        Curve {
            logarithmic: true,
            ..plain("lr", "Learning rate", "rate", html! { "ADAM's rate, rollbacks included." })
        },
        plain("data_noise", "Noise on the data", "σ", html! { "Standard deviation σ of the noise on the data." }),
    ]
}

fn draw(files: &RunFiles, curve: &Curve) -> Markup {
    let point = |line: &Value| Some((line["update"].as_u64()? as f64, line[curve.key].as_f64()?));
    let kept: Vec<(f64, f64)> = files.metrics.iter().filter(|line| files.survives(line)).filter_map(point).collect();
    let positive = kept.iter().all(|point| point.1 > 0.0);
    let mut drawn = Chart::new(curve.title, "update", curve.label).sized(SIZE.0, SIZE.1);
    if curve.logarithmic && positive {
        drawn = drawn.log_y();
    }
    // No legend: it would lie over the curve, and the words below name what is dashed and upright. The order gives the
    // colours, so every part is drawn in every chart.
    drawn = match kept.len() {
        1 => drawn.dots("", kept.clone()),
        _ => drawn.line("", thinned(&kept, POINTS)),
    };
    drawn = drawn.dashed("", taken_back(files, curve.key, bounds(&kept)));
    drawn = drawn.line("", marks(files, bounds(&kept)));
    if let (Some(height), Some(first), Some(last)) = (curve.beside, kept.first(), kept.last()) {
        drawn = drawn.dashed("", [(first.0, height), (last.0, height)]);
    }
    let alt = match (kept.first(), kept.last()) {
        (Some(first), Some(last)) => {
            format!("{} over updates {} to {}: from {:.4} to {:.4}", curve.title, first.0, last.0, first.1, last.1)
        }
        _ => format!("{}: no numbers", curve.title),
    };
    figure(Ok(chart(&drawn, &alt)), curve.caption.clone())
}

/// Least and most of a curve; 0 to 1 where it has no point.
fn bounds(points: &[(f64, f64)]) -> (f64, f64) {
    let fold = |(low, high): (f64, f64), point: &(f64, f64)| (low.min(point.1), high.max(point.1));
    let (low, high) = points.iter().fold((f64::INFINITY, f64::NEG_INFINITY), fold);
    if low <= high { (low, high) } else { (0.0, 1.0) }
}

/// What rollbacks took back, a piece an attempt. Numbers far outside the surviving ones would press those flat: a run that
/// blows up has gone to thousands.
fn taken_back(files: &RunFiles, key: &str, (low, high): (f64, f64)) -> Vec<(f64, f64)> {
    let room = (high - low).max(0.1 * high.abs());
    let mut pieces = Vec::new();
    let mut attempt = None;
    for line in files.metrics.iter().filter(|line| !files.survives(line)) {
        if attempt.replace(&line["attempt"]).is_some_and(|before| *before != line["attempt"]) {
            pieces.push((f64::NAN, f64::NAN));
        }
        let value = line[key].as_f64().filter(|value| (low - room..=high + room).contains(value));
        pieces.push((line["update"].as_u64().map_or(f64::NAN, |update| update as f64), value.unwrap_or(f64::NAN)));
    }
    pieces
}

/// An upright line at each refused update, parted by gaps.
fn marks(files: &RunFiles, (low, high): (f64, f64)) -> Vec<(f64, f64)> {
    let updates = files.rollbacks.iter().filter_map(|line| line["update"].as_u64());
    updates.flat_map(|update| [(update as f64, low), (update as f64, high), (f64::NAN, f64::NAN)]).collect()
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
