//! Read gap and gradient norm over training from a run's `metrics.jsonl`.

use crate::{EvalError, Result};
use srm_run::{Fault, Metrics, StepRecord};
use std::collections::BTreeMap;
use std::{fs, path::Path};

/// What one logged update says of its chains.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Logged {
    /// Update t, from 1.
    pub update: u64,
    /// d = mean f(x⁺) − mean f(x⁻).
    pub gap: f64,
    /// r: mean over chains and steps of ‖f'(x)‖₂ per image.
    pub gradient_norm: f64,
}

impl From<&StepRecord> for Logged {
    fn from(step: &StepRecord) -> Self {
        Self { update: step.update, gap: step.gap, gradient_norm: step.chain_grad_norm }
    }
}

/// The logged updates that the final weights come from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// In the order of updates.
    pub logged: Vec<Logged>,
    /// Lines of updates that a rollback took back.
    pub cut: usize,
}

impl History {
    /// Read `metrics.jsonl`. What a rollback took back is cut; a last line that is cut off (the run goes on, or was killed)
    /// is left out.
    ///
    /// # Errors
    /// [`EvalError::File`] where it cannot be read, or a line is not one that training writes.
    pub fn read(path: &Path) -> Result<Self> {
        let wrong = |reason: String| EvalError::File { path: path.to_owned(), reason };
        let text = fs::read_to_string(path).map_err(|error| wrong(format!("cannot read: {error}")))?;
        Self::parse(&text).map_err(|Fault { line, reason }| {
            wrong(format!(
                "line {line} was not written by `srm train` ({reason}); give the run folder as training left it"
            ))
        })
    }

    /// [`History::read`] of the text itself.
    fn parse(text: &str) -> std::result::Result<Self, Fault> {
        let metrics = Metrics::parse(text);
        match metrics.first_fault() {
            Some(fault) => Err(fault),
            None => {
                let kept: Vec<Logged> = metrics.kept().map(Logged::from).collect();
                let cut = metrics.steps.len() - kept.len();
                // a line whose numbers are null has none to go by; the spacing shows the gap that it leaves
                let is_known = |logged: &Logged| !logged.gap.is_nan() && !logged.gradient_norm.is_nan();
                Ok(Self { cut, logged: kept.into_iter().filter(is_known).collect() })
            }
        }
    }

    /// The longest stretch of lines at the commonest spacing from update `after` on, and that spacing in updates; correlations
    /// over lags need equal spacing. `None` for fewer than two lines.
    pub fn even_stretch(&self, after: u64) -> Option<(u64, &[Logged])> {
        let logged = &self.logged[self.logged.partition_point(|logged| logged.update < after)..];
        let mut counts = BTreeMap::new();
        for pair in logged.windows(2) {
            *counts.entry(pair[1].update - pair[0].update).or_insert(0) += 1;
        }
        let (&spacing, _) = counts.iter().max_by_key(|(_, count)| **count)?;
        let stretches = logged.chunk_by(|one, next| next.update - one.update == spacing);
        stretches.max_by_key(|stretch| stretch.len()).map(|stretch| (spacing, stretch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(update: u64) -> String {
        format!("{{\"update\":{update},\"gap\":0.5,\"chain_grad_norm\":1.0,\"lr\":0.1}}\n")
    }

    #[test]
    fn what_a_rollback_took_back_is_cut_and_half_a_line_left_out() {
        let rollback = "{\"event\":\"rollback\",\"update\":27,\"to\":20,\"reason\":\"gap\",\"attempt\":1}\n";
        let text = [line(10), line(20), line(25), rollback.to_owned(), line(30), "{\"upda".to_owned()].concat();
        let history = History::parse(&text).unwrap();
        assert_eq!(history.logged.iter().map(|logged| logged.update).collect::<Vec<_>>(), [10, 20, 30]);
        assert_eq!(history.cut, 1);
        assert_eq!(History::parse("").unwrap(), History::default());
        let null = line(20).replace("0.5", "null");
        let history = History::parse(&(line(10) + &null + &line(30))).unwrap();
        assert_eq!(history.logged.iter().map(|logged| logged.update).collect::<Vec<_>>(), [10, 30]);
        assert_eq!(history.cut, 0, "a number that is null is missing, and no rollback's");
        let fault = History::parse(&(line(20) + &line(10))).unwrap_err();
        assert_eq!((fault.line, fault.reason.as_str()), (2, "update 10 stands after update 20"));
    }

    #[test]
    fn the_longest_even_stretch_is_taken() {
        let text: String = [1, 5, 10, 15, 20, 22, 27, 32].map(line).concat();
        let history = History::parse(&text).unwrap();
        let updates = |after| {
            let (spacing, stretch) = history.even_stretch(after).unwrap();
            (spacing, stretch.iter().map(|logged| logged.update).collect::<Vec<_>>())
        };
        assert_eq!(updates(0), (5, vec![5, 10, 15, 20]));
        assert_eq!(updates(21), (5, vec![22, 27, 32]));
        assert!(history.even_stretch(32).is_none());
    }
}
