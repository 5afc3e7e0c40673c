//! Estimate what a command will hold in memory, and refuse before the work begins what the machine cannot hold.
//!
//! The estimates count what grows with the settings: weights and what is kept beside them, activations of the blocks in work,
//! images. They are made to be low rather than high, since a refusal must be sure; peaks measured on a CPU lie between 1 and 2
//! times them, and 0.1 GB for libtorch itself on top.

use std::{fmt::Display, fs};

use anyhow::{Result, bail};

use srm_config::{Config, EnergyConfig, Init};
use srm_energy::layer_shapes;
use srm_terminal::DecimalBytes;

/// Bytes of an f32.
const F32: f64 = 4.0;
/// Copies of the weights that a run of chains works with: the net's, and both directions of Winograd's kernels at 9/4 of the size;
/// layers that are not large take 25/4, but hold few of a net's weights.
const WEIGHTS_IN_CHAINS: f64 = 1.0 + 2.0 * 2.25;
/// Copies of the weights beside them in training: ADAM's moments (2), and gradients being made and summed in a worker (2 each).
const MOMENTS: f64 = 2.0;
const GRADIENTS_PER_THREAD: f64 = 2.0;
/// Copies of the batch's samples on their way: z, x, f' and noise.
const STATES: f64 = 4.0;

/// Chains at work: how many at once, and how many in all.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    /// Workers.
    pub threads: usize,
    /// Chains per block.
    pub block: usize,
    /// Chains whose images are kept.
    pub count: usize,
}

/// Bytes that chains of a net need at least.
pub fn of_chains(energy: &EnergyConfig, spread: Spread) -> f64 {
    let blocks = spread.count.div_ceil(spread.block.max(1)).min(spread.threads) as f64;
    let at_once = blocks * spread.block as f64;
    let results = spread.count as f64 * image(energy) * (F32 + 1.0); // as numbers, then as bytes
    parameters(energy) * F32 * WEIGHTS_IN_CHAINS
        + at_once * (activations(energy) + STATES * image(energy)) * F32
        + results
}

/// Bytes that training needs at least, in this process.
pub fn of_training(config: &Config, threads: usize, block: usize) -> f64 {
    let (energy, train) = (&config.energy, &config.train);
    let chains = of_chains(energy, Spread { threads, block, count: train.batch });
    // every block gives a gradient before they are summed, the last of an odd number two
    let gradients = train.batch.div_ceil(block).next_multiple_of(2) as f64;
    let average = if train.ema.is_some() { WEIGHTS_IN_CHAINS } else { 0.0 };
    let working = threads.min(train.batch.div_ceil(block)) as f64;
    let copies = MOMENTS + gradients + GRADIENTS_PER_THREAD * working + average;
    let bank = match config.langevin.init {
        Init::Persistent(bank) => bank.size as f64 * image(energy) * F32,
        _ => 0.0,
    };
    let scored = if config.evaluate.every.is_some() { config.evaluate.count as f64 * image(energy) } else { 0.0 };
    let nets = config.langevin.nets(energy);
    let weights: f64 = nets.iter().map(parameters).sum();
    let coarser = (weights - parameters(energy)) * F32 * WEIGHTS_IN_CHAINS;
    chains + coarser + weights * F32 * copies + bank + scored
}

/// Bytes of `count` images of a net, one byte a number.
pub fn of_images(energy: &EnergyConfig, count: usize) -> f64 {
    count as f64 * image(energy)
}

/// Refuse what needs more bytes than this machine has; `what` is named with the `remedy`.
///
/// # Errors
/// It does not fit.
pub fn check(need: f64, what: impl Display, remedy: &str) -> Result<()> {
    match total() {
        Some(total) if need > total => {
            bail!("{what} would take at least {} of memory, this machine has {}; {remedy}", shown(need), shown(total))
        }
        _ => Ok(()),
    }
}

/// Bytes for people.
pub fn shown(bytes: f64) -> String {
    DecimalBytes(bytes.min(u64::MAX as f64) as u64).to_string()
}

