//! Write the model card: front matter that a hub reads, and what a person asks first.

use std::fmt::Write;

use serde_json::{Value, json};
use srm_config::{Config, EnergyConfig, Init, LangevinConfig, Schedule};
use srm_report::thousands;

use super::{
    MODEL, PICTURE, SAMPLES,
    data_set::DataSet,
    license::License,
    python::{self, activation},
    source::Source,
    yaml::yaml,
};

/// Training images up to which a net may well know them by heart.
const FEW_IMAGES: usize = 10_000;
/// Samples up to which a Fréchet distance says little, as `srm evaluate` says.
const FEW_SAMPLES: u64 = 10_000;

/// What a card is written from.
pub struct Card<'a> {
    /// OWNER/NAME on the hub.
    pub name: &'a str,
    /// The nets, coarse to fine.
    pub nets: &'a [EnergyConfig],
    pub langevin: &'a LangevinConfig,
    pub source: &'a Source,
    pub license: &'a License,
    /// Of model.safetensors.
    pub sha256: &'a str,
}

impl Card<'_> {
    /// The whole card.
    pub fn text(&self) -> String {
        let parts = [
            format!("---\n{}---\n\n# {}", yaml(&self.front()), self.title()),
            self.what(),
            format!("![An 8 × 8 grid of samples]({PICTURE})"),
            format!("{} samples of seed {}, in order; none was chosen.", SAMPLES.0, SAMPLES.1),
            self.with_srm(),
            self.with_pytorch(),
            self.training_data(),
            self.settings(),
            self.scores(),
            self.limits(),
            self.made_by(),
        ];
        let mut text = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n\n");
        text.push('\n');
        text
    }

    /// The front matter (huggingface/hub-docs, modelcard.md).
    fn front(&self) -> Value {
        let mut front = json!({ "license": self.license.id });
        if let Some((name, link)) = self.license.named {
            front["license_name"] = name.into();
            front["license_link"] = link.into();
        }
        front["library_name"] = "srm".into();
        front["pipeline_tag"] = "unconditional-image-generation".into();
        front["tags"] = json!(["short-run-mcmc", "energy-based-model", "langevin-dynamics", "image-generation"]);
        if let Some(hub) = self.source.data.facts().and_then(|facts| facts.hub) {
            front["datasets"] = json!([hub]);
        }
        if let Some(scores) = &self.source.scores {
            let mut kinds: Vec<&str> = Vec::new();
            for metric in scores.rows.iter().flat_map(|row| scores.metrics(row)) {
                if !kinds.contains(&metric.kind) {
                    kinds.push(metric.kind);
                }
            }
            if !kinds.is_empty() {
                front["metrics"] = json!(kinds);
                front["model-index"] = json!([{ "name": self.title(), "results": scores.index() }]);
            }
        }
        front
    }

    /// NAME of OWNER/NAME.
    fn title(&self) -> &str {
        self.name.split_once('/').map_or(self.name, |(_, name)| name)
    }

    /// The net of the samples.
    fn finest(&self) -> &EnergyConfig {
        &self.nets[self.nets.len() - 1]
    }

    fn what(&self) -> String {
        let EnergyConfig { size, channels, .. } = self.finest();
        let colours = match channels {
            1 => "grey",
            3 => "RGB",
            _ => "RGBA",
        };
        let nets = match self.nets.len() {
            1 => "a ConvNet f gives each image a negative energy",
            _ => "a ladder of ConvNets f, one a grid, gives images of each size a negative energy",
        };
        let steps = self.langevin.steps;
        let climb = match self.nets {
            [_] => String::new(),
            _ => format!("{}, up-sampled from grid to grid,", self.langevin.on_grids()),
        };
        let grids = match self.nets {
            [_] => "",
            _ => {
                "; grids, each with a net of its own, are from Gao, Lu, Zhou, Zhu and Wu, CVPR 2018 \
                 ([arXiv 1709.08868](https://arxiv.org/abs/1709.08868))"
            }
        };
        format!(
            "An energy-based model of images, {size} × {size} px {colours}, that was learned by short-run MCMC: \
             {nets}, and {steps} Langevin steps{climb} from {} make a picture. The method is that of Nijkamp, Hill, \
             Zhu and Wu, *Learning Non-Convergent Non-Persistent Short-Run MCMC Toward Energy-Based Model*, NeurIPS \
             2019 ([arXiv 1904.09770](https://arxiv.org/abs/1904.09770)){grids}.",
            start(&self.langevin.init)
        )
    }

    fn with_srm(&self) -> String {
        format!(
            "## Draw with srm\n\n```sh\nsrm sample --weights hf:{} --out x.png\n\
             srm sample --weights . --out x.png    # in a copy of this folder\n```\n\n\
             srm is a program in Rust on libtorch. With `--seed {}` this is the picture above, on the same kind of \
             machine to the last bit. `srm interpolate` and `srm reconstruct` take the weights likewise.",
            self.name, SAMPLES.1
        )
    }

    fn with_pytorch(&self) -> String {
        let images = match self.nets {
            [_] => "",
            _ => " `x` ends as images `[n, c, h, w]` of about [-1, 1].",
        };
        format!(
            "## Draw with PyTorch\n\n`pip install \"safetensors[torch]\"`; x ← x + a f'(x) + b u, as the published \
             code ([enijkamp/short_run](https://github.com/enijkamp/short_run)) does it. PyTorch draws other noise \
             than srm, so a seed gives other pictures of the same law.{images}\n\n```python\n{}```",
            python::lines(self.nets, self.langevin)
        )
    }

    fn training_data(&self) -> String {
        let Source { data, images, .. } = self.source;
        let mut text = "## Training data and licence\n\n".to_owned();
        match (data, data.facts()) {
            (DataSet::Own(file), _) => write!(text, "{}, a set of the author's own.", code(file)),
            (_, Some(facts)) => write!(text, "{}", facts.terms),
            _ => write!(text, "Not known from the weights."),
        }
        .expect("a string takes every word");
        if let Some(images) = images {
            text += &format!(" {} images were used.", thousands(*images as u64));
        }
        text += "\n\nLicence of the weights: ";
        text += &match self.license.named {
            Some(_) if self.license.is_open() => {
                "**to be filled in** here and as `license_name` above, with its text as the file `LICENSE`.".to_owned()
            }
            Some((name, link)) => format!("`other`, [{name}]({link}): the terms of the training data."),
            None if self.license.id == "unknown" => "`unknown`.".to_owned(),
            None => format!("`{}`.", self.license.id),
        };
        text
    }

    fn settings(&self) -> String {
        let Source { settings, .. } = self.source;
        let net = |net: &EnergyConfig| {
            format!("{0} × {0} px, n {1}, {2}", net.size, net.features, activation(net.activation))
        };
        let nets: Vec<String> = self.nets.iter().map(net).collect();
        let langevin = self.langevin;
        let along = |at: fn(&LangevinConfig, usize) -> f64| langevin.along(at, |value| value.to_string());
        let mut rows = vec![
            ("net", nets.join("; ")),
            ("steps K", format!("{}{}", langevin.steps, langevin.on_grids())),
            ("start z", start(&langevin.init).to_owned()),
            ("a, before f'(x)", along(LangevinConfig::gradient_scale_at)),
            ("b, std of the noise", along(LangevinConfig::noise_std_at)),
        ];
        if let Some(longest) = langevin.clip_gradient {
            rows.push(("largest norm of f'(x)", longest.to_string()));
        }
        if let Some(config) = settings {
            rows.extend(training(config));
        }
        if let Some(update) = self.source.update {
            let averaged = if self.source.averaged { ", averaged weights" } else { "" };
            rows.push(("these weights", format!("update {}{averaged}", thousands(update))));
        }
        let all = match settings {
            Some(_) => {
                "`config.json` has all of them; `srm train --config config.json --set data.images=X.npy` trains by \
                 them."
            }
            None => "`config.json` has what the weights say of themselves.",
        };
        let lines: Vec<String> = rows.into_iter().map(|(name, value)| format!("| {name} | {value} |")).collect();
        format!("## Settings\n\n| | |\n|---|---|\n{}\n\n{all}", lines.join("\n"))
    }

    fn scores(&self) -> String {
        let Some(scores) = &self.source.scores else { return String::new() };
        let mut text = format!(
            "## Scores\n\nOf `srm evaluate` against {} of {}, by features of {}.",
            scores.images.map_or("statistics".to_owned(), |count| format!("{} images", thousands(count))),
            code(&scores.title()),
            code(&scores.features()),
        );
        text += "\n\n| what | number | samples | seed | K |\n|---|---|---|---|---|\n";
        for row in &scores.rows {
            let or_none = |value: Option<u64>| value.map_or("–".to_owned(), |value| value.to_string());
            let quiet = row
                .quiet_tail
                .filter(|&steps| steps > 0)
                .map_or(String::new(), |steps| format!(", {steps} without noise"));
            let narrow = row.truncation.map_or(String::new(), |psi| format!(", truncation {psi}"));
            for metric in scores.metrics(row) {
                let (count, seed, steps) = (thousands(row.count), or_none(row.seed), or_none(row.steps));
                let number = figure(metric.value);
                writeln!(text, "| {} | {number} | {count} | {seed} | {steps}{quiet}{narrow} |", plain(&metric.name))
                    .expect("a string takes it");
            }
        }
        if !scores.network.is_fid {
            text += "\nThis Fréchet distance is not the FID, which is by Inception's features alone.";
        }
        if scores.rows.iter().any(|row| row.count < FEW_SAMPLES) {
            text += "\nA distance of few samples is biased upwards: compare equal counts only.";
        }
        text.trim_end().to_owned()
    }

    fn limits(&self) -> String {
        let Source { data, images, .. } = self.source;
        let mut lines = vec![format!(
            "Chains are short and do not converge, on purpose: f was learned for these {} steps from this start. \
             Longer chains leave the images, and f is no measure of how likely or how good a picture is.",
            self.langevin.steps
        )];
        match images {
            Some(count) if *count < FEW_IMAGES => lines.push(format!(
                "It has learned from {} images alone: samples may come near to some of them, and vary less than the \
                 world does. `srm sample --nearest DATA.npy` shows each sample's nearest.",
                thousands(*count as u64)
            )),
            _ => lines.push("Samples vary less than the training images do, and lean where those lean.".to_owned()),
        }
        if *data == DataSet::CelebA {
            lines.push(
                "CelebA's faces are those of celebrities, neither even in age, sex and origin nor asked for their \
                 consent: nothing here says anything about a person, and no sample is to pass for one."
                    .to_owned(),
            );
        }
        format!("## Limits\n\n- {}", lines.join("\n- "))
    }

    fn made_by(&self) -> String {
        let Source { name, is_run, .. } = self.source;
        let of = if *is_run { "the run " } else { "" };
        let update = self.source.update.map_or(String::new(), |update| format!(" at update {}", thousands(update)));
        format!(
            "## Made by\n\n`srm export` of srm {}, from {of}{}{update}.\nSHA-256 of {MODEL}: `{}`",
            env!("CARGO_PKG_VERSION"),
            code(name),
            self.sha256
        )
    }
}

