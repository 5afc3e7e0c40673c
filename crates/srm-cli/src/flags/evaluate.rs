//! Define the command line of `srm evaluate`.

use std::path::PathBuf;

use clap::Args;

use super::ModelFlags;

#[derive(Debug, Args)]
#[command(after_help = r#"Examples:
  srm evaluate --weights runs/fashion32 --data data/fashion-mnist/fashion_mnist_32_train.npy --count 1000
    (a run folder: one line for each checkpoint)
  srm evaluate --samples faces.npy --data data/celeba/celeba_64_center178_train.npy --features inception.pth
  srm evaluate --data data/celeba/celeba_64_center178_train.npy --self-check
  srm evaluate --data x.npy --save-stats x.npz
  srm evaluate --weights runs/celeba32-cpu --newest --data celeba.npy --nearest copies.png --reconstruct test.npy
  srm evaluate --weights net.safetensors --data x.npy --json
    {"command":"evaluate","data":{"file":"x.npy","count":800,"statistics":false,"manifest":{"crop":"center178","filter":"bilinear",...}},
     "features":{"name":"random-conv","is_fid":false,"dimension":144,"file":null,"sha256":null,"input":[[-1.0,1.0],null]},
     "results":[{"samples":"net.safetensors","sha256":"5f...","update":null,"count":800,"seed":1,"steps":30,
       "quiet_tail":0,"truncation":null,"langevin":{"steps":30,...},"frechet":1.93,
       "kernel":{"mean":0.02,"std":0.001,"subset":800,"subsets":100},"inception_score":null,
       "precision":0.71,"recall":0.42,"neighbours":3,"nearest":null,"reconstruction":null,"seconds":12.0}],
     "self_check":null,"warnings":["..."],"seconds":12.4}
    (one line; with --nearest: {"picture":FILE,"least":35.8,"median":51.2,"most":61.1,"different":61} in grey levels;
     with --reconstruct: {"images":FILE,"count":32,"iterations":200,"method":"adam","latent":"free","mean_mse":0.004,
     "worst_mse":0.012,"moved":0.7} per pixel on the [-1, 1] scale; latent is grids for a ladder)"#)]
pub struct EvaluateFlags {
    /// Weights whose samples are scored: a .safetensors file or one of torch.save, fashion32 (it comes with srm), hf:owner/name[@revision], https://…, or a
    /// run folder (then each of its checkpoints).
    #[arg(long, value_name = "FILE|RUN|hf:NAME|URL", required_unless_present_any = ["samples", "self_check", "save_stats"], conflicts_with = "samples")]
    pub weights: Option<PathBuf>,
    /// Of a run folder its newest checkpoint alone.
    #[arg(long, requires = "weights")]
    pub newest: bool,
    /// Images to score instead: a .npy of u8 [n, h, w, c], or a folder, .zip or .tar(.gz) of pictures.
    #[arg(long, value_name = "X.npy|DIR")]
    pub samples: Option<PathBuf>,
    /// Real images, u8 [n, h, w, c], or their statistics, a .npz with mu and sigma (then the Fréchet distance alone).
    #[arg(long, value_name = "X.npy|STATS.npz")]
    pub data: PathBuf,
    /// random-conv, Inception's weights (.pth, .safetensors: then the distance is the FID), or a TorchScript .pt with a .json.
    #[arg(long, default_value = "random-conv", value_name = "NET")]
    pub features: String,
    /// Samples to draw or take [default: as many as there are real images, at most 10,000; 10,000 for statistics that do not say].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..))]
    pub count: Option<u32>,
    /// Of the real images the first N [default: all].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..))]
    pub data_count: Option<u32>,
    /// Also compare two random halves of the real images with each other: the least that a perfect sampler could reach.
    #[arg(long)]
    pub self_check: bool,
    /// Seed of the samples and of the random subsets.
    #[arg(long, default_value_t = 1, value_name = "S")]
    pub seed: u64,
    /// Show the first 64 samples (of a run: of its newest weights), each above its nearest real image in pixels: copies would
    /// be seen.
    #[arg(long, value_name = "X.png")]
    pub nearest: Option<PathBuf>,
    /// Reconstruct these images too, best ones that the net never saw, and give their mean squared error.
    #[arg(long, value_name = "X.npy|DIR", requires = "weights")]
    pub reconstruct: Option<PathBuf>,
    /// Images to reconstruct.
    #[arg(long, default_value_t = 32, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub reconstruct_count: u32,
    /// Keep the real images' statistics, mu and sigma, for a later --data.
    #[arg(long, value_name = "STATS.npz")]
    pub save_stats: Option<PathBuf>,
    /// Write the JSON object to this file too [default: evaluation.json in a run folder].
    #[arg(long, value_name = "X.json")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub model: ModelFlags,
    /// Print one JSON object on stdout and nothing else there.
    #[arg(long)]
    pub json: bool,
}
