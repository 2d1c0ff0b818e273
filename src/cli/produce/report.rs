//! What was acknowledged, and where an appending that ended early can go on.

use std::fmt;

use protobuf::Enum as _;
use serde::Serialize;

use super::producer::Producer;
use crate::proto::log_service::{Durability, ProduceResponse};

/// What the server said is in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Acknowledged {
    pub(crate) records: u64,
    pub(crate) batches: u64,
    /// Of the records, those that the log had already.
    pub(crate) deduplicated: u64,
    /// The first one's offset; other producers' records may lie between it and the last.
    pub(crate) first: Option<u64>,
    pub(crate) last: Option<u64>,
    /// The lowest level that one of them has reached.
    pub(crate) durability: Option<Durability>,
}

/// How far an appending came that did not reach its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unfinished {
    pub(crate) acknowledged: Acknowledged,
    /// Records that were sent and not acknowledged: they may be in the log or not.
    pub(crate) unknown: u64,
    /// Where the batch of the input stands that was not acknowledged, its first and last record
    /// counted from 1.
    pub(crate) next: Option<(u64, u64)>,
    /// How many records of the input to leave out when it is sent again.
    pub(crate) skip: u64,
    /// With whom the rest is appended exactly once; `None` if nobody counts.
    pub(crate) producer: Option<Producer>,
    /// The offset that the next batch is expected to get.
    pub(crate) expected: Option<u64>,
}

/// What was acknowledged, for programs.
#[derive(Serialize)]
pub(super) struct Report<'a> {
    log: &'a str,
    records: u64,
    first_offset: Option<u64>,
    last_offset: Option<u64>,
    batches: u64,
    deduplicated: u64,
    durability: Option<&'static str>,
    producer: Option<Producing>,
    complete: bool,
}

/// Who counted the batches, and the number of the next.
#[derive(Serialize)]
struct Producing {
    id: String,
    epoch: u32,
    next_sequence: u64,
}

impl Acknowledged {
    /// Adds a batch of so many records.
    pub(super) fn add(&mut self, records: u64, response: &ProduceResponse) {
        self.records += records;
        self.batches += 1;
        if response.deduplicated {
            self.deduplicated += records;
        }
        self.first.get_or_insert(response.base_offset);
        self.last = response.next_offset.checked_sub(1);
        let level = response.durability.enum_value_or_default();
        let lowest = self.durability.into_iter().chain([level]).min_by_key(Durability::value);
        self.durability = lowest;
    }

    /// The same for programs.
    pub(super) fn report<'a>(
        &self,
        log: &'a str,
        producer: Option<Producer>,
        complete: bool,
    ) -> Report<'a> {
        Report {
            log,
            records: self.records,
            first_offset: self.first,
            last_offset: self.last,
            batches: self.batches,
            deduplicated: self.deduplicated,
            durability: self.durability.and_then(name),
            producer: producer.map(|Producer { id, epoch, sequence }| Producing {
                id: id.to_string(),
                epoch,
                next_sequence: sequence,
            }),
            complete,
        }
    }
}

impl fmt::Display for Acknowledged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.first, self.last) {
            (Some(first), Some(last)) if self.records == 1 && first == last => {
                write!(f, "1 record acknowledged, offset {first}")?;
            }
            (Some(first), Some(last)) => {
                write!(f, "{} records acknowledged, offsets {first} to {last}", self.records)?;
            }
            _ => f.write_str("no records acknowledged")?,
        }
        match self.deduplicated {
            0 => Ok(()),
            records if records == self.records => f.write_str(", all of them there already"),
            records => write!(f, ", {records} of them there already"),
        }
    }
}

impl fmt::Display for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.acknowledged.fmt(f)?;
        match self.unknown {
            0 => Ok(()),
            1 => f.write_str("; 1 more may be in the log or not"),
            records => write!(f, "; {records} more may be in the log or not"),
        }
    }
}

