//! Run `srm export`: write a folder that a model hub takes, with weights, settings, samples and a card.

mod card;
mod data_set;
mod folder;
mod license;
mod python;
mod scores;
mod source;
mod yaml;

use std::{fmt, io::Write, path::Path, time::Instant};

use anyhow::{Context, Result};
use ndarray::Array4;
use serde::Serialize;
use serde_json::{Value, json};
use srm_config::{Config, pretty};
use srm_data::write_grid;
use srm_energy::Trainable;
use srm_files::write_whole;

use crate::{
    evaluate::{features::with_bar, samples::draw},
    flags::ExportFlags,
    model::{Choice, Model},
    pictures::{PADDING, square},
    session::{Failure, Session, Shown, status, usage},
};
use card::Card;
use folder::{Begun, Folder};
use license::License;
use source::Source;

const CARD: &str = "README.md";
const CONFIG: &str = "config.json";
const MODEL: &str = "model.safetensors";
const PICTURE: &str = "samples.png";
/// The files of an exported folder.
const FILES: [&str; 4] = [CARD, CONFIG, MODEL, PICTURE];
/// Samples of the picture, and their seed.
const SAMPLES: (usize, u64) = (64, 1);
/// The owner on the hub where nobody says one.
const OWNER: &str = "OWNER";

/// Write the folder, and print what was done.
///
/// # Errors
/// Bad usage, weights that cannot be used, chains that blow up, a folder that cannot be written.
pub fn run(flags: &ExportFlags, session: &Session) -> Result<()> {
    let begun = Instant::now();
    let config = flags.config.as_deref().map(|path| Config::load(path, &[])).transpose()?;
    let choice = Choice { key: flags.key.clone(), config, ..Choice::default() };
    if let Some(name) = flags.name.as_deref().filter(|name| !is_name(name)) {
        return Err(usage(format!(
            "--name {name}: a hub's repository is OWNER/NAME, each of letters, digits, -, _ and . (me/fashion32)"
        )));
    }
    let folder = Folder::of(&flags.hub, flags.overwrite)?;
    session.watch_interrupts()?;
    let model = Model::open(&flags.weights, &choice, &flags.compute, session)?;
    let source = Source::of(flags, &choice, &model)?;
    let license = License::of(flags.license.as_deref(), &source.data)?;
    let place = folder.begin()?;
    model.mention_start();
    let samples = samples(&model, session)?;

    session.conclude(|| {
        let name = flags.name.clone().unwrap_or_else(|| placeholder(&source.name));
        let written = write(&place, &name, (&model, &source, &license), &samples);
        let full = || format!("cannot write {}; make room, or choose another place with --hub", flags.hub.display());
        let (sha256, bytes) = written.and_then(|sha256| Ok((sha256, place.bytes()?))).with_context(full)?;
        place.finish().with_context(full)?;
        let warnings: Vec<String> = source.warnings.iter().cloned().chain(license.warning).collect();
        warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        Ok(Report {
            command: "export",
            hub: Shown(&flags.hub),
            weights: Shown(&model.file),
            converted: source.is_converted(),
            name,
            update: source.update,
            sha256,
            data: source.data.name(),
            license: license.id,
            scores: source.scores.as_ref().map_or(0, |scores| scores.rows.len()),
            files: FILES,
            bytes,
            count: SAMPLES.0,
            seed: SAMPLES.1,
            steps: model.langevin.steps,
            device: model.machine.device_name(),
            threads: model.machine.threads,
            block: model.block,
            seconds: begun.elapsed().as_secs_f64(),
            warnings,
        })
    })
}

/// What was written.
#[derive(Serialize)]
struct Report<'a> {
    command: &'static str,
    hub: Shown<'a>,
    weights: Shown<'a>,
    /// Whether the weights were written anew and are not the bytes of their file.
    converted: bool,
    name: String,
    update: Option<u64>,
    /// Of model.safetensors.
    sha256: String,
    data: &'a str,
    license: String,
    scores: usize,
    files: [&'static str; 4],
    bytes: u64,
    count: usize,
    seed: u64,
    steps: usize,
    device: String,
    threads: usize,
    block: usize,
    seconds: f64,
    warnings: Vec<String>,
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (files, seconds) = (self.files.join(", "), status::duration(self.seconds));
        writeln!(out, "{} for a model hub in {seconds}", self.weights)?;
        writeln!(out, "folder   {} ({files}; {:.1} MB)", self.hub, self.bytes as f64 / 1e6)?;
        writeln!(out, "data     {}, licence of the weights: {}", self.data, self.license)?;
        if self.scores == 0 {
            writeln!(out, "scores   none; `srm evaluate` makes some, then export again with --overwrite")?;
        }
        write!(out, "send     hf upload {} {}", self.name, self.hub)
    }
}

