//! Correlate gap and gradient norm over a run's updates.

use std::{fmt, path::PathBuf};

use anyhow::Result;
use serde::Serialize;
use srm_eval::{History, Logged, autocorrelation, cross_correlation};
use srm_report::Chart;
use srm_run::layout::METRICS;

use super::{bench::Bench, charts::number};
use crate::session::shown;

/// Logged updates below which a correlation says nothing.
const FEW: usize = 16;
/// Lags at most; a quarter of the series where that is less, since an estimate at lag l rests on n − l products.
const LAGS: usize = 60;

/// Gap d and gradient norm r over a run's updates.
#[derive(Serialize)]
pub struct Training {
    #[serde(serialize_with = "shown::path")]
    file: PathBuf,
    logged: usize,
    rolled_back: usize,
    spacing: u64,
    correlated: usize,
    from: u64,
    to: u64,
    gap_mean: f64,
    gap_std: f64,
    gap_sign_changes: usize,
    white_noise_band: f64,
    autocorrelation: Autocorrelation,
    cross_correlation: CrossCorrelation,
}

#[derive(Serialize)]
struct Autocorrelation {
    lags: Vec<usize>,
    gap: Vec<f64>,
    gradient_norm: Vec<f64>,
}

#[derive(Serialize)]
struct CrossCorrelation {
    lags: Vec<i64>,
    gap_then_gradient_norm: Vec<f64>,
}

/// Read the run's log, draw d and r over updates and their correlations; in words why not, where there is no log to read.
///
/// # Errors
/// A log that cannot be read, charts that cannot be written.
pub fn diagnose(
    Bench { flags, .. }: &Bench<'_>,
    files: &mut Vec<String>,
) -> Result<std::result::Result<Training, String>> {
    let (run, after) = (&flags.weights, flags.after);
    let file = run.join(METRICS);
    if !file.is_file() {
        let reason = format!(
            "{} is no run folder with a metrics.jsonl; give one to see gap and gradient over updates",
            run.display()
        );
        return Ok(Err(reason));
    }
    let history = History::read(&file)?;
    let (spacing, stretch) = match history.even_stretch(after) {
        Some((spacing, stretch)) if stretch.len() >= FEW => (spacing, stretch),
        found => {
            let count = found.map_or(0, |(_, stretch)| stretch.len());
            let reason = format!(
                "{} holds {count} equally spaced logged updates from update {after} on, correlations need {FEW}; train longer or \
                 lower log.every",
                file.display()
            );
            return Ok(Err(reason));
        }
    };
    let found = Training::new(file, &history, spacing, stretch);
    let charts = [gap_chart(&history), gradient_chart(&history), found.chart()];
    for (chart, name) in charts.into_iter().zip(["gap", "gradient", "correlation"]) {
        let name = format!("training_{name}.svg");
        chart.write(&flags.out.join(&name))?;
        files.push(name);
    }
    Ok(Ok(found))
}

fn over(history: &History, of: fn(&Logged) -> f64) -> impl Iterator<Item = (f64, f64)> {
    history.logged.iter().map(move |logged| (logged.update as f64, of(logged)))
}

fn gap_chart(history: &History) -> Chart {
    Chart::new("Gap over training", "update", "d = mean f(data) − mean f(samples)")
        .line("d", over(history, |logged| logged.gap))
        .dashed("0", over(history, |_| 0.0))
}

fn gradient_chart(history: &History) -> Chart {
    Chart::new("Gradient over training", "update", "r = mean ‖f'(x)‖₂ along the chains")
        .line("", over(history, |logged| logged.gradient_norm))
}

impl Training {
    /// Correlate the logged updates of an even stretch.
    fn new(file: PathBuf, history: &History, spacing: u64, stretch: &[Logged]) -> Training {
        let gap: Vec<f64> = stretch.iter().map(|logged| logged.gap).collect();
        let norm: Vec<f64> = stretch.iter().map(|logged| logged.gradient_norm).collect();
        let (n, most) = (stretch.len(), (stretch.len() / 4).min(LAGS));
        let gap_mean = gap.iter().sum::<f64>() / n as f64;
        Training {
            file,
            logged: history.logged.len(),
            rolled_back: history.cut,
            spacing,
            correlated: n,
            from: stretch[0].update,
            to: stretch[n - 1].update,
            gap_mean,
            gap_std: (gap.iter().map(|d| (d - gap_mean).powi(2)).sum::<f64>() / n as f64).sqrt(),
            gap_sign_changes: gap.windows(2).filter(|pair| pair[0] * pair[1] < 0.0).count(),
            white_noise_band: 1.96 / (n as f64).sqrt(),
            autocorrelation: Autocorrelation {
                lags: (0..=most).collect(),
                gap: autocorrelation(&gap, most),
                gradient_norm: autocorrelation(&norm, most),
            },
            cross_correlation: CrossCorrelation {
                lags: (-(most as i64)..=most as i64).collect(),
                gap_then_gradient_norm: cross_correlation(&gap, &norm, most),
            },
        }
    }

    /// The correlations over lags.
    fn chart(&self) -> Chart {
        let (Autocorrelation { lags, gap, gradient_norm }, crossed) = (&self.autocorrelation, &self.cross_correlation);
        let (edge, band) = ((lags.len() - 1) as f64, self.white_noise_band);
        let over = |values: &[f64], first: f64| {
            values.iter().enumerate().map(|(i, &value)| (first + i as f64, value)).collect::<Vec<_>>()
        };
        let axis = format!("lag in logged updates, {} updates apart; positive: r after d", self.spacing);
        let white = [(-edge, band), (edge, band), (f64::NAN, f64::NAN), (-edge, -band), (edge, -band)];
        Chart::new("Correlations over training", &axis, "correlation")
            .line("d with d", over(gap, 0.0))
            .line("r with r", over(gradient_norm, 0.0))
            .line("d with r", over(&crossed.gap_then_gradient_norm, -edge))
            .dashed("95 % of white noise", white)
    }
}

impl fmt::Display for Training {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { correlated, spacing, from, to, rolled_back, gap_sign_changes, .. } = self;
        let (Autocorrelation { gap, gradient_norm, .. }, crossed) = (&self.autocorrelation, &self.cross_correlation);
        let pairs = crossed.lags.iter().zip(&crossed.gap_then_gradient_norm);
        let (lag, most) = pairs.max_by(|(_, a), (_, b)| a.abs().total_cmp(&b.abs())).unwrap_or((&0, &0.0));
        let [mean, std, most, band] = [self.gap_mean, self.gap_std, *most, self.white_noise_band].map(number);
        let cut = if *rolled_back > 0 { format!(", {rolled_back} rolled back") } else { String::new() };
        write!(
            out,
            "training   {correlated} logged updates, {spacing} apart ({from} to {to}{cut}): d = {mean} ± {std}, "
        )?;
        write!(out, "{gap_sign_changes} changes of sign; at lag 1 d with d {}, ", number(gap[1]))?;
        write!(
            out,
            "r with r {}; d with r at most {most} at lag {lag} (white noise: ±{band})",
            number(gradient_norm[1])
        )
    }
}
