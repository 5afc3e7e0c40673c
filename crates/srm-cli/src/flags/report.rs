//! Define the command line of `srm report`.

use std::path::PathBuf;

use clap::Args;

use super::Compute;

#[derive(Debug, Args)]
#[command(after_help = r#"Examples:
  srm report runs/demo
  srm report runs/demo --images data/fashion-mnist/fashion_mnist_32_test.npy --out demo.html
  srm report runs/celeba64 --no-figures
  srm report runs/demo --json
    {"command":"report","run":"runs/demo","out":"runs/demo/report.html","bytes":512034,
     "sections":["samples","curves","progress","chains","interpolation","reconstruction","scores","settings","machine",
     "history","again"],"weights":"runs/demo/checkpoints/002300/ema.safetensors","iterations":100,"seconds":14.2,
     "notes":[]}
    (one line; "notes" says what is damaged or missing in the run folder)
The page needs no network: pictures and charts are inside, and it asks for nothing. It shows images of the data set."#)]
pub struct ReportFlags {
    /// The run folder; a run that still goes on, or was broken off, has a report too.
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
    /// The page [default: report.html in the run folder].
    #[arg(long, value_name = "X.html")]
    pub out: Option<PathBuf>,
    /// Images to reconstruct, the first 8: a .npy, a folder or a picture [default: those of the run's data].
    #[arg(long, value_name = "X.npy|DIR|FILE")]
    pub images: Option<PathBuf>,
    /// Iterations of the reconstruction [default: 100 for a net of the demo's cost, down to 10 for dearer ones on a CPU].
    #[arg(long, value_name = "T", value_parser = clap::value_parser!(u32).range(1..))]
    pub iterations: Option<u32>,
    /// Leave out what the net would have to draw: chains, interpolation, reconstruction.
    #[arg(long, conflicts_with_all = ["images", "iterations"])]
    pub no_figures: bool,
    #[command(flatten)]
    pub compute: Compute,
    /// Print one JSON object on stdout and nothing else there.
    #[arg(long)]
    pub json: bool,
}
