//! The flusher's side of a log: writes frames out, syncs, seals and begins segments.
//!
//! One thread at a time runs it, under the log's `writer` lock; no append waits for that lock.
//! Durability is a chain: frames are synced before their segment's footer is written, the footer
//! before the next segment is named, its name before a frame of it is acknowledged.

use std::sync::Arc;
use std::time::Duration;

use super::active::{Active, Resting, first_capacity};
use super::commit_log::Log;
use super::engine::Job;
use super::error::{AckError, IoError};
use super::group::{Group, Woken};
use super::intake::{Frames, Span, Work};
use super::offset::Offset;
use super::width::wide;
use crate::fail_points::fail_point;
use crate::sync::Instant;

/// Buffers of at most this many bytes are kept for the next write, whatever this one needed.
const SPARE_BYTES: usize = 1 << 20;
/// A larger buffer is kept as long as a write needed more than that within this time: the kernel
/// takes longer to hand out fresh pages than an append takes to fill them.
const LARGE_KEPT: Duration = Duration::from_secs(1);
/// A checkpoint is due after so many bytes.
const CHECKPOINT_BYTES: u64 = 64 << 20;

/// Where the next frame goes.
#[derive(Debug)]
enum Tail {
    /// Into a segment that is yet to be created.
    Nowhere,
    /// Into a segment whose files are to be opened.
    Resting(Resting),
    /// Into this segment.
    Active(Active),
}

/// The writer of one log.
#[derive(Debug)]
pub(crate) struct Writer {
    tail: Tail,
    /// Raised, durably, before the first frame since the log was opened.
    incarnation: u64,
    begun: bool,
    /// The end of what the kernel has, and of what the disk has.
    written: Offset,
    durable: Offset,
    unsynced: Vec<Arc<Group>>,
    unsynced_bytes: u64,
    unsynced_batches: u64,
    bytes_since_checkpoint: u64,
    next_capacity: u64,
    /// Whoever is to be woken once this is let go.
    woken: Woken,
    spare: Frames,
    /// When a write last needed a large buffer.
    last_large: Option<Instant>,
    last_used: Instant,
}

/// Why frames were not written.
#[derive(Debug)]
enum Fault {
    /// There is no space; what was not written is gone without a trace.
    NoSpace,
    /// The log ends here.
    Fatal(IoError),
}

impl Fault {
    /// What a failure that was undone means.
    fn of(e: IoError) -> Self {
        if e.is_no_space() { Self::NoSpace } else { Self::Fatal(e) }
    }
}

impl From<IoError> for Fault {
    fn from(e: IoError) -> Self {
        Self::Fatal(e)
    }
}

impl Writer {
    /// The writer of a log that ends at `end` and, if it has an unsealed segment, in `resting`.
    pub(crate) fn new(resting: Option<Resting>, end: Offset, incarnation: u64) -> Self {
        let next_capacity = resting.as_ref().map_or(0, |resting| resting.mark.capacity_bytes);
        Self {
            tail: resting.map_or(Tail::Nowhere, Tail::Resting),
            incarnation,
            begun: false,
            written: end,
            durable: end,
            unsynced: Vec::new(),
            unsynced_bytes: 0,
            unsynced_batches: 0,
            bytes_since_checkpoint: 0,
            next_capacity,
            woken: Woken::default(),
            spare: Frames::default(),
            last_large: None,
            last_used: Instant::now(),
        }
    }

    /// Those whose fate was decided, to be woken after the lock.
    pub(crate) fn take_woken(&mut self) -> Woken {
        std::mem::take(&mut self.woken)
    }

    pub(crate) fn spare(&mut self) -> Frames {
        std::mem::take(&mut self.spare)
    }

    /// The end of what the kernel has.
    pub(crate) fn written(&self) -> Offset {
        self.written
    }

    /// Whether the next frame may go into the segment that begins at `base`.
    pub(crate) fn writes_to(&self, base: Offset) -> bool {
        match &self.tail {
            Tail::Nowhere => false,
            Tail::Resting(resting) => resting.segment.base() == base,
            Tail::Active(active) => active.segment.base() == base,
        }
    }

