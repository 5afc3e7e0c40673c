//! Read a run's logs: what each line says, which lines say nothing, and what rollbacks took back.

use crate::{Event, Result, Rollback, RunError, ScoreRecord, StepRecord};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use srm_config::decode;
use std::borrow::Cow;
use std::fs;
use std::path::Path;

/// A line of a log that no run writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Its number, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}

/// A log of one object per line.
#[derive(Clone, Debug, PartialEq)]
pub struct Log<T> {
    /// What the lines say, in the order of writing.
    pub records: Vec<T>,
    /// Lines that say nothing of the kind; a run that writes at this moment, or was killed, may leave its last line
    /// half.
    pub faults: Vec<Fault>,
}

/// `metrics.jsonl`: the updates and rollbacks of a run, and what the rollbacks took back.
///
/// There is one answer to that. A logged update counts where it is part of the run as it is now: an update that a
/// rollback refused or undid does not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics {
    /// All logged updates in the order of writing, those that were taken back included.
    pub steps: Vec<StepRecord>,
    /// The rollbacks.
    pub rollbacks: Vec<Rollback>,
    /// Lines that are neither.
    pub faults: Vec<Fault>,
    /// The line of each step.
    lines: Vec<usize>,
    /// Whether the last line has no line feed and says nothing: it is being written, or was when a kill came.
    half: bool,
}

/// The lines of a text that are not empty, with their numbers, as objects.
fn objects(text: &str) -> impl Iterator<Item = (usize, std::result::Result<Map<String, Value>, String>)> {
    (1..)
        .zip(text.lines())
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(number, line)| (number, serde_json::from_str(line).map_err(|error| error.to_string())))
}

fn parsed<T: DeserializeOwned>(object: Map<String, Value>) -> std::result::Result<T, String> {
    serde_json::from_value(Value::Object(object)).map_err(|error| error.to_string())
}

/// The rollback of a line; one that does not say which it is follows the last.
fn rollback(mut line: Map<String, Value>, attempt: &mut u32) -> std::result::Result<Rollback, String> {
    say_attempt(&mut line, attempt.saturating_add(1));
    let rollback: Rollback = parsed(line)?;
    *attempt = rollback.attempt;
    Ok(rollback)
}

/// Name the attempt of a line that says none.
fn say_attempt(line: &mut Map<String, Value>, attempt: u32) {
    if line.get("attempt").is_none_or(Value::is_null) {
        line.insert("attempt".to_owned(), attempt.into());
    }
}

impl<T> Log<T> {
    fn parse(text: &str, mut record: impl FnMut(Map<String, Value>) -> std::result::Result<T, String>) -> Self {
        let mut log = Self { records: Vec::new(), faults: Vec::new() };
        for (line, object) in objects(text) {
            match object.and_then(&mut record) {
                Ok(record) => log.records.push(record),
                Err(reason) => log.faults.push(Fault { line, reason }),
            }
        }
        log
    }
}

impl Log<ScoreRecord> {
    /// Read `scores.jsonl`.
    ///
    /// # Errors
    /// [`RunError::Io`].
    pub fn scores(path: &Path) -> Result<Self> {
        Ok(Self::parse(&text(path)?, parsed))
    }
}

impl Log<Event> {
    /// Read `history.jsonl`.
    ///
    /// # Errors
    /// [`RunError::Io`].
    pub fn history(path: &Path) -> Result<Self> {
        let mut attempt = 0_u32;
        Ok(Self::parse(&text(path)?, |what| {
            let event: Event = parsed(what.clone())?;
            let rollback = (event.event == "rollback").then(|| rollback(what, &mut attempt)).transpose()?;
            Ok(Event { rollback, ..event })
        }))
    }
}

impl Metrics {
    /// Read `metrics.jsonl`.
    ///
    /// # Errors
    /// [`RunError::Io`].
    pub fn read(path: &Path) -> Result<Self> {
        text(path).map(|text| Self::parse(&text))
    }

    /// [`Metrics::read`] of the text itself. A line of another program's event is passed over.
    pub fn parse(text: &str) -> Self {
        let mut metrics = Self::default();
        let whole = text.rfind('\n').map_or(0, |end| text[..=end].lines().count());
        let mut attempt = 0;
        for (line, object) in objects(text) {
            let reason = match object.map(|object| metrics.take(line, &mut attempt, object)) {
                Ok(Ok(())) => continue,
                Ok(Err(reason)) | Err(reason) => reason,
            };
            metrics.half |= line > whole;
            metrics.faults.push(Fault { line, reason });
        }
        metrics
    }

