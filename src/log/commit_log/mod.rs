//! A log: batches in, batches out, in order.
//!
//! Appends fill the intake in memory; the flusher's writer moves it to the active segment and
//! syncs; the watermark then lets consumers read and acknowledgements leave.
//!
//! Lock order: `drops`, `meta`, `writer`, `prepared`, `checkpoint`, `intake`, `mark`. Only those
//! before `intake` are held across file operations, and no append or read takes them: a slow disk
//! delays acknowledgements, not readers. Nobody is woken under `intake`, since a woken task may
//! append. The locks of `readers` stand alone.
//!
//! Here and in `appending` is what users of a log call; the other files hold what its keepers do.

mod appending;
mod archiving;
mod backing_up;
mod checkpoints;
mod deletion;
mod describe;
mod readers;
mod retain;
mod times;
mod trim;
mod update;
mod upkeep;
mod writing;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use self::appending::Append;
use self::archiving::Archiving;
pub use self::backing_up::BackedUp;
use self::checkpoints::Checkpointer;
pub use self::describe::{Description, Observation, SegmentSummary, Summary};
pub use self::trim::Trimmed;
use crate::log::checkpoint::Mark;
use crate::log::chunk::Chunk;
use crate::log::engine::Engine;
use crate::log::error::ReadError;
use crate::log::intake::{Intake, Refusal};
use crate::log::meta::Meta;
use crate::log::names::LogName;
use crate::log::offset::{Bounds, LogId, Offset};
use crate::log::pace::{Pace, Taken};
use crate::log::prepared::Prepared;
use crate::log::readers::Readers;
use crate::log::recovery::Recovered;
use crate::log::segment::Segment;
use crate::log::settings::LogSettings;
use crate::log::watermark::{Past, Watermark};
use crate::log::writer::Writer;
use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use crate::sync::{ArcSwap, Mutex};

