//! Say in a line and a table what the run is and how it ended.

use maud::{Markup, html};
use serde_json::Value;
use srm_config::{Activation, Config, Init, LangevinConfig};
use srm_run::layout::EMA;
use srm_terminal::duration;

use crate::RunFiles;

/// One line: data, net, K, updates, outcome, time.
pub fn summary(files: &RunFiles) -> String {
    let mut parts = Vec::new();
    if let Some(config) = &files.config {
        parts.push(data_name(config));
        parts.push(format!("{} px, n {}, K {}", config.energy.size, config.energy.features, config.langevin.steps));
    }
    if let Some(update) = last_update(files) {
        parts.push(format!("{} updates", thousands(update)));
    }
    parts.push(outcome(files).to_owned());
    if let Some(seconds) = seconds(files) {
        parts.push(duration(seconds));
    }
    parts.join(" · ")
}

/// What the config says about itself.
pub fn about(files: &RunFiles) -> Markup {
    let about = files.config.as_ref().map_or("", |config| config.about.as_str());
    let mut lines = about.lines().filter(|line| !line.trim().is_empty());
    let (first, others) = (lines.next(), lines.collect::<Vec<_>>());
    html! {
        @if let Some(first) = first { p.about { (first) } }
        @if !others.is_empty() {
            details.about { summary { "More of what the config says" } @for line in others { p { (line) } } }
        }
    }
}

/// The facts that a reader asks for first.
pub fn table(files: &RunFiles) -> Markup {
    let mut facts: Vec<(&str, String)> = Vec::new();
    if let Some(config) = &files.config {
        facts.extend([("Data", data(config)), ("Net f", net(config)), ("Short run", short_run(config))]);
    }
    facts.push(("Updates", updates(files)));
    facts.push(("Outcome", outcome(files).to_owned()));
    if let Some(last) = files.last() {
        let [gap, r, std] = [last.gap, last.chain_grad_norm, last.sample_std].map(number);
        facts.push(("Last numbers", format!("gap {gap}, r {r}, std {std}")));
    }
    facts.push((
        "Rollbacks",
        match files.rollbacks().len() {
            0 => "none".to_owned(),
            count => count.to_string(),
        },
    ));
    if let Some(checkpoint) = &files.checkpoint
        && let Some(update) = checkpoint.update()
    {
        let which = if checkpoint.weights().ends_with(EMA) { ", averaged weights" } else { "" };
        facts.push(("Newest checkpoint", format!("update {}{which}", thousands(update))));
    }
    list(facts)
}

/// Names and values, side by side as far as there is room.
pub fn list<Name: maud::Render>(facts: impl IntoIterator<Item = (Name, String)>) -> Markup {
    html! { dl.facts { @for (name, value) in facts { div { dt { (name) } dd { (breakable(&value)) } } } } }
}

/// Text that may break after the slashes and underlines of a path, and not in the middle of a name.
fn breakable(text: &str) -> Markup {
    html! {
        @for part in text.split_inclusive(['/', '_']) {
            (part)
            @if part.ends_with(['/', '_']) { wbr; }
        }
    }
}

/// How the run ended, by its history.
pub fn outcome(files: &RunFiles) -> &'static str {
    match files.history.last().map(|event| &*event.event) {
        Some("finished") => "finished",
        Some("interrupted") => "interrupted",
        Some("diverged") => "stopped on divergence",
        _ => "no end noted: it still runs, or was broken off",
    }
}

/// The last update that the logs or the newest checkpoint know of.
fn last_update(files: &RunFiles) -> Option<u64> {
    files.last().map(|step| step.update).max(files.checkpoint_update())
}

/// Seconds of training so far.
fn seconds(files: &RunFiles) -> Option<f64> {
    let logged = files.last().map(|step| step.seconds).filter(|seconds| seconds.is_finite());
    let saved = files.state.as_ref().map(|file| file.state.seconds);
    logged.into_iter().chain(saved).reduce(f64::max)
}

