//! Show scores with everything that moves them: those of `srm evaluate`, and those made during training.

use std::collections::BTreeMap;

use maud::{Markup, html};
use serde_json::Value;
use srm_run::ScoreRecord;

use crate::{
    Chart, RunFiles,
    curves::SIZE,
    facts::{thousands, value},
    page::Section,
    pictures::{chart, figure},
};

/// The scores that the folder holds, if any.
pub fn section(files: &RunFiles) -> Option<Section> {
    if files.scores.is_empty() && files.evaluation.is_none() {
        return None;
    }
    let body = html! {
        @if let Some(evaluation) = &files.evaluation { (evaluated(evaluation)) }
        @if !files.scores.is_empty() { (trained(files)) }
    };
    Some(Section { id: "scores", title: "Scores", body })
}

/// What `srm evaluate` has left: a row a checkpoint.
fn evaluated(object: &Value) -> Markup {
    let features = &object["features"];
    let name = features["name"].as_str().unwrap_or("unknown features");
    let distance = if features["is_fid"] == true { "FID".to_owned() } else { format!("Fréchet ({name})") };
    let results: &[Value] = object["results"].as_array().map_or(&[], Vec::as_slice);
    let pair = |pair: &Value| match pair["std"].is_number() {
        true => format!("{} ± {}", value(&pair["mean"]), value(&pair["std"])),
        false => value(&pair["mean"]),
    };
    let row = |what: &str, line: &Value| {
        html! {
            tr {
                th scope="row" { (what) }
                @for key in ["count", "steps", "seed", "frechet"] { td { (value(&line[key])) } }
                @for key in ["kernel", "inception_score"] { td { (pair(&line[key])) } }
                @for key in ["precision", "recall"] { td { (value(&line[key])) } }
            }
        }
    };
    let data = &object["data"];
    let said = |key: &str| data["manifest"][key].as_str().unwrap_or("not recorded").to_owned();
    html! {
        div.scroll {
            table {
                thead {
                    tr {
                        @for head in ["samples", "count", "K", "seed", &distance, "kernel", "inception", "precision", "recall"] {
                            th scope="col" { (head) }
                        }
                    }
                }
                tbody {
                    @for line in results {
                        (row(&line["update"].as_u64().map_or_else(
                            || line["samples"].as_str().unwrap_or("samples").to_owned(),
                            |update| format!("update {}", thousands(update)),
                        ), line))
                    }
                    @if !object["self_check"].is_null() { (row("real against real (halves)", &object["self_check"])) }
                }
            }
        }
        p.remark {
            "Against "
            // a file of statistics does not say of how many images
            @match data["count"].as_u64().filter(|count| *count > 0) {
                Some(count) => { (thousands(count)) " images of " }
                None => { "the statistics in " }
            }
            code { (data["file"].as_str().unwrap_or("unknown")) }
            " (crop " (said("crop")) ", filter " (said("filter")) "). Features: " (name)
            @if let Some(sum) = features["sha256"].as_str() { ", sha256 " code { (sum.get(..12).unwrap_or(sum)) } }
            ". Lower is better, except for inception score, precision and recall."
        }
        @for warning in object["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            p.warning { (warning) "." }
        }
    }
}

/// Scores made during training, a chart a name.
fn trained(files: &RunFiles) -> Markup {
    let mut by_name: BTreeMap<&str, Vec<&ScoreRecord>> = BTreeMap::new();
    for score in files.scores.iter().filter(|score| files.metrics.counts(score.update, score.attempt)) {
        by_name.entry(&score.name).or_default().push(score);
    }
    html! { div.charts { @for (name, scores) in &by_name { (over_updates(name, scores)) } } }
}

fn over_updates(name: &str, scores: &[&ScoreRecord]) -> Markup {
    let point = |made: &&ScoreRecord| Some((made.update as f64, made.score?));
    let points: Vec<(f64, f64)> = scores.iter().filter_map(point).collect();
    let best = points.iter().copied().reduce(|best, other| if other.1 < best.1 { other } else { best });
    let drawn = Chart::new(name, "update", "score")
        .sized(SIZE.0, SIZE.1)
        .line("", points.iter().copied())
        .dots("", points.iter().copied())
        .dots("", best);
    let (count, averaged) = scores.last().map_or((0, false), |newest| (newest.count, newest.averaged));
    let weights = if averaged { "averaged weights" } else { "the weights themselves" };
    let caption = html! {
        "During training: " (name) " of " (count) " samples, " (weights) "; lower is better."
        @if let Some((update, score)) = best {
            " Best, in green: " (format!("{score:.4}")) " at update " (thousands(update as u64)) "."
        }
        @if points.len() < scores.len() { " Missing points: the chains blew up." }
    };
    figure(Ok(chart(&drawn, &format!("{name} over updates"))), caption)
}
