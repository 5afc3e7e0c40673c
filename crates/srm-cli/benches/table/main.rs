//! Print the table of speeds: the published loop beside srm, in one process, in turn. Run with `cargo xtask bench`.

#![allow(missing_docs, clippy::print_stdout, clippy::print_stderr)]

mod measure;
mod published;
mod workload;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use srm_energy::{Precision, cuda, libtorch};
use std::process::Command;
use tch::{Cuda, Device, Kind};
use workload::{GPU_ROWS, Place, ROWS, Row};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let value = |flag: &str| {
        let at = arguments.iter().position(|argument| argument == flag)?;
        arguments.get(at + 1).map(String::as_str)
    };
    if let Some(kernels) = value("--kernels") {
        srm_energy::force_cpu_kernels(kernels)?;
    }
    let place = place(value("--device"), value("--precision"))?;
    let all: &[Row] = if place.device.is_cuda() { &GPU_ROWS } else { &ROWS };
    let rows: Vec<&Row> = all
        .iter()
        .filter(|row| value("--only").is_none_or(|only| only.split(',').any(|name| name == row.name)))
        .collect();
    let names: Vec<&str> = all.iter().map(|row| row.name).collect();
    ensure!(!rows.is_empty(), "no row of this name; there are {}", names.join(", "));
    if let Some(side) = value("--side") {
        return one_side(rows[0], side, place);
    }
    if has("--devices-apart") {
        println!("{:e}", rows[0].devices_apart(place)?);
        return Ok(());
    }
    let kernels = if place.device.is_cuda() { "cuDNN" } else { srm_energy::cpu_kernels(32) };
    let mut table = Vec::new();
    if !has("--json") {
        println!("{} threads, kernels {kernels}", place.threads);
        println!(
            "{:<16} {:>12} {:>10} {:>7} {:>9} {:>11} {:>9} {:>10} {:>9} {:>8}",
            "row",
            "published ms",
            "srm ms",
            "ratio",
            "GFLOP/s",
            "gemm share",
            "of limit",
            "published",
            "srm MB",
            "step"
        );
    }
    for row in rows {
        eprintln!("{}: {} pairs", row.name, row.pairs);
        let line = if has("--baseline-only") { baseline_alone(row, place)? } else { measured(row, place)? };
        if !has("--json") {
            let number = |key: &str| line[key].as_f64().unwrap_or(f64::NAN);
            println!(
                "{:<16} {:>12.2} {:>10.2} {:>7.2} {:>9.1} {:>11.2} {:>9.2} {:>7.0} MB {:>9.0} {:>8.0e}",
                row.name,
                number("baseline_ms"),
                number("srm_ms"),
                number("ratio"),
                number("gflops"),
                number("gemm_share"),
                number("limit_share"),
                number("baseline_mb"),
                number("srm_mb"),
                number("difference"),
            );
        }
        table.push(line);
    }
    if has("--json") {
        println!("{}", json!({ "threads": place.threads, "kernels": kernels, "rows": table }));
    }
    Ok(())
}

/// The CPU with a thread a core, or the first GPU.
fn place(device: Option<&str>, precision: Option<&str>) -> Result<Place> {
    let precision = match (precision, device) {
        (Some("f32"), _) | (None, None | Some("cpu")) => Precision::F32,
        (Some("tf32"), _) | (None, _) => Precision::Tf32,
        (Some("bf16"), _) => Precision::Bf16,
        (Some(other), _) => bail!("--precision {other}: must be f32, tf32 or bf16"),
    };
    match device {
        None | Some("cpu") => {
            Ok(Place { device: Device::Cpu, precision, threads: std::thread::available_parallelism()?.get() })
        }
        Some("cuda") => {
            let file = libtorch::open_cuda(precision == Precision::F32)
                .map_err(|missing| anyhow::anyhow!("--device cuda: {missing}"))?;
            ensure!(Cuda::is_available(), "--device cuda: no usable GPU");
            cuda::switch_on(&file).map_err(|problem| anyhow::anyhow!(problem))?;
            Cuda::cudnn_set_benchmark(!cuda::switches().same);
            Ok(Place { device: Device::Cuda(0), precision, threads: 1 })
        }
        Some(other) => bail!("--device {other}: must be cpu or cuda"),
    }
}

fn measured(row: &Row, place: Place) -> Result<Value> {
    let difference = row.one_step_apart(place)?;
    let (mut baseline, mut srm) = (row.baseline(place)?, row.srm(place)?);
    tch::set_num_threads(place.threads as i32);
    let kind = if place.precision == Precision::Bf16 { Kind::BFloat16 } else { Kind::Float };
    let rate = measure::matrix_product_rate(row.matrix(place), place.device, kind);
    let limit = row.limit(place);
    let timing = measure::in_turn(place.device, row.pairs, &mut baseline, &mut srm);
    let gflops = row.gflop() / timing.srm_s;
    let per_unit = 1e3 / row.units() as f64;
    Ok(json!({
        "name": row.name, "baseline_ms": timing.baseline_s * per_unit, "srm_ms": timing.srm_s * per_unit,
        "ratio": timing.ratio, "gflops": gflops, "gemm_share": gflops / rate, "gemm_gflops": rate,
        "limit_share": limit.map(|limit| gflops / limit), "limit_gflops": limit,
        "baseline_mb": peak_of(row, "baseline", place)?, "srm_mb": peak_of(row, "srm", place)?, "difference": difference,
        "pairs": row.pairs, "batch": row.batch, "steps": row.steps, "size": row.size, "features": row.features,
    }))
}

/// The baseline without srm beside it, for the comparison with PyTorch.
fn baseline_alone(row: &Row, place: Place) -> Result<Value> {
    let mut baseline = row.baseline(place)?;
    let seconds = measure::alone(place.device, row.pairs.min(3), &mut baseline);
    Ok(json!({
        "name": row.name, "baseline_ms": seconds * 1e3 / row.units() as f64, "batch": row.batch, "steps": row.steps,
        "size": row.size, "features": row.features,
    }))
}

/// Run one side once and print the most memory that the process held.
fn one_side(row: &Row, side: &str, place: Place) -> Result<()> {
    match side {
        "baseline" => row.baseline(place)?(),
        _ => row.srm(place)?(),
    }
    println!("{}", measure::peak_mb());
    Ok(())
}

/// The peak of a process of its own that runs one side once, MB.
fn peak_of(row: &Row, side: &str, place: Place) -> Result<f64> {
    if place.device.is_cuda() {
        return Ok(f64::NAN); // the host's memory says nothing of the device's
    }
    let kernels = srm_energy::cpu_kernels(row.features);
    let words = ["--only", row.name, "--side", side, "--kernels", kernels];
    let output = Command::new(std::env::current_exe()?).args(words).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().with_context(|| format!("{} alone: {}", side, String::from_utf8_lossy(&output.stderr)))
}
