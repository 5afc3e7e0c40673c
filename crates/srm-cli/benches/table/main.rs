//! Print the table of speeds: the published loop beside srm, in one process, in turn. Run with `cargo xtask bench`.

#![allow(missing_docs, clippy::print_stdout, clippy::print_stderr)]

mod measure;
mod published;
mod workload;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::process::Command;
use tch::{Device, Kind};
use workload::{ROWS, Row};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let value = |flag: &str| {
        let at = arguments.iter().position(|argument| argument == flag)?;
        arguments.get(at + 1).map(String::as_str)
    };
    let threads = std::thread::available_parallelism()?.get();
    let rows: Vec<&Row> = ROWS.iter().filter(|row| value("--only").is_none_or(|only| row.name == only)).collect();
    let names = ROWS.map(|row| row.name).join(", ");
    ensure!(!rows.is_empty(), "no row of this name; there are {names}");
    if let Some(side) = value("--side") {
        return one_side(rows[0], side, threads);
    }
    let mut table = Vec::new();
    if !has("--json") {
        println!("{} threads, kernels {}", threads, srm_energy::cpu_kernels(32));
        println!(
            "{:<12} {:>12} {:>10} {:>7} {:>9} {:>11} {:>10} {:>9} {:>8}",
            "row", "published ms", "srm ms", "ratio", "GFLOP/s", "gemm share", "published", "srm MB", "step"
        );
    }
    for row in rows {
        eprintln!("{}: {} pairs", row.name, row.pairs);
        let line = measured(row, threads)?;
        if !has("--json") {
            let number = |key: &str| line[key].as_f64().unwrap_or(f64::NAN);
            println!(
                "{:<12} {:>12.2} {:>10.2} {:>7.2} {:>9.1} {:>11.2} {:>7.0} MB {:>9.0} {:>8.0e}",
                row.name,
                number("baseline_ms"),
                number("srm_ms"),
                number("ratio"),
                number("gflops"),
                number("gemm_share"),
                number("baseline_mb"),
                number("srm_mb"),
                number("difference"),
            );
        }
        table.push(line);
    }
    if has("--json") {
        println!("{}", json!({ "threads": threads, "kernels": srm_energy::cpu_kernels(32), "rows": table }));
    }
    Ok(())
}

fn measured(row: &Row, threads: usize) -> Result<Value> {
    let difference = row.one_step_apart(Device::Cpu)?;
    let (mut baseline, mut srm) = (row.baseline(Device::Cpu, threads)?, row.srm(Device::Cpu, threads)?);
    tch::set_num_threads(threads as i32);
    let rate = measure::matrix_product_rate(Device::Cpu, Kind::Float);
    let timing = measure::in_turn(Device::Cpu, row.pairs, &mut baseline, &mut srm);
    let gflops = row.gflop() / timing.srm_s;
    let per_unit = 1e3 / row.units() as f64;
    Ok(json!({
        "name": row.name, "baseline_ms": timing.baseline_s * per_unit, "srm_ms": timing.srm_s * per_unit,
        "ratio": timing.ratio, "gflops": gflops, "gemm_share": gflops / rate, "gemm_gflops": rate,
        "baseline_mb": peak_of(row, "baseline")?, "srm_mb": peak_of(row, "srm")?, "difference": difference,
        "pairs": row.pairs, "batch": row.batch, "steps": row.steps, "size": row.size, "features": row.features,
    }))
}

/// Run one side once and print the most memory that the process held.
fn one_side(row: &Row, side: &str, threads: usize) -> Result<()> {
    match side {
        "baseline" => row.baseline(Device::Cpu, threads)?(),
        _ => row.srm(Device::Cpu, threads)?(),
    }
    println!("{}", measure::peak_mb());
    Ok(())
}

/// The peak of a process of its own that runs one side once, MB.
fn peak_of(row: &Row, side: &str) -> Result<f64> {
    let output = Command::new(std::env::current_exe()?).args(["--only", row.name, "--side", side]).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().with_context(|| format!("{} alone: {}", side, String::from_utf8_lossy(&output.stderr)))
}
