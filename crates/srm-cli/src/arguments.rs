//! Define the command line: every command, flag and help text.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, builder::styling};

use crate::device::DeviceChoice;
pub use crate::diagnose_arguments::{ChainsArguments, DiagnoseArguments, Diagnosis, MomentsArguments};
pub use crate::evaluate_arguments::EvaluateArguments;
pub use crate::latent_arguments::{
    InterpolateArguments, MethodChoice, ModelArguments, NoiseChoice, ReconstructArguments,
};
use crate::machine::PrecisionChoice;
use crate::ranks;
pub use crate::report_arguments::ReportArguments;

const STYLES: styling::Styles = styling::Styles::styled()
    .header(styling::AnsiColor::Green.on_default().bold())
    .usage(styling::AnsiColor::Green.on_default().bold())
    .literal(styling::AnsiColor::Cyan.on_default().bold());

/// Learn images with short-run MCMC: energy-based models by non-convergent, non-persistent Langevin chains.
#[derive(Debug, Parser)]
#[command(name = "srm", version, styles = STYLES, arg_required_else_help = true)]
#[command(after_help = "Exit codes: 0 done, 1 failed, 2 bad usage or config, 3 stopped on divergence, 130 interrupted.
Results go to stdout, progress and logs to stderr. RUST_LOG=debug shows more. SIGTERM and SIGUSR1 stop a run as Ctrl-C does.
Colours as NO_COLOR, FORCE_COLOR, CLICOLOR_FORCE, CLICOLOR and TERM say. Where stderr is no terminal a long command prints a line
of progress each 10 seconds (SRM_PROGRESS_SECONDS=N: each N).
Several processes (mpirun, srun; built with --features mpi) share train, sample, evaluate and reconstruct. Open MPI refuses to start
as root; in a container, and only there: mpirun --allow-run-as-root.")]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train a net from images (Algorithm 1).
    Train(TrainArguments),
    /// Draw samples from trained weights.
    Sample(SampleArguments),
    /// Walk between start noises: rows of images on the way.
    Interpolate(InterpolateArguments),
    /// Find the start noise of given images: whole, masked or noisy.
    Reconstruct(ReconstructArguments),
    /// Score samples against real images: Fréchet and kernel distance, inception score, precision and recall.
    Evaluate(EvaluateArguments),
    /// Look inside: moment matching and chain diagnostics, as numbers and charts.
    Diagnose(DiagnoseArguments),
    /// Gather a run in one HTML file that opens without network.
    Report(ReportArguments),
    /// Say what was found: libtorch, CUDA, threads, data sets, configs.
    Doctor(DoctorArguments),
}

impl Command {
    /// Whether stdout shall hold one JSON object.
    pub fn json(&self) -> bool {
        match self {
            Command::Train(train) => train.json,
            Command::Sample(sample) => sample.json,
            Command::Interpolate(interpolate) => interpolate.json,
            Command::Reconstruct(reconstruct) => reconstruct.json,
            Command::Evaluate(evaluate) => evaluate.json,
            Command::Diagnose(diagnose) => diagnose.what.json(),
            Command::Report(report) => report.json,
            Command::Doctor(doctor) => doctor.json,
        }
    }
}

/// Where and on how many threads to compute.
#[derive(Clone, Debug, Args)]
pub struct Compute {
    /// auto, cpu, cuda or cuda:N; auto takes CUDA where it works. Of several processes auto and cuda give each a GPU of its own.
    #[arg(long, default_value = "auto", value_name = "DEVICE")]
    pub device: DeviceChoice,
    /// Worker threads on the CPU [default: all cores, shared by the processes of a machine]. Changes no bit at one block size.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub threads: Option<u16>,
    /// f32, tf32 or bf16: the numbers inside the net on a GPU [default: tf32, as PyTorch]. Images, noise and weights are f32.
    #[arg(long, value_name = "NUMBERS")]
    pub precision: Option<PrecisionChoice>,
}

