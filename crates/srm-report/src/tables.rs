//! List settings, machine and history of a run, and the commands that make it again.

use std::{
    path::Path,
    time::{Duration, UNIX_EPOCH},
};

use maud::{Markup, html};
use serde_json::Value;
use srm_run::{
    Environment, Event,
    layout::{CONFIG, DIAGNOSTICS},
};

use crate::{
    Grid, Report, RunFiles,
    divergence::reason,
    facts::{self, thousands},
    page::Section,
    pictures::missing,
};

/// The resolved settings, folded.
pub fn settings(files: &RunFiles) -> Section {
    let body = match &files.config_text {
        None => missing("config.json is missing: the settings are not known."),
        Some(text) => html! {
            details { summary { "config.json, all values resolved" } pre { (text.trim_end()) } }
        },
    };
    Section { id: "settings", title: "Settings", body }
}

/// Versions and machine: of the newest checkpoint, else of the last start.
pub fn machine(files: &RunFiles) -> Option<Section> {
    let noted = || files.history.iter().rev().find_map(|event| event.environment.as_ref());
    let found = files.state.as_ref().map(|file| &file.environment).or_else(noted)?.clone();
    let Environment { srm, libtorch, cpu, device, precision, threads, ranks, block } = found;
    let body = html! {
        (facts::list([
            ("srm", srm),
            ("libtorch", libtorch.unwrap_or_else(|| "unknown".to_owned())),
            ("CPU", cpu),
            ("device", device),
            ("numbers in the net", precision),
            ("threads", threads.to_string()),
            ("ranks", ranks.to_string()),
            ("chains per block", block.to_string()),
        ]))
        p.remark { "What can change a bit of the result. Threads change none." }
    };
    Some(Section { id: "machine", title: "Versions and machine", body })
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "unknown".to_owned(),
        other => other.to_string(),
    }
}

/// Starts, resumes with what changed, rollbacks, ends.
pub fn history(files: &RunFiles) -> Section {
    let body = match files.history.is_empty() {
        true => missing("history.jsonl is missing or empty: nothing is known of starts and ends."),
        false => html! {
            ol.history {
                @for event in &files.history {
                    li {
                        (time(event.time))
                        " " strong { (event.event) }
                        @if let Some(update) = event.update { " at update " (thousands(update)) }
                        @if let Some(taken) = &event.rollback { ", back to " (thousands(taken.to)) ": " (reason(taken)) }
                        (listed(event))
                    }
                }
            }
        },
    };
    Section { id: "history", title: "History", body }
}

/// What a resume changed.
fn listed(event: &Event) -> Markup {
    html! {
        ul {
            @for change in event.changes.iter().flatten() {
                li { code { (change.path) } ": " (plain(&change.from)) " → " (plain(&change.to)) }
            }
            @for difference in event.differences.iter().flatten() { li { (difference) } }
        }
    }
}

/// A moment in UTC.
fn time(seconds: Option<u64>) -> Markup {
    let moment = seconds.and_then(|seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds)));
    // beyond the year 9999 the crate has no text
    let text = moment.and_then(|moment| {
        use std::fmt::Write;
        let mut text = String::new();
        write!(text, "{}", humantime::format_rfc3339_seconds(moment)).ok().map(|()| text)
    });
    match text {
        Some(text) => html! { time datetime=(text) { (text.replace('T', " ").replace('Z', " UTC")) } },
        None => html! { "at an unknown time" },
    }
}

/// The command lines that make the run, the pictures of the page and the numbers again.
pub fn again(report: &Report<'_>) -> Section {
    let (files, Grid { seed, count }) = (report.files, report.grid);
    let run = word(&files.folder);
    let data = files.config.as_ref().filter(|_| report.remedy.is_some()).map(|config| &config.data.images);
    let mut lines = Vec::new();
    lines.extend(report.remedy.iter().map(|remedy| format!("# the images: {remedy}")));
    lines.push(format!("srm train --config {} --run {run}-again", word(&files.folder.join(CONFIG))));
    lines.push(format!("srm sample --weights {run} --seed {seed} --count {count} --out x.png --chain chain.png"));
    if let Some(Ok(drawn)) = report.figures {
        let pairs = drawn.interpolation.as_ref().map_or(0, |found| found.rows);
        if pairs > 0 {
            lines.push(format!("srm interpolate --weights {run} --seed {} --pairs {pairs} --out rows.png", drawn.seed));
        }
        if let Ok(found) = &drawn.reconstruction
            && let Some(images) = found.given.as_ref().or(data)
        {
            lines.push(format!(
                "srm reconstruct --weights {run} --images {} --count {} --iterations {} --seed {} --out r.png",
                word(images),
                found.count,
                drawn.iterations,
                drawn.seed
            ));
        }
    }
    if let Some(data) = data {
        lines.push(format!("srm evaluate --weights {run} --data {}", word(data)));
    }
    if files.diagnostics.is_empty() {
        lines.push(format!("srm diagnose chains --weights {run} --out {run}/{DIAGNOSTICS}"));
    }
    lines.push(format!("srm report {run}"));
    let changed = files.history.iter().any(|event| event.changes.iter().flatten().next().is_some());
    let body = html! {
        pre { (lines.join("\n")) }
        p.remark {
            "Every random draw has a key, so the same settings on the same kind of machine give the same bits."
            @if changed {
                " Settings changed on the way (see the history): config.json holds the last ones, so for the same bits change \
                them again at the same updates."
            }
        }
    };
    Section { id: "again", title: "Make it again", body }
}

/// A path on a shell's command line.
fn word(path: &Path) -> String {
    quoted(&path.display().to_string())
}

fn quoted(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:,=+@%".contains(letter);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_a_shell() {
        assert_eq!(["runs/demo", "my run", "it's", ""].map(quoted), ["runs/demo", "'my run'", r"'it'\''s'", "''"]);
    }

    #[test]
    fn moments_are_utc_and_odd_ones_do_not_stop_the_page() {
        assert!(time(Some(1_795_523_067)).into_string().contains("2026-11-24 12:24:27 UTC"));
        for odd in [Some(u64::MAX), None, Some(999_999_999_999_999)] {
            assert_eq!(time(odd).into_string(), "at an unknown time");
        }
    }
}
