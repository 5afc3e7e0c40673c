//! Define the command line of `srm train`.

use std::path::PathBuf;

use clap::Args;

use super::Compute;

#[derive(Debug, Args)]
#[command(after_help = r#"Examples:
  srm train --config configs/fashion32.json
  srm train --config configs/smoke.json --set train.updates=10 --run runs/trial
  srm train --config configs/smoke.json --json
    {"command":"train","run":"runs/smoke","config":"configs/smoke.json","outcome":"finished","updates":30,"device":"cpu",
     "threads":2,"ranks":1,"block":8,"seconds":3.1,"updates_per_second":9.7,"images_seen":240,"rollbacks":0,"best":null,
     "weights":"runs/smoke/checkpoints/000030/weights.safetensors",
     "last":{"update":30,"f_data":0.02,"f_sample":0.01,"gap":0.01, ...}}
    (one line; "last" is the last line of metrics.jsonl)
  srm train --run runs/smoke --resume
  srm train --run runs/smoke --resume --set train.updates=60 --set train.learning_rate=5e-5
    (a run that goes on keeps its own settings, --set changes them; the net cannot change)
  mpirun -n 2 --bind-to none srm train --config configs/fashion32.json
    (a program built with --features mpi; sample, evaluate and reconstruct share their work in the same way)"#)]
pub struct TrainFlags {
    /// Config file [default: configs/celeba64.json on CUDA, else configs/grids32-cpu.json]. A relative path in it is looked for in
    /// the working folder, then in the config's folder and those above it up to the repository's.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Override a value of the config: a dotted path and JSON; null removes. May be repeated.
    #[arg(long = "set", value_name = "a.b=JSON")]
    pub overrides: Vec<String>,
    /// Run folder [default: runs/NAME OF THE CONFIG].
    #[arg(long, value_name = "DIR")]
    pub run: Option<PathBuf>,
    /// Go on with the run in the folder from its newest checkpoint, or begin it where there is none.
    #[arg(long, conflicts_with = "overwrite")]
    pub resume: bool,
    /// Delete what an earlier run left in the run folder.
    #[arg(long)]
    pub overwrite: bool,
    /// Print the resolved config and stop.
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub compute: Compute,
    /// Print one JSON object on stdout and nothing else there.
    #[arg(long)]
    pub json: bool,
}
