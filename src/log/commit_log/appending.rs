//! Appending: what callers put into the intake, in memory alone.

use std::num::NonZeroU32;
use std::sync::Arc;

use super::Log;
use crate::log::engine::Job;
use crate::log::error::AppendError;
use crate::log::frame::FrameHeader;
use crate::log::group::Pending;
use crate::log::intake::{Calls, Intake};
use crate::log::offset::{Durability, Offset};
use crate::log::width::wide;

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
    /// `Damaged`, `Failed` and `Closed` only a repair or a restart helps.
    pub fn append(
        self: &Arc<Self>,
        payload: &[u8],
        records: NonZeroU32,
        durability: Durability,
    ) -> Result<Pending, AppendError> {
        self.append_when(payload, records, durability, None)
    }

    /// As `append`, if the batch's first record gets the offset `expected`.
    ///
    /// # Errors
    ///
    /// As `append`, and `NotAtEnd` if it would get another. To tell the caller that end before it
    /// is durable would tell of records that may be lost: wait for `settled` first.
    pub fn append_at(
        self: &Arc<Self>,
        expected: Offset,
        payload: &[u8],
        records: NonZeroU32,
        durability: Durability,
    ) -> Result<Pending, AppendError> {
        self.append_when(payload, records, durability, Some(expected))
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

    fn append_when(
        self: &Arc<Self>,
        payload: &[u8],
        records: NonZeroU32,
        durability: Durability,
        expected: Option<Offset>,
    ) -> Result<Pending, AppendError> {
        let limit = self.settings.batch_bytes_max;
        let payload_bytes = u32::try_from(payload.len()).ok().filter(|bytes| *bytes <= limit);
        let Some(payload_bytes) = payload_bytes else {
            let bytes = wide(payload.len());
            return Err(AppendError::TooLarge { bytes, limit: u64::from(limit) });
        };
        let payload_crc = crc32c::crc32c(payload);
        let header = FrameHeader {
            payload_bytes,
            records: records.get(),
            payload_crc,
            ..FrameHeader::default()
        };
        let now_us = self.engine.clock.now_us();
        let mut intake = self.intake.lock();
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

    fn admit(&self, intake: &Intake, frame_bytes: usize) -> Result<(), AppendError> {
        if let Some(refusal) = intake.refusal {
            return Err(refusal.into());
        }
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
