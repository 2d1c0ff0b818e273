//! One log line for each change that a caller makes, and for each denial, as long as there are not
//! too many of those.
//!
//! A client that is denied and keeps trying must not fill the disk with it: beyond a number per
//! second lines are only counted, and the count is told with the next second's first line.

use std::fmt::Display;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::refusal::Denied;
use crate::tls::Subject;

/// Lines per second.
const LINES_MAX: u32 = 20;
const SECOND: Duration = Duration::from_secs(1);

/// Writes denials to the log. All calls may run concurrently.
#[derive(Debug)]
pub(crate) struct Audit {
    pace: Mutex<Pace>,
}

#[derive(Debug)]
struct Pace {
    second: Instant,
    lines: u32,
    untold: u64,
}

impl Audit {
    pub(crate) fn new() -> Self {
        Self { pace: Mutex::new(Pace { second: Instant::now(), lines: 0, untold: 0 }) }
    }

    pub(crate) fn denied(&self, denied: &Denied) {
        if let Some(untold) = self.pace.lock().line(Instant::now()) {
            log::warn!(
                "event=denied subject={:?} action={} object={:?} untold={untold}",
                denied.subject.as_str(),
                denied.action,
                denied.object,
            );
        }
    }
}

impl Audit {
    /// `subject` has changed the log called `log`; `event` says how, and `what` the rest.
    pub(crate) fn changed(&self, subject: &Subject, event: &str, log: &str, what: &dyn Display) {
        log::info!("event={event} subject={:?} log={log:?} {what}", subject.as_str());
    }
}

impl Pace {
    /// Whether a line may be written at `now`, and how many were not since the last one.
    fn line(&mut self, now: Instant) -> Option<u64> {
        if now.saturating_duration_since(self.second) >= SECOND {
            (self.second, self.lines) = (now, 0);
        }
        if self.lines == LINES_MAX {
            self.untold += 1;
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_beyond_the_pace_are_counted_and_told_later() {
        let began = Instant::now();
        let mut pace = Pace { second: began, lines: 0, untold: 0 };
        let told = (0..LINES_MAX + 5).filter(|_| pace.line(began) == Some(0)).count();
        assert_eq!(told, usize::try_from(LINES_MAX).unwrap());
        assert_eq!(pace.line(began + SECOND), Some(5));
        assert_eq!(pace.line(began + SECOND), Some(0));
    }
}
