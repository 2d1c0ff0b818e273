//! A log: batches in, batches out, in order.
//!
//! Appends fill the intake in memory; the flusher's writer moves it to the active segment and syncs;
//! the watermark then lets consumers read and acknowledgements leave.
//!
//! Lock order: `writer`, `prepared`, `checkpoint`, `intake`, `mark`. Only `writer`, `prepared` and
//! `checkpoint` are held across file operations, and no append or read takes them: a slow disk
//! delays acknowledgements, not readers. Nobody is woken under `intake`, since a woken task may
//! append.

use std::fmt;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::active::Active;
use super::checkpoint::{Census, Checkpoint, CheckpointFile, Mark};
use super::chunk::Chunk;
use super::engine::{Engine, Job};
use super::error::{
    AckError, AppendError, FatalError, IoError, ReadError, SYNC, Stopped, TrimError,
};
use super::frame::FrameHeader;
use super::group::{Group, Pending};
use super::intake::{Calls, Frames, Intake, Refusal, Work};
use super::meta::Meta;
use super::offset::{Bounds, Durability, LogId, Offset};
use super::prepared::{self, Prepared};
use super::recovery::Recovered;
use super::segment::Segment;
use super::settings::LogSettings;
use super::trash;
use super::watermark::{Past, Watermark};
use super::width::wide;
use super::writer::Writer;

/// A log that was not written for this long lets go of its files.
const IDLE: Duration = Duration::from_secs(5);

/// A named log. All calls may run concurrently.
pub struct Log {
    engine: Arc<Engine>,
    meta: Meta,
    directory: PathBuf,
    settings: LogSettings,
    intake: Mutex<Intake>,
    writer: Mutex<Writer>,
    prepared: Mutex<Option<Prepared>>,
    checkpoint: Mutex<Checkpointer>,
    mark: Mutex<Mark>,
    /// Oldest first; replaced whole under the `writer` lock.
    segments: ArcSwap<Vec<Arc<Segment>>>,
    start: AtomicU64,
    watermark: Arc<Watermark>,
    checkpoint_queued: AtomicBool,
    roll_queued: AtomicBool,
    damaged: bool,
}

#[derive(Debug)]
struct Checkpointer {
    file: Option<CheckpointFile>,
    last: Option<Checkpoint>,
}

impl Log {
    pub(crate) fn new(
        engine: &Arc<Engine>,
        directory: &Path,
        meta: Meta,
        found: Recovered,
    ) -> Self {
        let end = found.mark.durable_end;
        let refusal = found.damaged.then_some(Refusal::Damaged);
        Self {
            settings: meta.overrides.over(&engine.options.defaults),
            engine: Arc::clone(engine),
            meta,
            directory: directory.to_owned(),
            intake: Mutex::new(Intake::new(end, found.mark.last_time_us, refusal)),
            writer: Mutex::new(Writer::new(found.resting, end, found.mark.incarnation)),
            prepared: Mutex::default(),
            checkpoint: Mutex::new(Checkpointer { file: found.file, last: found.checkpoint }),
            mark: Mutex::new(found.mark),
            segments: ArcSwap::from_pointee(found.segments),
            start: AtomicU64::new(found.start.get()),
            watermark: Arc::new(Watermark::new(end)),
            checkpoint_queued: AtomicBool::new(false),
            roll_queued: AtomicBool::new(false),
            damaged: found.damaged,
        }
    }

