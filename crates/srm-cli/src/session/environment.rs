//! Name the parts of this machine that can change bits of a result.

use std::fs;

use srm_energy::libtorch;
use srm_run::Environment;

use super::Machine;

/// The machine as a run sees it.
pub fn environment(machine: &Machine, block: usize, ranks: usize) -> Environment {
    Environment {
        srm: env!("CARGO_PKG_VERSION").to_owned(),
        libtorch: libtorch::version(),
        cpu: format!("{} ({})", cpu_model(), cpu_features().join(" ")),
        device: machine.device_name(),
        precision: machine.numbers(),
        threads: machine.threads,
        ranks,
        block,
    }
}

/// What the machines of all ranks must have in common for the same bits: programs, numbers, and CPU or GPU.
pub fn kind(machine: &Machine) -> String {
    let Environment { srm, libtorch, cpu, precision, .. } = environment(machine, 0, 1);
    let computing = if machine.device.is_cuda() { "a GPU".to_owned() } else { cpu };
    format!("srm {srm}, libtorch {}, {precision} on {computing}", libtorch.unwrap_or_default())
}

/// Whether this process runs as root: what it makes in /proc belongs to whom it runs as.
pub fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

/// What the kernel tells of the processors; empty where it tells nothing.
fn cpuinfo() -> String {
    fs::read_to_string("/proc/cpuinfo").unwrap_or_default()
}

/// The model name as the kernel tells it.
pub fn cpu_model() -> String {
    let text = cpuinfo();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    model.map_or("unknown model".to_owned(), |(_, name)| name.trim().to_owned())
}

/// Cores of this machine, whatever this process is bound to, as the kernel lists them.
pub fn cores() -> Option<usize> {
    Some(cpuinfo().lines().filter(|line| line.starts_with("processor")).count()).filter(|&cores| cores > 0)
}

/// Vector units that libtorch chooses its kernels by.
#[cfg(target_arch = "x86_64")]
pub fn cpu_features() -> Vec<&'static str> {
    let found = [
        ("avx2", is_x86_feature_detected!("avx2")),
        ("fma", is_x86_feature_detected!("fma")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
        ("avx512bf16", is_x86_feature_detected!("avx512bf16")),
    ];
    found.into_iter().filter_map(|(name, there)| there.then_some(name)).collect()
}

/// Vector units that libtorch chooses its kernels by; known for x86-64 alone.
#[cfg(not(target_arch = "x86_64"))]
pub fn cpu_features() -> Vec<&'static str> {
    Vec::new()
}
