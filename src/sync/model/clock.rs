//! Time in a model: it stands still until a wait times out, which the scheduler decides.

use std::cell::Cell;
use std::ops::Add;
use std::time::Duration;

use shuttle::rand::{Rng as _, thread_rng};
use shuttle::thread;

/// A thread that waits for a time looks up at most so often before it has come.
const LOOKS_MAX: u32 = 64;
/// A timeout in four is noticed so late that whatever else is due by time has come due too.
const LATE: Duration = Duration::from_secs(10);

thread_local! {
    /// Shuttle runs a model's threads on one of the host's, so each model has its own.
    static NOW: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// A point in the model's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instant(Duration);

impl Instant {
    pub(crate) fn now() -> Self {
        Self(NOW.get())
    }

    pub(crate) fn elapsed(self) -> Duration {
        Self::now().saturating_duration_since(self)
    }

    pub(crate) fn saturating_duration_since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, time: Duration) -> Self {
        Self(self.0.saturating_add(time))
    }
}

/// How often a wait looks whether something else ended it before its time comes: a short while or a
/// long one, by the scheduler's dice.
pub(super) fn looks() -> u32 {
    LOOKS_MAX >> thread_rng().gen_range(0..8)
}

/// Lets others run for a while.
pub(super) fn look_later() {
    thread::yield_now();
}

/// `deadline` has come, or is long past.
pub(super) fn reach(deadline: Instant) {
    let late = if thread_rng().gen_ratio(1, 4) { LATE } else { Duration::ZERO };
    NOW.set(NOW.get().max(deadline.0.saturating_add(late)));
}
