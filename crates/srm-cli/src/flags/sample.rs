//! Define the command line of `srm sample`.

use std::{fmt, path::PathBuf, str::FromStr};

use clap::Args;

use super::ModelFlags;
use crate::model::Code;

/// Height and width in pixels; on the command line `512x384`, width first, or `512` for a square.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub [usize; 2]);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Size, String> {
        let (width, height) = text.split_once(['x', 'X', '×']).unwrap_or((text, text));
        let side = |word: &str| word.trim().parse().ok().filter(|side| (1..=MOST_PIXELS).contains(side));
        match (side(width), side(height)) {
            (Some(width), Some(height)) => Ok(Size([height, width])),
            _ => Err(format!("a size is WxH in pixels, such as 512x384, each side 1 to {MOST_PIXELS}")),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [height, width] = self.0;
        write!(out, "{width}x{height}")
    }
}

/// Pixels of a side at most.
const MOST_PIXELS: usize = 16_384;

#[derive(Debug, Args)]
#[command(after_help = r#"Examples:
  srm sample --weights runs/fashion32 --out samples.png --chain chain.png
  srm sample --weights net.pth --config configs/cifar10.json --count 5000 --out samples.npy
  srm sample --weights last.ckpt --key state_dict.ema --config configs/cifar10.json --out samples.png
  srm sample --weights runs/celeba32-cpu --out faces.png --nearest data/celeba/celeba_32_center178_train.npy
  srm sample --weights hf:owner/name@v1 --out samples.png
  srm sample --weights runs/bricks --count 1 --size 512x384 --block 1 --out bricks.png
  srm sample --weights runs/bricks --count 1 --size 256 --tile --out tile.png
  srm sample --weights runs/bricks --count 4 --size 512 --grow bricks.png --out more.png
  srm sample --weights runs/fashion32 --update 1200 --code 7 --code 0.8@7+0.6@9 --code 9 --out way.png
  srm sample --weights runs/smoke --count 16 --out samples.png --json
    {"command":"sample","weights":"runs/smoke/checkpoints/000030/weights.safetensors","count":16,"seed":1,"steps":10,"quiet_tail":0,"truncation":null,
     "device":"cpu","threads":2,"block":8,"seconds":0.4,"out":"samples.png","shape":[16,32,32,3],"chain":null,
     "animate":null,"nearest":null}
    (one line; with --nearest: {"data":FILE,"indices":[...],"distances":[...]})"#)]
pub struct SampleFlags {
    /// Weights: a .safetensors file or one of torch.save, a run folder (then its newest checkpoint), a checkpoint,
    /// a hub's folder, what comes with srm (fashion32), or to download hf:owner/name[@revision] or https://… (safetensors alone).
    #[arg(long, value_name = "FILE|RUN|hf:NAME|URL")]
    pub weights: PathBuf,
    /// Images to draw.
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub count: u32,
    /// Seed of the noise: image i of a seed is the same whatever --count is.
    #[arg(long, default_value_t = 1, value_name = "S")]
    pub seed: u64,
    /// Draw this code instead, once for each --code: an image of --seed (7), of another seed (2:7), or a mix by weights, z being
    /// Σ w z / √(Σ w²): 0.6@3+0.8@2:9, with the noise of the first image or of the one behind a slash (0.6@3+0.8@9/5).
    #[arg(long, value_name = "CODE", allow_hyphen_values = true, conflicts_with_all = ["count", "chain", "animate"])]
    pub code: Vec<Code>,
    /// Width and height of the images of a net for any size (energy.any_size) [default: 256x256].
    #[arg(long, value_name = "WxH")]
    pub size: Option<Size>,
    /// Each image is a tile that can be laid beside itself, above and below too (energy.any_size). Without this it is cut out of a
    /// larger one, and does not repeat.
    #[arg(long)]
    pub tile: bool,
    /// Continue this picture: it stays as it is in the middle of --size, and chains draw what is around it.
    #[arg(long, value_name = "PICTURE", conflicts_with_all = ["code", "tile"])]
    pub grow: Option<PathBuf>,
    /// Draw anew what is black in this mask, as large as the picture of --grow; what is white stays.
    #[arg(long, value_name = "MASK", requires = "grow")]
    pub mask: Option<PathBuf>,
    /// X.png: a grid; X.npy: u8 [n, h, w, c]; anything else: a folder of PNG files.
    #[arg(long, value_name = "X.png|X.npy|DIR")]
    pub out: PathBuf,
    /// Write the way from noise to image: a row for each of the first 8 chains, 11 states from left to right.
    #[arg(long, value_name = "STRIP.png")]
    pub chain: Option<PathBuf>,
    /// Write the chains moving from noise to image, the first 64 of them, as an animated PNG.
    #[arg(long, value_name = "X.png")]
    pub animate: Option<PathBuf>,
    /// Show below each sample its nearest image of this set (in pixels); --out must be a .png.
    #[arg(long, value_name = "DATA.npy")]
    pub nearest: Option<PathBuf>,
    /// Columns of the grid [default: as square as possible].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub columns: Option<u16>,
    #[command(flatten)]
    pub model: ModelFlags,
    /// Print one JSON object on stdout and nothing else there.
    #[arg(long)]
    pub json: bool,
}
