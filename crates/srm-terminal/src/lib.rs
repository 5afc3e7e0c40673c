//! Talk to a terminal, or to a log where there is none: colours as the environment wants them, bars that become lines.
//!
//! [`Bars`] draws bars on stderr. Where stderr is no terminal, or one that cannot move its cursor, it prints a plain line of
//! progress each ten seconds instead, so that a long command in a log is never silent. [`colours`] says whether a stream gets
//! colours, and [`parse`] reads a command line whose help keeps to it.
//!
//! ```
//! assert_eq!(srm_terminal::duration(125.0), "2m05s");
//! ```

#![deny(missing_docs)]

mod bars;
mod colour;

pub use bars::{Bars, Unit};
pub use colour::{colours, parse};
pub use indicatif::{DecimalBytes, ProgressBar};

/// Seconds for people: `8s`, `2m05s`, `3h07m`, `12d4h`.
pub fn duration(seconds: f64) -> String {
    let seconds = seconds.round().clamp(0.0, 1e12) as u64;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d{}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_take_the_unit_that_fits() {
        let texts = [0.4, 59.4, 125.0, 11_220.0, 1_051_200.0].map(duration);
        assert_eq!(texts, ["0s", "59s", "2m05s", "3h07m", "12d4h"]);
    }
}
