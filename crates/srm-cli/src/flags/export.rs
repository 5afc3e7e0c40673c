//! Define the command line of `srm export`.

use std::path::PathBuf;

use clap::Args;

use super::Compute;

#[derive(Debug, Args)]
#[command(after_help = r#"Examples:
  srm export --hub hub/fashion32 runs/fashion32
  srm export --hub hub/faces runs/celeba32-cpu --name me/faces --overwrite
  srm export --hub hub/cars runs/cars --license cc-by-4.0
  srm export --hub hub/cifar10 net.pth --config configs/cifar10.json
  srm export --hub hub/smoke runs/smoke --json
    {"command":"export","hub":"hub/smoke","weights":"runs/smoke/checkpoints/000030/weights.safetensors","converted":false,
     "name":"OWNER/smoke","update":30,"sha256":"7f9ad5d31ea7...","data":"synthetic blobs","license":"mit","scores":0,
     "files":["README.md","config.json","model.safetensors","samples.png"],"bytes":402113,"count":64,"seed":1,"steps":10,
     "device":"cpu","threads":2,"block":8,"seconds":0.6,"warnings":[]}
    (one line; "update" is null where nothing says it, "scores" counts the lines of evaluation.json that are of these weights)
The folder holds model.safetensors, config.json, samples.png and README.md, the model card; equal weights give equal files.
`hf upload OWNER/NAME DIR` sends it."#)]
pub struct ExportFlags {
    /// The folder to make, for a model hub; written whole or not at all.
    #[arg(long, value_name = "DIR")]
    pub hub: PathBuf,
    /// A run folder (then its newest checkpoint), a checkpoint, or weights as `srm sample` takes them.
    #[arg(value_name = "RUN|WEIGHTS")]
    pub weights: PathBuf,
    /// The repository's name on the hub, for the lines to copy [default: OWNER/ and the run's name].
    #[arg(long, value_name = "OWNER/NAME")]
    pub name: Option<String>,
    /// The licence of the weights, by the hub's identifier: mit, cc-by-4.0, other [default: as the training data's terms ask].
    #[arg(long, value_name = "ID")]
    pub license: Option<String>,
    /// Of a weights file with several nets the one under this name, as the error lists them: ema, state_dict.ebm.
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// Take the settings from this config; a .pth file carries none.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Put the files into a folder that is not empty, in the place of those of an earlier export; what else lies there stays.
    #[arg(long)]
    pub overwrite: bool,
    #[command(flatten)]
    pub compute: Compute,
    /// Print one JSON object on stdout and nothing else there.
    #[arg(long)]
    pub json: bool,
}
