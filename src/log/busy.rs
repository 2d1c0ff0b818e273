//! Since when each of a set of threads is at what it does now, for whoever watches that work goes
//! on.

use std::time::Duration;

use crate::sync::Instant;
use crate::sync::atomic::{AtomicU64, Ordering};

/// Not at work.
const IDLE: u64 = 0;

/// The threads, by their numbers. All calls may run concurrently.
#[derive(Debug)]
pub(crate) struct Busy {
    epoch: Instant,
    /// Milliseconds after the epoch, counted from 1.
    since_ms: Box<[AtomicU64]>,
}

impl Busy {
    pub(crate) fn new(threads: usize) -> Self {
        let since_ms = (0..threads).map(|_| AtomicU64::new(IDLE)).collect();
        Self { epoch: Instant::now(), since_ms }
    }

    /// Has the thread with this number do `work`.
    pub(crate) fn during<T>(&self, thread: usize, work: impl FnOnce() -> T) -> T {
        self.begin(thread);
        let done = work();
        self.end(thread);
        done
    }

    /// The thread is at something else from now on.
    pub(crate) fn begin(&self, thread: usize) {
        if let Some(since) = self.since_ms.get(thread) {
            since.store(self.now_ms(), Ordering::Relaxed);
        }
    }

    /// The thread is at nothing.
    pub(crate) fn end(&self, thread: usize) {
        if let Some(since) = self.since_ms.get(thread) {
            since.store(IDLE, Ordering::Relaxed);
        }
    }

    /// For how long the one that has been at it longest has; zero if all are idle.
    pub(crate) fn longest(&self) -> Duration {
        let now_ms = self.now_ms();
        let times = self.since_ms.iter().map(|since| since.load(Ordering::Relaxed));
        let busy = times.filter(|since| *since != IDLE).map(|since| now_ms.saturating_sub(since));
        Duration::from_millis(busy.max().unwrap_or_default())
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_work_counts_and_ends_with_it() {
        let busy = Busy::new(2);
        assert_eq!(busy.longest(), Duration::ZERO);
        busy.during(0, || {
            while busy.longest() < Duration::from_millis(5) {
                std::thread::yield_now();
            }
            busy.during(1, || assert!(busy.longest() >= Duration::from_millis(5)));
        });
        assert_eq!(busy.longest(), Duration::ZERO);
    }
}
