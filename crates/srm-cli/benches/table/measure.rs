//! Time two programs in turn, and read what the machine gives and what a process took.

use std::time::Instant;
use tch::{Cuda, Device, Kind, Tensor};

/// Medians over pairs of runs.
pub struct Timing {
    pub baseline_s: f64,
    pub srm_s: f64,
    /// Median of the pairs' ratios.
    pub ratio: f64,
}

/// Run `baseline` and `srm` once each to warm up, then in turn `pairs` times.
pub fn in_turn(device: Device, pairs: usize, baseline: &mut dyn FnMut(), srm: &mut dyn FnMut()) -> Timing {
    seconds(device, baseline);
    seconds(device, srm);
    let times: Vec<(f64, f64)> = (0..pairs).map(|_| (seconds(device, baseline), seconds(device, srm))).collect();
    Timing {
        baseline_s: median(times.iter().map(|t| t.0).collect()),
        srm_s: median(times.iter().map(|t| t.1).collect()),
        ratio: median(times.iter().map(|t| t.0 / t.1).collect()),
    }
}

/// Median seconds of `runs` runs after one that warms up.
pub fn alone(device: Device, runs: usize, run: &mut dyn FnMut()) -> f64 {
    seconds(device, run);
    median((0..runs).map(|_| seconds(device, run)).collect())
}

/// The rate of libtorch's product of two square matrices `n` wide with its current threads, GFLOP/s: the best of ten.
pub fn matrix_product_rate(n: i64, device: Device, kind: Kind) -> f64 {
    let (a, b) = (Tensor::rand([n, n], (Kind::Float, device)), Tensor::rand([n, n], (Kind::Float, device)));
    let (a, b) = (a.to_kind(kind), b.to_kind(kind));
    let mut run = || {
        let _ = a.matmul(&b);
    };
    seconds(device, &mut run);
    let best = (0..10).map(|_| seconds(device, &mut run)).fold(f64::INFINITY, f64::min);
    2.0 * (n as f64).powi(3) / best / 1e9
}

/// Most memory that this process has held, MB.
pub fn peak_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kb = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kb.map_or(f64::NAN, |kb| kb / 1024.0)
}

fn seconds(device: Device, run: &mut dyn FnMut()) -> f64 {
    let began = Instant::now();
    run();
    if let Device::Cuda(index) = device {
        Cuda::synchronize(index as i64); // a GPU works behind the program's back
    }
    began.elapsed().as_secs_f64()
}

/// The middle of some numbers.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len().is_multiple_of(2) { (values[middle - 1] + values[middle]) / 2.0 } else { values[middle] }
}