impl Unfinished {
    /// The records of the input that were refused, as a message names them.
    pub(crate) fn refused(&self) -> Option<String> {
        self.next.map(|(first, last)| match last {
            last if last == first => format!("record {first} of the input"),
            last => format!("records {first} to {last} of the input"),
        })
    }

    /// The flags with which the same command goes on behind what was acknowledged; `None` if it
    /// has only to be given again.
    pub(crate) fn flags(&self) -> Option<String> {
        let is_as_before = self.unknown == 0 || self.producer.is_none();
        if self.acknowledged.records == 0 && is_as_before {
            return None;
        }
        let mut flags = format!("--skip {}", self.skip);
        if let Some(Producer { id, epoch, sequence }) = self.producer {
            flags.push_str(&format!(" --producer-id {id} --epoch {epoch} --sequence {sequence}"));
        }
        if let Some(expected) = self.expected {
            flags.push_str(&format!(" --expect-offset {expected}"));
        }
        Some(flags)
    }
}

fn name(level: Durability) -> Option<&'static str> {
    match level {
        Durability::DURABILITY_UNSPECIFIED => None,
        Durability::DURABILITY_BUFFERED => Some("buffered"),
        Durability::DURABILITY_WRITTEN => Some("written"),
        Durability::DURABILITY_SYNCED => Some("synced"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(base_offset: u64, records: u64, durability: Durability) -> ProduceResponse {
        let next_offset = base_offset + records;
        let durability = durability.into();
        ProduceResponse { base_offset, next_offset, durability, ..ProduceResponse::default() }
    }

    #[test]
    fn what_was_acknowledged_reads_well() {
        let mut acknowledged = Acknowledged::default();
        assert_eq!(acknowledged.to_string(), "no records acknowledged");
        acknowledged.add(1, &response(7, 1, Durability::DURABILITY_SYNCED));
        assert_eq!(acknowledged.to_string(), "1 record acknowledged, offset 7");
        acknowledged.add(5, &response(10, 5, Durability::DURABILITY_WRITTEN));
        acknowledged.add(1, &response(15, 1, Durability::DURABILITY_SYNCED));
        assert_eq!(acknowledged.to_string(), "7 records acknowledged, offsets 7 to 15");
        assert_eq!(acknowledged.durability, Some(Durability::DURABILITY_WRITTEN));
        let there = response(16, 1, Durability::DURABILITY_SYNCED);
        acknowledged.add(1, &ProduceResponse { deduplicated: true, ..there });
        let text = "8 records acknowledged, offsets 7 to 16, 1 of them there already";
        assert_eq!(acknowledged.to_string(), text);
        let unfinished = Unfinished { acknowledged, unknown: 2, ..Unfinished::default() };
        assert_eq!(unfinished.to_string(), format!("{text}; 2 more may be in the log or not"));
    }

    #[test]
    fn flags_say_where_to_go_on() {
        let mut unfinished = Unfinished { skip: 3, expected: Some(9), ..Unfinished::default() };
        assert_eq!(unfinished.flags(), None);
        unfinished.acknowledged.records = 3;
        assert_eq!(unfinished.flags().unwrap(), "--skip 3 --expect-offset 9");
        let id = "000000000000000000000000000000a1".parse().unwrap();
        unfinished.producer = Some(Producer { id, epoch: 0, sequence: 2 });
        (unfinished.expected, unfinished.acknowledged.records) = (None, 0);
        assert_eq!(unfinished.flags(), None);
        unfinished.unknown = 1;
        let flags = format!("--skip 3 --producer-id {id} --epoch 0 --sequence 2");
        assert_eq!(unfinished.flags().unwrap(), flags);
    }

    #[test]
    fn refused_records_are_named() {
        let refused = |next| Unfinished { next, ..Unfinished::default() }.refused();
        assert_eq!(refused(Some((2, 2))).unwrap(), "record 2 of the input");
        assert_eq!(refused(Some((2, 9))).unwrap(), "records 2 to 9 of the input");
        assert_eq!(refused(None), None);
    }
}
