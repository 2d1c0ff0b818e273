//! Trimming: old segments go, the newest never.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Log;
use crate::fail_points::fail_point;
use crate::log::error::{IoError, SYNC, TrimError};
use crate::log::footer::FOOTER_BYTES;
use crate::log::intake::Refusal;
use crate::log::offset::Offset;
use crate::log::segment::Segment;
use crate::log::trash;
use crate::log::width::wide;
use crate::log::writer::Writer;

/// What a trim did, or would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trimmed {
    /// The first offset that the log holds then.
    pub start: Offset,
    /// How many segments went.
    pub segments: usize,
    /// How many bytes their stores had.
    pub bytes: u64,
}

impl Log {
    /// Drops the segments whose records are all below `before`. Blocks on the disk. The start is
    /// durable before a file is removed; a segment that is to be archived is so before it goes.
    ///
    /// # Errors
    ///
    /// `BeyondEnd`, `Unavailable` and `Deleted` leave the log as it was. After `Archive` it begins
    /// at the segment that could not be archived. After `Io` the start may have moved; what was not
    /// removed is removed at the next start.
    pub fn trim(self: &Arc<Self>, before: Offset) -> Result<Trimmed, TrimError> {
        let _drops = self.drops.lock();
        self.with_writer(|writer| self.seal_before(writer, before))?;
        self.drop_before(before, || before)
    }

    /// What `trim` would do. Blocks on the disk.
    ///
    /// # Errors
    ///
    /// As `trim`; nothing was changed.
    pub fn trim_preview(&self, before: Offset) -> Result<Trimmed, TrimError> {
        let _drops = self.drops.lock();
        self.admit_trim(before)?;
        let end = self.watermark.end();
        let segments = self.segments.load_full();
        let dropped = segments.iter().take_while(|segment| segment.end() <= before).count();
        let (old, kept) = segments.split_at(dropped);
        let start = match old.last() {
            Some(_) => kept.first().map_or(end, |segment| segment.base()),
            None => self.start(),
        };
        let mut bytes = 0;
        for segment in old {
            bytes += match self.active_mark(segment) {
                // It would be sealed first.
                Some(mark) => mark.position + wide(FOOTER_BYTES),
                None => segment.facts()?.store_bytes,
            };
        }
        Ok(Trimmed { start, segments: dropped, bytes })
    }

    /// Drops the sealed segments below `before`, after what has to be kept of them elsewhere is
    /// durable there, which may take long: `still_before` says then how far they may go at most. It
    /// is asked while no settings change. The caller holds `drops`.
    pub(super) fn drop_before(
        self: &Arc<Self>,
        before: Offset,
        still_before: impl FnOnce() -> Offset,
    ) -> Result<Trimmed, TrimError> {
        let (covered, lack) = self.cover(before)?;
        let is_archived = self.settings.load().archive;
        let (before, unarchived) = self.archive_before(before.min(covered));
        let trimmed = self.drop_kept_elsewhere(|| {
            // Whoever wants all archived from now on does not want these lost.
            let is_kept_elsewhere = is_archived || !self.settings.load().archive;
            if is_kept_elsewhere { before.min(still_before()) } else { self.start() }
        })?;
        match (unarchived, lack.filter(|_| trimmed.segments == 0)) {
            (Some(error), _) => Err(TrimError::Archive(error)),
            (None, Some(error)) => Err(error.into()),
            (None, None) => Ok(trimmed),
        }
    }

    fn drop_kept_elsewhere(
        self: &Arc<Self>,
        before: impl FnOnce() -> Offset,
    ) -> Result<Trimmed, TrimError> {
        let (start, old) = {
            let _meta = self.meta.lock();
            self.with_writer(|writer| self.trim_with(writer, before()))?
        };
        fail_point!("trim::start_moved");
        let mut bytes = 0;
        for segment in &old {
            // What cannot be told of a store that is to go is no reason to keep it.
            bytes += segment.facts().map_or(0, |facts| facts.store_bytes);
            segment.retire();
        }
        self.trimmed_segments.fetch_add(wide(old.len()), Ordering::Relaxed);
        self.trimmed_bytes.fetch_add(bytes, Ordering::Relaxed);
        let paths = old.iter().flat_map(|segment| [segment.store_path(), segment.index_path()]);
        match trash::discard(&*self.engine.disk, &self.engine.trash, &self.directory, paths) {
            Ok(()) => Ok(Trimmed { start, segments: old.len(), bytes }),
            // The same sync may have been to make the name of a new segment durable.
            Err(error) if error.op == SYNC => {
                Err(self.with_writer(|writer| self.fatal_trim(writer, error)))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Seals the active segment if all of it is to go.
    fn seal_before(self: &Arc<Self>, writer: &mut Writer, before: Offset) -> Result<(), TrimError> {
        self.admit_trim(before)?;
        if before != writer.written() || before <= self.start() {
            return Ok(());
        }
        match writer.seal(self) {
            Ok(()) => Ok(()),
            Err(error) if error.is_no_space() => Err(error.into()),
            Err(error) => Err(self.fatal_trim(writer, error)),
        }
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
        match self.intake.lock().refusal {
            // It may stay; a real trim waits until that is known.
            None | Some(Refusal::Leaving) => Ok(end),
            Some(Refusal::Deleted) => Err(TrimError::Deleted),
            Some(_) => Err(TrimError::Unavailable),
        }
    }

    /// Moves the start, and returns it with the segments that are not the log's any more.
    fn trim_with(
        self: &Arc<Self>,
        writer: &mut Writer,
        before: Offset,
    ) -> Result<(Offset, Vec<Arc<Segment>>), TrimError> {
        let end = self.admit_trim(before)?;
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