fn data_name(config: &Config) -> String {
    let images = &config.data.images;
    images.file_stem().map_or_else(|| images.display().to_string(), |name| name.to_string_lossy().into_owned())
}

fn data(config: &Config) -> String {
    let flip = if config.data.flip { ", mirrored at random" } else { "" };
    if let Some(side) = config.data.crop {
        return format!("{}, crops of {side}×{side} px{flip}", config.data.images.display());
    }
    let count = config.data.count.map_or("all".to_owned(), |count| format!("the first {}", thousands(count as u64)));
    format!("{}, {count} images{flip}", config.data.images.display())
}

fn net(config: &Config) -> String {
    let energy = &config.energy;
    let activation = match energy.activation {
        Activation::LeakyRelu(slope) => format!("LeakyReLU {slope}"),
        Activation::Relu => "ReLU".to_owned(),
        Activation::Silu => "SiLU".to_owned(),
        Activation::Softplus => "softplus".to_owned(),
        Activation::Gelu => "GELU".to_owned(),
    };
    let channels = match energy.channels {
        1 => "grey".to_owned(),
        3 => "RGB".to_owned(),
        count => format!("{count} channels"),
    };
    format!("{0}×{0} {channels}, n {1}, {activation}", energy.size, energy.features)
}

fn short_run(config: &Config) -> String {
    let langevin = &config.langevin;
    let start = match &langevin.init {
        Init::Uniform => "uniform noise",
        Init::Gaussian => "Gaussian noise",
        Init::Zeros => "zeros",
        Init::Colours(start) if start.size() == 1 => "one colour all over, as the images' mean colours are spread",
        Init::Colours(_) => "coarse images, as the images averaged down are spread",
        Init::Data => "data",
        Init::Persistent(_) => "a bank of earlier samples",
    };
    format!(
        "K {}{} from {start}, gradient_scale {}, noise_std {}, temperature {}",
        langevin.steps,
        langevin.on_grids(),
        langevin.along(LangevinConfig::gradient_scale_at, |a| a.to_string()),
        langevin.along(LangevinConfig::noise_std_at, |b| b.to_string()),
        langevin.along(LangevinConfig::temperature_at, |t| format!("{t:.1e}"))
    )
}

fn updates(files: &RunFiles) -> String {
    let done = last_update(files).map_or("none logged".to_owned(), thousands);
    let Some(config) = &files.config else { return done };
    let mut text = format!("{done} of {}, batch {}", thousands(config.train.updates), config.train.batch);
    if let (Some(seconds), Some(update)) = (seconds(files), last_update(files).filter(|update| *update > 0)) {
        let each = seconds / update as f64;
        let each = if each < 1.0 { format!("{:.0} ms", each * 1e3) } else { format!("{each:.1} s") };
        text += &format!(", {} ({each} each)", duration(seconds));
    }
    text
}

/// A whole number in groups of three.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number in about four digits; a dash where there is none.
pub fn number(number: f64) -> String {
    match number.abs() {
        size if size.is_nan() => "–".to_owned(),
        0.0 => "0".to_owned(),
        size if !(1e-3..1e5).contains(&size) => format!("{number:.2e}"),
        size if size >= 100.0 => format!("{number:.1}"),
        _ => format!("{number:.4}"),
    }
}

/// The number in a JSON value; a whole one in all its digits.
pub fn value(value: &Value) -> String {
    match value.as_f64() {
        Some(whole) if value.is_u64() || value.is_i64() => format!("{whole}"),
        other => number(other.unwrap_or(f64::NAN)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_are_short() {
        assert_eq!([0, 999, 1000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
        let cases = [
            (json!(0.0), "0"),
            (json!(12), "12"),
            (json!(-0.50214), "-0.5021"),
            (json!(35000.26), "35000.3"),
            (json!(1.5e-7), "1.50e-7"),
            (json!(null), "–"),
            (json!("text"), "–"),
        ];
        for (number, text) in cases {
            assert_eq!(value(&number), text);
        }
    }
}
