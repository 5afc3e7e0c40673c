//! Show short chains step by step, to K and beyond.

use std::fmt;

use anyhow::Result;
use serde::Serialize;
use srm_eval::{ChainLog, ChainTable, Plan, StepStatistics};

use super::{
    bench::{Bench, DataNumbers},
    charts::{BlownUp, Charts, number},
};

/// What short chains do.
#[derive(Serialize)]
pub struct ShortChains {
    chains: usize,
    beyond: usize,
    blown_up: BlownUp,
    largest: f64,
    statistics: Vec<StepStatistics>,
    /// K
    #[serde(skip)]
    trained: usize,
    #[serde(skip)]
    data: Option<DataNumbers>,
}

/// Run the chains and draw their numbers.
///
/// # Errors
/// What the net returns, charts that cannot be written, Ctrl-C.
pub fn diagnose(bench: &Bench<'_>, files: &mut Vec<String>) -> Result<ShortChains> {
    let (chains, trained, beyond) = (bench.flags.chains as usize, bench.model.langevin.steps, bench.beyond);
    let logs = bench.logs(None, 0..chains as u64, Plan::every_step(beyond, &[]), "chains step by step")?;
    let table = ChainTable::new(&logs.iter().collect::<Vec<&ChainLog>>(), chains)?;
    let statistics = table.statistics();
    let charts = Charts {
        out: &bench.flags.out,
        prefix: "",
        title: &format!("{chains} short chains"),
        logarithmic: false,
        data: bench.numbers.as_ref(),
    };
    files.extend(charts.write(&statistics, trained)?);
    let (blown_up, largest) = (BlownUp::of(&table), table.largest());
    let data = bench.numbers.clone();
    Ok(ShortChains { chains, beyond, blown_up, largest, statistics, trained, data })
}

impl ShortChains {
    /// The last step at which a chain blew up, where none has reached K.
    pub fn none_reaches_k(&self) -> Option<usize> {
        let last = self.blown_up.last_step().filter(|step| *step <= self.trained);
        last.filter(|_| self.blown_up.0.len() == self.chains)
    }
}

impl fmt::Display for ShortChains {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { chains, beyond, blown_up, trained, data, .. } = self;
        write!(out, "short run  {chains} chains, K = {trained}, to step {beyond}{}", blown_up.text(*chains))?;
        let beside = |of: fn(&DataNumbers) -> f64| {
            data.as_ref().map_or(String::new(), |data| format!(" (data {})", number(of(data))))
        };
        for step in [trained, beyond] {
            let Some(one) = self.statistics.iter().find(|one| one.step == *step) else { continue };
            write!(
                out,
                "\n{:<10} f {}{}, ‖f'‖ {}, std {}{}, max |x| {}, rms distance from z {}",
                format!("  step {step}"),
                number(one.f),
                beside(|data| data.f),
                number(one.gradient_norm),
                number(one.std),
                beside(|data| data.std),
                number(one.largest),
                number(one.distance),
            )?;
        }
        Ok(())
    }
}
