//! Show what a run has found: charts, and the page of `srm report` that opens anywhere; no libtorch.
//!
//! - [`Chart`] draws curves and points over common axes, linear or logarithmic, as an SVG picture.
//! - [`RunFiles`] reads what a run folder holds, and notes what is missing or damaged.
//! - [`Report`] makes one HTML [`Page`] of it. What a net would have to draw is handed in as [`Figures`], by whoever has libtorch.
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
mod curves;
mod diagnostics;
mod divergence;
mod error;
mod facts;
mod figures;
mod folder;
mod page;
mod pictures;
mod report;
mod samples;
mod scores;
mod tables;

pub use chart::Chart;
pub use error::ReportError;
pub use facts::thousands;
pub use figures::{Figures, Interpolation, Reconstructed};
pub use folder::RunFiles;
pub use pictures::Picture;
pub use report::{Grid, Page, Report};