    /// The log's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.meta.name.as_str()
    }

    /// What tells this log from an earlier one of the same name.
    #[must_use]
    pub fn id(&self) -> LogId {
        self.meta.id
    }

    /// The settings in force.
    #[must_use]
    pub fn settings(&self) -> &LogSettings {
        &self.settings
    }

    /// Whether acknowledged records in the unsealed tail are damaged, so that the log takes no
    /// appends.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        self.damaged
    }

    /// The offsets that can be read. Both are durable; neither ever goes back.
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        Bounds { start: self.start(), end: self.watermark.end() }
    }

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
        let (header, group) = intake.push(header, payload, now_us);
        let calls = intake.call_for(durability);
        // Waking a thread is a system call, so it comes after the lock.
        drop(intake);
        self.call(calls);
        let offsets = (header.base, header.next_offset());
        Ok(Pending::new(group, durability, offsets, header.append_time_us))
    }

    /// Reads whole batches from the one that holds `offset`: at least one, then as many as fit in
    /// `bytes_max` bytes of frames, all below the high watermark. The first may begin below
    /// `offset`. Blocks on the disk. Every byte returned was checked.
    ///
    /// # Errors
    ///
    /// `OutOfRange` at or above the end and below the start; `Damaged` if the record was
    /// acknowledged and cannot be read any more; `Io` fails this call only.
    pub fn read(&self, offset: Offset, bytes_max: usize) -> Result<Chunk, ReadError> {
        let Bounds { start, end } = self.bounds();
        if self.damaged && offset >= end {
            // Nobody can tell what was acknowledged behind the damage.
            return Err(ReadError::Damaged { from: end, resume: None });
        }
        if offset < start || offset >= end {
            return Err(ReadError::OutOfRange { offset, start, end });
        }
        let read = self.read_segment(offset, end, bytes_max);
        // A trim may have taken the segment away in between.
        match read {
            Err(_) if offset < self.start() => {
                Err(ReadError::OutOfRange { offset, start: self.start(), end })
            }
            other => other,
        }
    }

    /// Waits until the record at `offset` can be read.
    pub fn past(&self, offset: Offset) -> Past {
        self.watermark.past(offset)
    }

    /// Drops the segments whose records are all below `before`, and returns the new start. Blocks
    /// on the disk. The start is durable before a file is removed.
    ///
    /// # Errors
    ///
    /// `BeyondEnd` and `Unavailable` leave the log as it was. After `Io` the start may have moved;
    /// what was not removed is removed at the next start.
    pub fn trim(self: &Arc<Self>, before: Offset) -> Result<Offset, TrimError> {
        let mut writer = self.writer.lock();
        let end = self.watermark.end();
        if before > end {
            return Err(TrimError::BeyondEnd { before, end });
        }
        if self.intake.lock().refusal.is_some() {
            return Err(TrimError::Unavailable);
        }
        if before == writer.written() && before > self.start() {
            match writer.seal(self) {
                Ok(()) => {}
                Err(error) if error.is_no_space() => return Err(error.into()),
                Err(error) => return Err(self.fatal_trim(&mut writer, error)),
            }
        }
        let segments = self.segments.load_full();
        let is_old = |s: &Arc<Segment>| s.end() <= before && !writer.writes_to(s.base());
        let dropped = segments.iter().take_while(|segment| is_old(segment)).count();
        let (old, kept) = segments.split_at(dropped);
        if old.is_empty() {
            return Ok(self.start());
        }
        let start = kept.first().map_or(end, |segment| segment.base());
        self.begin_at(start, kept).map_err(|error| self.fatal_trim(&mut writer, error))?;
        drop(writer);
        let paths = old.iter().flat_map(|segment| [segment.store_path(), segment.index_path()]);
        trash::discard(&*self.engine.disk, &self.engine.trash, &self.directory, paths)?;
        Ok(start)
    }

    /// Makes `start` the log's start and `kept` its segments: first durably, then for all to see.
    fn begin_at(&self, start: Offset, kept: &[Arc<Segment>]) -> Result<(), IoError> {
        // Held throughout, so that no other checkpoint brings the old start back.
        let mut held = self.checkpoint.lock();
        let mark = *self.mark.lock();
        // Into both slots: should one of them rot, the other must not bring it back either.
        for _ in 0..2 {
            self.write_slot(&mut held, mark, false, (start, kept))?;
        }
        self.start.store(start.get(), Ordering::Release);
        self.segments.store(Arc::new(kept.to_vec()));
        Ok(())
    }

    fn fatal_trim(&self, writer: &mut Writer, error: IoError) -> TrimError {
        writer.fail(self, error);
        TrimError::Unavailable
    }

    fn read_segment(
        &self,
        offset: Offset,
        end: Offset,
        bytes_max: usize,
    ) -> Result<Chunk, ReadError> {
        let segments = self.segments.load();
        let after = segments.partition_point(|segment| segment.base() <= offset);
        let resume = segments.get(after).map(|segment| segment.base());
        match after.checked_sub(1).and_then(|at| segments.get(at)) {
            Some(segment) if offset < segment.end() => {
                segment.read(offset, end.min(segment.end()), bytes_max)
            }
            // No segment holds it, and it was acknowledged.
            _ => Err(ReadError::Damaged { from: offset, resume: resume.or(Some(end)) }),
        }
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

    fn call(self: &Arc<Self>, calls: Calls) {
        if calls.timer {
            self.engine.sync_later(self);
        }
        if calls.flusher {
            let queued = self.engine.queue(Job::Flush(Arc::clone(self)));
            debug_assert!(queued, "the queue has a place for every log");
        }
    }
}

/// What the flusher and the housekeeper do with a log.
impl Log {
    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Writes out what the intake holds. `true` if there is more, and the log is still queued.
    pub(crate) fn flush(self: &Arc<Self>) -> bool {
        let mut writer = self.writer.lock();
        if self.has_refused(Refusal::Failed) {
            // A sync that failed is never tried again.
            return false;
        }
        let spare = writer.spare();
        let work = self.intake.lock().take(spare);
        writer.run(self, work);
        let mut intake = self.intake.lock();
        intake.queued = intake.wants_flush() && intake.refusal != Some(Refusal::Failed);
        intake.queued
    }