/// The rows of the settings that training alone has.
fn training(config: &Config) -> Vec<(&'static str, String)> {
    let train = &config.train;
    let schedule = |schedule: &Schedule| match (schedule.at(0), schedule.at(train.updates)) {
        (first, last) if first == last => first.to_string(),
        (first, last) => format!("{first} to {last}"),
    };
    let flip = if config.data.flip { ", mirrored at random" } else { "" };
    let mut rows = vec![
        ("images", format!("{}{flip}", code(&config.data.images.file_name().unwrap_or_default().to_string_lossy()))),
        ("updates asked for", thousands(train.updates)),
        ("batch m", train.batch.to_string()),
        (
            "learning rate, ADAM",
            format!("{}, β {} and {}", schedule(&train.learning_rate), train.betas[0], train.betas[1]),
        ),
        ("σ, noise on the data", schedule(&train.data_noise)),
        ("seed", train.seed.to_string()),
    ];
    if let Some(decay) = train.ema {
        rows.push(("average of the weights", format!("decay {decay}")));
    }
    rows
}

/// Where chains start when they are drawn.
fn start(init: &Init) -> &'static str {
    match init {
        Init::Gaussian => "Gaussian noise",
        init if init.is_zeros() => "zeros",
        Init::Colours(start) if start.size() == 1 => "one colour all over",
        Init::Colours(_) => "a coarse image of normal law",
        Init::Uniform | Init::Zeros | Init::Data | Init::Persistent(_) => "uniform noise",
    }
}

/// A number in four digits or so.
fn figure(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 || (1e-3..1e6).contains(&size) { format!("{value:.4}") } else { format!("{value:.2e}") }
}

/// Words of others in one line, with nothing in them that breaks a table or ends code.
fn plain(words: &str) -> String {
    let harmless = |letter: char| match letter {
        '`' => '\'',
        '|' => '¦',
        letter if letter.is_control() || "\u{2028}\u{2029}".contains(letter) => ' ',
        letter => letter,
    };
    words.chars().map(harmless).collect::<String>().trim().to_owned()
}

/// [`plain`] words as code, in which Markdown means nothing.
fn code(words: &str) -> String {
    format!("`{}`", plain(words))
}

#[cfg(test)]
mod tests;