    /// Writes `work` out and syncs if it asks for that, and answers all whose fate that decides.
    pub(crate) fn run(&mut self, log: &Arc<Log>, mut work: Work) {
        self.last_used = Instant::now();
        // Where too many logs are busy, each lets go of its files at once, which a sync allows.
        let crowded = log.engine().cache.is_crowded();
        let outcome = self.write_out(log, &mut work.frames).and_then(|()| {
            fail_point!("writer::written");
            self.unsynced.push(Arc::clone(&work.group));
            self.woken.and(work.group.written());
            if work.sync || crowded { self.sync(log).map_err(Fault::Fatal) } else { Ok(()) }
        });
        match outcome {
            Ok(()) if self.unsynced_bytes > 0 => log.sync_soon(),
            Ok(()) if crowded => drop(self.rest(Duration::ZERO)),
            Ok(()) => {}
            Err(Fault::NoSpace) => self.refuse_unwritten(log, &work.group),
            Err(Fault::Fatal(error)) => {
                self.unsynced.push(work.group);
                self.fail(log, error);
            }
        }
        self.keep_spare(work.frames);
    }

    fn keep_spare(&mut self, mut frames: Frames) {
        if frames.bytes.len() > SPARE_BYTES {
            self.last_large = Some(self.last_used);
        }
        let large_kept = self.last_large.is_some_and(|last| last.elapsed() < LARGE_KEPT);
        if frames.bytes.capacity() <= SPARE_BYTES || large_kept {
            frames.clear();
            self.spare = frames;
        }
    }

    /// Makes all that was written durable and moves the watermark.
    pub(crate) fn sync(&mut self, log: &Log) -> Result<(), IoError> {
        if let Tail::Active(active) = &mut self.tail
            && self.durable < self.written
        {
            let began = Instant::now();
            fail_point!("writer::before_sync");
            active.files.store.sync()?;
            fail_point!("writer::after_sync");
            let took = began.elapsed();
            log.engine().synced(log.name(), std::mem::take(&mut self.unsynced_batches), took);
            active.mark.durable_end = self.written;
            self.durable = self.written;
            log.made_durable(active.mark, self.unsynced_bytes);
            self.bytes_since_checkpoint += std::mem::take(&mut self.unsynced_bytes);
        }
        for group in self.unsynced.drain(..) {
            self.woken.and(group.durable());
        }
        Ok(())
    }

    /// Seals the active segment if it has records; the next append begins another. If there is no
    /// space for the footer, the segment stays active as it was.
    pub(crate) fn seal(&mut self, log: &Arc<Log>) -> Result<(), IoError> {
        self.wake()?;
        if !matches!(&self.tail, Tail::Active(active) if active.mark.frames > 0) {
            return Ok(());
        }
        self.sync(log)?;
        let Tail::Active(mut active) = std::mem::replace(&mut self.tail, Tail::Nowhere) else {
            return Ok(());
        };
        self.next_capacity = active.next_capacity(&log.settings());
        match active.files.store.seal(&active.footer()) {
            Err(error) if error.is_no_space() => {
                active.undo_write()?;
                self.tail = Tail::Active(active);
                return Err(error);
            }
            other => other?,
        }
        fail_point!("writer::sealed");
        active.tell_facts();
        // The index is a cache; if the flushers are busy its sync is left to the kernel.
        log.engine().queue_if_calm(Job::SyncIndex(active.segment));
        log.queue_checkpoint();
        Ok(())
    }

    /// Lets go of files and buffers if nothing happened for a while; `false` if something did.
    pub(crate) fn rest(&mut self, idle: Duration) -> bool {
        if self.last_used.elapsed() < idle || self.durable < self.written {
            return false;
        }
        self.spare = Frames::default();
        self.tail = match std::mem::replace(&mut self.tail, Tail::Nowhere) {
            Tail::Active(active) => Tail::Resting(active.rest()),
            other => other,
        };
        true
    }

    /// The log is deleted: lets go of its files for good.
    pub(crate) fn leave(&mut self) {
        self.tail = Tail::Nowhere;
        self.spare = Frames::default();
    }

    /// The log ends here: what waits is told that its fate is unknown.
    pub(crate) fn fail(&mut self, log: &Log, error: IoError) {
        let unsynced = std::mem::take(&mut self.unsynced);
        let durable = self.durable;
        self.woken.and(log.fail(error));
        for group in unsynced {
            self.woken.and(group.end(durable, AckError::Failed));
        }
    }

    /// How long ago the active segment got its first frame, if it has one.
    pub(crate) fn active_first_time_us(&self) -> Option<u64> {
        let mark = match &self.tail {
            Tail::Nowhere => return None,
            Tail::Resting(resting) => &resting.mark,
            Tail::Active(active) => &active.mark,
        };
        (mark.frames > 0).then_some(mark.first_time_us)
    }

