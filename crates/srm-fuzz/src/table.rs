//! Say in a table what each door's inputs reached, cost and broke.

use crate::record::{Number, Record};
use serde_json::Value;
use srm_fuzz::{LARGEST, SLOWEST};
use std::path::Path;
use std::time::Duration;

/// The row of one door.
#[derive(Default)]
pub(crate) struct Row {
    door: &'static str,
    inputs: u64,
    passed: u64,
    panics: u64,
    refused: u64,
    slowest: Duration,
    peak: u64,
    resident: u64,
    aborts: usize,
    timeouts: usize,
    memory: usize,
    lines: Value,
    time: Duration,
}

impl Row {
    pub(crate) fn new(door: &'static str) -> Self {
        Self { door, ..Self::default() }
    }

    /// An input ended the process.
    pub(crate) fn ended(&mut self, how: &str) {
        match how {
            "timeout" => self.timeouts += 1,
            "memory" => self.memory += 1,
            _ => self.aborts += 1,
        }
    }

    /// Processes that inputs ended.
    pub(crate) fn ends(&self) -> usize {
        self.aborts + self.timeouts + self.memory
    }

    /// Take over what the record and the table of lines say.
    pub(crate) fn fill(&mut self, record: &Record, lines: &Value, time: Duration) {
        (self.inputs, self.passed) = (record.get(Number::Inputs), record.get(Number::Passed));
        (self.panics, self.refused) = (record.get(Number::Panics), record.get(Number::Refused));
        self.slowest = Duration::from_micros(record.get(Number::Slowest));
        (self.peak, self.resident) = (record.get(Number::Peak), record.get(Number::Resident));
        (self.lines, self.time) = (lines.clone(), time);
    }

    /// The lines of the door's sources that no input reached, as JSON.
    pub(crate) fn lines_text(&self) -> String {
        format!("{:#}\n", self.lines)
    }

    /// Whether nothing broke.
    pub(crate) fn is_good(&self) -> bool {
        let within = self.slowest <= SLOWEST && self.peak <= LARGEST as u64;
        self.ends() == 0 && self.panics == 0 && self.refused == 0 && within && 2 * self.passed >= self.inputs
    }

    fn text(&self) -> String {
        let (reached, all) = (self.lines["reached"].as_u64().unwrap_or(0), self.lines["lines"].as_u64().unwrap_or(0));
        format!(
            "{:<12} {:>7} {:>7.1} {:>11} {:>6.1} {:>7} {:>7} {:>7} {:>8} {:>9.1} {:>8.1} {:>8} {:>7.1}",
            self.door,
            self.inputs,
            share(self.passed, self.inputs),
            format!("{reached}/{all}"),
            share(reached, all),
            self.lines["edges"].as_u64().unwrap_or(0),
            self.panics,
            self.aborts,
            self.timeouts,
            self.slowest.as_secs_f64() * 1e3,
            self.peak as f64 / 1e6,
            self.refused + self.memory as u64,
            self.time.as_secs_f64() / 60.0,
        )
    }
}

fn share(part: u64, all: u64) -> f64 {
    100.0 * part as f64 / all.max(1) as f64
}

/// Print the table and where the finds are.
pub(crate) fn print(rows: &[Row], time: Duration, seed: u32, out: &Path) {
    println!(
        "{:<12} {:>7} {:>7} {:>11} {:>6} {:>7} {:>7} {:>7} {:>8} {:>9} {:>8} {:>8} {:>7}",
        "door",
        "inputs",
        "pass %",
        "lines",
        "%",
        "edges",
        "panics",
        "aborts",
        "hangs",
        "slowest",
        "peak MB",
        "> 1 GB",
        "min"
    );
    for row in rows {
        println!("{}", row.text());
    }
    let inputs: u64 = rows.iter().map(|row| row.inputs).sum();
    let resident = rows.iter().map(|row| row.resident).max().unwrap_or(0);
    println!(
        "{inputs} inputs in {:.1} min, seed {seed}; slowest in ms; the largest process held {} MB, libtorch included",
        time.as_secs_f64() / 60.0,
        resident / 1_000_000
    );
    println!("pass: passed the first look at the format; lines: reached of the door's own sources");
    let broken: Vec<&str> = rows.iter().filter(|row| !row.is_good()).map(|row| row.door).collect();
    match broken.is_empty() {
        true => println!("nothing broke"),
        false => println!("look at {} in {}/DOOR/found", broken.join(", "), out.display()),
    }
}
