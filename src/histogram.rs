//! Counts of values by size, cheap enough for every call and every batch.
//!
//! Relaxed atomics and no lock: a look while others count may miss what is being counted, never
//! more. Where many values come at once, as a write-out's batches, they are tallied by their thread
//! first.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of latencies in microseconds, from 50 us to 10 s.
const LATENCY_BOUNDS_US: [u64; 17] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000,
];
/// Upper bounds of sizes in bytes, from 64 bytes to 64 MiB.
const SIZE_BOUNDS: [u64; 11] = [
    64,
    256,
    1 << 10,
    4 << 10,
    16 << 10,
    64 << 10,
    256 << 10,
    1 << 20,
    4 << 20,
    16 << 20,
    64 << 20,
];
/// Upper bounds of numbers of things.
const COUNT_BOUNDS: [u64; 13] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 4_096, 16_384];

/// How many values fell between which bounds. All calls may run concurrently.
#[derive(Debug)]
pub(crate) struct Histogram {
    bounds: &'static [u64],
    /// One for each bound, and one for what is above all of them.
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

/// What a histogram has counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Upper bounds, inclusive, with how many values are at or below each.
    pub buckets: Vec<(u64, u64)>,
    /// How many values there are.
    pub count: u64,
    /// What they add up to.
    pub sum: u64,
}

/// What one thread has counted of many values, to be added at once.
#[derive(Debug)]
pub(crate) struct Tally {
    bounds: &'static [u64],
    counts: [u64; TALLY_LEN],
    sum: u64,
}

/// One more than the most bounds that are tallied.
const TALLY_LEN: usize = COUNT_BOUNDS.len() + 1;

impl Histogram {
    /// Of times; they count in microseconds.
    pub(crate) fn of_latencies() -> Self {
        Self::new(&LATENCY_BOUNDS_US)
    }

    /// Of sizes in bytes.
    pub(crate) fn of_sizes() -> Self {
        Self::new(&SIZE_BOUNDS)
    }

    /// Of numbers.
    pub(crate) fn of_counts() -> Self {
        Self::new(&COUNT_BOUNDS)
    }

    fn new(bounds: &'static [u64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, counts, sum: AtomicU64::new(0) }
    }

    pub(crate) fn note(&self, value: u64) {
        if let Some(count) = self.counts.get(place(self.bounds, value)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    pub(crate) fn note_time(&self, took: Duration) {
        self.note(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// An empty tally for this histogram, which must be one of sizes or numbers.
    pub(crate) fn tally(&self) -> Tally {
        Tally { bounds: self.bounds, counts: [0; TALLY_LEN], sum: 0 }
    }

    pub(crate) fn add(&self, tally: &Tally) {
        for (count, more) in self.counts.iter().zip(tally.counts).filter(|(_, more)| *more > 0) {
            count.fetch_add(more, Ordering::Relaxed);
        }
        self.sum.fetch_add(tally.sum, Ordering::Relaxed);
    }

    pub(crate) fn counted(&self) -> Counted {
        let mut count = 0;
        let mut up_to = self.counts.iter().map(|here| {
            count += here.load(Ordering::Relaxed);
            count
        });
        let buckets = self.bounds.iter().copied().zip(up_to.by_ref()).collect();
        let _above = up_to.count();
        Counted { buckets, count, sum: self.sum.load(Ordering::Relaxed) }
    }
}

impl Tally {
    pub(crate) fn note(&mut self, value: u64) {
        if let Some(count) = self.counts.get_mut(place(self.bounds, value)) {
            *count += 1;
        }
        self.sum = self.sum.saturating_add(value);
    }
}

fn place(bounds: &[u64], value: u64) -> usize {
    bounds.partition_point(|bound| *bound < value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_counts_at_its_bound_and_all_above() {
        let histogram = Histogram::of_counts();
        for value in [0, 1, 2, 3, 4, 5, 1_000_000] {
            histogram.note(value);
        }
        let counted = histogram.counted();
        assert_eq!(counted.buckets[..4], [(1, 2), (2, 3), (4, 5), (8, 6)]);
        assert_eq!(counted.buckets.last(), Some(&(16_384, 6)));
        assert_eq!((counted.count, counted.sum), (7, 1_000_015));
    }

    #[test]
    fn times_count_in_microseconds() {
        let histogram = Histogram::of_latencies();
        histogram.note_time(Duration::from_micros(50));
        histogram.note_time(Duration::from_secs(60));
        let counted = histogram.counted();
        assert_eq!(counted.buckets.first(), Some(&(50, 1)));
        assert_eq!(counted.buckets.last(), Some(&(10_000_000, 1)));
        assert_eq!((counted.count, counted.sum), (2, 60_000_050));
    }

    #[test]
    fn a_tally_adds_what_single_values_would() {
        for one in [Histogram::of_counts(), Histogram::of_sizes()] {
            let other = Histogram::new(one.bounds);
            let mut tally = other.tally();
            for value in [0, 1, 70, 5_000, u64::from(u32::MAX)] {
                one.note(value);
                tally.note(value);
            }
            other.add(&tally);
            assert_eq!(one.counted(), other.counted());
        }
    }
}
