//! What a consumer checks of each reply: that every record is there, at the offset that follows.

use std::time::Instant;

use super::batch::Stamp;
use crate::service::wire::{Fields, Malformed, Value};

/// How far a stream of replies is.
#[derive(Debug)]
pub(super) struct Walk {
    /// The offset that comes next, once that is known.
    next: Option<u64>,
    stamp: Option<Stamp>,
}

/// What a reply held.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) records: u64,
    /// The records as they are stored, without what joins them.
    pub(super) bytes: u64,
    /// When batches of this run were due that begin in this reply.
    pub(super) stamped: Vec<Instant>,
    /// The offset behind the last record.
    pub(super) next_offset: u64,
    pub(super) high_watermark: u64,
}

/// Why a reply is wrong.
pub(super) type Unfitting = &'static str;

const MALFORMED: Unfitting = "a reply is no well-formed message";
const NOT_NEXT: Unfitting = "a batch does not begin where the one before ended";
const NOT_ALL: Unfitting = "a reply holds other records than it says";
const GAP: Unfitting = "there is a gap in the log";

impl Walk {
    /// A consumer that has got nothing yet and looks for the stamps of a run.
    pub(super) fn new(stamp: Option<Stamp>) -> Self {
        Self { next: None, stamp }
    }

    /// The offset that comes next, once that is known.
    pub(super) fn next(&self) -> Option<u64> {
        self.next
    }

    /// Walks a `ConsumeResponse` record by record.
    pub(super) fn reply(&mut self, message: &[u8]) -> Result<Seen, Unfitting> {
        let mut seen = Seen::default();
        for field in Fields::of(message) {
            match field.map_err(|Malformed| MALFORMED)? {
                (1, Value::Bytes(batch)) => self.batch(batch, &mut seen)?,
                (2, _) => return Err(GAP),
                (3, Value::Varint(next)) => seen.next_offset = next,
                (5, Value::Varint(end)) => seen.high_watermark = end,
                _ => {}
            }
        }
        if self.next.is_some_and(|next| next != seen.next_offset) {
            return Err(NOT_ALL);
        }
        self.next = Some(seen.next_offset);
        Ok(seen)
    }

    fn batch(&mut self, batch: &[u8], seen: &mut Seen) -> Result<(), Unfitting> {
        let (mut base, mut records) = (0, 0);
        for field in Fields::of(batch) {
            match field.map_err(|Malformed| MALFORMED)? {
                (1, Value::Bytes(record)) => {
                    if records == 0 && self.stamp.is_some() {
                        seen.stamped.extend(self.stamped(record)?);
                    }
                    records += 1;
                    seen.bytes += u64::try_from(record.len()).unwrap_or(u64::MAX);
                }
                (2, Value::Varint(offset)) => base = offset,
                _ => {}
            }
        }
        if self.next.is_some_and(|next| next != base) {
            return Err(NOT_NEXT);
        }
        seen.records += records;
        self.next = Some(base + records);
        Ok(())
    }

    /// When the record's batch was due, if this run appended it.
    fn stamped(&self, record: &[u8]) -> Result<Option<Instant>, Unfitting> {
        for field in Fields::of(record) {
            if let (1, Value::Bytes(value)) = field.map_err(|Malformed| MALFORMED)? {
                return Ok(self.stamp.and_then(|stamp| stamp.read(value)));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use protobuf::{Message as _, MessageField};

    use super::*;
    use crate::proto::log_service::{ConsumeResponse, Gap};
    use crate::proto::record::{Batch, Record};

    fn reply(bases: &[(u64, usize)], next_offset: u64) -> Vec<u8> {
        let record = Record { value: vec![7; 10].into(), ..Record::default() };
        let batches = bases.iter().map(|(base_offset, records)| Batch {
            base_offset: *base_offset,
            records: vec![record.clone(); *records],
            ..Batch::default()
        });
        let batches = batches.collect();
        let reply =
            ConsumeResponse { batches, next_offset, high_watermark: 99, ..Default::default() };
        reply.write_to_bytes().unwrap()
    }

    #[test]
    fn every_record_is_counted_and_follows_the_one_before() {
        let mut walk = Walk::new(None);
        let seen = walk.reply(&reply(&[(5, 2), (7, 3)], 10)).unwrap();
        assert_eq!((seen.records, seen.bytes, seen.next_offset), (5, 60, 10));
        assert_eq!(seen.high_watermark, 99);
        assert_eq!(walk.reply(&reply(&[], 10)).unwrap().records, 0);
        assert_eq!(walk.reply(&reply(&[(10, 1)], 11)).unwrap().records, 1);
        assert_eq!(walk.next(), Some(11));
    }

    #[test]
    fn what_is_missing_or_twice_is_told() {
        for (second, why) in [
            (reply(&[(9, 1)], 10), NOT_NEXT),
            (reply(&[(11, 1)], 12), NOT_NEXT),
            (reply(&[(10, 1), (10, 1)], 11), NOT_NEXT),
            (reply(&[(10, 1)], 12), NOT_ALL),
            (reply(&[], 11), NOT_ALL),
            (vec![0x0a], MALFORMED),
        ] {
            let mut walk = Walk::new(None);
            walk.reply(&reply(&[(5, 5)], 10)).unwrap();
            assert_eq!(walk.reply(&second), Err(why));
        }
        let gap = MessageField::some(Gap::default());
        let gap = ConsumeResponse { gap, ..Default::default() }.write_to_bytes().unwrap();
        assert_eq!(Walk::new(None).reply(&gap), Err(GAP));
    }

    #[test]
    fn the_stamps_of_the_run_are_found() {
        let (stamp, at) = (Stamp::new([3; 8]), Instant::now());
        let mut value = [3; 26];
        let ns = at.duration_since(stamp.read(&[&[3; 8][..], &[0; 8]].concat()).unwrap());
        value[8..16].copy_from_slice(&u64::try_from(ns.as_nanos()).unwrap().to_le_bytes());
        let record = Record { value: value.to_vec().into(), ..Record::default() };
        let batch = Batch { records: vec![record.clone(), record], ..Batch::default() };
        let reply = ConsumeResponse { batches: vec![batch], next_offset: 2, ..Default::default() };
        let seen = Walk::new(Some(stamp)).reply(&reply.write_to_bytes().unwrap()).unwrap();
        assert_eq!(seen.stamped, [at]);
    }
}
