//! What the storage has done since it was opened, in numbers that anyone may look at.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::intake::Span;
use super::offset::Offset;
use super::width::wide;
use crate::histogram::{Counted, Histogram};

/// Counted by the flushers, per write-out and not per batch. All calls may run concurrently.
#[derive(Debug)]
pub(crate) struct Counters {
    batches: AtomicU64,
    records: AtomicU64,
    bytes: AtomicU64,
    batch_bytes: Histogram,
    batch_records: Histogram,
    sync_us: Histogram,
    group_batches: Histogram,
}

/// What the storage has done since it was opened.
#[derive(Clone, Debug)]
pub struct Work {
    /// Batches that were written out.
    pub batches: u64,
    /// Their records.
    pub records: u64,
    /// Their bytes, as stored.
    pub bytes: u64,
    /// How large the batches were, in bytes.
    pub batch_bytes: Counted,
    /// How many records they had.
    pub batch_records: Counted,
    /// How long syncs of stores took, in microseconds.
    pub sync_us: Counted,
    /// How many batches shared a sync.
    pub group_batches: Counted,
}

impl Counters {
    pub(crate) fn new() -> Self {
        Self {
            batches: AtomicU64::new(0),
            records: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            batch_bytes: Histogram::of_sizes(),
            batch_records: Histogram::of_counts(),
            sync_us: Histogram::of_latencies(),
            group_batches: Histogram::of_counts(),
        }
    }

    /// `spans` were written; the first one's records begin at `from`.
    pub(crate) fn written(&self, from: Offset, spans: &[Span]) {
        let (mut sizes, mut counts) = (self.batch_bytes.tally(), self.batch_records.tally());
        let (mut next, mut bytes) = (from, 0_u64);
        for span in spans {
            let size = wide(span.bytes);
            sizes.note(size);
            counts.note(span.next.get().saturating_sub(next.get()));
            bytes = bytes.saturating_add(size);
            next = span.next;
        }
        self.batch_bytes.add(&sizes);
        self.batch_records.add(&counts);
        self.batches.fetch_add(wide(spans.len()), Ordering::Relaxed);
        self.records.fetch_add(next.get().saturating_sub(from.get()), Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// A sync made `batches` durable.
    pub(crate) fn synced(&self, batches: u64, took: Duration) {
        self.sync_us.note_time(took);
        self.group_batches.note(batches);
    }

    pub(crate) fn work(&self) -> Work {
        Work {
            batches: self.batches.load(Ordering::Relaxed),
            records: self.records.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            batch_bytes: self.batch_bytes.counted(),
            batch_records: self.batch_records.counted(),
            sync_us: self.sync_us.counted(),
            group_batches: self.group_batches.counted(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_out_counts_batches_records_and_bytes() {
        let counters = Counters::new();
        let span = |bytes, next| Span { bytes, next: Offset::new(next), append_time_us: 0 };
        counters.written(Offset::new(10), &[span(100, 11), span(200, 15)]);
        counters.synced(2, Duration::from_micros(150));
        let work = counters.work();
        assert_eq!((work.batches, work.records, work.bytes), (2, 5, 300));
        assert_eq!((work.batch_bytes.sum, work.batch_records.sum), (300, 5));
        assert_eq!(work.batch_records.buckets[..3], [(1, 1), (2, 1), (4, 2)]);
        assert_eq!((work.sync_us.sum, work.group_batches.sum), (150, 2));
    }
}
