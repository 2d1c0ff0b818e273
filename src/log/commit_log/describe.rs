//! What can be told of a log.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Log;
use crate::log::error::{IoError, ReadError};
use crate::log::offset::Bounds;
use crate::log::pace::Taken;
use crate::log::segment::Segment;

/// A log in short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The offsets that can be read.
    pub bounds: Bounds,
    /// What its stores hold, in bytes.
    pub stored_bytes: u64,
    /// Some of its records were found damaged.
    pub is_damaged: bool,
}

/// A log in full, but for its settings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Description {
    /// It in short.
    pub summary: Summary,
    /// Its segments, the active one included.
    pub segments: usize,
    /// When the oldest record was appended, in microseconds since the Unix epoch; none without one.
    pub oldest_time_us: Option<u64>,
    /// When the newest was.
    pub newest_time_us: Option<u64>,
    /// Records that became durable per second, over about the last minute.
    pub records_per_s: f64,
    /// Bytes that became durable per second.
    pub bytes_per_s: f64,
}

/// A log as it is watched: all in one look, and what it has done since it was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observation {
    /// It in short.
    pub summary: Summary,
    /// Its segments, the active one included.
    pub segments: usize,
    /// How old its oldest record is, in microseconds; none without one.
    pub oldest_age_us: Option<u64>,
    /// Bytes of frames that were taken and are not durable yet.
    pub pending_bytes: u64,
    /// Bytes of frames that became durable.
    pub durable_bytes: u64,
    /// Segments that were trimmed.
    pub trimmed_segments: u64,
    /// The bytes that their stores had.
    pub trimmed_bytes: u64,
    /// It takes no appends, because what was acknowledged last cannot be read.
    pub is_read_only: bool,
}

/// A segment in short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentSummary {
    /// The offset of its first record, and the one after its last.
    pub bounds: Bounds,
    /// What its store holds, in bytes.
    pub stored_bytes: u64,
    /// It takes no more records.
    pub is_sealed: bool,
    /// Some of its records were found damaged.
    pub is_damaged: bool,
}

impl Log {
    /// The log as it is watched. Blocks on the disk the first time.
    ///
    /// # Errors
    ///
    /// As [`Log::summary`].
    pub fn observe(&self) -> Result<Observation, ReadError> {
        let (stored_bytes, oldest_us) = self.sizes()?;
        let bounds = self.bounds();
        let age = |time_us: u64| self.engine.now_us().saturating_sub(time_us);
        Ok(Observation {
            summary: Summary { bounds, stored_bytes, is_damaged: self.has_damage() },
            segments: self.segments.load().len(),
            oldest_age_us: oldest_us.filter(|_| bounds.start < bounds.end).map(age),
            pending_bytes: self.intake.lock().pending_bytes,
            durable_bytes: self.durable_bytes.load(Ordering::Relaxed),
            trimmed_segments: self.trimmed_segments.load(Ordering::Relaxed),
            trimmed_bytes: self.trimmed_bytes.load(Ordering::Relaxed),
            is_read_only: self.damaged,
        })
    }

    /// The newest segments, at most `segments_max`, oldest first. Blocks on the disk the first
    /// time.
    ///
    /// # Errors
    ///
    /// As [`Log::summary`].
    pub fn newest_segments(&self, segments_max: usize) -> Result<Vec<SegmentSummary>, ReadError> {
        let segments = self.segments.load_full();
        let skipped = segments.len().saturating_sub(segments_max);
        let end = self.bounds().end;
        let of = |segment: &Arc<Segment>| {
            let stored_bytes = match self.active_mark(segment) {
                Some(mark) => mark.position,
                None => segment.facts_or_size()?.store_bytes,
            };
            let start = segment.base();
            let bounds = Bounds { start, end: segment.end().min(end).max(start) };
            let (is_sealed, is_damaged) = (segment.is_sealed(), segment.has_damage());
            Ok(SegmentSummary { bounds, stored_bytes, is_sealed, is_damaged })
        };
        let told: Result<_, IoError> = segments.iter().skip(skipped).map(of).collect();
        if self.is_gone() { Err(ReadError::Deleted) } else { Ok(told?) }
    }

    /// The log in short. Blocks on the disk the first time.
    ///
    /// # Errors
    ///
    /// `Io` if a store could not be read this time; `Deleted` for good.
    pub fn summary(&self) -> Result<Summary, ReadError> {
        let (stored_bytes, _) = self.sizes()?;
        Ok(Summary { bounds: self.bounds(), stored_bytes, is_damaged: self.has_damage() })
    }

    /// The log in full. Blocks on the disk the first time.
    ///
    /// # Errors
    ///
    /// As [`Log::summary`].
    pub fn describe(&self) -> Result<Description, ReadError> {
        let (stored_bytes, oldest_time_us) = self.sizes()?;
        let newest_us = self.mark.lock().last_time_us;
        let bounds = self.bounds();
        let has_records = bounds.start < bounds.end;
        let (records_per_s, bytes_per_s) = self.pace.lock().rates(self.taken());
        Ok(Description {
            summary: Summary { bounds, stored_bytes, is_damaged: self.has_damage() },
            segments: self.segments.load().len(),
            oldest_time_us: oldest_time_us.filter(|_| has_records),
            newest_time_us: has_records.then_some(newest_us),
            records_per_s,
            bytes_per_s,
        })
    }

    /// When the newest record that it ever had was appended.
    pub(crate) fn last_time(&self) -> Option<Duration> {
        let mark = *self.mark.lock();
        (mark.last_time_us > 0).then_some(Duration::from_micros(mark.last_time_us))
    }

    /// What the log has taken since it was opened.
    pub(super) fn taken(&self) -> Taken {
        Taken {
            at: self.engine.clock.running(),
            records: self.watermark.end().get(),
            bytes: self.durable_bytes.load(Ordering::Relaxed),
        }
    }

    /// Whether some of its records were found damaged, or its tail.
    #[must_use]
    pub fn has_damage(&self) -> bool {
        self.damaged || self.segments.load().iter().any(|segment| segment.has_damage())
    }
}