    /// The delay of a sync has passed.
    pub(crate) fn sync_due(self: &Arc<Self>) {
        let flusher = {
            let mut intake = self.intake.lock();
            intake.timer_set = false;
            intake.sync_wanted = true;
            intake.wants_flusher()
        };
        self.call(Calls { timer: false, flusher });
    }

    /// Has what was written and not synced synced after the delay.
    pub(crate) fn sync_soon(self: &Arc<Self>) {
        let timer = self.intake.lock().wants_timer();
        self.call(Calls { timer, flusher: false });
    }

    /// Seals the active segment if it is older than it may be.
    pub(crate) fn roll(self: &Arc<Self>) {
        self.roll_queued.store(false, Ordering::Relaxed);
        let mut writer = self.writer.lock();
        if self.has_refused(Refusal::Failed) || !self.is_over_age(&writer) {
            return;
        }
        match writer.seal(self) {
            // On a full disk the segment just stays active.
            Err(error) if !error.is_no_space() => writer.fail(self, error),
            Ok(()) | Err(_) => {}
        }
    }

    /// Makes the checkpoint durable, and the active index with it.
    pub(crate) fn run_checkpoint(&self) {
        self.checkpoint_queued.store(false, Ordering::Relaxed);
        self.sync_active_index();
        if self.has_refused(Refusal::Failed) {
            return;
        }
        if let Err(error) = self.write_checkpoint(false) {
            self.writer.lock().fail(self, error);
        }
    }

    /// Creates the next segment's files, unless they are there.
    pub(crate) fn prepare(&self, capacity_bytes: u64) {
        let mut prepared = self.prepared.lock();
        if prepared.is_none() && self.intake.lock().refusal.is_none() {
            // Without it the roll creates the files, and meets the same error where it matters.
            *prepared = Prepared::create(self, capacity_bytes).ok();
        }
    }

    /// Looks after the log: queues what is due. Called about once a second.
    pub(crate) fn look_after(self: &Arc<Self>) {
        if self.checkpoint_is_due() {
            self.queue_checkpoint();
        }
        let Some(mut writer) = self.writer.try_lock() else {
            return;
        };
        writer.rest(IDLE);
        if self.is_over_age(&writer) && !self.roll_queued.swap(true, Ordering::Relaxed) {
            self.engine.queue(Job::Roll(Arc::clone(self)));
        }
    }

    pub(crate) fn queue_checkpoint(self: &Arc<Self>) {
        if !self.checkpoint_queued.swap(true, Ordering::Relaxed) {
            self.engine.queue(Job::Checkpoint(Arc::clone(self)));
        }
    }

    /// Takes no more appends; what was taken is still written.
    pub(crate) fn refuse_appends(&self) {
        let _nobody = self.intake.lock().refuse(Refusal::Closed);
    }

    /// Writes and syncs what is left, and leaves a checkpoint that a start can trust. Appends are
    /// refused already and the flushers have ended. Does nothing to a log that failed or is damaged.
    pub(crate) fn close(self: &Arc<Self>) -> Result<(), IoError> {
        let mut writer = self.writer.lock();
        let work = self.intake.lock().take(Frames::default());
        let refused = [Refusal::Failed, Refusal::Damaged].iter().any(|r| self.has_refused(*r));
        if !refused {
            writer.run(self, Work { sync: true, ..work });
        }
        self.watermark.stop(Stopped::Closed);
        if refused || self.has_refused(Refusal::Failed) {
            return Ok(());
        }
        if self.prepared.lock().take().is_some() {
            prepared::remove(self);
        }
        let touched = self.checkpoint.lock().last.is_some_and(|last| !last.clean);
        if touched {
            self.sync_active_index();
            self.write_checkpoint(true)?;
        }
        Ok(())
    }

    fn has_refused(&self, refusal: Refusal) -> bool {
        self.intake.lock().refusal == Some(refusal)
    }

    fn is_over_age(&self, writer: &Writer) -> bool {
        let (Some(age_max), Some(first_us)) =
            (self.settings.segment_age_max, writer.active_first_time_us())
        else {
            return false;
        };
        let age = Duration::from_micros(self.engine.clock.now_us().saturating_sub(first_us));
        age >= age_max
    }

    fn sync_active_index(&self) {
        let segments = self.segments.load();
        let Some(segment) = segments.last() else {
            return;
        };
        segment.sync_index();
    }

    fn checkpoint_is_due(&self) -> bool {
        let mark = *self.mark.lock();
        // Held by whoever is writing one at this moment.
        self.checkpoint.try_lock().is_some_and(|held| held.last.is_some_and(|c| c.mark != mark))
    }

