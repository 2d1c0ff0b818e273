//! What one log must hold: every batch that was answered, in order, and what follows from it.
//!
//! There is no state but the batches: what a producer may send next is read off them.

use std::collections::BTreeMap;

use protobuf::{Message as _, MessageField};
use varve::proto::admin_service::LogSettings;
use varve::proto::log_service::{Durability as Level, ProduceRequest, ProducerSequence};
use varve::proto::record::Record;

/// How many batches of a producer are recognised.
pub(super) const WINDOW: u64 = 1024;
/// The largest record of a log that has no limit of its own, and of any.
pub(super) const RECORD_BYTES_MAX: u32 = 1 << 20;
/// The largest segment of a log that has no limit of its own.
pub(super) const SEGMENT_BYTES_MAX: u64 = 16 << 10;

/// A batch as it must be read.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) base: u64,
    pub(super) records: Vec<Record>,
    /// `None` until someone tells it.
    pub(super) time_us: Option<u64>,
    pub(super) producer: Option<ProducerSequence>,
}

impl Entry {
    /// What becomes of `request` at `base`.
    pub(super) fn of(request: &ProduceRequest, base: u64, time_us: Option<u64>) -> Self {
        let producer = request.producer.as_ref().cloned();
        Self { base, records: request.records.clone(), time_us, producer }
    }

    pub(super) fn end(&self) -> u64 {
        self.base + self.records.len() as u64
    }
}

/// One log.
pub(super) struct Ledger {
    pub(super) name: String,
    pub(super) log_id: Vec<u8>,
    /// What was set for it.
    pub(super) own: LogSettings,
    /// All that there ever were, also those that were trimmed.
    pub(super) entries: Vec<Entry>,
    /// The first offset that is held, where a batch begins.
    pub(super) start: u64,
    /// The end of what is known to be durable: consumers see that much.
    pub(super) durable: u64,
    /// The end of what is known to outlive the process.
    pub(super) survives: u64,
    /// How many batches kills took that had only been buffered.
    pub(super) lost: u64,
    /// Where readers stand.
    pub(super) readers: BTreeMap<String, u64>,
}

/// What an append must be answered with.
#[derive(Debug)]
pub(super) enum Expected {
    Appended,
    Duplicate { base: u64, next: u64 },
    Refused { reason: &'static str, values: Vec<(&'static str, u64)> },
}

impl Ledger {
    /// An empty one.
    pub(super) fn new(name: &str, log_id: &[u8], own: LogSettings) -> Self {
        Self {
            name: name.to_owned(),
            log_id: log_id.to_vec(),
            own,
            entries: Vec::new(),
            start: 0,
            durable: 0,
            survives: 0,
            lost: 0,
            readers: BTreeMap::new(),
        }
    }

    pub(super) fn end(&self) -> u64 {
        self.entries.last().map_or(0, Entry::end)
    }

    pub(super) fn record_bytes_max(&self) -> u32 {
        self.own.record_bytes_max.unwrap_or(RECORD_BYTES_MAX)
    }

    /// What is in force of its settings.
    pub(super) fn settings(&self) -> LogSettings {
        LogSettings {
            segment_bytes_max: self.own.segment_bytes_max.or(Some(SEGMENT_BYTES_MAX)),
            record_bytes_max: Some(self.record_bytes_max()),
            ..LogSettings::default()
        }
    }

