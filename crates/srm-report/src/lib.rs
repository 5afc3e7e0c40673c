//! Draw what a run has found, as charts that open anywhere; no libtorch.
//!
//! - [`Chart`] draws curves and points over common axes, linear or logarithmic, as an SVG picture.
//!
//! ```
//! use srm_report::Chart;
//!
//! let gap = [(1.0, 0.5), (100.0, -0.1), (200.0, 0.02)];
//! let svg = Chart::new("Energy gap", "update", "d").line("d", gap).dashed("", [(1.0, 0.0), (200.0, 0.0)]).to_svg()?;
//! assert!(svg.starts_with("<svg") && svg.contains("Energy gap"));
//! # Ok::<(), srm_report::ReportError>(())
//! ```
//!
//! The example `chart` draws points that come as JSON; `cargo xtask ablate` calls it.

#![deny(missing_docs)]

mod chart;
mod error;

pub use chart::Chart;
pub use error::ReportError;
