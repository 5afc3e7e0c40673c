//! Read the counters that the compiler put into our code, and find the lines that they stand for.
//!
//! Each block of code counts how often it ran (`-sanitizer-coverage-inline-8bit-counters`), and a table says where the block
//! begins (`-sanitizer-coverage-pc-table`); the debugger's table of lines gives the lines from there to the next block.

use crate::record::Record;
use anyhow::{Context, Result, anyhow};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;

// The linker gives every section whose name is a word these two symbols.
#[allow(unsafe_code)]
unsafe extern "C" {
    #[link_name = "__start___sancov_cntrs"]
    static FIRST_COUNTER: u8;
    #[link_name = "__stop___sancov_cntrs"]
    static AFTER_COUNTERS: u8;
    #[link_name = "__start___sancov_pcs"]
    static FIRST_PLACE: [usize; 2];
    #[link_name = "__stop___sancov_pcs"]
    static AFTER_PLACES: [usize; 2];
    #[link_name = "__ehdr_start"]
    static PROGRAM: u8;
    /// libFuzzer's: where the counters are.
    fn __sanitizer_cov_8bit_counters_init(first: *const u8, after: *const u8);
    /// libFuzzer's: where the table of places is.
    fn __sanitizer_cov_pcs_init(first: *const [usize; 2], after: *const [usize; 2]);
}

/// Tell libFuzzer of the counters. Each piece of code does so when the program starts, where the linker has kept that part of
/// it; rustc's linker drops it.
pub(crate) fn register() {
    // SAFETY: the symbols enclose the sections that the compiler made for these two functions.
    #[allow(unsafe_code)]
    unsafe {
        __sanitizer_cov_8bit_counters_init(&raw const FIRST_COUNTER, &raw const AFTER_COUNTERS);
        __sanitizer_cov_pcs_init(&raw const FIRST_PLACE, &raw const AFTER_PLACES);
    }
}

/// Counters in this program.
pub(crate) fn len() -> usize {
    (&raw const AFTER_COUNTERS).addr() - (&raw const FIRST_COUNTER).addr()
}

/// Note in `reached` which counters the last input moved.
pub(crate) fn note(reached: &mut [u8]) {
    // SAFETY: the two symbols enclose the section of the counters, bytes that only this thread's and ended threads' code moved.
    #[allow(unsafe_code)]
    let counters = unsafe { std::slice::from_raw_parts(&raw const FIRST_COUNTER, len()) };
    for (reached, counter) in reached.iter_mut().zip(counters) {
        *reached |= u8::from(*counter > 0);
    }
}

/// Where each counter's block begins, from the program's beginning.
fn places() -> Vec<u64> {
    // SAFETY: the table has a pair of numbers, place and flags, for each counter, and never changes.
    #[allow(unsafe_code)]
    let table = unsafe { std::slice::from_raw_parts(&raw const FIRST_PLACE, len()) };
    let base = (&raw const PROGRAM).addr();
    table.iter().map(|[place, _]| place.wrapping_sub(base) as u64).collect()
}

/// Lines of a file, each with whether it was reached.
type Lines = BTreeMap<u32, bool>;

/// The lines of our files by path from the workspace's root.
fn lines(reached: &[u8]) -> Result<BTreeMap<String, Lines>> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let loader =
        addr2line::Loader::new(&program).map_err(|error| anyhow!("cannot read the table of lines: {error}"))?;
    let mut blocks: Vec<(u64, bool)> = places().into_iter().zip(reached.iter().map(|reached| *reached > 0)).collect();
    blocks.sort();
    let mut files: BTreeMap<String, Lines> = BTreeMap::new();
    for (i, (first, reached)) in blocks.iter().enumerate() {
        // a block ends where the next begins; one that is the last of its function surely within a page
        let end = blocks.get(i + 1).map_or(u64::MAX, |next| next.0).min(first + 4096);
        let rows = loader.find_location_range(*first, end).map_err(|error| anyhow!("the table of lines: {error}"))?;
        for (_, _, location) in rows {
            let file = location.file.and_then(|file| file.rfind("crates/srm-").map(|at| &file[at..]));
            if let (Some(file), Some(line @ 1..)) = (file, location.line) {
                *files.entry(file.to_owned()).or_default().entry(line).or_default() |= reached;
            }
        }
    }
    Ok(files)
}

/// Print how many lines of the door's own sources its inputs have reached, and which they have not.
pub(crate) fn print_lines(door: &str, record: &Path) -> Result<bool> {
    let door = srm_fuzz::door(door).with_context(|| format!("there is no door {door}"))?;
    let record = Record::open(record, None)?;
    let (mut reached, mut all, mut missed) = (0, 0, BTreeMap::new());
    for (file, lines) in lines(record.reached())? {
        if door.sources.iter().any(|source| file.starts_with(source)) {
            reached += lines.values().filter(|reached| **reached).count();
            all += lines.len();
            let left: Vec<u32> = lines.iter().filter(|(_, reached)| !**reached).map(|(line, _)| *line).collect();
            missed.insert(file, left);
        }
    }
    let edges = record.reached().iter().filter(|reached| **reached > 0).count();
    println!("{}", json!({ "reached": reached, "lines": all, "edges": edges, "missed": missed }));
    Ok(true)
}
