//! Let libFuzzer choose the inputs of one door, and keep what they cost and broke in the door's record.

use crate::coverage;
use crate::record::{LONGEST, Number, Record};
use anyhow::{Context, Result};
use libfuzzer_sys as _; // its C++ library is what the declarations below name
use srm_fuzz::{Bounds, Dice, Door, SLOWEST, door, mutate};
use std::cell::RefCell;
use std::ffi::{CString, c_char, c_int};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::{fs, ptr};

/// Megabytes that the process may hold, libtorch and the system's own included: four times what it has at rest.
const RESIDENT_MB: u32 = 2500;

/// Options of one process.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The door
    door: String,
    /// Inputs of all processes of this door together
    #[arg(long)]
    inputs: u64,
    /// Seed of the mutations
    #[arg(long)]
    seed: u32,
    /// Folder of the door: its record, what libFuzzer keeps, what was found
    #[arg(long)]
    out: PathBuf,
    /// Folder that the door may write to
    #[arg(long)]
    scratch: PathBuf,
}

/// What the callbacks of libFuzzer work on: they get no pointer of ours.
struct Engine {
    door: &'static Door,
    record: Record,
    inputs: u64,
    /// Where the door's files stand.
    scratch: PathBuf,
    found: PathBuf,
}

thread_local! {
    static ENGINE: RefCell<Option<Engine>> = const { RefCell::new(None) };
}

/// Place, words and trace of the last panic, of whichever thread.
static PANIC: Mutex<Option<(String, String)>> = Mutex::new(None);

#[allow(unsafe_code)]
unsafe extern "C" {
    /// libFuzzer's `main`.
    fn LLVMFuzzerRunDriver(
        argc: *mut c_int,
        argv: *mut *mut *mut c_char,
        one: extern "C" fn(*const u8, usize) -> c_int,
    ) -> c_int;
    /// libFuzzer's own mutations.
    fn LLVMFuzzerMutate(data: *mut u8, size: usize, longest: usize) -> usize;
}