/// Weights and biases.
fn parameters(energy: &EnergyConfig) -> f64 {
    layer_shapes(energy).iter().map(|(shape, ..)| (shape.iter().product::<i64>() + shape[0]) as f64).sum()
}

/// Numbers that the layers put out for one image.
fn activations(energy: &EnergyConfig) -> f64 {
    let mut pixels = energy.size as f64;
    let put_out = |([out, ..], stride, _): &([i64; 4], i64, i64)| {
        pixels /= *stride as f64;
        *out as f64 * pixels * pixels
    };
    layer_shapes(energy).iter().map(put_out).sum()
}

/// Numbers of one image.
fn image(energy: &EnergyConfig) -> f64 {
    (energy.channels * energy.size * energy.size) as f64
}

/// Bytes of memory that this process can have at most: the machine's with its swap, or what a container allows.
fn total() -> Option<f64> {
    let machine = fs::read_to_string("/proc/meminfo").ok()?;
    let line = |name: &str| {
        let line = machine.lines().find_map(|line| line.strip_prefix(name))?;
        Some(1024.0 * line.split_whitespace().next()?.parse::<f64>().ok()?)
    };
    let machine = line("MemTotal:")? + line("SwapTotal:").unwrap_or(0.0);
    // cgroup version 2, then 1; `max` is no number
    let limits = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let allowed = limits.into_iter().find_map(|path| fs::read_to_string(path).ok()?.trim().parse::<f64>().ok());
    Some(allowed.map_or(machine, |allowed| allowed.min(machine)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(overrides: &[&str]) -> Config {
        let overrides: Vec<String> = overrides.iter().map(|one| (*one).to_owned()).collect();
        Config::load(concat!(env!("CARGO_MANIFEST_DIR"), "/../../configs/smoke.json"), &overrides).unwrap()
    }

    #[test]
    fn the_net_is_counted_layer_by_layer() {
        let energy = EnergyConfig { size: 32, channels: 3, features: 64, ..config(&[]).energy };
        // conv 3→64 3×3, 64→128→256→512 4×4, 512→1 4×4, with their biases
        let expected = 64 * 27 + 64 + 16 * (64 * 128 + 128 * 256 + 256 * 512 + 512) + 128 + 256 + 512 + 1;
        assert_eq!(parameters(&energy), f64::from(expected));
        // the last puts out 1 number; a stride of 1 over 4×4 pixels is counted as 16
        let expected = 64 * 1024 + 128 * 256 + 256 * 64 + 512 * 16 + 16;
        assert_eq!(activations(&energy), f64::from(expected));
    }

    #[test]
    fn what_grows_is_counted_and_nothing_overflows() {
        let need = |overrides: &[&str]| of_training(&config(overrides), 2, 8);
        assert!(need(&["energy.features=1024"]) > 20e9, "{}", need(&["energy.features=1024"]));
        assert!(need(&[]) < 0.1e9, "{}", need(&[]));
        let bank = need(&[r#"langevin.init={"persistent":{"size":1000000,"restart":0.1}}"#]) - need(&[]);
        assert_eq!(bank, 1e6 * image(&config(&[]).energy) * 4.0);
        let energy = config(&[]).energy;
        let huge = of_chains(&energy, Spread { threads: usize::MAX, block: usize::MAX, count: usize::MAX });
        assert!(huge.is_finite() && huge > 1e20, "{huge}");
    }

    #[test]
    fn this_machine_has_memory_and_more_than_that_is_refused() {
        let total = total().unwrap();
        assert!((1e8..1e15).contains(&total), "{total}");
        assert!(check(total * 0.99, "x", "y").is_ok());
        let refused = check(3.07e14, "data.count = 100000000000", "lower data.count").unwrap_err().to_string();
        assert!(refused.starts_with("data.count = 100000000000 would take at least 307.00 TB of memory"), "{refused}");
        assert!(refused.ends_with("; lower data.count"), "{refused}");
    }
}
