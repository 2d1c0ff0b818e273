//! The active segment, as its one writer sees it: where the next frame goes, and whether it fits.

use std::sync::Arc;
use std::time::Duration;

use super::checkpoint::Mark;
use super::error::{IoError, UNDO};
use super::footer::{FOOTER_BYTES, Footer};
use super::frame::{Stamp, stamp};
use super::intake::Span;
use super::offset::Offset;
use super::segment::{Facts, Segment, SegmentFiles};
use super::settings::LogSettings;
use super::width::{narrow, wide};
use crate::sync::Instant;

/// The capacity of a log's first segment, in bytes: a log that gets little takes little.
const FIRST_CAPACITY_BYTES: u64 = 256 << 10;
/// A segment that filled within this time is followed by a much larger one.
const QUICK: Duration = Duration::from_secs(10);
/// The next segment is prepared when the active one will be full within this time.
const PREPARE_AHEAD: Duration = Duration::from_secs(5);
/// The next segment is filled ahead if writes were no larger than this on average.
const SMALL_WRITE_BYTES: u64 = 64 << 10;
/// A segment gets one index entry for each of so many bytes of its store.
const STORE_BYTES_PER_ENTRY: u64 = 128;

/// The segment that takes the next frame. Its writer alone holds it.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) segment: Arc<Segment>,
    pub(crate) files: Arc<SegmentFiles>,
    /// Where the next frame goes, and what the footer will say.
    pub(crate) mark: Mark,
    /// Bytes of the store that own their space.
    pub(crate) allocated_bytes: u64,
    pub(crate) began: Instant,
    pub(crate) prepare_asked: bool,
    pub(crate) writes: Writes,
}

/// What the next segment's files are to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NextSegment {
    pub(crate) capacity_bytes: u64,
    /// With zeros, ahead.
    pub(crate) is_filled: bool,
}

/// What was written into a segment since its files were opened.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Writes {
    count: u64,
    bytes: u64,
}

/// An active segment whose files may be closed, because its log is idle or was just opened.
#[derive(Debug)]
pub(crate) struct Resting {
    pub(crate) segment: Arc<Segment>,
    pub(crate) mark: Mark,
    pub(crate) began: Instant,
}

impl Resting {
    /// As a start finds it.
    pub(crate) fn found(segment: Arc<Segment>, mark: Mark) -> Self {
        Self { segment, mark, began: Instant::now() }
    }

    /// Opens the files to append.
    pub(crate) fn wake(&self) -> Result<Active, IoError> {
        let files = self.segment.files().map_err(|fault| fault.at(&self.segment.store_path()))?;
        let allocated_bytes = files.store.file_bytes()?;
        let Self { segment, mark, began } = self;
        let (segment, mark, began) = (Arc::clone(segment), *mark, *began);
        let (prepare_asked, writes) = (false, Writes::default());
        Ok(Active { segment, files, mark, allocated_bytes, began, prepare_asked, writes })
    }
}

impl Active {
    /// What the store may grow to. The settings may have changed since the segment was given its
    /// capacity.
    fn capacity_bytes(&self, settings: &LogSettings) -> u64 {
        self.mark.capacity_bytes.min(settings.segment_bytes_max)
    }

    /// How many of `spans`, from the first, go into this segment.
    pub(crate) fn fitting(&self, spans: &[Span], settings: &LogSettings) -> usize {
        let entries_left = self.files.index.capacity().saturating_sub(self.mark.frames);
        let entries_left = usize::try_from(entries_left).unwrap_or(usize::MAX);
        let room = narrow(self.capacity_bytes(settings).saturating_sub(self.mark.position));
        let mut used = FOOTER_BYTES;
        let fits = |span: &&Span| {
            used = used.saturating_add(span.bytes);
            let span_offsets = span.next.get().saturating_sub(self.segment.base().get());
            used <= room && u32::try_from(span_offsets).is_ok()
        };
        let count = spans.iter().take(entries_left).take_while(fits).count();
        // A batch larger than a whole segment gets one of its own.
        if count == 0 && self.mark.frames == 0 { spans.len().min(1) } else { count }
    }

    /// Sees to it that the store owns the space for `bytes` more and the footer.
    pub(crate) fn allocate_for(
        &mut self,
        bytes: usize,
        settings: &LogSettings,
    ) -> Result<(), IoError> {
        let needed = self.mark.position + wide(bytes) + wide(FOOTER_BYTES);
        if needed <= self.allocated_bytes {
            return Ok(());
        }
        let wanted = needed.max(self.capacity_bytes(settings));
        let allocated = self.files.store.allocate(wanted).map(|()| wanted);
        self.allocated_bytes = match allocated {
            // What is not there for all that may come yet may be there for these.
            Err(error) if error.is_no_space() && needed < wanted => {
                self.files.store.allocate(needed).map(|()| needed)?
            }
            allocated => allocated?,
        };
        Ok(())
    }