    fn write_checkpoint(&self, clean: bool) -> Result<(), IoError> {
        let mut held = self.checkpoint.lock();
        let mark = *self.mark.lock();
        self.write_slot(&mut held, mark, clean, (self.start(), &self.segments.load()))
    }

    fn write_slot(
        &self,
        held: &mut Checkpointer,
        mark: Mark,
        clean: bool,
        (start, segments): (Offset, &[Arc<Segment>]),
    ) -> Result<(), IoError> {
        let census = Census::of(segments.iter().map(|segment| segment.base()));
        let checkpoint = Checkpoint { log_id: self.meta.id, clean, start, mark, census };
        if held.file.is_none() {
            held.file = Some(CheckpointFile::create(&*self.engine.disk, &self.directory)?);
            let synced = self.engine.disk.sync_directory(&self.directory);
            synced.map_err(IoError::at(SYNC, &self.directory))?;
        }
        if let Some(file) = &mut held.file {
            file.write(&checkpoint)?;
        }
        held.last = Some(checkpoint);
        Ok(())
    }

    fn start(&self) -> Offset {
        Offset::new(self.start.load(Ordering::Acquire))
    }
}

/// What the writer, which holds the `writer` lock, tells the rest of the log.
impl Log {
    /// Makes a raised incarnation durable, before a frame carries it.
    pub(crate) fn begin_incarnation(&self, incarnation: u64) -> Result<(), IoError> {
        let mut held = self.checkpoint.lock();
        let mark = {
            let mut mark = self.mark.lock();
            mark.incarnation = incarnation;
            *mark
        };
        self.write_slot(&mut held, mark, false, (self.start(), &self.segments.load()))
    }

    /// The files of the segment that begins at `base`, from those prepared ahead if there are any.
    pub(crate) fn begin_segment(&self, capacity: u64, base: Offset) -> Result<Active, IoError> {
        let mut prepared = self.prepared.lock();
        let files = match prepared.take() {
            Some(files) => files,
            None => Prepared::create(self, capacity)?,
        };
        files.begin(self, base)
    }

    pub(crate) fn add_segment(&self, segment: Arc<Segment>) {
        let mut segments = self.segments.load().to_vec();
        segments.push(segment);
        self.segments.store(Arc::new(segments));
    }

    pub(crate) fn set_mark(&self, mark: Mark) {
        *self.mark.lock() = mark;
    }

    /// `bytes` more are durable, and with them all records below `end`.
    pub(crate) fn made_durable(&self, end: Offset, bytes: u64) {
        {
            let mut intake = self.intake.lock();
            intake.pending_bytes = intake.pending_bytes.saturating_sub(bytes);
        }
        self.watermark.advance(end);
    }

    /// Forgets what was appended and not written; see [`Intake::drop_unwritten`].
    pub(crate) fn drop_unwritten(&self, written: Offset, unsynced_bytes: u64) -> Arc<Group> {
        self.intake.lock().drop_unwritten(written, unsynced_bytes)
    }

    /// A write or sync failed: nothing is acknowledged any more, and the process should end.
    pub(crate) fn fail(&self, source: IoError) {
        let waiting = self.intake.lock().refuse(Refusal::Failed);
        if let Some(group) = waiting {
            group.end(Offset::ZERO, AckError::Failed);
        }
        self.watermark.stop(Stopped::Failed);
        self.engine.fatal(&FatalError { log: self.name().to_owned(), source });
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Bounds { start, end } = self.bounds();
        f.debug_struct("Log")
            .field("name", &self.name())
            .field("start", &start)
            .field("end", &end)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::disk::{Op, SimDisk};
    use crate::log::logs::{DEFAULT_LOG, Logs};
    use crate::log::settings::Options;

    /// A timer that was set before a sync failed used to sync again, and that sync succeeded.
    #[test]
    fn r12_a_timer_that_fires_after_a_failed_sync_does_nothing() {
        let disk = SimDisk::new();
        let options = Options { flushers: 0, min_free_bytes: 0, ..Options::default() };
        let logs = Logs::open(Path::new("/d"), Arc::new(disk.clone()), options).unwrap();
        let log = logs.get(DEFAULT_LOG).unwrap();
        for level in [Durability::Written, Durability::Synced] {
            if level == Durability::Synced {
                disk.fail(Op::Sync, 0, std::io::ErrorKind::Other);
            }
            let _pending = log.append(b"x", NonZeroU32::MIN, level).unwrap();
            logs.work();
        }
        assert!(logs.has_failed());
        let steps = disk.steps();
        log.sync_due();
        logs.work();
        assert_eq!(disk.steps(), steps, "nothing is written or synced");
        assert_eq!(log.bounds().end, Offset::ZERO);
    }
}
