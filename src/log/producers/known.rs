//! What a log knows of one producer, and what that makes of its next batch.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::sync::Arc;

use super::window::{PRODUCER_BATCHES_MAX, Remembered, Window};
use crate::log::error::SequenceError;
use crate::log::group::Group;
use crate::log::offset::Offset;
use crate::log::producer::Producer;
use crate::log::width::wide;

/// An idle producer keeps room for so many batches in flight.
pub(super) const IN_FLIGHT_KEPT: usize = 4;

/// One producer.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) durable: Window,
    /// Oldest first. Kept apart, so that a batch that a full disk drops leaves no trace.
    pub(super) in_flight: VecDeque<InFlight>,
}

/// A batch that is not yet durable.
#[derive(Debug)]
pub(super) struct InFlight {
    epoch: u32,
    sequence: u64,
    batch: Remembered,
    group: Arc<Group>,
}

/// A batch that is in the log already.
#[derive(Clone, Debug)]
pub(crate) struct Original {
    pub(crate) base: Offset,
    pub(crate) next: Offset,
    /// Those whose fate it shares, unless it is durable.
    pub(crate) group: Option<Arc<Group>>,
}

impl Known {
    pub(super) fn is_empty(&self) -> bool {
        self.durable.is_empty() && self.in_flight.is_empty()
    }

    /// The batch that `producer` names, if it is there already; `None` if it comes next.
    pub(super) fn find(
        &self,
        producer: &Producer,
        records: u32,
        payload_crc: u32,
    ) -> Result<Option<Original>, SequenceError> {
        let (epoch, next) = self.position();
        let actual = producer.sequence;
        let expected = match producer.epoch.cmp(&epoch) {
            Ordering::Less => {
                return Err(SequenceError::Fenced { epoch: producer.epoch, current: epoch });
            }
            Ordering::Equal => next,
            Ordering::Greater => 0,
        };
        match actual.cmp(&expected) {
            Ordering::Less => self.original(actual, records, payload_crc).map(Some),
            Ordering::Equal if self.in_flight.len() >= PRODUCER_BATCHES_MAX => {
                Err(SequenceError::Busy { batches: self.in_flight.len() })
            }
            Ordering::Equal => Ok(None),
            Ordering::Greater => Err(SequenceError::Gap { expected, actual }),
        }
    }

    /// Adds the batch that came next.
    pub(super) fn take(&mut self, producer: &Producer, batch: Remembered, group: Arc<Group>) {
        let Producer { epoch, sequence, .. } = *producer;
        self.in_flight.push_back(InFlight { epoch, sequence, batch, group });
    }

    /// The oldest batch in flight is durable.
    pub(super) fn oldest_is_durable(&mut self) {
        if let Some(InFlight { epoch, sequence, batch, .. }) = self.in_flight.pop_front() {
            self.durable.push((epoch, sequence), batch);
        }
        // A burst must not cost memory for ever.
        if self.in_flight.is_empty() && self.in_flight.capacity() > IN_FLIGHT_KEPT {
            self.in_flight = VecDeque::new();
        }
    }

    /// The newest batch in flight was never there.
    pub(super) fn newest_is_gone(&mut self) {
        self.in_flight.pop_back();
    }

    /// The highest epoch, and the sequence that comes next in it.
    fn position(&self) -> (u32, u64) {
        match self.in_flight.back() {
            Some(last) => (last.epoch, last.sequence.saturating_add(1)),
            None => (self.durable.epoch, self.durable.next),
        }
    }

    /// How many batches of the highest epoch are known.
    fn known_batches(&self) -> u64 {
        let (epoch, next) = self.position();
        if epoch == self.durable.epoch && !self.durable.is_empty() {
            wide(self.durable.batches.len() + self.in_flight.len())
        } else {
            // The epoch began in flight, with 0.
            next
        }
    }

    /// The batch with a sequence below the next one.
    fn original(
        &self,
        sequence: u64,
        records: u32,
        payload_crc: u32,
    ) -> Result<Original, SequenceError> {
        let (_, next) = self.position();
        let remembered = self.known_batches().min(wide(PRODUCER_BATCHES_MAX));
        let too_old = SequenceError::TooOld { sequence, oldest: next.saturating_sub(remembered) };
        let back = next.saturating_sub(sequence);
        let Some(back) = usize::try_from(back).ok().filter(|_| back <= remembered) else {
            return Err(too_old);
        };
        let flying = self.in_flight.len().checked_sub(back).and_then(|at| self.in_flight.get(at));
        let (batch, group) = match flying {
            Some(flying) => (Some(&flying.batch), Some(Arc::clone(&flying.group))),
            None => (self.durable.back(back.saturating_sub(self.in_flight.len())), None),
        };
        let batch = batch.ok_or(too_old)?;
        if !batch.is(records, payload_crc) {
            return Err(SequenceError::Reused { sequence });
        }
        Ok(Original { base: batch.base, next: batch.next_offset(), group })
    }
}
