//! Correlate gap and gradient norm over a run's updates.

use std::path::Path;

use anyhow::Result;
use serde_json::json;
use srm_eval::{History, Logged, autocorrelation, cross_correlation};
use srm_report::Chart;
use srm_run::layout::METRICS;

use super::{Found, charts::number};
use crate::session::Shown;

/// Logged updates below which a correlation says nothing.
const FEW: usize = 16;
/// Lags at most; a quarter of the series where that is less, since an estimate at lag l rests on n − l products.
const LAGS: usize = 60;

/// Read the run's log, draw d and r over updates and their correlations; in words why not, where there is no log to read.
///
/// # Errors
/// A log that cannot be read, charts that cannot be written.
pub fn diagnose(run: &Path, after: u64, out: &Path) -> Result<std::result::Result<Found, String>> {
    let path = run.join(METRICS);
    if !path.is_file() {
        let reason = format!(
            "{} is no run folder with a metrics.jsonl; give one to see gap and gradient over updates",
            run.display()
        );
        return Ok(Err(reason));
    }
    let history = History::read(&path)?;
    let (spacing, stretch) = match history.even_stretch(after) {
        Some((spacing, stretch)) if stretch.len() >= FEW => (spacing, stretch),
        found => {
            let count = found.map_or(0, |(_, stretch)| stretch.len());
            let reason = format!(
                "{} holds {count} equally spaced logged updates from update {after} on, correlations need {FEW}; train longer or \
                 lower log.every",
                path.display()
            );
            return Ok(Err(reason));
        }
    };
    let gap: Vec<f64> = stretch.iter().map(|logged| logged.gap).collect();
    let norm: Vec<f64> = stretch.iter().map(|logged| logged.gradient_norm).collect();
    let (n, most) = (stretch.len(), (stretch.len() / 4).min(LAGS));
    let (of_gap, of_norm) = (autocorrelation(&gap, most), autocorrelation(&norm, most));
    let crossed = cross_correlation(&gap, &norm, most);
    let band = 1.96 / (n as f64).sqrt();

    let files = ["training_gap.svg", "training_gradient.svg", "training_correlation.svg"];
    let over = |of: fn(&Logged) -> f64| {
        history.logged.iter().map(|logged| (logged.update as f64, of(logged))).collect::<Vec<_>>()
    };
    let ends = |value: f64| history.logged.iter().map(move |logged| (logged.update as f64, value)).collect::<Vec<_>>();
    Chart::new("Gap over training", "update", "d = mean f(data) − mean f(samples)")
        .line("d", over(|logged| logged.gap))
        .dashed("0", ends(0.0))
        .write(&out.join(files[0]))?;
    Chart::new("Gradient over training", "update", "r = mean ‖f'(x)‖₂ along the chains")
        .line("", over(|logged| logged.gradient_norm))
        .write(&out.join(files[1]))?;
    let lags = |values: &[f64], first: f64| {
        values.iter().enumerate().map(|(i, &value)| (first + i as f64, value)).collect::<Vec<_>>()
    };
    let edge = most as f64;
    Chart::new(
        "Correlations over training",
        &format!("lag in logged updates, {spacing} updates apart; positive: r after d"),
        "correlation",
    )
    .line("d with d", lags(&of_gap, 0.0))
    .line("r with r", lags(&of_norm, 0.0))
    .line("d with r", lags(&crossed, -edge))
    .dashed("95 % of white noise", [(-edge, band), (edge, band), (f64::NAN, f64::NAN), (-edge, -band), (edge, -band)])
    .write(&out.join(files[2]))?;

    let mean = gap.iter().sum::<f64>() / n as f64;
    let std = (gap.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / n as f64).sqrt();
    let changes = gap.windows(2).filter(|pair| pair[0] * pair[1] < 0.0).count();
    let strongest = (0..crossed.len()).max_by(|&i, &j| crossed[i].abs().total_cmp(&crossed[j].abs())).unwrap_or(most);
    let strongest_lag = strongest as i64 - most as i64;
    let (from, to) = (stretch[0].update, stretch[n - 1].update);
    let object = json!({
        "file": Shown(&path), "logged": history.logged.len(), "rolled_back": history.cut, "spacing": spacing, "correlated": n,
        "from": from, "to": to, "gap_mean": mean, "gap_std": std, "gap_sign_changes": changes, "white_noise_band": band,
        "autocorrelation": { "lags": (0..=most).collect::<Vec<_>>(), "gap": of_gap, "gradient_norm": of_norm },
        "cross_correlation": { "lags": (-(most as i64)..=most as i64).collect::<Vec<_>>(), "gap_then_gradient_norm": crossed },
    });
    let text = format!(
        "training   {n} logged updates, {spacing} apart ({from} to {to}{}): d = {} ± {}, {changes} changes of sign; at lag 1 d with d {}, \
         r with r {}; d with r at most {} at lag {strongest_lag} (white noise: ±{})",
        if history.cut > 0 { format!(", {} rolled back", history.cut) } else { String::new() },
        number(mean),
        number(std),
        number(of_gap[1]),
        number(of_norm[1]),
        number(crossed[strongest]),
        number(band),
    );
    Ok(Ok(Found { object, text, files: files.map(str::to_owned).to_vec() }))
}