/// The samples of the picture, u8 `[n, h, w, c]`: those of `srm sample`.
fn samples(model: &Model, session: &Session) -> Result<Array4<u8>> {
    let (count, seed) = SAMPLES;
    let _guard = tch::no_grad_guard();
    let drawn = with_bar(session, (count, "samples drawn"), |seen| {
        draw(&**session.ranks(), &model.sampler(), (seed, count), seen)
    })?;
    drawn.map_err(|step| {
        let text = format!(
            "the chains of {} blew up at step {step}; nothing was written. Export an earlier checkpoint, or give \
             --config with the Langevin settings that the weights were trained with",
            model.file.display()
        );
        Failure::Diverged(text).into()
    })
}

/// Write the files; returns the checksum of the weights.
fn write(
    place: &Begun<'_>,
    name: &str,
    (model, source, license): (&Model, &Source, &License),
    samples: &Array4<u8>,
) -> Result<String> {
    source.write_weights(&place.file(MODEL), model)?;
    let sha256 = srm_files::sha256(&place.file(MODEL))?;
    write_grid(&place.file(PICTURE), &samples.view(), square(samples.dim().0), PADDING)?;
    write_text(&place.file(CONFIG), &config(model, source))?;
    let nets = model.net.configs();
    let card = Card { name, nets: &nets, langevin: &model.langevin, source, license, sha256: &sha256 };
    write_text(&place.file(CARD), &card.text())?;
    Ok(sha256)
}

fn write_text(path: &Path, text: &str) -> Result<()> {
    Ok(write_whole(path, |file| file.write_all(text.as_bytes()))?)
}

/// `config.json`: the settings, of files as their names alone, and what the hub asks of one; `--config` takes it.
fn config(model: &Model, source: &Source) -> String {
    let architecture = if model.net.grids() > 1 { "ShortRunLadder" } else { "ShortRunConvNet" };
    let mut tree = json!({ "architectures": [architecture], "model_type": "srm-short-run" });
    let settings = match &source.settings {
        Some(config) => {
            let mut settings = json!(without_paths(config));
            // what a preset says of itself, and of other runs by it
            settings.as_object_mut().and_then(|settings| settings.shift_remove("about"));
            settings
        }
        None => {
            let mut said = model.net.describe();
            said["langevin"] = json!(model.langevin);
            said
        }
    };
    if let (Value::Object(tree), Value::Object(settings)) = (&mut tree, settings) {
        tree.extend(settings);
    }
    pretty(&tree)
}

/// The settings with the name of each file in the place of its path.
fn without_paths(config: &Config) -> Config {
    let name = |path: &Path| path.file_name().map_or_else(|| path.to_owned(), Into::into);
    let mut config = config.clone();
    config.data.images = name(&config.data.images);
    config.evaluate.images = config.evaluate.images.as_deref().map(name);
    config.evaluate.features = name(Path::new(&config.evaluate.features)).to_string_lossy().into_owned();
    config
}

/// Whether the hub takes it as OWNER/NAME (huggingface_hub, utils/_validators.py).
fn is_name(name: &str) -> bool {
    let is_part = |part: &str| {
        let (first, last) = (part.chars().next(), part.chars().last());
        let word = |letter: Option<char>| letter.is_some_and(|letter| letter.is_ascii_alphanumeric() || letter == '_');
        let allowed = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
        word(first) && word(last) && part.chars().all(allowed) && !part.contains("--") && !part.contains("..")
    };
    let parts = name.split_once('/');
    name.len() <= 96 && !name.ends_with(".git") && parts.is_some_and(|(owner, name)| is_part(owner) && is_part(name))
}

/// A name for the hub from that of a run, whatever letters it has.
fn placeholder(run: &str) -> String {
    let mut name = String::new();
    for letter in run.chars().take(80) {
        let kept = if letter.is_ascii_alphanumeric() || "_.".contains(letter) { letter } else { '-' };
        if !(matches!(kept, '-' | '.') && name.ends_with(['-', '.'])) {
            name.push(kept);
        }
    }
    let name = name.trim_matches(['-', '.']).trim_end_matches(".git");
    format!("{OWNER}/{}", if name.is_empty() { "short-run" } else { name })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_the_hub_takes() {
        for good in ["me/fashion32", "a_b/c.d-e", "OWNER/x"] {
            assert!(is_name(good), "{good}");
        }
        for bad in
            ["fashion32", "me/", "/x", "me/a b", "me/a/b", "me/a--b", "me/a..b", "me/x.git", "-a/b", "me/ü", "me/a."]
        {
            assert!(!is_name(bad), "{bad}");
        }
        assert!(!is_name(&format!("me/{}", "x".repeat(96))));
    }

    #[test]
    fn every_run_has_a_name_that_the_hub_takes() {
        let runs = [
            "celeba32-cpu",
            "my run: \"no. 1\"",
            "..",
            "Läufe",
            "a--b..c",
            "x.git",
            "",
            "-",
            "a.-b",
            &"long ".repeat(40),
        ];
        for run in runs {
            assert!(is_name(&placeholder(run)), "{run}: {}", placeholder(run));
        }
        assert_eq!(placeholder("celeba32-cpu"), "OWNER/celeba32-cpu");
        assert_eq!(placeholder("my run: \"no. 1\""), "OWNER/my-run-no.1");
    }
}
