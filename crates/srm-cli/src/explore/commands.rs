//! Say what the page shows as a command that makes it again.

use std::path::Path;

use srm_explore::{Draw, Reconstruct, Target};

use crate::{flags::Size, model::Code};

/// Whose net a command names.
pub struct Weights {
    pub name: String,
    /// The checkpoint of a run.
    pub update: Option<u64>,
    /// Flags of device and precision, with a space before them.
    pub compute: String,
    /// Of the images, where the net has a choice.
    pub size: Option<Size>,
    /// Whether images by count are those of codes, bit for bit: a GPU draws a block's noise by the key of its first image.
    pub is_exact: bool,
}

/// A command line that grows.
struct Line(String);

impl Line {
    fn new(command: &str, weights: &Weights) -> Line {
        let mut line = Line(format!("srm {command}"));
        line.value("--weights", &weights.name);
        if let Some(update) = weights.update {
            line.value("--update", update);
        }
        line.0 += &weights.compute;
        line
    }

    fn value(&mut self, flag: &str, value: impl ToString) {
        self.0 += &format!(" {flag} {}", quoted(&value.to_string()));
    }
}

/// `srm sample` of what was drawn; `steps`: K as trained.
pub fn sample(weights: &Weights, asked: &Draw, trained: usize) -> String {
    let mut line = Line::new("sample", weights);
    let seed = asked.codes[0].seed();
    line.value("--seed", seed);
    let codes: Vec<Code> = asked.codes.iter().map(Code::from).collect();
    let in_order = weights.is_exact && codes.iter().enumerate().all(|(i, code)| *code == Code::image(seed, i as u64));
    match in_order {
        true => line.value("--count", codes.len()),
        false => codes.iter().for_each(|code| line.value("--code", code.written(seed))),
    }
    if let Some(size) = weights.size {
        line.value("--size", size);
        line.0 += " --tile"; // the page shows all that chains draw
    }
    let steps = asked.steps.unwrap_or(trained);
    if steps != trained {
        line.value("--steps", steps);
    }
    if !asked.noise {
        line.value("--quiet-tail", steps);
    }
    line.value("--out", "x.png");
    line.0
}

/// `srm reconstruct` of what was found.
pub fn reconstruct(weights: &Weights, asked: &Reconstruct, target: &Target) -> String {
    let mut line = Line::new("reconstruct", weights);
    let path = |path: &Path| path.display().to_string();
    line.value("--images", path(&target.file));
    if let Some((mask, _)) = &target.mask {
        line.value("--mask", path(mask));
    }
    if let Some(noise) = asked.observed_noise {
        line.value("--observed-noise", noise);
    }
    for (flag, value) in [("--iterations", asked.iterations), ("--starts", asked.starts)] {
        line.value(flag, value);
    }
    line.value("--latent", &asked.latent);
    line.value("--seed", asked.seed);
    line.value("--out", "r.png");
    line.0
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@+=,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(codes: &str, rest: &str) -> Draw {
        serde_json::from_str(&format!(r#"{{"source":0,"codes":{codes},"states":"end",{rest}}}"#)).unwrap()
    }

    #[test]
    fn a_command_says_what_was_drawn() {
        let weights = |name: &str, update| Weights {
            name: name.to_owned(),
            update,
            compute: String::new(),
            size: None,
            is_exact: true,
        };
        let plain = draw(r#"[{"seed":4,"image":0},{"seed":4,"image":1}]"#, r#""update":12,"steps":null,"noise":true"#);
        let said = "srm sample --weights 'a b' --update 12 --seed 4 --count 2 --out x.png";
        assert_eq!(sample(&weights("a b", Some(12)), &plain, 30), said);
        let mixed = r#"[{"mix":[[0.5,4,1],[0.25,5,2]],"noise_image":7},{"seed":4,"image":3}]"#;
        let mixed = draw(mixed, r#""update":null,"steps":60,"noise":false"#);
        assert_eq!(
            sample(&weights("x", None), &mixed, 30),
            "srm sample --weights x --seed 4 --code 0.5@1+0.25@5:2/7 --code 3 --steps 60 --quiet-tail 60 --out x.png"
        );
        let on_a_gpu = Weights { compute: " --device cuda:0".to_owned(), is_exact: false, ..weights("x", None) };
        let said = "srm sample --weights x --device cuda:0 --seed 4 --code 0 --code 1 --out x.png";
        assert_eq!(sample(&on_a_gpu, &plain, 30), said);
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
