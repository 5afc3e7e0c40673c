//! Say what the page can ask to be computed.

use std::path::PathBuf;

use ndarray::Array4;
use serde::Deserialize;

use crate::Reply;

/// The most images of one request.
pub const MOST_CODES: usize = 256;
/// The most iterations of a reconstruction.
pub const MOST_ITERATIONS: usize = 10_000;
/// The most starts of a reconstruction.
const MOST_STARTS: usize = 16;

/// Work for whoever has the nets, and where its lines go.
pub struct Job {
    /// What is asked.
    pub ask: Ask,
    /// Who reads the answer.
    pub reply: Reply,
}

/// What is asked.
pub enum Ask {
    /// Chains from codes, state by state.
    Draw(Draw),
    /// The training images nearest to a sample.
    Neighbours(Neighbours),
    /// The code of a picture, iterate by iterate.
    Reconstruct(Reconstruct, Box<Target>),
}

/// A picture that was brought, and what of it is observed.
pub struct Target {
    /// Where it was saved, in the net's size.
    pub file: PathBuf,
    /// u8 `[1, h, w, c]`.
    pub pixels: Array4<u8>,
    /// A mask: where it was saved, and 255 where the picture is observed, else 0, `[h, w]`.
    pub mask: Option<(PathBuf, Vec<u8>)>,
}

/// Chains from codes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Draw {
    /// Whose net.
    pub source: usize,
    /// Which checkpoint of a run; none: the newest.
    pub update: Option<u64>,
    /// Where chains start.
    pub codes: Vec<Code>,
    /// Steps; none: K.
    pub steps: Option<usize>,
    /// Whether chains have noise.
    pub noise: bool,
    /// Which states to show besides the last.
    pub states: States,
}

/// The start z of a chain and its noise u.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(untagged, deny_unknown_fields)]
pub enum Code {
    /// Image `image` of `srm sample --seed SEED`.
    Image {
        /// The seed.
        seed: u64,
        /// The image's index.
        image: u64,
    },
    /// Σ w z / √(Σ w²) of such images' starts.
    Mix {
        /// Weight, seed, image.
        mix: Vec<(f64, u64, u64)>,
        /// Whose noise, of the first one's seed.
        noise_image: u64,
    },
}

impl Code {
    /// The seed of the noise.
    pub fn seed(&self) -> u64 {
        match self {
            Code::Image { seed, .. } => *seed,
            Code::Mix { mix, .. } => mix.first().map_or(1, |part| part.1),
        }
    }

    /// The id of the noise.
    pub fn noise(&self) -> u64 {
        match self {
            Code::Image { image, .. } => *image,
            Code::Mix { noise_image, .. } => *noise_image,
        }
    }

    /// Weight, seed and image of each part.
    pub fn parts(&self) -> Vec<(f64, u64, u64)> {
        match self {
            Code::Image { seed, image } => vec![(1.0, *seed, *image)],
            Code::Mix { mix, .. } => mix.clone(),
        }
    }
}

/// States of a chain.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(untagged)]
pub enum States {
    /// The last alone: `"end"`.
    End(End),
    /// x_k for these k.
    At(Vec<usize>),
}

/// The word for the last state.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
pub enum End {
    /// `"end"`.
    #[serde(rename = "end")]
    End,
}

/// The training images nearest to a sample.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Neighbours {
    /// Whose net.
    pub source: usize,
    /// Which checkpoint of a run; none: the newest.
    pub update: Option<u64>,
    /// The sample.
    pub code: Code,
    /// How many.
    pub count: usize,
}

/// The code of a picture.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reconstruct {
    /// Whose net.
    pub source: usize,
    /// Which checkpoint of a run; none: the newest.
    pub update: Option<u64>,
    /// Name of a picture that was brought.
    pub picture: String,
    /// Name of a mask that was painted.
    pub mask: Option<String>,
    /// Standard deviation of the noise that is in the picture.
    pub observed_noise: Option<f64>,
    /// Iterations T.
    pub iterations: usize,
    /// Starts z₀.
    pub starts: usize,
    /// Where z may go: free, support or grids.
    pub latent: String,
    /// Of the starts and the noise.
    pub seed: u64,
}

impl Draw {
    pub(crate) fn problem(&self) -> Option<String> {
        let count = self.codes.len();
        if !(1..=MOST_CODES).contains(&count) {
            return Some(format!("{count} codes; 1 to {MOST_CODES} go together"));
        }
        let seed = self.codes[0].seed();
        if self.codes.iter().any(|code| code.seed() != seed) {
            return Some("codes that are drawn together have noise of one seed".to_owned());
        }
        self.codes.iter().find_map(code_problem)
    }
}

impl Neighbours {
    pub(crate) fn problem(&self) -> Option<String> {
        let count = self.count;
        if !(1..=64).contains(&count) {
            return Some(format!("{count} neighbours; ask for 1 to 64"));
        }
        code_problem(&self.code)
    }
}

fn code_problem(code: &Code) -> Option<String> {
    let Code::Mix { mix, .. } = code else { return None };
    let length = mix.iter().map(|(weight, ..)| weight * weight).sum::<f64>();
    let good = (1..=64).contains(&mix.len()) && length.is_finite() && length > 1e-12;
    (!good).then(|| "a mix has 1 to 64 parts, and weights that are numbers, not all 0".to_owned())
}

impl Reconstruct {
    pub(crate) fn problem(&self) -> Option<String> {
        if !(1..=MOST_ITERATIONS).contains(&self.iterations) {
            return Some(format!("{} iterations; take 1 to {MOST_ITERATIONS}", self.iterations));
        }
        if !(1..=MOST_STARTS).contains(&self.starts) {
            return Some(format!("{} starts; take 1 to {MOST_STARTS}", self.starts));
        }
        let bad = self.observed_noise.is_some_and(|noise| !srm_config::is_positive_f32(noise));
        bad.then(|| "observed_noise is a number above 0, in units of pixels in [-1, 1]".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(codes: &str) -> Draw {
        let text = format!(r#"{{"source":0,"update":null,"codes":{codes},"steps":null,"noise":true,"states":"end"}}"#);
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn codes_are_images_or_mixes_of_them() {
        let asked = draw(r#"[{"seed":3,"image":7},{"mix":[[0.8,3,1],[0.6,4,2]],"noise_image":1}]"#);
        assert_eq!((asked.problem(), asked.states), (None, States::End(End::End)));
        assert_eq!(asked.codes[0].parts(), [(1.0, 3, 7)]);
        assert_eq!((asked.codes[1].seed(), asked.codes[1].noise()), (3, 1));
    }

    #[test]
    fn what_cannot_be_drawn_is_said() {
        for (codes, expected) in [
            ("[]", "0 codes"),
            (r#"[{"seed":1,"image":0},{"seed":2,"image":0}]"#, "one seed"),
            (r#"[{"mix":[],"noise_image":0}]"#, "1 to 64 parts"),
            (r#"[{"mix":[[0,1,1]],"noise_image":0}]"#, "not all 0"),
        ] {
            assert!(draw(codes).problem().unwrap().contains(expected), "{codes}");
        }
        assert!(serde_json::from_str::<Code>(r#"{"seed":1,"image":0,"path":"/etc/passwd"}"#).is_err());
    }
}
