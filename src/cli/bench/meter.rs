//! What the producers and consumers of a run have measured so far. All of them share it.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use parking_lot::Mutex;

use super::walk::Unfitting;

/// Latencies above an hour count as one.
const LATENCY_NS_MAX: u64 = 3_600_000_000_000;
/// Digits of a latency that are kept.
const DIGITS: u8 = 3;

/// Latencies in nanoseconds.
pub(super) type Latencies = Histogram<u64>;

/// What all producers, or all consumers, have done.
#[derive(Debug)]
pub(super) struct Side {
    records: AtomicU64,
    bytes: AtomicU64,
    messages: AtomicU64,
    latencies: Mutex<Latencies>,
}

/// How much a side has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Done {
    pub(super) records: u64,
    pub(super) bytes: u64,
    pub(super) messages: u64,
}

/// What ended a run early.
#[derive(Debug)]
pub(super) enum Fault {
    Call(grpcio::Error),
    /// The server's answers are not what they should be.
    Unfitting(Unfitting),
    EmptyLog,
    EndedEarly,
    /// A consumer has had no first answer.
    NotReady,
}

/// A run: both sides, and how it goes on.
#[derive(Debug)]
pub(super) struct Meter {
    pub(super) produced: Side,
    pub(super) consumed: Side,
    /// Paced requests that were due and could not be sent before the end.
    pub(super) late: AtomicU64,
    /// Batches that were sent; those without an answer are among them.
    pub(super) sent: AtomicU64,
    /// Consumers that have had their first answer.
    pub(super) ready: AtomicUsize,
    stopped: OnceLock<Instant>,
    running: AtomicUsize,
    fault: Mutex<Option<Fault>>,
}

/// Counts a producer or consumer until it is done.
#[derive(Debug)]
pub(super) struct Leaving(Arc<Meter>);

/// Latencies that are yet to be measured.
pub(super) fn latencies() -> Latencies {
    Histogram::new_with_bounds(1, LATENCY_NS_MAX, DIGITS).expect("the bounds are constants")
}

impl Default for Side {
    fn default() -> Self {
        Self {
            records: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            messages: AtomicU64::new(0),
            latencies: Mutex::new(latencies()),
        }
    }
}

impl Side {
    /// Counts a message with what it carried.
    pub(super) fn count(&self, records: u64, bytes: u64) {
        self.records.fetch_add(records, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.messages.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes down how long something took that was due at `due`.
    pub(super) fn took(&self, due: Instant) {
        let ns = u64::try_from(due.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.latencies.lock().saturating_record(ns);
    }

    pub(super) fn done(&self) -> Done {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Done {
            records: read(&self.records),
            bytes: read(&self.bytes),
            messages: read(&self.messages),
        }
    }

    /// The latency that this part of all stays below, so far.
    pub(super) fn quantile(&self, part: f64) -> Duration {
        Duration::from_nanos(self.latencies.lock().value_at_quantile(part))
    }

    /// The latencies since the last call of this.
    pub(super) fn take_latencies(&self) -> Latencies {
        std::mem::replace(&mut self.latencies.lock(), latencies())
    }
}

impl Done {
    /// What was done since `before`.
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            records: self.records - before.records,
            bytes: self.bytes - before.bytes,
            messages: self.messages - before.messages,
        }
    }
}

impl Meter {
    pub(super) fn new() -> Self {
        Self {
            produced: Side::default(),
            consumed: Side::default(),
            late: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            ready: AtomicUsize::new(0),
            stopped: OnceLock::new(),
            running: AtomicUsize::new(0),
            fault: Mutex::new(None),
        }
    }

    /// Asks all to come to an end.
    pub(super) fn stop(&self) {
        // What stopped it first counts.
        let _first = self.stopped.set(Instant::now());
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.get().is_some()
    }

    /// When the run came to its end; now, if it has not.
    pub(super) fn stopped_at(&self) -> Instant {
        self.stopped.get().copied().unwrap_or_else(Instant::now)
    }

    /// How many producers and consumers are not done.
    pub(super) fn running(&self) -> usize {
        self.running.load(Ordering::Acquire)
    }

    /// Ends the run; what comes first counts.
    pub(super) fn fail(&self, fault: Fault) {
        let first = &mut *self.fault.lock();
        if !self.is_stopped() && first.is_none() {
            *first = Some(fault);
        }
        self.stop();
    }

    /// What ended the run early.
    pub(super) fn take_fault(&self) -> Option<Fault> {
        self.fault.lock().take()
    }
}

impl Leaving {
    pub(super) fn of(meter: &Arc<Meter>) -> Self {
        meter.running.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(meter))
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_before_the_measuring_does_not_count() {
        let side = Side::default();
        side.count(10, 1000);
        side.took(Instant::now());
        let (before, _warm) = (side.done(), side.take_latencies());
        side.count(3, 300);
        side.took(Instant::now() - Duration::from_millis(2));
        assert_eq!(side.done().since(before), Done { records: 3, bytes: 300, messages: 1 });
        let measured = side.take_latencies();
        assert_eq!(measured.len(), 1);
        assert!(measured.max() >= 2_000_000, "{}", measured.max());
    }

    #[test]
    fn the_first_fault_counts_and_none_after_the_end() {
        let meter = Meter::new();
        meter.fail(Fault::EmptyLog);
        meter.fail(Fault::EndedEarly);
        assert!(meter.is_stopped());
        assert!(matches!(meter.take_fault(), Some(Fault::EmptyLog)));
        let meter = Meter::new();
        meter.stop();
        meter.fail(Fault::EndedEarly);
        assert!(meter.take_fault().is_none());
    }
}
