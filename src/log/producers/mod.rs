//! What a log knows of its producers, so that a retry is recognised.
//!
//! Durable batches and those in flight are kept apart: what is durable is what every frame below
//! the durable end amounts to, so that it can be written down and replayed, and a batch that a full
//! disk drops is taken back as if it had never been. A producer is never forgotten: to forget one
//! is to take its next retry for a new batch. So their number is bounded, and beyond it new ones
//! are refused.
//!
//! Files, lowest first: `window` (the durable batches of a producer), `known` (all of a producer,
//! and the rules), this one (all producers), `file` (how they are stored).

mod file;
mod known;
mod window;

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

pub(crate) use self::file::{ProducersFile, Stored, read};
use self::known::Known;
pub(crate) use self::known::Original;
pub use self::window::PRODUCER_BATCHES_MAX;
pub(crate) use self::window::Remembered;
use self::window::Window;
use crate::log::error::SequenceError;
use crate::log::frame::FrameHeader;
use crate::log::group::Group;
use crate::log::offset::Offset;
use crate::log::producer::{Producer, ProducerId};
use crate::log::width::wide;

/// Producers that are copied at once for the file, so that appends wait but shortly.
const PART: usize = 64;

/// The producers are stored after so many bytes of frames,
const UNSAVED_BYTES: u64 = 8 << 20;
/// and after so many times the bytes that storing them takes.
const UNSAVED_RATIO: u64 = 8;

/// All producers of a log.
#[derive(Debug, Default)]
pub(crate) struct Producers {
    known: BTreeMap<ProducerId, Known>,
    /// Of each batch in flight its producer and the offset after it, in the log's order.
    in_flight: VecDeque<(ProducerId, Offset)>,
    producers_max: usize,
    /// Bytes of frames since the producers were last stored.
    unsaved_bytes: u64,
    /// Bytes that they took then.
    stored_bytes: u64,
}

impl Producers {
    pub(crate) fn new(producers_max: usize) -> Self {
        Self { producers_max, ..Self::default() }
    }

    /// Whether no frame has a producer.
    pub(crate) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// The batch that `producer` names, if it is there already; `None` if it comes next.
    pub(crate) fn find(
        &self,
        producer: &Producer,
        records: u32,
        payload_crc: u32,
    ) -> Result<Option<Original>, SequenceError> {
        if let Some(known) = self.known.get(&producer.id) {
            return known.find(producer, records, payload_crc);
        }
        if producer.sequence > 0 {
            return Err(SequenceError::Gap { expected: 0, actual: producer.sequence });
        }
        if self.known.len() >= self.producers_max {
            return Err(SequenceError::TooManyProducers { limit: self.producers_max });
        }
        Ok(None)
    }

    /// Adds the batch that came next, which ends as its `group` does.
    pub(crate) fn take(&mut self, producer: &Producer, batch: Remembered, group: Arc<Group>) {
        self.in_flight.push_back((producer.id, batch.next_offset()));
        self.known.entry(producer.id).or_default().take(producer, batch, group);
    }

    /// `bytes` more are durable, and with them all batches below `end`.
    pub(crate) fn made_durable(&mut self, end: Offset, bytes: u64) {
        self.unsaved_bytes = self.unsaved_bytes.saturating_add(bytes);
        while let Some((id, _)) = self.in_flight.pop_front_if(|(_, next)| *next <= end) {
            if let Some(known) = self.known.get_mut(&id) {
                known.oldest_is_durable();
            }
        }
    }

    /// Takes back what ends above `written`: its offsets are given out again.
    pub(crate) fn drop_unwritten(&mut self, written: Offset) {
        while let Some((id, _)) = self.in_flight.pop_back_if(|(_, next)| *next > written) {
            let Some(known) = self.known.get_mut(&id) else {
                continue;
            };
            known.newest_is_gone();
            if known.is_empty() {
                self.known.remove(&id);
            }
        }
    }

    /// Takes in a frame that was found on disk; one that is known already changes nothing.
    pub(crate) fn replay(&mut self, header: &FrameHeader) {
        self.unsaved_bytes = self.unsaved_bytes.saturating_add(wide(header.frame_bytes()));
        let Some(Producer { id, epoch, sequence }) = header.producer else {
            return;
        };
        let FrameHeader { base, records, payload_crc, .. } = *header;
        let durable = &mut self.known.entry(id).or_default().durable;
        durable.push((epoch, sequence), Remembered { base, records, payload_crc });
    }

    /// Whether a start would have to look at so many frames that the producers should be stored.
    pub(crate) fn is_storing_due(&self) -> bool {
        self.unsaved_bytes >= UNSAVED_BYTES.max(self.stored_bytes.saturating_mul(UNSAVED_RATIO))
    }

    /// The producers are about to be stored. Even if that fails it is due no sooner again, so that
    /// a full disk is not asked each second.
    pub(crate) fn begin_storing(&mut self) {
        self.unsaved_bytes = 0;
    }

    /// The producers took so many bytes.
    pub(crate) fn end_storing(&mut self, stored_bytes: u64) {
        self.stored_bytes = stored_bytes;
    }

    /// The durable batches of some producers, those that come next behind `after`.
    pub(crate) fn part(&self, after: Option<ProducerId>) -> Vec<(ProducerId, Window)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let behind = self.known.range((from, Bound::Unbounded));
        let durable = behind.filter(|(_, known)| !known.durable.is_empty());
        durable.take(PART).map(|(id, known)| (*id, known.durable.clone())).collect()
    }

    /// Forgets the batches at and above `end`, and producers of which then none is known; whether
    /// there were any.
    pub(crate) fn cut(&mut self, end: Offset) -> bool {
        let mut has_cut = false;
        self.known.retain(|_, known| {
            has_cut |= known.durable.cut(end);
            !known.durable.batches.is_empty()
        });
        has_cut
    }

    /// Takes in what `others` know more of the same time: producers, and older batches.
    pub(crate) fn complete(&mut self, others: Self) {
        for (id, other) in others.known {
            let own = &mut self.known.entry(id).or_default().durable;
            let is_longer = other.durable.batches.len() > own.batches.len();
            let is_same = (own.epoch, own.next) == (other.durable.epoch, other.durable.next);
            if own.is_empty() || (is_same && is_longer) {
                *own = other.durable;
            }
        }
    }

    /// Takes in a producer that was stored.
    fn restore(&mut self, id: ProducerId, durable: Window) {
        self.known.entry(id).or_default().durable = durable;
    }
}

#[cfg(test)]
mod tests;
