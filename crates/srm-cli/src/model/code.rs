//! Name a latent code: an image of a seed, or a mix of several.

use std::str::FromStr;

use anyhow::{Context, Result, ensure};
use srm_latent::ShortRun;
use tch::Tensor;

use super::Net;

/// z = Σ w z_i / √(Σ w²) over images of `srm sample`, and whose noise u goes with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Code {
    /// Weight, seed (none: that of the command) and image.
    parts: Vec<(f64, Option<u64>, u64)>,
    /// The image whose noise it is.
    noise: u64,
}

impl Code {
    /// The code of an image.
    pub fn image(seed: u64, image: u64) -> Code {
        Code { parts: vec![(1.0, Some(seed), image)], noise: image }
    }

    /// z of codes, `[n, …]`, and their noise ids; `image`: `[c, h, w]`, `seed`: of parts that name none.
    ///
    /// # Errors
    /// libtorch refuses.
    pub fn starts(codes: &[Code], run: &ShortRun<Net>, seed: u64, image: &[i64]) -> Result<(Tensor, Vec<u64>)> {
        let z = codes.iter().map(|code| code.start(run, seed, image)).collect::<Result<Vec<_>>>()?;
        Ok((Tensor::f_cat(&z, 0)?, codes.iter().map(|code| code.noise).collect()))
    }

    /// z, `[1, …]`, of the net's coarsest grid; `image`: `[c, h, w]`.
    fn start(&self, run: &ShortRun<Net>, seed: u64, image: &[i64]) -> Result<Tensor> {
        let part =
            |&(weight, own, id): &(f64, Option<u64>, u64)| Ok((weight, run.start(own.unwrap_or(seed), &[id], image)?));
        Ok(run.blend(&self.parts.iter().map(part).collect::<Result<Vec<_>>>()?)?)
    }

    /// As --code takes it beside --seed.
    pub fn written(&self, seed: u64) -> String {
        let alone = self.parts.len() == 1 && self.parts[0].0 > 0.0;
        let part = |&(weight, own, image): &(f64, Option<u64>, u64)| {
            let weight = if alone { String::new() } else { format!("{weight}@") };
            let own = own.filter(|&own| own != seed).map_or_else(String::new, |own| format!("{own}:"));
            format!("{weight}{own}{image}")
        };
        let parts = self.parts.iter().map(part).collect::<Vec<_>>().join("+");
        let first = self.parts.first().map(|part| part.2);
        if first == Some(self.noise) { parts } else { format!("{parts}/{}", self.noise) }
    }
}

impl From<&srm_explore::Code> for Code {
    fn from(code: &srm_explore::Code) -> Code {
        let parts = code.parts().into_iter().map(|(weight, seed, image)| (weight, Some(seed), image)).collect();
        Code { parts, noise: code.noise() }
    }
}

impl FromStr for Code {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Code> {
        let (parts, noise) = text.split_once('/').map_or((text, None), |(parts, noise)| (parts, Some(noise)));
        let parts: Vec<_> = parts.split('+').map(part).collect::<Result<_>>()?;
        let length = parts.iter().map(|part| part.0 * part.0).sum::<f64>();
        ensure!(length.is_finite() && length > 1e-12, "the weights are numbers, not all 0");
        let noise = noise.map(number).transpose()?.unwrap_or(parts[0].2);
        Ok(Code { parts, noise })
    }
}

fn part(text: &str) -> Result<(f64, Option<u64>, u64)> {
    let (weight, rest) = text.split_once('@').map_or((None, text), |(weight, rest)| (Some(weight), rest));
    let (seed, image) = rest.split_once(':').map_or((None, rest), |(seed, image)| (Some(seed), image));
    let weight = weight.map(|weight| weight.parse().with_context(|| format!("{weight} is no weight")));
    Ok((weight.transpose()?.unwrap_or(1.0), seed.map(number).transpose()?, number(image)?))
}

fn number(text: &str) -> Result<u64> {
    text.parse().with_context(|| format!("{text:?} is no number of an image or a seed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_as_they_are_written() {
        for text in ["7", "0.6@3+0.8@2:9", "0.6@3+-0.8@4/5", "5:7", "5:7/1"] {
            assert_eq!(text.parse::<Code>().unwrap().written(1), text);
        }
        let code = Code { parts: vec![(0.1 + 0.2, Some(1), 3), (1e-9, None, 4)], noise: 3 };
        let read: Code = code.written(1).parse().unwrap();
        assert_eq!((read.parts[0].0, read.parts[1].0), (0.1 + 0.2, 1e-9), "to the last bit");
        for bad in ["", "x", "1@", "0@1", "nan@1", "1@2:", "1/x", "-1"] {
            assert!(bad.parse::<Code>().is_err(), "{bad}");
        }
    }
}
