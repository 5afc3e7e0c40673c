//! Say what the page shows as a command that makes it again.

use std::path::Path;

use srm_explore::{Draw, Reconstruct, Target};

use crate::model::Code;

/// A command line that grows.
struct Line(String);

impl Line {
    fn new(command: &str, weights: &str, update: Option<u64>) -> Line {
        let mut line = Line(format!("srm {command}"));
        line.value("--weights", weights);
        if let Some(update) = update {
            line.value("--update", update);
        }
        line
    }

    fn value(&mut self, flag: &str, value: impl ToString) {
        self.0 += &format!(" {flag} {}", quoted(&value.to_string()));
    }
}

/// `srm sample` of what was drawn; `steps`: K as trained.
pub fn sample(weights: &str, asked: &Draw, trained: usize) -> String {
    let mut line = Line::new("sample", weights, asked.update);
    let seed = asked.codes[0].seed();
    line.value("--seed", seed);
    let codes: Vec<Code> = asked.codes.iter().map(Code::from).collect();
    let in_order = codes.iter().enumerate().all(|(i, code)| *code == Code::image(seed, i as u64));
    match in_order {
        true => line.value("--count", codes.len()),
        false => codes.iter().for_each(|code| line.value("--code", code.written(seed))),
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
pub fn reconstruct(weights: &str, asked: &Reconstruct, target: &Target) -> String {
    let mut line = Line::new("reconstruct", weights, asked.update);
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
        let plain = draw(r#"[{"seed":4,"image":0},{"seed":4,"image":1}]"#, r#""update":12,"steps":null,"noise":true"#);
        let said = "srm sample --weights 'a b' --update 12 --seed 4 --count 2 --out x.png";
        assert_eq!(sample("a b", &plain, 30), said);
        let mixed = r#"[{"mix":[[0.5,4,1],[0.25,5,2]],"noise_image":7},{"seed":4,"image":3}]"#;
        let mixed = draw(mixed, r#""update":null,"steps":60,"noise":false"#);
        assert_eq!(
            sample("x", &mixed, 30),
            "srm sample --weights x --seed 4 --code 0.5@1+0.25@5:2/7 --code 3 --steps 60 --quiet-tail 60 --out x.png"
        );
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
