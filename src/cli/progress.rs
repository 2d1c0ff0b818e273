//! How far a long transfer is, on a terminal.
//!
//! Nothing is shown where standard error is no terminal, nor for what is done within a second.

use std::fmt;
use std::io::{self, IsTerminal as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::output;

/// Transfers that are over by then show nothing.
const SHOWN_AFTER: Duration = Duration::from_secs(1);

const BYTES: &str = "{bar:32} {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, \
                     {msg}, {eta} left";
const BYTES_SO_FAR: &str = "{spinner} {binary_bytes}, {binary_bytes_per_sec}, {msg}";
const RECORDS: &str = "{bar:32} {human_pos} of {human_len} records, {rate}, {msg}, {eta} left";
const RECORDS_SO_FAR: &str = "{spinner} {human_pos} records, {rate}, {msg}";

/// What a transfer is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Bytes,
    Records,
}

/// A line that tells how far a transfer is.
#[derive(Debug)]
pub(super) struct Progress {
    bar: ProgressBar,
    /// When the line may appear; `None` once it has, or if it never will.
    due: Option<Instant>,
    unit: Unit,
}

impl Progress {
    /// A transfer of `total`, if that is known. `is_wanted` says whether a line may be shown.
    pub(super) fn new(total: Option<u64>, unit: Unit, is_wanted: bool) -> Self {
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden());
        bar.set_style(style(unit, total.is_some()));
        let is_shown = is_wanted && io::stderr().is_terminal();
        Self { bar, due: is_shown.then(|| Instant::now() + SHOWN_AFTER), unit }
    }

    /// Says how much is done, and something beside it.
    pub(super) fn set(&mut self, done: u64, beside: impl FnOnce() -> String) {
        self.bar.set_position(done);
        if self.due.is_some_and(|due| Instant::now() >= due) {
            self.due = None;
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        if !self.bar.is_hidden() {
            self.bar.set_message(beside());
        }
    }

    /// Says how much there will be.
    pub(super) fn set_total(&self, total: u64) {
        self.bar.set_style(style(self.unit, true));
        self.bar.set_length(total);
    }

    /// Writes a line of news above it.
    pub(super) fn note(&self, text: impl fmt::Display) {
        self.bar.suspend(|| output::note(text));
    }
}

/// Has `work` done by another thread, and shows how many bytes of `total` it says that it copied.
pub(super) fn while_copying<T: Send>(
    total: Option<u64>,
    work: impl FnOnce(&(dyn Fn(u64) + Sync)) -> T + Send,
) -> T {
    let copied = AtomicU64::new(0);
    let tell = |bytes| _ = copied.fetch_add(bytes, Ordering::Relaxed);
    let mut shown = Progress::new(total, Unit::Bytes, true);
    thread::scope(|scope| {
        let working = scope.spawn(|| work(&tell));
        while !working.is_finished() {
            let done = copied.load(Ordering::Relaxed);
            shown.set(done, || "copied".to_owned());
            thread::sleep(Duration::from_millis(if done == 0 { 1 } else { 20 }));
        }
        working.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn style(unit: Unit, has_total: bool) -> ProgressStyle {
    let template = match (unit, has_total) {
        (Unit::Bytes, true) => BYTES,
        (Unit::Bytes, false) => BYTES_SO_FAR,
        (Unit::Records, true) => RECORDS,
        (Unit::Records, false) => RECORDS_SO_FAR,
    };
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.with_key("rate", |state: &ProgressState, out: &mut dyn fmt::Write| {
        // What cannot be written is not shown.
        let _ = write!(out, "{:.0}/s", state.per_sec());
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_is_one() {
        for template in [BYTES, BYTES_SO_FAR, RECORDS, RECORDS_SO_FAR] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }

    #[test]
    fn nothing_is_shown_unless_it_is_wanted() {
        let mut progress = Progress::new(Some(2), Unit::Records, false);
        progress.set(1, || unreachable!("nobody sees it"));
        assert!(progress.bar.is_hidden() && progress.due.is_none());
    }
}
