//! Choose by hand which kernels compute, and measure how fast they could be.

use super::kernels::Kernels;
use super::memory::Lines;
use super::product::{Product, rows_at_once};
use super::simd::PANEL;
use crate::{EnergyError, Result};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The kernels that somebody has asked for; `None` within: libtorch.
static FORCED: OnceLock<Option<Kernels>> = OnceLock::new();

/// What was asked for, if anything was.
pub(super) fn forced() -> Option<&'static Option<Kernels>> {
    FORCED.get()
}

/// Compute all nets that this process opens from now on by the kernels `name`: `avx2`, `avx512`, or `libtorch` for none of them. The
/// first call holds; without one each net gets the widest kernels that its layers fill.
///
/// # Errors
/// [`EnergyError::NoKernels`] where this processor cannot run them, or others are chosen.
pub fn force_cpu_kernels(name: &str) -> Result<()> {
    let sets = Kernels::available();
    let found = sets.iter().find(|set| set.name == name).copied();
    if found.is_none() && name != "libtorch" {
        let names: Vec<&str> = sets.iter().map(|set| set.name).chain(["libtorch"]).collect();
        return Err(EnergyError::NoKernels { name: name.to_owned(), there: names.join(", ") });
    }
    match FORCED.get_or_init(|| found).map_or("libtorch", |set| set.name) {
        chosen if chosen == name => Ok(()),
        chosen => Err(EnergyError::NoKernels { name: name.to_owned(), there: format!("chosen {chosen}") }),
    }
}

/// The rate at which this thread multiplies and adds numbers that lie in its first cache, for a net of so many features, in GFLOP/s,
/// over 30 ms. `None` where libtorch computes.
pub fn cpu_multiplier_rate(features: usize) -> Option<f64> {
    const DEPTH: usize = 128;
    let kernels = Kernels::best_for(features)?;
    let rows = rows_at_once(kernels.lanes);
    let (a, b) = (Lines::zeros(rows * DEPTH), Lines::zeros(DEPTH * PANEL));
    let mut c = Lines::zeros(rows * PANEL);
    let product = Product::dense(rows, DEPTH, DEPTH, PANEL);
    let (mut products, began) = (0, Instant::now());
    while began.elapsed() < Duration::from_millis(30) {
        for _ in 0..100 {
            kernels.product(&product, &a, &b, &mut c);
        }
        products += 100;
    }
    Some(2e-9 * (products * rows * DEPTH * PANEL) as f64 / began.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_that_are_not_there_are_named() {
        let refused = force_cpu_kernels("abacus").unwrap_err().to_string();
        assert!(refused.contains("abacus") && refused.contains("libtorch"), "{refused}");
        assert!(forced().is_none(), "a refused choice is none");
    }

    #[test]
    fn multipliers_have_a_rate_where_there_are_kernels() {
        let rate = cpu_multiplier_rate(16);
        assert_eq!(rate.is_some(), !Kernels::available().is_empty());
        assert!(rate.is_none_or(|rate| rate > 0.1 && rate < 1e4), "{rate:?}");
    }
}
