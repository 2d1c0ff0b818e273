//! Where times come from: the host's clocks, or a test's.
//!
//! The wall clock may be wrong at the start and may jump later. So it is asked once for append
//! times, which the monotonic clock carries on from there; `age` says how retention asks it.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

/// The clocks that the storage goes by. All calls may run concurrently.
pub trait TimeSource: fmt::Debug + Send + Sync {
    /// The wall clock, as time since the Unix epoch; it may jump.
    fn wall(&self) -> Duration;
    /// Time since some moment in the past; it never jumps and never goes back.
    fn running(&self) -> Duration;
}

/// The host's clocks.
#[derive(Debug)]
pub struct HostTime {
    since: Instant,
}

impl HostTime {
    /// The host's clocks, running from now.
    #[must_use]
    pub fn new() -> Self {
        Self { since: Instant::now() }
    }
}

impl Default for HostTime {
    fn default() -> Self {
        Self::new()
    }
}

impl TimeSource for HostTime {
    fn wall(&self) -> Duration {
        // A wall clock before 1970 counts as 1970: order never depends on it.
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    fn running(&self) -> Duration {
        self.since.elapsed()
    }
}

/// Clocks that stand still until a test moves them; clones share them.
#[derive(Clone, Debug)]
pub struct SimTime {
    now: Arc<Mutex<Now>>,
}

#[derive(Debug)]
struct Now {
    wall: Duration,
    running: Duration,
}

impl SimTime {
    /// Clocks of which the wall clock shows `wall` since the Unix epoch.
    #[must_use]
    pub fn at(wall: Duration) -> Self {
        Self { now: Arc::new(Mutex::new(Now { wall, running: Duration::ZERO })) }
    }

    /// Lets time pass on both.
    pub fn pass(&self, time: Duration) {
        let mut now = self.now.lock();
        now.wall += time;
        now.running += time;
    }

    /// Sets the wall clock alone.
    pub fn set_wall(&self, wall: Duration) {
        self.now.lock().wall = wall;
    }
}

impl TimeSource for SimTime {
    fn wall(&self) -> Duration {
        self.now.lock().wall
    }

    fn running(&self) -> Duration {
        self.now.lock().running
    }
}

/// Append times: the wall clock at start, carried on by the monotonic clock.
///
/// A jump of the wall clock while the server runs is not followed, so times never go back.
#[derive(Debug)]
pub(crate) struct Clock {
    source: Arc<dyn TimeSource>,
    wall_at_start: Duration,
    running_at_start: Duration,
}

impl Clock {
    pub(crate) fn start(source: Arc<dyn TimeSource>) -> Self {
        let (wall_at_start, running_at_start) = (source.wall(), source.running());
        Self { source, wall_at_start, running_at_start }
    }

    /// Microseconds since the Unix epoch.
    pub(crate) fn now_us(&self) -> u64 {
        let ran = self.running().saturating_sub(self.running_at_start);
        microseconds(self.wall_at_start.saturating_add(ran))
    }

    /// What the wall clock shows now.
    pub(crate) fn wall(&self) -> Duration {
        self.source.wall()
    }

    /// Time that never jumps.
    pub(crate) fn running(&self) -> Duration {
        self.source.running()
    }
}

/// Whole microseconds, as times are stored.
pub(crate) fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r15_append_times_do_not_follow_the_wall_clock() {
        let time = SimTime::at(Duration::from_secs(1000));
        let clock = Clock::start(Arc::new(time.clone()));
        time.pass(Duration::from_secs(1));
        time.set_wall(Duration::from_secs(5));
        assert_eq!(clock.now_us(), 1_001_000_000);
        time.set_wall(Duration::from_secs(1 << 30));
        time.pass(Duration::from_secs(1));
        assert_eq!(clock.now_us(), 1_002_000_000);
    }
}
