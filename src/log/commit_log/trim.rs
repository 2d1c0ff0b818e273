//! Trimming: old segments go, the newest never.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Log;
use crate::log::error::{IoError, TrimError};
use crate::log::offset::Offset;
use crate::log::segment::Segment;
use crate::log::trash;
use crate::log::writer::Writer;

impl Log {
    /// Drops the segments whose records are all below `before`, and returns the new start. Blocks
    /// on the disk. The start is durable before a file is removed.
    ///
    /// # Errors
    ///
    /// `BeyondEnd` and `Unavailable` leave the log as it was. After `Io` the start may have moved;
    /// what was not removed is removed at the next start.
    pub fn trim(self: &Arc<Self>, before: Offset) -> Result<Offset, TrimError> {
        let (covered, lack) = self.cover(before)?;
        let (start, old) =
            self.with_writer(|writer| self.trim_with(writer, before.min(covered)))?;
        if let Some(error) = lack.filter(|_| old.is_empty()) {
            return Err(error.into());
        }
        let paths = old.iter().flat_map(|segment| [segment.store_path(), segment.index_path()]);
        trash::discard(&*self.engine.disk, &self.engine.trash, &self.directory, paths)?;
        Ok(start)
    }

    /// Sees to it that what is known of producers outlives the frames below `before`, and returns
    /// how far it does. Without space that is less far; what is trimmed then may give some back.
    fn cover(&self, before: Offset) -> Result<(Offset, Option<IoError>), TrimError> {
        self.admit_trim(before)?;
        // Not under the writer's lock: there may be much to store, and appends go on meanwhile.
        match self.save_producers_below(before) {
            (covered, Ok(())) => Ok((covered, None)),
            (covered, Err(error)) if error.is_no_space() => Ok((covered, Some(error))),
            (_, Err(error)) => Err(self.with_writer(|writer| self.fatal_trim(writer, error))),
        }
    }

    fn admit_trim(&self, before: Offset) -> Result<Offset, TrimError> {
        let end = self.watermark.end();
        if before > end {
            return Err(TrimError::BeyondEnd { before, end });
        }
        if self.intake.lock().refusal.is_some() {
            return Err(TrimError::Unavailable);
        }
        Ok(end)
    }

    /// Moves the start, and returns it with the segments that are not the log's any more.
    fn trim_with(
        self: &Arc<Self>,
        writer: &mut Writer,
        before: Offset,
    ) -> Result<(Offset, Vec<Arc<Segment>>), TrimError> {
        let end = self.admit_trim(before)?;
        if before == writer.written() && before > self.start() {
            match writer.seal(self) {
                Ok(()) => {}
                Err(error) if error.is_no_space() => return Err(error.into()),
                Err(error) => return Err(self.fatal_trim(writer, error)),
            }
        }
        let segments = self.segments.load_full();
        let is_old = |s: &Arc<Segment>| s.end() <= before && !writer.writes_to(s.base());
        let dropped = segments.iter().take_while(|segment| is_old(segment)).count();
        let (old, kept) = segments.split_at(dropped);
        if old.is_empty() {
            return Ok((self.start(), Vec::new()));
        }
        let start = kept.first().map_or(end, |segment| segment.base());
        match self.begin_at(start, kept) {
            Ok(()) => Ok((start, old.to_vec())),
            Err(error) if error.is_no_space() => Err(error.into()),
            Err(error) => Err(self.fatal_trim(writer, error)),
        }
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
}
