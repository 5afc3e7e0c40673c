//! Run `srm doctor`: say what was found of libtorch, CUDA, threads, data sets and configs, and what to do about the rest.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;
use serde::Serialize;
use srm_config::Config;
use srm_data::ImageSet;
use tch::{Cuda, utils};

use crate::{
    images::{self, places},
    model::shipped::{SHIPPED, Shipped},
    session::{Session, environment, libtorch, shown},
};

/// Everything that was found.
#[derive(Debug, Serialize)]
struct Report {
    command: &'static str,
    srm: &'static str,
    libtorch: Libtorch,
    cuda: CudaFound,
    cpu: Cpu,
    /// The MPI library that was built in.
    mpi: Option<String>,
    /// What comes with the program.
    weights: &'static [Shipped],
    data: Vec<Set>,
    configs: Vec<ConfigFound>,
}

#[derive(Debug, Serialize)]
struct Libtorch {
    version: Option<String>,
    #[serde(serialize_with = "shown::optional")]
    folder: Option<PathBuf>,
    mkldnn: bool,
    openmp: bool,
    /// What the environment names instead, and why it is not what runs or not what a build may take.
    problems: Vec<String>,
}

#[derive(Debug, Serialize)]
struct CudaFound {
    #[serde(serialize_with = "shown::optional")]
    library: Option<PathBuf>,
    available: bool,
    devices: Vec<String>,
    cudart: Option<i64>,
    cudnn: Option<i64>,
    /// What SRM_CUDA_TRY may need.
    #[serde(serialize_with = "shown::optional")]
    shim: Option<PathBuf>,
    problem: Option<String>,
}

#[derive(Debug, Serialize)]
struct Cpu {
    cores: usize,
    torch_threads: i32,
    model: String,
    features: Vec<&'static str>,
    /// What runs the net: avx512, avx2 or libtorch.
    kernels: &'static str,
}

#[derive(Debug, Serialize)]
struct Set {
    #[serde(serialize_with = "shown::path")]
    file: PathBuf,
    images: usize,
    height: usize,
    width: usize,
    channels: usize,
    problem: Option<String>,
}

#[derive(Debug, Serialize)]
struct ConfigFound {
    #[serde(serialize_with = "shown::path")]
    file: PathBuf,
    #[serde(serialize_with = "shown::optional")]
    images: Option<PathBuf>,
    ready: bool,
    problem: Option<String>,
}

/// Look around and print what is there.
///
/// # Errors
/// Stdout cannot be written; what is missing is part of the report, no error.
pub fn run(session: &Session) -> Result<()> {
    let cuda = find_cuda(); // first: before any other libtorch call
    let report = Report {
        command: "doctor",
        srm: env!("CARGO_PKG_VERSION"),
        libtorch: find_libtorch(),
        cuda,
        cpu: find_cpu(),
        mpi: srm_ranks::library(),
        weights: SHIPPED,
        data: find_sets(),
        configs: find_configs(),
    };
    session.conclude(|| Ok(report))
}

fn find_cuda() -> CudaFound {
    let opened = srm_energy::libtorch::open_cuda(false);
    let available = opened.is_ok() && Cuda::is_available();
    let problem = match &opened {
        Err(missing) => Some(format!("{missing}; with a GPU: cargo xtask setup --cuda")),
        Ok(_) if !available => Some("libtorch finds no usable GPU; check `nvidia-smi`".to_owned()),
        Ok(_) => None,
    };
    CudaFound {
        shim: opened.as_deref().ok().and_then(srm_energy::cuda::library),
        library: opened.ok(),
        available,
        devices: if available { device_names() } else { Vec::new() },
        cudart: available.then(utils::version_cudart),
        cudnn: (available && Cuda::cudnn_is_available()).then(utils::version_cudnn),
        problem,
    }
}

/// Names by `nvidia-smi`, else `CUDA device N`.
fn device_names() -> Vec<String> {
    let arguments = ["--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"];
    let listed = Command::new("nvidia-smi").args(arguments).output().ok().filter(|output| output.status.success());
    match listed.and_then(|output| String::from_utf8(output.stdout).ok()) {
        Some(text) => text.lines().map(|line| line.trim().to_owned()).collect(),
        None => (0..Cuda::device_count()).map(|index| format!("CUDA device {index}")).collect(),
    }
}

fn find_libtorch() -> Libtorch {
    Libtorch {
        version: srm_energy::libtorch::version(),
        folder: srm_energy::libtorch::loaded_from(),
        mkldnn: utils::has_mkldnn(),
        openmp: utils::has_openmp(),
        problems: libtorch::problems(),
    }
}

fn find_cpu() -> Cpu {
    Cpu {
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        torch_threads: tch::get_num_threads(),
        model: environment::cpu_model(),
        features: environment::cpu_features(),
        kernels: srm_energy::cpu_kernels(16),
    }
}

