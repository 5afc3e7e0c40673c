//! Keep what a child found in a mapped file, which the system writes out however the child ends.

use anyhow::{Context, Result, ensure};
use memmap2::MmapMut;
use std::fs::OpenOptions;
use std::path::Path;

/// Room for the input in hand.
pub(crate) const LONGEST: usize = 1 << 16;
/// Bytes of the numbers in front of it.
const NUMBERS: usize = 8 * 8;

/// A number of the record.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Number {
    /// Inputs tried.
    Inputs,
    /// Those of them that passed the first look at the format.
    Passed,
    /// Inputs that the door panicked at.
    Panics,
    /// Inputs that asked for more memory than they may, and went on without it.
    Refused,
    /// Microseconds of the slowest.
    Slowest,
    /// Bytes that the dearest asked for.
    Peak,
    /// Largest resident set of the process, bytes.
    Resident,
    /// Bytes of the input in hand; 0 between inputs.
    InHand,
}

/// The record of one door: numbers, the input in hand, and a byte for each counter of the code, 1 where it was reached.
pub(crate) struct Record(MmapMut);

impl Record {
    /// Open the record, with room for so many counters, or for as many as it has.
    pub(crate) fn open(path: &Path, counters: Option<usize>) -> Result<Self> {
        let what = || format!("cannot map the record {}", path.display());
        let file =
            OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path).with_context(what)?;
        if let Some(counters) = counters {
            file.set_len((NUMBERS + LONGEST + counters) as u64).with_context(what)?;
        }
        ensure!(
            file.metadata().with_context(what)?.len() >= (NUMBERS + LONGEST) as u64,
            "{} is no record",
            path.display()
        );
        // SAFETY: the file belongs to this campaign; parent and child write it in turn, and any bytes are a valid record.
        #[allow(unsafe_code)]
        let map = unsafe { MmapMut::map_mut(&file) }.with_context(what)?;
        Ok(Self(map))
    }

    pub(crate) fn get(&self, number: Number) -> u64 {
        let at = 8 * number as usize;
        self.0[at..at + 8].try_into().map_or(0, u64::from_le_bytes)
    }

    fn set(&mut self, number: Number, value: u64) {
        let at = 8 * number as usize;
        self.0[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn add(&mut self, number: Number, value: u64) {
        self.set(number, self.get(number) + value);
    }

    pub(crate) fn raise(&mut self, number: Number, value: u64) {
        self.set(number, self.get(number).max(value));
    }

    /// The child takes an input in hand.
    pub(crate) fn begin(&mut self, input: &[u8]) {
        self.0[NUMBERS..NUMBERS + input.len()].copy_from_slice(input);
        self.set(Number::InHand, input.len() as u64 + 1);
    }

    /// The input came to its end.
    pub(crate) fn end(&mut self) {
        self.set(Number::InHand, 0);
    }

    /// The input that the child had in hand when it ended.
    pub(crate) fn in_hand(&self) -> Option<&[u8]> {
        let length = usize::try_from(self.get(Number::InHand)).ok()?.checked_sub(1)?;
        self.0.get(NUMBERS..NUMBERS + length)
    }

    /// A byte for each counter.
    pub(crate) fn reached(&self) -> &[u8] {
        &self.0[NUMBERS + LONGEST..]
    }

    pub(crate) fn reached_mut(&mut self) -> &mut [u8] {
        &mut self.0[NUMBERS + LONGEST..]
    }
}