    /// Stamps the frames in `bytes`, writes them at the end, and lets readers know of them.
    pub(crate) fn write(
        &mut self,
        bytes: &mut [u8],
        spans: &[Span],
        incarnation: u64,
        durable_end: Offset,
    ) -> Result<(), IoError> {
        let stamping = Stamp { incarnation, durable_end, seed: self.files.store.seed() };
        let mut mark = Mark { incarnation, ..self.mark };
        let mut rest = &mut *bytes;
        let mut frame_base = self.segment.end();
        for span in spans {
            let (frame, later) = rest.split_at_mut(span.bytes);
            rest = later;
            let crc = stamp(frame, stamping);
            mark.segment_crc = crc32c::crc32c_append(mark.segment_crc, &crc.to_le_bytes());
            let relative = frame_base.get().saturating_sub(self.segment.base().get());
            let relative = u32::try_from(relative).unwrap_or(u32::MAX);
            self.files.index.put(mark.frames, relative, mark.position);
            if mark.frames == 0 {
                mark.first_time_us = span.append_time_us;
            }
            mark.frames += 1;
            mark.last_time_us = span.append_time_us;
            mark.last_frame_at = mark.position;
            mark.position += wide(span.bytes);
            frame_base = span.next;
        }
        self.files.store.write(bytes, self.mark.position)?;
        self.writes.count += 1;
        self.writes.bytes += wide(bytes.len());
        self.mark = mark;
        self.segment.publish(mark.frames, frame_base, mark.position);
        Ok(())
    }

    /// Takes back whatever a failed write left behind the last whole one, so that no part of it
    /// can ever be taken for a frame.
    pub(crate) fn undo_write(&mut self) -> Result<(), IoError> {
        let undone = self.files.store.set_len(self.mark.position);
        undone.map_err(|error| IoError { op: UNDO, ..error })?;
        self.allocated_bytes = self.mark.position;
        self.files.store.sync()
    }

    /// Lets go of the files.
    pub(crate) fn rest(self) -> Resting {
        Resting { segment: self.segment, mark: self.mark, began: self.began }
    }

    /// What the footer says of this segment. All its frames are durable.
    pub(crate) fn footer(&self) -> Footer {
        Footer {
            frames: self.mark.frames,
            end: self.segment.end(),
            first_time_us: self.mark.first_time_us,
            last_time_us: self.mark.last_time_us,
            incarnation: self.mark.incarnation,
            position: self.mark.position,
            segment_crc: self.mark.segment_crc,
        }
    }

    /// Tells its segment what it amounts to, now that it is sealed.
    pub(crate) fn tell_facts(&self) {
        // Who asks the segment finds out otherwise.
        let times_us = Some((self.mark.first_time_us, self.mark.last_time_us));
        let store_bytes = self.files.store.file_bytes().ok();
        self.segment.sealed(store_bytes.map(|store_bytes| Facts { store_bytes, times_us }));
    }

    /// Whether it is time to prepare the next segment.
    pub(crate) fn fills_soon(&self, settings: &LogSettings) -> bool {
        let capacity_bytes = self.capacity_bytes(settings);
        if self.mark.position < capacity_bytes / 4 {
            // Too early to tell the pace from a first burst.
            return false;
        }
        let elapsed = self.began.elapsed().as_micros().max(1);
        let left = capacity_bytes.saturating_sub(self.mark.position);
        // At the pace so far: left / (position / elapsed) is the time left.
        u128::from(left) * elapsed < u128::from(self.mark.position) * PREPARE_AHEAD.as_micros()
    }

    /// What to prepare for the segment after this one.
    pub(crate) fn next_segment(&self, settings: &LogSettings) -> NextSegment {
        let is_filled = self.writes.bytes <= self.writes.count.saturating_mul(SMALL_WRITE_BYTES);
        NextSegment { capacity_bytes: self.grown_capacity(settings), is_filled }
    }

    /// The capacity of the segment after this one, if this one is being filled.
    pub(crate) fn grown_capacity(&self, settings: &LogSettings) -> u64 {
        let growth = if self.began.elapsed() < QUICK { 8 } else { 2 };
        let largest = settings.segment_bytes_max;
        self.mark.capacity_bytes.max(FIRST_CAPACITY_BYTES).saturating_mul(growth).min(largest)
    }

    /// The capacity of the segment after this one, which ends here: no more than this one needed,
    /// if it was not filled.
    pub(crate) fn next_capacity(&self, settings: &LogSettings) -> u64 {
        if self.mark.position >= self.capacity_bytes(settings) / 2 {
            return self.grown_capacity(settings);
        }
        let needed = self.mark.position.max(FIRST_CAPACITY_BYTES);
        needed.next_power_of_two().min(settings.segment_bytes_max)
    }
}

/// The capacity of a log's first segment.
pub(crate) fn first_capacity(settings: &LogSettings) -> u64 {
    FIRST_CAPACITY_BYTES.min(settings.segment_bytes_max)
}

/// How many index entries a segment of `capacity_bytes` gets.
pub(crate) fn index_entries(capacity_bytes: u64, settings: &LogSettings) -> u32 {
    let largest = (settings.index_bytes_max / super::index::ENTRY_BYTES).max(1);
    let entries = capacity_bytes.div_ceil(STORE_BYTES_PER_ENTRY).clamp(1, largest);
    u32::try_from(entries).unwrap_or(u32::MAX)
}
