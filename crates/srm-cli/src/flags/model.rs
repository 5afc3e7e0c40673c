//! Define the flags that say which net, and how its chains run: one group for every command that opens a net.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use srm_latent::ChainNoise;

use super::Compute;

/// Which net of a weights file, and how its chains run.
#[derive(Debug, Args)]
pub struct ModelFlags {
    /// Of a weights file with several nets the one under this name, as the error lists them: ema, state_dict.ebm.
    #[arg(long, value_name = "NAME", requires = "weights")]
    pub key: Option<String>,
    /// Of a run folder the checkpoint of this update [default: the newest].
    #[arg(long, value_name = "T", requires = "weights")]
    pub update: Option<u64>,
    /// Langevin steps K [default: as trained].
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..))]
    pub steps: Option<u32>,
    /// Run the last N of the K steps without noise, and what comes after them too.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub quiet_tail: u32,
    /// Chains that start at the data's law (init "colours") start nearer its mean: their distance from it times PSI, 0 to 1.
    /// Better formed images, less variety; the truncation trick of GANs (Brock et al. 2019).
    #[arg(long, value_name = "PSI", value_parser = fraction)]
    pub truncation: Option<f64>,
    /// Take the Langevin settings from this config; a .pth file carries none.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Chains that run together as one block [default: as trained]. Changes rounding.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub block: Option<u16>,
    #[command(flatten)]
    pub compute: Compute,
}

fn fraction(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| (0.0..=1.0).contains(number));
    number.ok_or_else(|| "give a number from 0 to 1".to_owned())
}

/// What both diagnoses of a net end with.
#[derive(Debug, Args)]
pub struct DiagnosisFlags {
    /// Seed of starts, noise and whatever else is drawn: chain i is image i of `srm sample --seed S`.
    #[arg(long, default_value_t = 1, value_name = "S")]
    pub seed: u64,
    #[command(flatten)]
    pub model: ModelFlags,
    /// Print one JSON object on stdout and nothing else there.
    #[arg(long)]
    pub json: bool,
}

/// How a net runs as a generator M(z, u).
#[derive(Debug, Args)]
pub struct GeneratorFlags {
    /// Noise of the chains: none, or that of --seed.
    #[arg(long, value_enum, default_value = "fixed")]
    pub noise: NoiseChoice,
    /// Of the images of a chain keep every S-th for the derivative and compute the others again: less memory, more time.
    #[arg(long, default_value_t = 1, value_name = "S", value_parser = clap::value_parser!(u32).range(1..))]
    pub checkpoint_every: u32,
}

/// The value of --noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum NoiseChoice {
    /// b = 0.
    Off,
    /// The noise of `srm sample` with the same --seed on the CPU.
    Fixed,
}

impl NoiseChoice {
    /// The noise, with the seed of --seed.
    pub fn seeded(self, seed: u64) -> ChainNoise {
        match self {
            NoiseChoice::Off => ChainNoise::Off,
            NoiseChoice::Fixed => ChainNoise::Fixed(seed),
        }
    }

    /// As typed.
    pub fn name(self) -> &'static str {
        match self {
            NoiseChoice::Off => "off",
            NoiseChoice::Fixed => "fixed",
        }
    }
}