    fn take(
        &mut self,
        line: usize,
        attempt: &mut u32,
        mut object: Map<String, Value>,
    ) -> std::result::Result<(), String> {
        match object.get("event").and_then(Value::as_str) {
            None => {
                // a line that does not say which attempt it belongs to belongs to that of the rollback above it
                say_attempt(&mut object, *attempt);
                self.steps.push(parsed(object)?);
                self.lines.push(line);
            }
            Some("rollback") => self.rollbacks.push(rollback(object, attempt)?),
            Some(_) => {}
        }
        Ok(())
    }

    /// Whether an update of an attempt, logged here or scored, is part of the run as it is now.
    pub fn counts(&self, update: u64, attempt: u32) -> bool {
        !self.rollbacks.iter().any(|rollback| rollback.takes_back(update, attempt))
    }

    /// The logged updates that count, in the order of writing.
    pub fn kept(&self) -> impl DoubleEndedIterator<Item = &StepRecord> {
        self.steps.iter().filter(|step| self.counts(step.update, step.attempt))
    }

    /// The first line that is not as training leaves it, but for a last line that is half there: one that
    /// says nothing, or an update that stands after a later one.
    pub fn first_fault(&self) -> Option<Fault> {
        let faults = &self.faults[..self.faults.len().saturating_sub(usize::from(self.half))];
        let kept: Vec<(usize, u64)> = (self.lines.iter().zip(&self.steps))
            .filter(|(_, step)| self.counts(step.update, step.attempt))
            .map(|(&line, step)| (line, step.update))
            .collect();
        let backward = kept.windows(2).find(|pair| pair[0].1 >= pair[1].1).map(|pair| {
            let reason = format!("update {} stands after update {}", pair[1].1, pair[0].1);
            Fault { line: pair[1].0, reason }
        });
        backward.into_iter().chain(faults.first().cloned()).min_by_key(|fault| fault.line)
    }
}