/// A named log. All calls may run concurrently.
pub struct Log {
    engine: Arc<Engine>,
    id: LogId,
    name: LogName,
    directory: PathBuf,
    /// Held while segments are dropped, so that one does it at a time.
    drops: Mutex<()>,
    /// Held while the settings change.
    meta: Mutex<Meta>,
    settings: ArcSwap<LogSettings>,
    intake: Mutex<Intake>,
    writer: Mutex<Writer>,
    prepared: Mutex<Option<Prepared>>,
    checkpoint: Mutex<Checkpointer>,
    mark: Mutex<Mark>,
    /// Oldest first; replaced whole under the `writer` lock.
    segments: ArcSwap<Vec<Arc<Segment>>>,
    start: AtomicU64,
    watermark: Arc<Watermark>,
    readers: Readers,
    checkpoint_queued: AtomicBool,
    roll_queued: AtomicBool,
    retain_queued: AtomicBool,
    fill_queued: AtomicBool,
    /// Retention failed the last time.
    retention_fails: AtomicBool,
    /// How many want to close or delete the log, for good or for a moment, so that what takes long
    /// stops.
    leaving: AtomicUsize,
    is_gone: AtomicBool,
    archiving: Mutex<Archiving>,
    /// Bytes of frames made durable since the log was opened.
    durable_bytes: AtomicU64,
    /// What was trimmed since then.
    trimmed_segments: AtomicU64,
    trimmed_bytes: AtomicU64,
    pace: Mutex<Pace>,
    damaged: bool,
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
        let resting = found.resting.as_ref().map(|resting| resting.segment.base());
        for segment in found.segments.iter().filter(|segment| Some(segment.base()) != resting) {
            segment.sealed(None);
        }
        let taken = Taken { at: engine.clock.running(), records: end.get(), bytes: 0 };
        Self {
            readers: Readers::new(&engine.disk, directory, meta.id),
            settings: ArcSwap::from_pointee(meta.overrides.over(&engine.options.defaults)),
            engine: Arc::clone(engine),
            id: meta.id,
            name: meta.name.clone(),
            drops: Mutex::default(),
            meta: Mutex::new(meta),
            directory: directory.to_owned(),
            intake: Mutex::new(Intake::new(end, found.mark.last_time_us, found.producers, refusal)),
            writer: Mutex::new(Writer::new(found.resting, end, found.mark.incarnation)),
            prepared: Mutex::default(),
            checkpoint: Mutex::new(Checkpointer {
                file: found.file,
                last: found.checkpoint,
                producers: found.producers_at,
            }),
            mark: Mutex::new(found.mark),
            segments: ArcSwap::from_pointee(found.segments),
            start: AtomicU64::new(found.start.get()),
            watermark: Arc::new(Watermark::new(end)),
            checkpoint_queued: AtomicBool::new(false),
            roll_queued: AtomicBool::new(false),
            retain_queued: AtomicBool::new(false),
            fill_queued: AtomicBool::new(false),
            retention_fails: AtomicBool::new(false),
            leaving: AtomicUsize::new(0),
            is_gone: AtomicBool::new(false),
            archiving: Mutex::default(),
            durable_bytes: AtomicU64::new(0),
            trimmed_segments: AtomicU64::new(0),
            trimmed_bytes: AtomicU64::new(0),
            pace: Mutex::new(Pace::new(taken)),
            damaged: found.damaged,
        }
    }

    /// The log's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    /// What tells this log from an earlier one of the same name.
    #[must_use]
    pub fn id(&self) -> LogId {
        self.id
    }

    /// The settings in force.
    #[must_use]
    pub fn settings(&self) -> Arc<LogSettings> {
        self.settings.load_full()
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

    /// The time by the clock that append times come from, in microseconds since the Unix epoch.
    #[must_use]
    pub fn now_us(&self) -> u64 {
        self.engine.now_us()
    }

    /// Reads whole batches from the one that holds `offset`: at least one, then as many as fit in
    /// `bytes_max` bytes of frames, all below the high watermark. The first may begin below
    /// `offset`. Blocks on the disk. Every byte returned was checked.
    ///
    /// # Errors
    ///
    /// `OutOfRange` at or above the end and below the start; `Damaged` if the record was
    /// acknowledged and cannot be read any more; `Deleted` for good; `Io` fails this call only.
    pub fn read(&self, offset: Offset, bytes_max: usize) -> Result<Chunk, ReadError> {
        self.with_segment(offset, |segment, limit| segment.read(offset, limit, bytes_max))
    }

    /// Waits until the record at `offset` can be read.
    pub fn past(&self, offset: Offset) -> Past {
        self.watermark.past(offset)
    }

    /// Has `read` read in the segment that holds `offset`, below the limit that it is given.
    fn with_segment<R>(
        &self,
        offset: Offset,
        read: impl FnOnce(&Segment, Offset) -> Result<R, ReadError>,
    ) -> Result<R, ReadError> {
        let outcome = self.with_held_segment(offset, read);
        if matches!(outcome, Err(ReadError::Io(_))) {
            // A deletion moves the files away and then says so, both under this lock.
            drop(self.checkpoint.lock());
        }
        // Whatever went wrong with files that are gone, or fine with those still open.
        if self.is_gone() { Err(ReadError::Deleted) } else { outcome }
    }

    fn with_held_segment<R>(
        &self,
        offset: Offset,
        read: impl FnOnce(&Segment, Offset) -> Result<R, ReadError>,
    ) -> Result<R, ReadError> {
        let Bounds { start, end } = self.bounds();
        if self.damaged && offset >= end {
            // Nobody can tell what was acknowledged behind the damage.
            return Err(ReadError::Damaged { from: end, resume: None });
        }
        if offset < start || offset >= end {
            return Err(ReadError::OutOfRange { offset, start, end });
        }
        let done =
            self.segment_of(offset, end).and_then(|segment| read(&segment, end.min(segment.end())));
        // A trim may have taken the segment away in between.
        match done {
            Err(_) if offset < self.start() => {
                Err(ReadError::OutOfRange { offset, start: self.start(), end })
            }
            other => other,
        }
    }

    fn segment_of(&self, offset: Offset, end: Offset) -> Result<Arc<Segment>, ReadError> {
        let segments = self.segments.load();
        let after = segments.partition_point(|segment| segment.base() <= offset);
        let resume = segments.get(after).map(|segment| segment.base());
        match after.checked_sub(1).and_then(|at| segments.get(at)) {
            Some(segment) if offset < segment.end() => Ok(Arc::clone(segment)),
            // No segment holds it, and it was acknowledged.
            _ => Err(ReadError::Damaged { from: offset, resume: resume.or(Some(end)) }),
        }
    }
}

/// What the other files of this module and the writer need of a log.
impl Log {
    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    fn has_refused(&self, refusal: Refusal) -> bool {
        self.intake.lock().refusal == Some(refusal)
    }

    /// Whether what takes long should stop halfway.
    fn must_hurry(&self) -> bool {
        self.leaving.load(Ordering::Acquire) > 0 || self.engine.is_closing()
    }

    /// The segments that take no more frames, oldest first.
    pub(crate) fn sealed_segments(&self) -> Vec<Arc<Segment>> {
        let segments = self.segments.load();
        segments.iter().filter(|segment| segment.is_sealed()).cloned().collect()
    }

    /// Whether it was deleted.
    pub(crate) fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Acquire)
    }

    fn start(&self) -> Offset {
        Offset::new(self.start.load(Ordering::Acquire))
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