/// Every .npy below data/, two folders deep, in the order of names.
fn find_sets() -> Vec<Set> {
    let mut files = Vec::new();
    for folder in std::iter::once(PathBuf::from("data")).chain(listed("data")) {
        files.extend(listed(&folder).into_iter().filter(|path| path.extension().is_some_and(|kind| kind == "npy")));
    }
    files.into_iter().map(describe).collect()
}

fn describe(file: PathBuf) -> Set {
    match ImageSet::open(&file) {
        Ok(set) => Set {
            images: set.len(),
            height: set.height(),
            width: set.width(),
            channels: set.channels(),
            problem: None,
            file,
        },
        Err(error) => Set { file, images: 0, height: 0, width: 0, channels: 0, problem: Some(error.to_string()) },
    }
}

fn find_configs() -> Vec<ConfigFound> {
    let files = listed("configs").into_iter().filter(|path| path.extension().is_some_and(|kind| kind == "json"));
    files
        .map(|file| match Config::load(&file, &[]) {
            Ok(mut config) => {
                let found = places::resolve(&mut config, &file, Path::new("."));
                let problem = found
                    .and_then(|()| images::check(&config, &file))
                    .err()
                    .map(|error| crate::session::failure::text(&error));
                ConfigFound { file, images: Some(config.data.images), ready: problem.is_none(), problem }
            }
            Err(error) => ConfigFound { file, images: None, ready: false, problem: Some(error.to_string()) },
        })
        .collect()
}

/// What a folder holds, sorted; nothing where it cannot be read.
fn listed(folder: impl AsRef<Path>) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths
}

impl std::fmt::Display for Report {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&text(self))
    }
}

fn text(report: &Report) -> String {
    let mut lines = vec![
        format!("srm        {}", report.srm),
        format!(
            "libtorch   {} in {} (oneDNN {}, OpenMP {})",
            report.libtorch.version.as_deref().unwrap_or("of unknown version"),
            shown(&report.libtorch.folder),
            yes(report.libtorch.mkldnn),
            yes(report.libtorch.openmp)
        ),
    ];
    lines.extend(report.libtorch.problems.iter().map(|problem| format!("           {problem}")));
    lines.push(format!(
        "CPU        {}, {} cores, {} libtorch threads, {}; LeakyReLU nets on {} kernels",
        report.cpu.model,
        report.cpu.cores,
        report.cpu.torch_threads,
        report.cpu.features.join(" "),
        report.cpu.kernels
    ));
    lines.extend(cuda_lines(&report.cuda));
    let without = "not built in; cargo build -p srm-cli --features mpi shares work among processes";
    lines.push(format!("MPI        {}", report.mpi.as_deref().unwrap_or(without)));
    if report.mpi.as_ref().is_some_and(|mpi| mpi.contains("Open MPI")) && environment::is_root() {
        lines.push(
            "           as root, in a container alone: mpirun --allow-run-as-root, or Open MPI refuses to start"
                .to_owned(),
        );
    }
    for Shipped { name, draws, made_by, .. } in report.weights {
        lines.push(format!("weights    {name}: {draws} ({made_by})"));
    }
    if report.data.is_empty() {
        lines.push("data       none under data/; cargo xtask fetch-fashion-mnist or fetch-celeba gets some".to_owned());
    }
    for set in &report.data {
        let shape = format!("{} images of {}×{}×{}", set.images, set.height, set.width, set.channels);
        lines.push(format!("data       {}  {}", set.file.display(), set.problem.as_ref().unwrap_or(&shape)));
    }
    if report.configs.is_empty() {
        lines.push("configs    none under configs/; run srm in the repository's folder".to_owned());
    }
    for config in &report.configs {
        let state = config.problem.as_deref().unwrap_or("ready");
        lines.push(format!("config     {}  {state}", config.file.display()));
    }
    lines.join("\n")
}

fn cuda_lines(cuda: &CudaFound) -> Vec<String> {
    if let Some(problem) = &cuda.problem {
        return vec![format!("CUDA       none: {problem}")];
    }
    let number = |version: Option<i64>| version.map_or("none".to_owned(), |version| version.to_string());
    let (runtime, cudnn) = (number(cuda.cudart), number(cuda.cudnn));
    let found = format!("CUDA       {} (runtime {runtime}, cuDNN {cudnn})", shown(&cuda.library));
    let shim = cuda.shim.as_ref().map(|file| format!("{} is there for {}", file.display(), srm_energy::cuda::SWITCH));
    let below = cuda.devices.iter().cloned().chain(shim).map(|line| format!("           {line}"));
    [found].into_iter().chain(below).collect()
}

fn shown(path: &Option<PathBuf>) -> String {
    path.as_ref().map_or("unknown".to_owned(), |path| path.display().to_string())
}

fn yes(there: bool) -> &'static str {
    if there { "yes" } else { "no" }
}
