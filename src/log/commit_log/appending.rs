//! Appending: what callers put into the intake, in memory alone.
//!
//! Under the intake's lock a batch is first looked up by its producer: a retry of one that is there
//! is answered as that one is, also if nothing more could be appended.

use std::num::NonZeroU32;
use std::sync::Arc;

use super::Log;
use crate::log::engine::Job;
use crate::log::error::AppendError;
use crate::log::frame::FrameHeader;
use crate::log::group::{Pending, Predecessor};
use crate::log::intake::{Calls, Intake, Refusal};
use crate::log::offset::{Durability, Offset};
use crate::log::producer::Producer;
use crate::log::width::wide;

/// A batch to be appended.
#[derive(Clone, Copy, Debug)]
pub struct Append<'a> {
    /// Its stored form.
    pub payload: &'a [u8],
    /// How many records it has.
    pub records: NonZeroU32,
    /// What its acknowledgement waits for.
    pub durability: Durability,
    /// The offset that its first record must get.
    pub expected: Option<Offset>,
    /// Who makes it, so that it is appended once however often it is sent.
    pub producer: Option<Producer>,
}

impl Log {
    /// Appends a batch of `records` whose stored form is `payload`, whole or not at all.
    ///
    /// On return the batch has its offsets and is not durable: until the returned future resolves,
    /// a power cut may lose it, and consumers do not see it before it is durable. Takes a lock for
    /// memory operations only, so a poll thread may call it.
    ///
    /// # Errors
    ///
    /// The log is as it was. `TooLarge` is the caller's fault; `Busy` and `NoSpace` pass; after
    /// `Damaged`, `Failed` and `Closed` only a repair or a restart helps, after `Deleted` nothing.
    pub fn append(
        self: &Arc<Self>,
        payload: &[u8],
        records: NonZeroU32,
        durability: Durability,
    ) -> Result<Pending, AppendError> {
        let batch = Append { payload, records, durability, expected: None, producer: None };
        self.append_batch(batch)
    }

    /// As `append`, if the batch is the one that its producer has to send next, and if its first
    /// record gets the offset that is expected.
    ///
    /// A batch that its producer has sent before is not appended again: what is returned names the
    /// offsets of the first, says that it is a duplicate, and resolves as the first does.
    ///
    /// # Errors
    ///
    /// As `append`, and `Sequence`; after these `NotAtEnd` if the batch would get another offset.
    /// To tell the caller that end before it is durable would tell of records that may be lost:
    /// wait for `settled` first.
    pub fn append_batch(self: &Arc<Self>, batch: Append<'_>) -> Result<Pending, AppendError> {
        self.append_behind(None, batch)
    }

    /// As `append_batch`, if the batch of the same stream that it comes behind was not dropped. A
    /// stream's batches are appended in its order; so of those after a dropped one none is.
    ///
    /// # Errors
    ///
    /// As `append_batch`, and `PredecessorDropped`.
    pub fn append_behind(
        self: &Arc<Self>,
        before: Option<&Predecessor>,
        batch: Append<'_>,
    ) -> Result<Pending, AppendError> {
        let Append { payload, records, durability, expected, producer } = batch;
        let limit = self.settings.load().batch_bytes_max;
        let too_large =
            || AppendError::TooLarge { bytes: wide(payload.len()), limit: u64::from(limit) };
        let payload_bytes = u32::try_from(payload.len()).map_err(|_| too_large())?;
        let header = FrameHeader {
            payload_bytes,
            records: records.get(),
            payload_crc: crc32c::crc32c(payload),
            producer,
            ..FrameHeader::default()
        };
        let now_us = self.engine.now_us();
        let mut intake = self.intake.lock();
        self.refuse(&intake)?;
        if before.is_some_and(Predecessor::is_dropped) {
            return Err(AppendError::PredecessorDropped);
        }
        if let Some(producer) = &producer
            && let Some(original) =
                intake.producers.find(producer, header.records, header.payload_crc)?
        {
            let calls = original.group.is_some().then(|| intake.call_for(durability));
            let pending = intake.duplicate(original, durability);
            drop(intake);
            calls.into_iter().for_each(|calls| self.call(calls));
            return Ok(pending);
        }
        // Only now: the limit may have been higher when its first was taken.
        if payload_bytes > limit {
            return Err(too_large());
        }
        self.admit(&intake, header.frame_bytes())?;
        if let Some(expected) = expected.filter(|expected| *expected != intake.next) {
            return Err(AppendError::NotAtEnd { expected, end: intake.next });
        }
        let (header, group) = intake.push(header, payload, now_us);
        let calls = intake.call_for(durability);
        // Waking a thread is a system call, so it comes after the lock.
        drop(intake);
        self.call(calls);
        let offsets = (header.base, header.next_offset());
        Ok(Pending::new(group, durability, offsets, header.append_time_us))
    }

    /// Whether the batch is one that `producer` has sent before and the log still knows, so that
    /// appending it would append nothing.
    #[must_use]
    pub fn has_appended(&self, producer: &Producer, payload: &[u8], records: NonZeroU32) -> bool {
        let crc = crc32c::crc32c(payload);
        let found = self.intake.lock().producers.find(producer, records.get(), crc);
        matches!(found, Ok(Some(_)))
    }

    /// Waits until all below `end`, which an append met as the log's end, is durable or lost, and
    /// has it synced soon.
    pub fn settled(self: &Arc<Self>, end: Offset) -> Pending {
        let (pending, calls) = {
            let mut intake = self.intake.lock();
            let pending = intake.settled(end);
            let in_flight = intake.pending_bytes > 0;
            (pending, in_flight.then(|| intake.call_for(Durability::Synced)))
        };
        calls.into_iter().for_each(|calls| self.call(calls));
        pending
    }

    fn refuse(&self, intake: &Intake) -> Result<(), AppendError> {
        match intake.refusal {
            // If the log stays after all, the batch fits in a moment.
            Some(Refusal::Leaving) => {
                let limit = self.engine.options.pending_bytes_max;
                Err(AppendError::Busy { pending_bytes: intake.pending_bytes, limit })
            }
            Some(refusal) => Err(refusal.into()),
            None => Ok(()),
        }
    }

    fn admit(&self, intake: &Intake, frame_bytes: usize) -> Result<(), AppendError> {
        if let Some((free_bytes, reserve_bytes)) = self.engine.space.shortage() {
            return Err(AppendError::NoSpace { free_bytes, reserve_bytes });
        }
        let limit = self.engine.options.pending_bytes_max;
        let pending_bytes = intake.pending_bytes.saturating_add(wide(frame_bytes));
        // A single batch is taken whatever its size, else it never could be.
        if pending_bytes > limit && intake.pending_bytes > 0 {
            return Err(AppendError::Busy { pending_bytes: intake.pending_bytes, limit });
        }
        Ok(())
    }

    pub(super) fn call(self: &Arc<Self>, calls: Calls) {
        if calls.timer {
            self.engine.sync_later(self);
        }
        if calls.flusher {
            let queued = self.engine.queue(Job::Flush(Arc::clone(self)));
            debug_assert!(queued, "the queue has a place for every log");
        }
    }
}