/// Try inputs until there are as many as asked for.
pub(crate) fn run(args: &Args) -> Result<bool> {
    let door = door(&args.door).with_context(|| format!("there is no door {}", args.door))?;
    let (corpus, found) = (args.out.join("corpus"), args.out.join("found"));
    for folder in [&corpus, &found] {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    for (number, seed) in (door.seeds)().iter().enumerate() {
        fs::write(corpus.join(format!("seed-{number}")), seed)?;
    }
    let record = Record::open(&args.out.join("record"), Some(coverage::len()))?;
    let scratch = args.scratch.clone();
    ENGINE.set(Some(Engine { door, record, inputs: args.inputs, scratch, found }));
    std::panic::set_hook(Box::new(note_panic));
    coverage::register();
    let flags = [
        "srm-fuzz".to_owned(),
        corpus.display().to_string(),
        format!("-seed={}", args.seed),
        format!("-max_len={}", door.longest.min(LONGEST)),
        format!("-timeout={}", SLOWEST.as_secs()),
        format!("-rss_limit_mb={RESIDENT_MB}"),
        "-len_control=0".to_owned(),
        "-reload=0".to_owned(),
        "-verbosity=0".to_owned(),
        "-print_funcs=0".to_owned(),
        "-detect_leaks=0".to_owned(),
        // the input is in the record
        "-exact_artifact_path=/dev/null".to_owned(),
    ];
    let flags: Vec<CString> = flags.into_iter().map(CString::new).collect::<std::result::Result<_, _>>()?;
    let mut pointers: Vec<*mut c_char> = flags.iter().map(|flag| flag.as_ptr().cast_mut()).collect();
    pointers.push(ptr::null_mut());
    let (mut count, mut pointers) = (flags.len() as c_int, pointers.as_mut_ptr());
    // SAFETY: count and pointers are those of `main`, ended by a null pointer, and live until the driver returns.
    #[allow(unsafe_code)]
    let status = unsafe { LLVMFuzzerRunDriver(&mut count, &mut pointers, one) };
    Ok(status == 0)
}

/// Try one input.
extern "C" fn one(data: *const u8, size: usize) -> c_int {
    // SAFETY: libFuzzer hands over `size` bytes that stay until this returns; for none it may hand over a null pointer.
    #[allow(unsafe_code)]
    let bytes = if size == 0 { &[][..] } else { unsafe { std::slice::from_raw_parts(data, size) } };
    // -1: not to be kept and mutated further, as most of what comes of it would be refused at first sight too
    ENGINE.with_borrow_mut(|engine| match engine.as_mut().is_some_and(|engine| engine.try_one(bytes)) {
        true => 0,
        false => -1,
    })
}

impl Engine {
    /// Try an input; whether it passed the first look at the format.
    fn try_one(&mut self, bytes: &[u8]) -> bool {
        let record = &mut self.record;
        record.begin(bytes);
        let bounds = Bounds::begin();
        let entered = catch_unwind(AssertUnwindSafe(|| (self.door.enter)(bytes, &self.scratch)));
        let cost = bounds.cost();
        record.end();
        record.add(Number::Inputs, 1);
        let passed = (self.door.header)(bytes);
        record.add(Number::Passed, u64::from(passed));
        record.raise(Number::Slowest, cost.time.as_micros() as u64);
        record.raise(Number::Peak, cost.peak as u64);
        record.raise(Number::Resident, resident());
        coverage::note(record.reached_mut());
        if cost.refused {
            record.add(Number::Refused, 1);
            keep(&self.found, "memory", &format!("asks for {} MB", cost.peak >> 20), bytes);
        }
        if entered.is_err() {
            record.add(Number::Panics, 1);
            let (place, words) = PANIC.lock().ok().and_then(|mut panic| panic.take()).unwrap_or_default();
            keep(&self.found, &format!("panic-{place}"), &words, bytes);
        }
        if record.get(Number::Inputs) >= self.inputs {
            // SAFETY: nothing is left to be done; `exit` would run libFuzzer's complaint that a target must not end the process.
            #[allow(unsafe_code)]
            unsafe {
                libc::_exit(0)
            }
        }
        passed
    }
}

fn note_panic(info: &PanicHookInfo<'_>) {
    let place = info.location().map_or_else(String::new, |place| format!("{}-{}", place.file(), place.line()));
    let name = place.rsplit("/crates/").next().unwrap_or_default().replace(['/', '.'], "_");
    if let Ok(mut panic) = PANIC.lock() {
        let trace = std::backtrace::Backtrace::force_capture();
        *panic = Some((name, format!("{info}\n{trace}")));
    }
}

/// Keep the shortest input that broke something in this way, and the words for it.
fn keep(found: &Path, name: &str, words: &str, bytes: &[u8]) {
    let (input, text) = (found.join(name), found.join(format!("{name}.txt")));
    if fs::metadata(&input).is_ok_and(|kept| kept.len() <= bytes.len() as u64) {
        return;
    }
    if let Err(error) = fs::write(&input, bytes).and_then(|()| fs::write(&text, words)) {
        eprintln!("cannot keep {}: {error}", input.display());
    }
}

/// Largest resident set so far, bytes.
fn resident() -> u64 {
    // SAFETY: the structure is plain numbers, filled by the system.
    #[allow(unsafe_code)]
    let usage = unsafe {
        let mut usage = std::mem::zeroed::<libc::rusage>();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    usage.ru_maxrss as u64 * 1024
}

/// Called by libFuzzer for every new input.
#[unsafe(no_mangle)]
#[allow(unsafe_code)]
extern "C" fn LLVMFuzzerCustomMutator(data: *mut u8, size: usize, longest: usize, seed: u32) -> usize {
    // SAFETY: libFuzzer hands over a buffer of `longest` bytes, of which the first `size` are the input.
    let buffer = unsafe { std::slice::from_raw_parts_mut(data, longest) };
    let mut bytes = buffer[..size].to_vec();
    let by_engine = &mut |bytes: &mut Vec<u8>| {
        let length = bytes.len();
        bytes.resize(longest.max(length), 0);
        // SAFETY: the vector has `longest` bytes, of which the first `length` are the input.
        let length = unsafe { LLVMFuzzerMutate(bytes.as_mut_ptr(), length, longest) };
        bytes.truncate(length);
        true
    };
    let door = ENGINE.with_borrow(|engine| engine.as_ref().map(|engine| engine.door));
    if let Some(door) = door {
        mutate(door, &mut bytes, &mut Dice::new(u64::from(seed)), by_engine);
    }
    bytes.truncate(longest);
    buffer[..bytes.len()].copy_from_slice(&bytes);
    bytes.len()
}
