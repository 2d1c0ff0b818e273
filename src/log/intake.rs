//! Where appends arrive: a buffer of frames that the flusher takes whole.
//!
//! This is all that an append touches, under one lock and in memory alone. Offsets are given out
//! here; positions are not, so that segments are the flusher's concern.

use std::sync::Arc;

use super::error::AppendError;
use super::frame::FrameHeader;
use super::group::{Group, Pending};
use super::offset::{Durability, Offset};
use super::producers::{Original, Producers, Remembered};
use super::width::wide;

/// A buffer that nobody waits for is written once it is this large, in bytes.
const WRITE_BYTES: usize = 1 << 20;

/// Why a log takes no appends, for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Closed,
    Failed,
    Damaged,
    /// It may be about to be deleted, or not: for now it is busy.
    Leaving,
    Deleted,
}

impl From<Refusal> for AppendError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Closed => Self::Closed,
            Refusal::Failed => Self::Failed,
            Refusal::Damaged => Self::Damaged,
            Refusal::Leaving | Refusal::Deleted => Self::Deleted,
        }
    }
}

/// A frame in the buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) bytes: usize,
    pub(crate) next: Offset,
    pub(crate) append_time_us: u64,
}

/// Frames that wait to be written, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    pub(crate) bytes: Vec<u8>,
    pub(crate) spans: Vec<Span>,
}

impl Frames {
    /// Empties both and keeps their memory.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.spans.clear();
    }
}

/// What the flusher takes at once.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) frames: Frames,
    pub(crate) group: Arc<Group>,
    /// Whether someone waits for a sync, or the delay for one has passed.
    pub(crate) sync: bool,
}

/// Who has to be called once the intake's lock is free.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Calls {
    pub(crate) timer: bool,
    pub(crate) flusher: bool,
}

/// The side of a log that takes appends.
#[derive(Debug)]
pub(crate) struct Intake {
    pub(crate) refusal: Option<Refusal>,
    /// The offset that the next record gets.
    pub(crate) next: Offset,
    pub(crate) last_time_us: u64,
    /// Bytes of frames that are not yet durable, here and in the flusher's hands.
    pub(crate) pending_bytes: u64,
    /// Whether the log stands in the flushers' queue or is being flushed.
    pub(crate) queued: bool,
    pub(crate) sync_wanted: bool,
    pub(crate) write_wanted: bool,
    /// Whether a sync is due after the delay.
    pub(crate) timer_set: bool,
    pub(crate) producers: Producers,
    frames: Frames,
    group: Arc<Group>,
    /// The group of the batch that was pushed last.
    last_group: Arc<Group>,
    /// The group of what was found at the start.
    durable_group: Arc<Group>,
}

impl Intake {
    pub(crate) fn new(
        next: Offset,
        last_time_us: u64,
        producers: Producers,
        refusal: Option<Refusal>,
    ) -> Self {
        let durable_group = Self::nothing_in_flight();
        Self {
            refusal,
            next,
            last_time_us,
            producers,
            pending_bytes: 0,
            queued: false,
            sync_wanted: false,
            write_wanted: false,
            timer_set: false,
            frames: Frames::default(),
            group: Arc::default(),
            last_group: Arc::clone(&durable_group),
            durable_group,
        }
    }

    /// Puts a batch behind the others and returns its header and the group it belongs to.
    pub(crate) fn push(
        &mut self,
        mut header: FrameHeader,
        payload: &[u8],
        now_us: u64,
    ) -> (FrameHeader, Arc<Group>) {
        self.last_time_us = self.last_time_us.max(now_us);
        header.base = self.next;
        header.append_time_us = self.last_time_us;
        header.append_frame(payload, &mut self.frames.bytes);
        self.next = header.next_offset();
        let (bytes, next) = (header.frame_bytes(), self.next);
        self.frames.spans.push(Span { bytes, next, append_time_us: self.last_time_us });
        self.pending_bytes += wide(bytes);
        if let Some(producer) = &header.producer {
            let FrameHeader { base, records, payload_crc, .. } = header;
            let batch = Remembered { base, records, payload_crc };
            self.producers.take(producer, batch, Arc::clone(&self.group));
        }
        if !Arc::ptr_eq(&self.last_group, &self.group) {
            self.last_group = Arc::clone(&self.group);
        }
        (header, Arc::clone(&self.group))
    }

