//! Define the command line: every command, flag and help text.

mod chains;
mod compute;
mod diagnose;
mod evaluate;
mod explore;
mod export;
mod latent;
mod model;
mod moments;
mod report;
mod sample;
mod train;

use clap::{Args, Parser, Subcommand, builder::styling};

pub use chains::ChainsFlags;
pub use compute::Compute;
pub use diagnose::{DiagnoseFlags, Diagnosis};
pub use evaluate::EvaluateFlags;
pub use explore::ExploreFlags;
pub use export::ExportFlags;
pub use latent::{InterpolateFlags, ReconstructFlags};
pub use model::{DiagnosisFlags, GeneratorFlags, ModelFlags};
pub use moments::MomentsFlags;
pub use report::ReportFlags;
pub use sample::{SampleFlags, Size};
pub use train::TrainFlags;

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
    Train(TrainFlags),
    /// Draw samples from trained weights.
    Sample(SampleFlags),
    /// Walk between start noises: rows of images on the way.
    Interpolate(InterpolateFlags),
    /// Find the start noise of given images: whole, masked or noisy.
    Reconstruct(ReconstructFlags),
    /// Score samples against real images: Fréchet and kernel distance, inception score, precision and recall.
    Evaluate(EvaluateFlags),
    /// Look inside: moment matching and chain diagnostics, as numbers and charts.
    Diagnose(DiagnoseFlags),
    /// Serve a page to look in: watch a run, walk through the latent space, bring a picture.
    Explore(ExploreFlags),
    /// Gather a run in one HTML file that opens without network.
    Report(ReportFlags),
    /// Make a folder for a model hub: weights, settings, samples and a model card.
    Export(ExportFlags),
    /// Say what was found: libtorch, CUDA, threads, data sets, configs.
    Doctor(DoctorFlags),
}

impl Command {
    /// Whether stdout shall hold one JSON object.
    pub fn json(&self) -> bool {
        match self {
            Command::Train(train) => train.json,
            Command::Sample(sample) => sample.json,
            Command::Interpolate(interpolate) => interpolate.also.json,
            Command::Reconstruct(reconstruct) => reconstruct.also.json,
            Command::Evaluate(evaluate) => evaluate.json,
            Command::Diagnose(diagnose) => diagnose.what.json(),
            Command::Explore(explore) => explore.json,
            Command::Report(report) => report.json,
            Command::Export(export) => export.json,
            Command::Doctor(doctor) => doctor.json,
        }
    }
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
pub struct DoctorFlags {
    /// Print one JSON object on stdout and nothing else there.
    #[arg(long)]
    pub json: bool,
}
