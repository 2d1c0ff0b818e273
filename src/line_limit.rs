//! So many lines of a kind in a second, and a count of those that were left out.
//!
//! What a client can bring about as often as it likes must not fill the disk with log lines.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Lines in a second.
const LINES_MAX: u32 = 20;
const SECOND: Duration = Duration::from_secs(1);

/// Decides which lines of a kind are written. All calls may run concurrently.
#[derive(Debug)]
pub(crate) struct LineLimit(Mutex<State>);

#[derive(Debug)]
struct State {
    second: Instant,
    lines: u32,
    untold: u64,
}

impl Default for LineLimit {
    fn default() -> Self {
        Self(Mutex::new(State { second: Instant::now(), lines: 0, untold: 0 }))
    }
}

impl LineLimit {
    /// Whether a line may be written now: then how many were not, since the last one that was.
    pub(crate) fn line(&self) -> Option<u64> {
        self.0.lock().line(Instant::now())
    }
}

impl State {
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
    fn lines_beyond_the_limit_are_counted_and_told_later() {
        let began = Instant::now();
        let mut state = State { second: began, lines: 0, untold: 0 };
        let told = (0..LINES_MAX + 5).filter(|_| state.line(began) == Some(0)).count();
        assert_eq!(told, usize::try_from(LINES_MAX).unwrap());
        assert_eq!(state.line(began + SECOND), Some(5));
        assert_eq!(state.line(began + SECOND), Some(0));
    }
}
