//! Draw progress bars on stderr, or print a line of progress now and then where bars cannot be drawn.

use std::{
    env,
    io::{self, IsTerminal, Write},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use indicatif::{DecimalBytes, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle, WeakProgressBar};

use crate::duration;

/// Between two lines of progress, unless SRM_PROGRESS_SECONDS says otherwise.
const INTERVAL: Duration = Duration::from_secs(10);

/// What a bar counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things of this name, in the plural.
    Things(String),
    /// Bytes of the thing of this name.
    BytesOf(String),
}

/// Longest time between two lines that may be asked for, in seconds: the clock knows no end of longer ones.
const LONGEST: f64 = 1e9;

/// Bars on stderr, one below the other; or lines.
#[derive(Clone)]
pub struct Bars {
    drawn: MultiProgress,
    lines: Option<Arc<Lines>>,
}

/// Prints how far bars are that nobody sees.
struct Lines {
    interval: Duration,
    /// Where the lines go: stderr, but in tests.
    print: Box<dyn Fn(&str) + Send + Sync>,
    state: Mutex<State>,
}

struct State {
    /// The bars that may still be at work, the newest last.
    bars: Vec<(WeakProgressBar, Unit)>,
    /// When somebody has said something.
    spoken: Instant,
    /// Whether a thread looks after the bars.
    watched: bool,
    quiet: bool,
}

impl Default for Bars {
    fn default() -> Bars {
        Bars::new()
    }
}

impl Bars {
    /// Bars where stderr is a terminal that can move its cursor; else lines, ten seconds or `SRM_PROGRESS_SECONDS` apart.
    pub fn new() -> Bars {
        let dumb = env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        if io::stderr().is_terminal() && !dumb {
            return Bars { drawn: MultiProgress::new(), lines: None };
        }
        let asked = env::var("SRM_PROGRESS_SECONDS").ok().and_then(|text| text.trim().parse::<f64>().ok());
        let interval = asked.and_then(|seconds| Duration::try_from_secs_f64(seconds.min(LONGEST)).ok());
        // a closed stderr must not stop the work
        let print = |line: &str| drop(writeln!(io::stderr().lock(), "{line}"));
        Bars::lines(interval.filter(|interval| !interval.is_zero()).unwrap_or(INTERVAL), Box::new(print))
    }

    fn lines(interval: Duration, print: Box<dyn Fn(&str) + Send + Sync>) -> Bars {
        let state = State { bars: Vec::new(), spoken: Instant::now(), watched: false, quiet: false };
        let lines = Lines { interval, print, state: Mutex::new(state) };
        Bars { drawn: MultiProgress::with_draw_target(ProgressDrawTarget::hidden()), lines: Some(Arc::new(lines)) }
    }

    /// Show nothing from now on, neither bars nor lines.
    pub fn hide(&self) {
        self.drawn.set_draw_target(ProgressDrawTarget::hidden());
        if let Some(lines) = &self.lines {
            lines.state().quiet = true;
        }
    }

    /// Let `print` write to stderr with the bars out of the way.
    pub fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        if let Some(lines) = &self.lines {
            lines.state().spoken = Instant::now();
        }
        self.drawn.suspend(print)
    }

    /// A bar up to `length`, where that is known.
    pub fn bar(&self, length: Option<u64>, unit: Unit) -> ProgressBar {
        let template = match (&unit, length) {
            (Unit::Things(_), _) => "{bar:32} {pos}/{len} {prefix}  {elapsed} gone, {eta} left  {msg}",
            (Unit::BytesOf(_), Some(_)) => {
                "{prefix} {bar:30} {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec} ETA {eta}"
            }
            (Unit::BytesOf(_), None) => "{prefix} {decimal_bytes} {decimal_bytes_per_sec}",
        };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = length.map_or_else(ProgressBar::no_length, ProgressBar::new);
        let (Unit::Things(name) | Unit::BytesOf(name)) = &unit;
        let bar = self.drawn.add(bar.with_style(style).with_prefix(name.clone()));
        if let Some(lines) = &self.lines {
            lines.watch(bar.downgrade(), unit);
        }
        bar
    }
}

impl Lines {
    fn state(&self) -> MutexGuard<'_, State> {
        // whoever panicked has left no half state: each change is one assignment
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Print lines of this bar too, by a thread that ends with the last bar.
    fn watch(self: &Arc<Self>, bar: WeakProgressBar, unit: Unit) {
        let mut state = self.state();
        state.bars.push((bar, unit));
        if !state.watched {
            state.watched = true;
            state.spoken = Instant::now();
            let lines = self.clone();
            thread::spawn(move || while lines.wait_and_say() {});
        }
    }

