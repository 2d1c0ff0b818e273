//! What can be told of a log.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Log;
use crate::log::error::ReadError;
use crate::log::offset::Bounds;
use crate::log::pace::Taken;

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

impl Log {
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

    fn has_damage(&self) -> bool {
        self.damaged || self.segments.load().iter().any(|segment| segment.has_damage())
    }
}
