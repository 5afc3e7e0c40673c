//! Count what an input costs, and refuse the memory that no input may ask for.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Bytes that an input may make the process ask for, at once or in all.
pub const LARGEST: usize = 1 << 30;
/// Time that an input may take.
pub const SLOWEST: Duration = Duration::from_secs(10);
/// Traces of refused requests that a process prints; each takes a second.
const TRACES: usize = 3;

static LIVE: AtomicUsize = AtomicUsize::new(0);
/// What was live when the input began.
static START: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
static REFUSED: AtomicUsize = AtomicUsize::new(0);
static TRACED: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Whether this thread prints a trace, which needs memory itself.
    static TRACING: Cell<bool> = const { Cell::new(false) };
}

/// The system's allocator with a count; more than [`LARGEST`] in one input it does not give.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every request goes to the system's allocator unchanged, or is refused by a null pointer, as the trait allows.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !grant(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !grant(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: as in `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as in `alloc`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !grant(size) {
            return std::ptr::null_mut();
        }
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as in `alloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// Count a request; false where it is more than an input may ask for.
#[allow(clippy::print_stderr)] // for whoever fuzzes; the allocator has no other way to say it
fn grant(size: usize) -> bool {
    let asked = LIVE.load(Relaxed).saturating_add(size).saturating_sub(START.load(Relaxed));
    PEAK.fetch_max(asked, Relaxed);
    if asked > LARGEST && !TRACING.try_with(Cell::get).unwrap_or(true) {
        REFUSED.fetch_max(asked, Relaxed);
        if TRACED.fetch_add(1, Relaxed) < TRACES {
            TRACING.set(true);
            eprintln!("{size} bytes asked for at\n{}", std::backtrace::Backtrace::force_capture());
            TRACING.set(false);
        }
        return false;
    }
    LIVE.fetch_add(size, Relaxed);
    true
}

/// What an input cost.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Wall-clock time.
    pub time: Duration,
    /// Bytes that were asked for and live at the same time, beyond what was before, refused ones included.
    pub peak: usize,
    /// Whether more than [`LARGEST`] was asked for. Where the reader took the refusal well it went on.
    pub refused: bool,
}

/// The clock and the count of one input.
#[derive(Debug)]
pub struct Bounds(Instant);

impl Bounds {
    /// An input begins. One at a time: the count is the process's.
    pub fn begin() -> Self {
        START.store(LIVE.load(Relaxed), Relaxed);
        PEAK.store(0, Relaxed);
        REFUSED.store(0, Relaxed);
        Self(Instant::now())
    }

    /// What the input has cost so far.
    pub fn cost(&self) -> Cost {
        Cost { time: self.0.elapsed(), peak: PEAK.load(Relaxed), refused: REFUSED.load(Relaxed) > 0 }
    }
}