    /// Wait until a line may be due, and print it if it is; false where no bar is left.
    fn wait_and_say(&self) -> bool {
        let due = self.state().spoken + self.interval;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let mut state = self.state();
        state.bars.retain(|(bar, _)| bar.upgrade().is_some_and(|bar| !bar.is_finished()));
        let newest = state.bars.last().and_then(|(bar, unit)| Some(line(&bar.upgrade()?, unit)));
        let Some(line) = newest else {
            state.watched = false;
            return false;
        };
        if state.spoken.elapsed() >= self.interval {
            state.spoken = Instant::now();
            if !state.quiet {
                (self.print)(&line);
            }
        }
        true
    }
}

/// How far a bar is: `samples drawn: 40 of 100 (40 %), 4.0/s, 15s left`.
fn line(bar: &ProgressBar, unit: &Unit) -> String {
    let amount = |number: u64| match unit {
        Unit::Things(_) => number.to_string(),
        Unit::BytesOf(_) => DecimalBytes(number).to_string(),
    };
    let (Unit::Things(name) | Unit::BytesOf(name)) = unit;
    let done = bar.position();
    let length = bar.length().filter(|&length| length > 0);
    let mut text = format!("{name}: {}", amount(done));
    if let Some(length) = length {
        text += &format!(" of {} ({} %)", amount(length), u128::from(done) * 100 / u128::from(length));
    }
    let (rate, gone) = (bar.per_sec(), bar.elapsed().as_secs_f64());
    if !(rate.is_finite() && rate > 0.0) {
        return text + &format!(", {} gone", duration(gone));
    }
    // the estimate falls without end while a long piece of work is in hand, yet one such piece came in the time that is gone
    let rate = rate.max(1.0 / gone.max(1e-9));
    text += &match unit {
        Unit::Things(_) if rate >= 100.0 => format!(", {rate:.0}/s"),
        Unit::Things(_) if rate >= 0.1 => format!(", {rate:.1}/s"),
        Unit::Things(_) => format!(", {} each", duration(1.0 / rate)),
        Unit::BytesOf(_) => format!(", {}/s", DecimalBytes(rate as u64)),
    };
    if let Some(length) = length {
        text += &format!(", {} left", duration(length.saturating_sub(done) as f64 / rate));
    }
    match bar.message() {
        message if message.is_empty() => text,
        message => format!("{text}, {message}"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};

    use super::*;

    const SHORT: Duration = Duration::from_millis(40);

    fn said() -> (Bars, Receiver<String>) {
        let (sender, receiver) = channel();
        let print = move |line: &str| drop(sender.send(line.to_owned()));
        (Bars::lines(SHORT, Box::new(print)), receiver)
    }

    #[test]
    fn a_bar_that_nobody_sees_says_how_far_it_is_until_it_ends() {
        let (bars, lines) = said();
        let bar = bars.bar(Some(200), Unit::Things("samples".to_owned()));
        bar.set_position(50);
        let line = lines.recv_timeout(100 * SHORT).expect("a line");
        assert!(line.starts_with("samples: 50 of 200 (25 %), ") && line.ends_with(" left"), "{line}");
        assert!(!line.contains('\u{1b}'), "{line:?}");
        // work that takes another bar speaks of that one, and of the first again when it is done
        let inner = bars.bar(None, Unit::BytesOf("x.zip".to_owned()));
        inner.set_position(2_500_000);
        let named = |name: &str| (0..9).any(|_| lines.recv_timeout(100 * SHORT).expect("a line").starts_with(name));
        assert!(named("x.zip: 2.50 MB"));
        inner.finish_and_clear();
        assert!(named("samples: "));
        bar.finish_and_clear();
        thread::sleep(3 * SHORT);
        lines.try_iter().for_each(drop);
        assert!(lines.recv_timeout(3 * SHORT).is_err(), "a bar that is done says nothing");
        let again = bars.bar(Some(3), Unit::Things("parts".to_owned()));
        assert!(lines.recv_timeout(100 * SHORT).expect("a line").starts_with("parts: 0 of 3 (0 %), "));
        drop(again);
    }

    #[test]
    fn who_has_just_spoken_or_is_hidden_prints_no_line() {
        let (bars, lines) = said();
        let bar = bars.bar(Some(2), Unit::Things("parts".to_owned()));
        for _ in 0..12 {
            bars.suspend(|| ());
            thread::sleep(SHORT / 8);
        }
        assert!(lines.try_recv().is_err());
        bars.hide();
        assert!(lines.recv_timeout(4 * SHORT).is_err());
        bar.finish_and_clear();
    }
}