    /// Waits until all below `end`, which was the end, is durable or lost.
    pub(crate) fn settled(&self, end: Offset) -> Pending {
        let group = Arc::clone(&self.last_group);
        Pending::new(group, Durability::Synced, (end, end), self.last_time_us)
    }

    /// Waits until `original` has reached `durability`, as it may have already.
    pub(crate) fn duplicate(&self, original: Original, durability: Durability) -> Pending {
        let Original { base, next, group } = original;
        let group = group.unwrap_or_else(|| Arc::clone(&self.durable_group));
        Pending::new(group, durability, (base, next), 0).duplicate()
    }

    /// What was found at the start is durable.
    fn nothing_in_flight() -> Arc<Group> {
        let group = Group::default();
        drop(group.durable());
        Arc::new(group)
    }

    /// Takes what there is, leaving `spare` to be filled.
    pub(crate) fn take(&mut self, spare: Frames) -> Work {
        self.write_wanted = false;
        Work {
            frames: std::mem::replace(&mut self.frames, spare),
            group: std::mem::take(&mut self.group),
            sync: std::mem::take(&mut self.sync_wanted),
        }
    }

    /// Takes away the buffer if nothing is in it.
    pub(crate) fn take_unused(&mut self) -> Option<Frames> {
        self.frames.spans.is_empty().then(|| std::mem::take(&mut self.frames))
    }

    /// Whether the flusher should take what there is now rather than when a sync is due.
    pub(crate) fn wants_flush(&self) -> bool {
        self.sync_wanted || self.write_wanted || self.frames.bytes.len() >= WRITE_BYTES
    }

    /// Notes that a batch of this level was pushed, and returns who has to be called for it.
    pub(crate) fn call_for(&mut self, durability: Durability) -> Calls {
        match durability {
            Durability::Synced => self.sync_wanted = true,
            Durability::Written => self.write_wanted = true,
            Durability::Buffered => {}
        }
        Calls { timer: self.wants_timer(), flusher: self.wants_flusher() }
    }

    /// Whether a timer has to be set, now that something waits to be synced; it then counts as set.
    pub(crate) fn wants_timer(&mut self) -> bool {
        let wanted = !self.sync_wanted && !self.timer_set;
        self.timer_set |= wanted;
        wanted
    }

    /// Whether the log has to be queued for a flush; it then counts as queued.
    pub(crate) fn wants_flusher(&mut self) -> bool {
        let wanted = self.wants_flush() && !self.queued;
        self.queued |= wanted;
        wanted
    }

    /// `bytes` more are durable, and with them all batches below `end`.
    pub(crate) fn made_durable(&mut self, end: Offset, bytes: u64) {
        self.pending_bytes = self.pending_bytes.saturating_sub(bytes);
        self.producers.made_durable(end, bytes);
    }

    /// Drops what was not written, here and of the group `taken`, so that the next record gets the
    /// offset `written` again, and returns the other group that has to be told.
    pub(crate) fn drop_unwritten(
        &mut self,
        taken: &Group,
        written: Offset,
        unsynced_bytes: u64,
    ) -> Arc<Group> {
        taken.drop_above(written);
        self.group.drop_above(written);
        self.frames.clear();
        self.producers.drop_unwritten(written);
        self.next = written;
        self.pending_bytes = unsynced_bytes;
        std::mem::take(&mut self.group)
    }

    /// Refuses all further appends. After a failure what waits here is lost too, and the group
    /// that has to be told is returned.
    pub(crate) fn refuse(&mut self, refusal: Refusal) -> Option<Arc<Group>> {
        if refusal == Refusal::Failed {
            self.refusal = Some(refusal);
            self.frames.clear();
            return Some(std::mem::take(&mut self.group));
        }
        self.refusal.get_or_insert(refusal);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r15_an_append_time_stands_still_while_the_clock_is_behind_the_last_one() {
        let mut intake = Intake::new(Offset::ZERO, 1000, Producers::new(1), None);
        let header = FrameHeader { records: 1, ..FrameHeader::default() };
        let times = [500, 999, 1001, 900, 2000]
            .map(|now_us| intake.push(header, b"", now_us).0.append_time_us);
        assert_eq!(times, [1000, 1000, 1001, 1001, 2000]);
    }
}
