//! Draw points that come as JSON on stdin as an SVG file: `chart OUT.svg < points.json`.
//!
//! The JSON is `{"title": "…", "x": "label", "y": "label", "points": [[1, 0.5], [2, 0.7]]}`; x is drawn logarithmically.

use anyhow::{Context, Result};
use serde_json::Value;
use srm_report::Chart;
use std::{env, io, path::PathBuf};

fn main() -> Result<()> {
    let out = env::args_os().nth(1).map(PathBuf::from).context("give the file to write: chart OUT.svg")?;
    let given: Value = serde_json::from_reader(io::stdin().lock()).context("stdin holds no JSON")?;
    let word = |key: &str| given[key].as_str().with_context(|| format!("{key:?} is no text"));
    let points = given["points"].as_array().context("\"points\" is no list")?;
    let points: Vec<(f64, f64)> =
        points.iter().filter_map(|point| Some((point[0].as_f64()?, point[1].as_f64()?))).collect();
    let chart = Chart::new(word("title")?, word("x")?, word("y")?).log_x();
    Ok(chart.line("", points.iter().copied()).dots("", points.iter().copied()).write(&out)?)
}