/// The text of a file. Somebody may have edited it in an editor that saves UTF-16; a byte that is no text spoils its
/// line alone.
pub(crate) fn text(path: &Path) -> Result<String> {
    let bytes = fs::read(path).map_err(RunError::io(path))?;
    Ok(decode(&bytes).map_or_else(|_| String::from_utf8_lossy(&bytes).into_owned(), Cow::into_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(update: u64) -> String {
        format!("{{\"update\":{update},\"gap\":0.5,\"chain_grad_norm\":1.0,\"lr\":0.1}}\n")
    }

    fn updates<'a>(steps: impl Iterator<Item = &'a StepRecord>) -> Vec<u64> {
        steps.map(|step| step.update).collect()
    }

    #[test]
    fn what_a_rollback_took_back_does_not_count_here_or_in_the_scores() {
        let rollback = "{\"event\":\"rollback\",\"update\":27,\"to\":20,\"reason\":\"gap\",\"attempt\":1}\n";
        let text = [line(10), line(20), line(25), rollback.to_owned(), line(30), "{\"upda".to_owned()].concat();
        let metrics = Metrics::parse(&text);
        assert_eq!(updates(metrics.kept()), [10, 20, 30]);
        assert_eq!(updates(metrics.steps.iter()), [10, 20, 25, 30]);
        assert_eq!((metrics.faults.len(), metrics.first_fault()), (1, None), "the run goes on, or was killed");
        assert!(metrics.counts(20, 0) && !metrics.counts(25, 0) && metrics.counts(25, 1), "scores go by the attempt");
        assert!(metrics.steps[0].f_data.is_nan() && metrics.steps[0].lr == 0.1);
        // one that goes further back takes what came before the first, too
        let again = "{\"event\":\"rollback\",\"update\":33,\"to\":10}\n";
        let metrics = Metrics::parse(&[&text[..text.len() - 6], again, &line(12)].concat());
        assert_eq!((updates(metrics.kept()), metrics.rollbacks[1].attempt), (vec![10, 12], 2));
    }

    #[test]
    fn the_first_line_that_is_none_of_a_run_is_named() {
        let fault = |text: &str| Metrics::parse(text).first_fault().map(|fault| (fault.line, fault.reason));
        assert_eq!(fault(""), None);
        assert_eq!(fault(&(line(1) + "\n{}\n")), Some((3, "missing field `update`".to_owned())));
        assert_eq!(fault("{\"update\":1,\"gap\":0}\n"), Some((1, "missing field `chain_grad_norm`".to_owned())));
        assert_eq!(fault(&(line(1) + "{\"event\":\"rollback\"}\n")), Some((2, "missing field `to`".to_owned())));
        assert_eq!(fault("{\"event\":\"else\"}\n"), None);
        for again in [20, 10] {
            let expected = Some((2, format!("update {again} stands after update 20")));
            assert_eq!(fault(&(line(20) + &line(again) + "{}\n")), expected);
        }
        // a line without its line feed that is whole all the same counts
        assert_eq!(updates(Metrics::parse(line(3).trim_end()).kept()), [3]);
    }

    #[test]
    fn a_number_that_is_null_is_missing_and_damages_no_line() {
        let rollback = r#"{"event":"rollback","update":3,"to":1,"reason":null,"attempt":null,"rate_factor":null,"extra_noise":null}"#;
        let nulls = r#"{"update":2,"gap":null,"chain_grad_norm":null,"lr":null,"images_seen":null,"attempt":null}"#;
        let metrics = Metrics::parse(&format!("{}{rollback}\n{nulls}\n", line(1)));
        assert_eq!((metrics.first_fault(), updates(metrics.kept())), (None, vec![1, 2]));
        let step = &metrics.steps[1];
        assert!([step.gap, step.chain_grad_norm, step.lr, step.f_data].iter().all(|number| number.is_nan()));
        assert_eq!((step.images_seen, step.attempt, metrics.rollbacks[0].attempt), (0, 1, 1));
        assert!(metrics.rollbacks[0].rate_factor.is_nan());
        // what cannot be said of a record in JSON comes back
        let unknown = StepRecord { update: 4, gap: f64::NAN, sample_std: f64::INFINITY, ..StepRecord::default() };
        let metrics = Metrics::parse(&serde_json::to_string(&unknown).unwrap());
        assert!(metrics.faults.is_empty() && metrics.steps[0].gap.is_nan() && metrics.steps[0].sample_std.is_nan());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("scores.jsonl");
        let text = r#"{"update":2,"name":"a","score":null,"recall":null,"kernel":0.5,"count":null,"averaged":null,
            "best":null,"seconds":null,"attempt":null}"#;
        fs::write(&path, text.replace('\n', "")).unwrap();
        let scores = Log::scores(&path).unwrap();
        let history = folder.path().join("history.jsonl");
        fs::write(
            &history,
            format!("{}\n{rollback}\n", r#"{"event":"resume","time":null,"changes":null,"differences":null}"#),
        )
        .unwrap();
        let history = Log::history(&history).unwrap();
        assert!(history.faults.is_empty() && history.records[0].changes.is_none());
        assert_eq!(history.records[1].rollback.as_ref().map(|taken| (taken.to, taken.attempt)), Some((1, 1)));
        let score = &scores.records[0];
        assert_eq!((score.score, &score.details), (None, &[("kernel".to_owned(), 0.5)].into()));
        assert!(scores.faults.is_empty() && score.count == 0 && !score.best && score.seconds.is_nan());
        // without an update, or without a place to go back to, a line says nothing
        let text =
            r#"{"update":null,"gap":0,"chain_grad_norm":0}"#.to_owned() + "\n" + r#"{"event":"rollback","to":null}"#;
        assert_eq!(Metrics::parse(&text).faults.len(), 2);
    }

    #[test]
    fn scores_and_events_are_read_line_by_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        fs::write(&path, b"{\"update\":2,\"name\":\"a\",\"score\":null,\"recall\":0.5}\n\xff\n[1]\n").unwrap();
        let scores = Log::scores(&path).unwrap();
        assert_eq!((scores.records[0].score, scores.records[0].details["recall"]), (None, 0.5));
        assert_eq!(scores.faults.iter().map(|fault| fault.line).collect::<Vec<_>>(), [2, 3]);
        fs::write(&path, "{\"event\":\"start\",\"update\":0}\n{\"time\":1}\n").unwrap();
        let history = Log::history(&path).unwrap();
        assert_eq!((&*history.records[0].event, history.faults.len()), ("start", 1));
        assert_eq!(history.records[0].update, Some(0));
        assert!(matches!(Log::history(&folder.path().join("none")), Err(RunError::Io { .. })));
    }
}
