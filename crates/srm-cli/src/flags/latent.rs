//! Define the command lines of the commands that work on latent codes.

use std::path::PathBuf;

use clap::Args;
use srm_latent::{Latent, Method};

use super::{GeneratorFlags, ModelFlags};

#[derive(Debug, Args)]
#[command(after_help = r#"Examples:
  srm interpolate --weights runs/fashion32 --out rows.png
  srm interpolate --weights runs/celeba32-cpu --pairs 4 --points 12 --noise off --out rows.png --npy rows.npy --json
    {"command":"interpolate","weights":"runs/celeba32-cpu/checkpoints/004500/weights.safetensors","pairs":4,"points":12,
     "rho":[1.0,0.99,...],"seed":1,"noise":"off","steps":30,"quiet_tail":0,"truncation":null,"device":"cpu","seconds":0.9,"out":"rows.png",
     "npy":"rows.npy","animate":null,"shape":[48,32,32,3],"smoothness":{"neighbours":[[0.05,...],...],"mean":0.05,"largest":0.11,"ends":[0.4,...]}}
    (one line; distances are root mean squares per pixel on the [-1, 1] scale)"#)]
pub struct InterpolateFlags {
    /// Weights: a .safetensors file or one of torch.save, a run folder (then its newest checkpoint), a checkpoint,
    /// a hub's folder, what comes with srm (fashion32), or to download hf:owner/name[@revision] or https://… (safetensors alone).
    #[arg(long, value_name = "FILE|RUN|hf:NAME|URL")]
    pub weights: PathBuf,
    #[command(flatten)]
    pub generator: GeneratorFlags,
    #[command(flatten)]
    pub model: ModelFlags,
    /// Rows: pairs of start noises.
    #[arg(long, default_value_t = 8, value_name = "P", value_parser = clap::value_parser!(u16).range(1..))]
    pub pairs: u16,
    /// Images per row, the two ends included.
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub points: u16,
    /// Seed of the start noises: row p goes from image 2p of `srm sample` to image 2p + 1; of that on the CPU, for a GPU draws a noise of its own.
    #[arg(long, default_value_t = 1, value_name = "S")]
    pub seed: u64,
    /// A grid, a row per pair.
    #[arg(long, value_name = "X.png")]
    pub out: PathBuf,
    #[command(flatten)]
    pub also: AlsoFlags,
}

#[derive(Debug, Args)]
#[command(after_help = r#"Examples:
  srm reconstruct --weights runs/celeba32-cpu --images faces/ --out reconstructed.png
  srm reconstruct --weights runs/celeba32-cpu --images faces.npy --mask half.png --out inpainted.png
  srm reconstruct --weights runs/celeba32-cpu --images noisy.npy --observed-noise 0.2 --out denoised.png
  srm reconstruct --weights runs/celeba32-cpu --images faces.npy --count 8 --out r.png --json
    {"command":"reconstruct","weights":"runs/celeba32-cpu/checkpoints/004500/weights.safetensors","images":"faces.npy",
     "count":8,"iterations":200,"method":"adam","step":0.02,"latent":"free","starts":1,"noise":"fixed","seed":1,"steps":30,
     "quiet_tail":0,"truncation":null,"mask":null,"observed_noise":null,"device":"cpu","seconds":21.4,"out":"r.png","npy":null,"animate":null,
     "mse":[0.004,...],"mean_mse":0.005,"best_iteration":[198,...],"curve":[0.41,...],"moved":0.52,"names":["0 of faces.npy",...]}
    (one line; errors are per observed pixel on the [-1, 1] scale)"#)]
pub struct ReconstructFlags {
    /// Weights: a .safetensors file or one of torch.save, a run folder (then its newest checkpoint), a checkpoint,
    /// a hub's folder, what comes with srm (fashion32), or to download hf:owner/name[@revision] or https://… (safetensors alone).
    #[arg(long, value_name = "FILE|RUN|hf:NAME|URL")]
    pub weights: PathBuf,
    #[command(flatten)]
    pub generator: GeneratorFlags,
    #[command(flatten)]
    pub model: ModelFlags,
    /// The images: u8 .npy [n, h, w, c], a folder, .zip or .tar(.gz) of pictures, or one picture. Others than the net's
    /// size are resized.
    #[arg(long, value_name = "X.npy|DIR|FILE")]
    pub images: PathBuf,
    /// Use only the first N images.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub count: Option<u32>,
    /// Iterations T.
    #[arg(long, default_value_t = 200, value_name = "T", value_parser = clap::value_parser!(u32).range(1..))]
    pub iterations: u32,
    /// How z moves [default: adam for nets without curvature, such as LeakyReLU; residual for smooth ones].
    #[arg(long, value_enum)]
    pub method: Option<Method>,
    /// Its step on dL/dz; for ADAM its rate [default: gradient 0.04, residual 0.01, ADAM 0.02].
    #[arg(long, value_name = "STEP")]
    pub step: Option<f64>,
    /// Where z may go.
    #[arg(long, value_enum, default_value = "free")]
    pub latent: Latent,
    /// Start noises tried for each image; the best is kept.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub starts: u16,
    /// Seed of the start noises and of the chains' noise.
    #[arg(long, default_value_t = 1, value_name = "S")]
    pub seed: u64,
    /// Fit only the pixels that are white here: one mask, or a folder or .npy [n, h, w, 1] with one per image.
    #[arg(long, value_name = "M.png")]
    pub mask: Option<PathBuf>,
    /// Standard deviation of the noise on the images, in units of pixels in [-1, 1]: fit no better than that.
    #[arg(long, value_name = "S")]
    pub observed_noise: Option<f64>,
    /// The figure: a row per image, up to 16: iterates, the best, the target.
    #[arg(long, value_name = "X.png")]
    pub out: PathBuf,
    #[command(flatten)]
    pub also: AlsoFlags,
}

/// What can be had of the images besides the picture.
#[derive(Debug, Args)]
pub struct AlsoFlags {
    /// All images, u8 [n, h, w, c], in the order of the picture's rows.
    #[arg(long, value_name = "X.npy")]
    pub npy: Option<PathBuf>,
    /// The way to them as an animated PNG: the chains from noise, or the iterates.
    #[arg(long, value_name = "X.png")]
    pub animate: Option<PathBuf>,
    /// Print one JSON object on stdout and nothing else there.
    #[arg(long)]
    pub json: bool,
}
