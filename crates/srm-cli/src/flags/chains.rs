//! Define the command line of `srm diagnose chains`.

use std::path::PathBuf;

use clap::Args;
use srm_config::is_positive_f32;

use super::DiagnosisFlags;

#[derive(Debug, Args)]
#[command(after_help = r#"Examples:
  srm diagnose chains --weights runs/fashion32 --data data/fashion-mnist/fashion_mnist_32_train.npy --out chains
  srm diagnose chains --weights runs/fashion32 --out chains --long-steps 100000
    (the length in the paper: a 32 px net of 16 features took 10 minutes for it on two busy cores. Ctrl-C saves the chains, and the
     same command goes on with them; a larger --long-steps makes a finished run longer)
  srm diagnose chains --weights runs/fashion32 --out chains --metropolis-steps 10000 --metropolis-scale 0.1
  srm diagnose chains --weights runs/smoke --out chains --json
    {"command":"diagnose chains","weights":"runs/smoke/checkpoints/000030/weights.safetensors","sha256":"5f...","seed":1,
     "device":"cpu","threads":2,"block":8,"steps":10,"quiet_tail":0,"truncation":null,"gradient_scale":1.0,"noise_std":0.01,"temperature":5e-5,
     "data":null,"training":null,
     "short":{"chains":64,"beyond":20,"blown_up":[],"largest":1.05,"statistics":[{"step":0,"chains":64,"f":0.01,"f_std":0.0,
       "gradient_norm":0.02,"std":0.58,"largest":1.0,"distance":0.0,"acceptance":0.0}, ...]},
     "mixing":{"starts":8,"noises":8,"at_k":{"between":0.33,"within":0.001,"intraclass":0.997},"curve":[...], ...},
     "long":null,"metropolis":{"steps":20,"acceptance":0.1, ...},"left_out":["training: ..."],"files":["f.svg", ...],"seconds":2.1}
    (one line, and the same in OUT/chains.json)"#)]
pub struct ChainsFlags {
    /// Weights: a .safetensors file or one of torch.save, fashion32 (it comes with srm), hf:owner/name[@revision], https://…, or a run folder (then its
    /// newest checkpoint, and gap and gradient over training).
    #[arg(long, value_name = "FILE|RUN|hf:NAME|URL")]
    pub weights: PathBuf,
    /// Folder for chains.json, charts (.svg), pictures (.png) and saved chains.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Real images, u8 [n, h, w, c]: their f, ‖f'‖ and std stand beside the chains', without training's noise on them.
    #[arg(long, value_name = "X.npy")]
    pub data: Option<PathBuf>,
    /// Of the real images the first N.
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub data_count: u32,
    /// Correlate gap and gradient from this update on, for a run whose beginning is not of interest.
    #[arg(long, default_value_t = 0, value_name = "UPDATE")]
    pub after: u64,
    /// Short chains whose numbers are shown step by step.
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub chains: u32,
    /// Go on to this step with the short chains, at least K [default: 2 K].
    #[arg(long, value_name = "STEP", value_parser = clap::value_parser!(u32).range(1..))]
    pub beyond: Option<u32>,
    /// Starts of the test whether z decides the image; 0 leaves it out.
    #[arg(long, default_value_t = 8, value_name = "S")]
    pub mixing_starts: u16,
    /// Chains with noise of their own from each of these starts, at least 2.
    #[arg(long, default_value_t = 8, value_name = "R", value_parser = clap::value_parser!(u16).range(2..))]
    pub mixing_noises: u16,
    /// Steps of the long chains; 0 leaves them out, the paper has 100000. Resumable.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub long_steps: u32,
    /// Chains of the long and of the Metropolis run; on the CPU in blocks of 4 where --block says no other number.
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub long_chains: u16,
    /// Steps of the Metropolis chains, whose proposals are the Langevin steps; 0 leaves them out. Resumable [default: 2 K].
    #[arg(long, value_name = "N")]
    pub metropolis_steps: Option<u32>,
    /// Make the proposals smaller: noise × SCALE, gradient × SCALE², so that the target exp(f/T) stays the same.
    #[arg(long, default_value_t = 1.0, value_name = "SCALE", value_parser = positive)]
    pub metropolis_scale: f64,
    /// Seconds between two saves of long chains.
    #[arg(long, default_value_t = 30, value_name = "SECONDS")]
    pub save_every: u32,
    #[command(flatten)]
    pub common: DiagnosisFlags,
}

fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|&number| is_positive_f32(number));
    number.ok_or_else(|| "must be a number > 0".to_owned())
}