impl Compute {
    /// Threads asked for, else one for each core; of several processes on a machine each takes its part of the cores.
    pub fn threads(&self) -> usize {
        // a launcher may have bound this process to few cores already
        let own = std::thread::available_parallelism().map_or(1, usize::from);
        if let Some(asked) = self.threads.map(usize::from) {
            // beyond that threads cost time, and in the end the system starts no more and ends the process
            let most = MOST_THREADS.max(4 * all_cores().unwrap_or(own));
            if asked > most {
                tracing::warn!("--threads {asked}: taking {most}; more than one a core gives nothing");
            }
            return asked.min(most);
        }
        match ranks::neighbours() {
            1 => own,
            processes => own.min((all_cores().unwrap_or(own) / processes).max(1)),
        }
    }
}

/// Threads that may be asked for on any machine.
const MOST_THREADS: usize = 64;

/// Cores of this machine, whatever this process is bound to, as the kernel lists them.
fn all_cores() -> Option<usize> {
    let listed = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    Some(listed.lines().filter(|line| line.starts_with("processor")).count()).filter(|&cores| cores > 0)
}

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
pub struct TrainArguments {
    /// Config file [default: configs/celeba64.json on CUDA, else configs/celeba32-cpu.json]. A relative path in it is looked for in
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

#[derive(Debug, Args)]
#[command(after_help = r#"Examples:
  srm sample --weights runs/fashion32 --out samples.png --chain chain.png
  srm sample --weights net.pth --config configs/cifar10.json --count 5000 --out samples.npy
  srm sample --weights last.ckpt --key state_dict.ema --config configs/cifar10.json --out samples.png
  srm sample --weights runs/celeba32-cpu --out faces.png --nearest data/celeba/celeba_32_center178_train.npy
  srm sample --weights runs/smoke --count 16 --out samples.png --json
    {"command":"sample","weights":"runs/smoke/checkpoints/000030/weights.safetensors","count":16,"seed":1,"steps":10,
     "device":"cpu","threads":2,"block":8,"seconds":0.4,"out":"samples.png","shape":[16,32,32,3],"chain":null,
     "animate":null,"nearest":null}
    (one line; with --nearest: {"data":FILE,"indices":[...],"distances":[...]})"#)]
pub struct SampleArguments {
    /// Weights: a .safetensors file or one of torch.save, a run folder (then its newest checkpoint), a checkpoint, or a hub's folder.
    #[arg(long, value_name = "FILE|RUN")]
    pub weights: PathBuf,
    #[command(flatten)]
    pub key: Key,
    /// Images to draw.
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub count: u32,
    /// Seed of the noise: image i of a seed is the same whatever --count is.
    #[arg(long, default_value_t = 1, value_name = "S")]
    pub seed: u64,
    /// Langevin steps [default: as trained].
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..))]
    pub steps: Option<u32>,
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
    /// Take the Langevin settings from this config; a .pth file carries none.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Chains that run together as one block [default: as trained]. Changes rounding.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub block: Option<u16>,
    #[command(flatten)]
    pub compute: Compute,
    /// Print one JSON object on stdout and nothing else there.
    #[arg(long)]
    pub json: bool,
}

/// Which net of a weights file that holds several.
#[derive(Debug, Default, Args)]
pub struct Key {
    /// Of a weights file with several nets the one under this name, as the error lists them: ema, state_dict.ebm.
    #[arg(long, value_name = "NAME", requires = "weights")]
    pub key: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = r#"Examples:
  srm doctor
  srm doctor --json
    {"command":"doctor","srm":"0.1.0","libtorch":{"version":"2.11.0","folder":"/home/me/.cache/srm/libtorch-2.11.0-cpu/lib"},
     "cuda":{"library":null,"available":false,"devices":[],"cudnn":null,"problem":"no CUDA build of libtorch was found"},
     "cpu":{"cores":2,"torch_threads":2,"features":["avx2","fma"],"kernels":"avx2"},"mpi":null,
     "data":[{"file":"data/celeba/celeba_32_center178_train.npy","images":999,"height":32,"width":32,"channels":3,"problem":null}],
     "configs":[{"file":"configs/smoke.json","images":"synthetic:blobs","ready":true,"problem":null}]}
    (one line)"#)]
pub struct DoctorArguments {
    /// Print one JSON object on stdout and nothing else there.
    #[arg(long)]
    pub json: bool,
}
