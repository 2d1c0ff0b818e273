//! The batch that producers send again and again.
//!
//! Where the time is to be measured from one end to the other, the value of its first record begins
//! with a stamp: 8 bytes that mark the run, and 8 with the nanoseconds since the run's origin, both
//! little-endian.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use protobuf::{EnumOrUnknown, Message as _};

use super::wire::Payload;
use crate::proto::log_service::{Durability, ProduceRequest};
use crate::proto::record::Record;

/// What a stamp takes of a record's value.
pub(super) const STAMP_BYTES: usize = 16;

/// What marks the records of one run, and the moment that their times count from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    run: [u8; 8],
    origin: Instant,
}

/// What a batch is made of.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) record_bytes: usize,
    pub(super) records: u32,
    pub(super) durability: Durability,
}

/// A batch, encoded.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub(super) records: u64,
    /// The records as they are stored, without what joins them.
    pub(super) bytes: u64,
    message: Vec<u8>,
    shared: Payload,
    /// Where the first value begins, and what marks it.
    stamp: Option<(usize, Stamp)>,
}

impl Stamp {
    pub(super) fn new(run: [u8; 8]) -> Self {
        Self { run, origin: Instant::now() }
    }

    /// The stamp of `at`.
    fn bytes(&self, at: Instant) -> [u8; STAMP_BYTES] {
        let ns = at.saturating_duration_since(self.origin).as_nanos();
        let ns = u64::try_from(ns).unwrap_or(u64::MAX);
        let mut bytes = [0; STAMP_BYTES];
        let (run, time) = bytes.split_at_mut(8);
        run.copy_from_slice(&self.run);
        time.copy_from_slice(&ns.to_le_bytes());
        bytes
    }

    /// The moment that `value` was stamped with, if this run did it.
    pub(super) fn read(&self, value: &[u8]) -> Option<Instant> {
        let time = value.strip_prefix(&self.run)?.first_chunk()?;
        self.origin.checked_add(Duration::from_nanos(u64::from_le_bytes(*time)))
    }
}

impl Batch {
    /// For `log`, as `shape` says.
    pub(super) fn new(shape: &Shape, log: &str, stamp: Option<Stamp>) -> Self {
        let record = Record { value: letters(shape.record_bytes).into(), ..Record::default() };
        let (encoded, records) = (record.compute_size(), u64::from(shape.records));
        let count = usize::try_from(shape.records).unwrap_or(usize::MAX);
        let request = ProduceRequest {
            records: vec![record; count],
            log: log.to_owned(),
            durability: EnumOrUnknown::new(shape.durability),
            ..ProduceRequest::default()
        };
        let message = request.write_to_bytes().unwrap_or_default();
        let value = value_start(encoded, shape.record_bytes);
        Self {
            records,
            bytes: encoded * records,
            shared: Payload::new(message.clone()),
            message: if stamp.is_some() { message } else { Vec::new() },
            stamp: stamp.map(|stamp| (value, stamp)),
        }
    }

    /// The request, as of `at`.
    pub(super) fn payload(&self, at: Instant) -> Payload {
        let Some((start, stamp)) = self.stamp else {
            return self.shared.clone();
        };
        let mut message = self.message.clone();
        if let Some(place) = message.get_mut(start..start + STAMP_BYTES) {
            place.copy_from_slice(&stamp.bytes(at));
        }
        Payload::new(message)
    }
}

/// A batch for each log, which take turns. Producers share it.
#[derive(Debug)]
pub(super) struct Turns {
    batches: Vec<Arc<Batch>>,
    next: AtomicUsize,
}

impl Turns {
    pub(super) fn new(batches: impl Iterator<Item = Batch>) -> Self {
        Self { batches: batches.map(Arc::new).collect(), next: AtomicUsize::new(0) }
    }

    /// Whose turn it is.
    pub(super) fn next(&self) -> &Arc<Batch> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.batches.len().max(1);
        self.batches.get(turn).expect("there is a log to write to")
    }
}

/// Where the first record's value begins: behind the tag and length of the record, and those of the
/// value.
fn value_start(record_bytes: u64, value_bytes: usize) -> usize {
    let value_bytes = u64::try_from(value_bytes).unwrap_or(u64::MAX);
    let head = |bytes: u64| 1 + crate::cli::varint::encode(bytes).len();
    head(record_bytes) + head(value_bytes)
}

/// Letters without a pattern, so that a file system which compresses gains little.
fn letters(count: usize) -> Vec<u8> {
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let letter = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        b'a' + u8::try_from(state % 26).unwrap_or_default()
    };
    std::iter::repeat_with(letter).take(count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(record_bytes: usize) -> Shape {
        let durability = Durability::DURABILITY_WRITTEN;
        Shape { record_bytes, records: 3, durability }
    }

    #[test]
    fn a_stamp_stands_at_the_beginning_of_the_first_value_alone() {
        for record_bytes in [STAMP_BYTES, 100, 127, 128, 20_000] {
            let stamp = Stamp::new([9; 8]);
            let mut batch = Batch::new(&shape(record_bytes), "audit", Some(stamp));
            let at = stamp.origin + Duration::from_nanos(123_456_789);
            let (start, _) = batch.stamp.unwrap();
            batch.message[start..start + STAMP_BYTES].copy_from_slice(&stamp.bytes(at));
            let request = ProduceRequest::parse_from_bytes(&batch.message).unwrap();
            let stamps = request.records.iter().map(|record| stamp.read(&record.value));
            assert_eq!(stamps.collect::<Vec<_>>(), [Some(at), None, None], "{record_bytes}");
            assert!(request.records.iter().all(|record| record.value.len() == record_bytes));
            assert_eq!(request.log, "audit");
        }
    }

    #[test]
    fn the_figures_of_a_batch_are_those_of_its_records() {
        let batch = Batch::new(&shape(100), "audit", None);
        assert_eq!((batch.records, batch.bytes), (3, 306));
        let empty = Batch::new(&shape(0), "audit", None);
        assert_eq!((empty.records, empty.bytes), (3, 0));
    }

    #[test]
    fn another_runs_stamp_is_none() {
        let (own, other) = (Stamp::new([1; 8]), Stamp::new([2; 8]));
        assert_eq!(own.read(&other.bytes(Instant::now())), None);
        assert_eq!(own.read(&[1; 15]), None);
    }
}
