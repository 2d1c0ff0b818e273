//! Finds records by the time at which they were appended, and the other way round.

use std::sync::Arc;

use super::Log;
use crate::log::error::ReadError;
use crate::log::offset::{Bounds, Offset};
use crate::log::segment::Segment;

#[cfg(test)]
mod tests;

impl Log {
    /// The first record that was appended at `time_us`, in microseconds since the Unix epoch, or
    /// later, or the high watermark if all below it are older. Reads some frame headers: blocks on
    /// the disk.
    ///
    /// # Errors
    ///
    /// `Damaged` if the record may be one that cannot be read any more, with that range; `Io` fails
    /// this call only.
    pub fn offset_at_time(&self, time_us: u64) -> Result<Offset, ReadError> {
        loop {
            // The end comes first: what is below it is in the segments and their indexes.
            let bounds = self.bounds();
            let segments = self.segments.load_full();
            let found = search(&segments, bounds, time_us);
            // A trim may have taken a segment away in between, and replaced the list before; or
            // replaced it between the bounds and the list. It moves the start first.
            let replaced = !Arc::ptr_eq(&segments, &self.segments.load());
            if found.is_err() && (replaced || bounds.start != self.start()) {
                continue;
            }
            if self.is_gone() {
                return Err(ReadError::Deleted);
            }
            return match found {
                // Nobody can tell what was acknowledged behind the damage.
                Ok(end) if self.damaged && end == bounds.end => {
                    Err(ReadError::Damaged { from: end, resume: None })
                }
                // A trim may also have moved the start past the answer.
                Ok(offset) => Ok(offset.max(self.start())),
                Err(error) => Err(error),
            };
        }
    }

    /// When the record at `offset` was appended, in microseconds since the Unix epoch; `None` at
    /// the high watermark. Reads a frame header: blocks on the disk.
    ///
    /// # Errors
    ///
    /// As [`Log::read`].
    pub fn time_at_us(&self, offset: Offset) -> Result<Option<u64>, ReadError> {
        if !self.damaged && offset == self.bounds().end {
            return Ok(None);
        }
        let read = |segment: &Segment, limit| segment.time_at_us(offset, limit);
        self.with_segment(offset, read).map(Some)
    }
}

/// The first record within `bounds` that is not older than `time_us`, or the end.
fn search(
    segments: &[Arc<Segment>],
    Bounds { start, end }: Bounds,
    time_us: u64,
) -> Result<Offset, ReadError> {
    // A segment that was just begun has nothing to read yet.
    let count = segments.partition_point(|segment| segment.base() < end);
    let segments = segments.get(..count).unwrap_or_default();
    let resume = segments.first().map_or(end, |first| first.base());
    let begin = match last_begun_before(segments, time_us)? {
        // No segment holds the start, and it was acknowledged.
        None if start < resume => {
            return Err(ReadError::Damaged { from: start, resume: Some(resume) });
        }
        None => 0,
        Some(begin) => begin,
    };
    // The record is in this segment or the first one of the next.
    for segment in segments.iter().skip(begin) {
        let limit = end.min(segment.end());
        let offset = segment.offset_at_time(time_us, limit)?;
        if offset < limit {
            return Ok(offset);
        }
    }
    Ok(end)
}

/// The last segment whose first readable record is older than `time_us`.
fn last_begun_before(segments: &[Arc<Segment>], time_us: u64) -> Result<Option<usize>, ReadError> {
    let (mut low, mut high) = (0, segments.len());
    while low < high {
        let middle = low + (high - low) / 2;
        // One without anything readable counts as the next that has it.
        let mut first = None;
        for segment in segments.iter().take(high).skip(middle) {
            first = segment.first_time_us()?;
            if first.is_some() {
                break;
            }
        }
        if first.is_some_and(|first_us| first_us < time_us) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low.checked_sub(1))
}