    fn write_out(&mut self, log: &Arc<Log>, frames: &mut Frames) -> Result<(), Fault> {
        if frames.spans.is_empty() {
            return Ok(());
        }
        self.begin(log)?;
        let mut spans = frames.spans.as_slice();
        let mut bytes = frames.bytes.as_mut_slice();
        while !spans.is_empty() {
            let count = self.place_for(log, spans)?;
            let (now, later) = spans.split_at(count);
            let (here, rest) = bytes.split_at_mut(now.iter().map(|span| span.bytes).sum());
            let from = self.written;
            self.write_here(log, here, now)?;
            self.unsynced_batches += wide(now.len());
            log.engine().counters.written(from, now);
            (spans, bytes) = (later, rest);
        }
        self.look_ahead(log);
        Ok(())
    }

    /// How many of `spans` go into the active segment, at least one; rolls if none fits.
    fn place_for(&mut self, log: &Arc<Log>, spans: &[Span]) -> Result<usize, Fault> {
        self.wake().map_err(Fault::of)?;
        if let Tail::Active(active) = &self.tail {
            let count = active.fitting(spans, &log.settings());
            if count > 0 {
                return Ok(count);
            }
            self.seal(log).map_err(Fault::of)?;
        }
        self.begin_segment(log)?;
        match &self.tail {
            Tail::Active(active) => Ok(active.fitting(spans, &log.settings())),
            Tail::Nowhere | Tail::Resting(_) => Ok(0),
        }
    }

    fn write_here(&mut self, log: &Log, bytes: &mut [u8], spans: &[Span]) -> Result<(), Fault> {
        let Tail::Active(active) = &mut self.tail else {
            return Ok(());
        };
        let total = bytes.len();
        let written = active
            .allocate_for(total, &log.settings())
            .and_then(|()| active.write(bytes, spans, self.incarnation, self.durable));
        match written {
            Ok(()) => {
                self.written = spans.last().map_or(self.written, |span| span.next);
                self.unsynced_bytes += wide(total);
                Ok(())
            }
            Err(e) => {
                if e.is_no_space() {
                    active.undo_write()?;
                }
                Err(Fault::of(e))
            }
        }
    }

    /// Before the first frame since the log was opened: the raised incarnation is made durable.
    fn begin(&mut self, log: &Log) -> Result<(), Fault> {
        if self.begun {
            return Ok(());
        }
        match log.begin_incarnation(self.incarnation + 1) {
            Ok(()) => {
                self.incarnation += 1;
                self.begun = true;
                Ok(())
            }
            Err(e) => Err(Fault::of(e)),
        }
    }

    fn wake(&mut self) -> Result<(), IoError> {
        if let Tail::Resting(resting) = &self.tail {
            self.tail = Tail::Active(resting.wake()?);
        }
        Ok(())
    }

    fn begin_segment(&mut self, log: &Log) -> Result<(), Fault> {
        let least = first_capacity(&log.settings());
        let wanted = self.next_capacity.min(log.settings().segment_bytes_max);
        let mut capacity = wanted.min(log.engine().space.capacity_bytes_max()).max(least);
        let active = loop {
            match log.begin_segment(capacity, self.written) {
                Ok(active) => break active,
                // There may be room for a smaller one.
                Err(e) if e.is_no_space() && capacity > least => {
                    capacity = (capacity / 8).max(least)
                }
                Err(e) => return Err(Fault::of(e)),
            }
        };
        log.add_segment(Arc::clone(&active.segment));
        self.tail = Tail::Active(active);
        Ok(())
    }

    /// Asks for what will soon be needed: the next segment, a checkpoint.
    fn look_ahead(&mut self, log: &Arc<Log>) {
        if let Tail::Active(active) = &mut self.tail
            && !active.prepare_asked
            && active.fills_soon(&log.settings())
        {
            active.prepare_asked = true;
            let next = active.next_segment(&log.settings());
            log.engine().queue_if_calm(Job::Prepare(Arc::clone(log), next));
        }
        if self.bytes_since_checkpoint >= CHECKPOINT_BYTES {
            self.bytes_since_checkpoint = 0;
            log.queue_checkpoint();
        }
    }

    /// The disk is full: what was written stays, the rest was never there.
    fn refuse_unwritten(&mut self, log: &Log, group: &Arc<Group>) {
        log.engine().space.ran_out();
        let later = log.drop_unwritten(group, self.written, self.unsynced_bytes);
        // Batches of this group that were written before a roll are kept if they can be synced.
        let synced = self.sync(log);
        for refused in [group, &later] {
            self.woken.and(refused.end(self.durable, AckError::NoSpace));
        }
        if let Err(error) = synced {
            self.fail(log, error);
        }
    }
}
