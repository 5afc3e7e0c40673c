//! Look at chains: over training, step by step, very long, Metropolis-adjusted, and from one start with many noises.
//!
//! The diagnostics of Nijkamp, Hill, Han, Zhu and Wu, "On the Anatomy of MCMC-based Maximum Likelihood Learning of
//! Energy-Based Models" (AAAI 2020, arXiv 1903.12370), and two that answer questions of the short-run paper.

mod correlation;
mod history;
mod log;
mod long_run;
mod metropolis;
mod mixing;
mod plan;
mod saved;
mod statistics;

pub use correlation::{autocorrelation, cross_correlation};
pub use history::{History, Logged};
pub use log::ChainLog;
pub use long_run::{LongRun, LongRunEnd, LongRunSettings, SEGMENT, Variant};
pub use metropolis::{Metropolis, MetropolisInfo, MetropolisState, log_uniform};
pub use mixing::{VarianceComponents, variance_components};
pub use plan::Plan;
pub use statistics::{ChainTable, StepStatistics};

#[cfg(test)]
mod tests;