    /// Its id, as errors tell it.
    pub(super) fn hex_id(&self) -> String {
        self.log_id.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The batch that holds `offset`.
    pub(super) fn place(&self, offset: u64) -> usize {
        self.entries.partition_point(|entry| entry.end() <= offset)
    }

    /// The batches of a producer's highest epoch, and that epoch. The place is the sequence.
    pub(super) fn known(&self, id: &[u8]) -> (u32, Vec<&Entry>) {
        let is_of = |entry: &&Entry| entry.producer.as_ref().is_some_and(|p| p.id[..] == *id);
        let epoch = |entry: &Entry| entry.producer.as_ref().map_or(0, |producer| producer.epoch);
        let highest = self.entries.iter().rev().find(is_of).map_or(0, epoch);
        let of_epoch = self.entries.iter().filter(is_of).filter(|entry| epoch(entry) == highest);
        (highest, of_epoch.collect())
    }

    pub(super) fn expect(&self, request: &ProduceRequest) -> Expected {
        let largest = request.records.iter().map(|record| record.compute_size()).max();
        let (largest, limit) = (largest.unwrap_or_default(), self.record_bytes_max().into());
        let producer = request.producer.as_ref();
        let decided = producer.and_then(|producer| self.look_up(producer, &request.records));
        match decided {
            Some(duplicate @ Expected::Duplicate { .. }) => return duplicate,
            _ if largest > limit => {
                let values = vec![("limit", limit), ("actual", largest)];
                return Expected::Refused { reason: "RECORD_TOO_LARGE", values };
            }
            Some(refused) => return refused,
            None => {}
        }
        match request.expected_offset {
            Some(offset) if offset != self.end() => Expected::Refused {
                reason: "NOT_AT_END",
                values: vec![("expected", offset), ("end", self.end())],
            },
            _ => Expected::Appended,
        }
    }

    /// `None` if the batch comes next.
    fn look_up(&self, producer: &ProducerSequence, records: &[Record]) -> Option<Expected> {
        let refused = |reason, values| Some(Expected::Refused { reason, values });
        let ProducerSequence { epoch, sequence, .. } = *producer;
        let (current, known) = self.known(&producer.id);
        if epoch < current {
            let values = vec![("epoch", epoch.into()), ("current", current.into())];
            return refused("PRODUCER_FENCED", values);
        }
        let next = if epoch > current { 0 } else { known.len() as u64 };
        if sequence > next {
            return refused("SEQUENCE_GAP", vec![("expected", next), ("actual", sequence)]);
        }
        if sequence == next {
            return None;
        }
        let oldest = next.saturating_sub(WINDOW);
        if sequence < oldest {
            let values = vec![("sequence", sequence), ("oldest", oldest)];
            return refused("DUPLICATE_TOO_OLD", values);
        }
        let original = known[sequence as usize];
        if original.records != records {
            return refused("SEQUENCE_REUSED", vec![("sequence", sequence)]);
        }
        Some(Expected::Duplicate { base: original.base, next: original.end() })
    }

    /// Adds the batch that comes next.
    pub(super) fn push(&mut self, entry: Entry) {
        assert_eq!(entry.base, self.end(), "offsets are dense");
        if let Some(producer) = &entry.producer {
            let (epoch, known) = self.known(&producer.id);
            let next = if producer.epoch > epoch { 0 } else { known.len() as u64 };
            assert_eq!(producer.sequence, next, "a producer's batches are there in its order");
        }
        self.entries.push(entry);
        self.times_never_go_back(self.entries.len() - 1);
    }

    /// The append time of a batch was told.
    pub(super) fn learn(&mut self, place: usize, time_us: u64) {
        let known = *self.entries[place].time_us.get_or_insert(time_us);
        assert_eq!(known, time_us, "the append time at {}", self.entries[place].base);
        self.times_never_go_back(place);
    }

    fn times_never_go_back(&self, place: usize) {
        let Some(time_us) = self.entries[place].time_us else {
            return;
        };
        let earlier = self.entries[..place].iter().rev().find_map(|entry| entry.time_us);
        let later = self.entries[place + 1..].iter().find_map(|entry| entry.time_us);
        assert!(earlier.is_none_or(|earlier| earlier <= time_us), "time goes back at {place}");
        assert!(later.is_none_or(|later| time_us <= later), "time goes back behind {place}");
    }

    /// An answer said that all below `next` has reached `level`.
    pub(super) fn reached(&mut self, level: Level, next: u64) {
        if level == Level::DURABILITY_SYNCED {
            self.durable = self.durable.max(next);
        }
        if level != Level::DURABILITY_BUFFERED {
            self.survives = self.survives.max(next);
        }
    }

    /// The first record of this time or later. All times must be known.
    pub(super) fn at_time(&self, time_us: u64) -> u64 {
        let place = self.entries.partition_point(|entry| entry.time_us.unwrap() < time_us);
        self.entries.get(place).map_or(self.end(), |entry| entry.base).max(self.start)
    }
}

/// A producer's claim to have made a batch.
pub(super) fn claim(id: &[u8], epoch: u32, sequence: u64) -> MessageField<ProducerSequence> {
    let id = id.to_vec().into();
    MessageField::some(ProducerSequence { id, epoch, sequence, ..ProducerSequence::default() })
}
