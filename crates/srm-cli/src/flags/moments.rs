//! Define the command line of `srm diagnose moments`.

use std::path::PathBuf;

use clap::Args;
use srm_config::{is_not_negative_f32, is_positive_f32};

use super::DiagnosisFlags;

#[derive(Debug, Args)]
#[command(after_help = r#"Examples:
  srm diagnose moments --weights runs/fashion32-plain --data data/fashion-mnist/fashion_mnist_32_train.npy --out moments
    (a run folder: every checkpoint; moments.json and moments.svg)
  srm diagnose moments --frozen --weights runs/fashion32-plain --data data/fashion-mnist/fashion_mnist_32_train.npy --out moments
    (frozen.json, frozen.svg, frozen_start.png, frozen_end.png, frozen_carried.png)
  srm diagnose moments --toy --out moments
    (figure1.json, figure1.svg)
  srm diagnose moments --weights net.safetensors --data x.npy --out moments --json
    {"command":"diagnose moments","experiment":"trained","data":{"file":"x.npy","images":60000,"reference":2000,"floor":2000},
     "count":2000,"seed":1,"results":[{"weights":"net.safetensors","update":null,"steps":30,"data_noise":0.03,
       "data_noise_from":"the paper's","flip":false,
       "top":{"relative":0.16,"standard_error":0.01,"noise":0.02,"beyond_noise":0.16,"floor":0.02,"floor_by_chance":0.02},
       "layers":[{"layer":"f.0","relative":0.3,...,"floor":0.02},...],"f_data":1.9,"f_sample":1.2,"seconds":9.0}],
     "warnings":[],"seconds":9.5,"out":"moments"}
    (one line)"#)]
pub struct MomentsFlags {
    /// Weights: a .safetensors file or one of torch.save, hf:owner/name[@revision], https://…, or a run folder (then each of
    /// its checkpoints; with --frozen the newest).
    #[arg(long, value_name = "FILE|RUN|hf:NAME|URL", required_unless_present = "toy", conflicts_with = "toy")]
    pub weights: Option<PathBuf>,
    /// Of a run folder its newest checkpoint alone.
    #[arg(long, requires = "weights")]
    pub newest: bool,
    /// Observed images, u8 [n, h, w, c]: those the net was trained on.
    #[arg(long, value_name = "X.npy", required_unless_present = "toy", conflicts_with = "toy")]
    pub data: Option<PathBuf>,
    /// Folder for the numbers, charts and grids.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Samples, and observed images to compare them with.
    #[arg(long, default_value_t = 2000, value_name = "N", value_parser = clap::value_parser!(u32).range(20..))]
    pub count: u32,
    /// Standard deviation of the noise on the observed images [default: the run's at that update; without a run 0.03].
    #[arg(long, value_name = "SIGMA", value_parser = sigma)]
    pub data_noise: Option<f64>,
    /// Mirror observed images with probability 1/2 [default: as the run did].
    #[arg(long)]
    pub flip: bool,
    /// Learn a new top layer over the frozen features of the net, and show that the moments match without convergence.
    #[arg(long, requires = "weights")]
    pub frozen: bool,
    /// Updates of --frozen or --toy.
    #[arg(long, default_value_t = 300, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub updates: u32,
    /// Chains per update of --frozen.
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub batch: u16,
    /// First step size of --frozen; after a third of the updates it falls to a hundredth.
    #[arg(long, default_value_t = 0.01, value_name = "RATE", value_parser = rate)]
    pub rate: f64,
    /// The paper's Figure 1 for Gaussians on the plane; needs no weights.
    #[arg(long, conflicts_with = "frozen")]
    pub toy: bool,
    #[command(flatten)]
    pub common: DiagnosisFlags,
}

fn sigma(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|&sigma| is_not_negative_f32(sigma));
    number.ok_or_else(|| "must be a number >= 0, in pixel units of a range from -1 to 1".to_owned())
}

fn rate(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|&rate| is_positive_f32(rate));
    number.ok_or_else(|| "must be a number > 0".to_owned())
}
