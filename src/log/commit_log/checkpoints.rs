//! When and what a log writes into its checkpoint file, and into the file of its producers.

use std::sync::Arc;

use super::Log;
use crate::fail_points::fail_point;
use crate::log::checkpoint::{Census, Checkpoint, CheckpointFile, Mark, ProducersAt};
use crate::log::error::{IoError, SYNC};
use crate::log::names;
use crate::log::offset::Offset;
use crate::log::producers::ProducersFile;
use crate::log::segment::Segment;

/// A log's checkpoint file, and what was last written into it.
#[derive(Debug)]
pub(crate) struct Checkpointer {
    /// `None` until the first append.
    pub(super) file: Option<CheckpointFile>,
    pub(super) last: Option<Checkpoint>,
    pub(super) producers: ProducersAt,
}

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

    pub(super) fn checkpoint_is_due(&self) -> bool {
        let mark = *self.mark.lock();
        // Held by whoever is writing one at this moment.
        self.checkpoint.try_lock().is_some_and(|held| held.last.is_some_and(|c| c.mark != mark))
    }

    pub(super) fn write_checkpoint(&self, clean: bool) -> Result<(), IoError> {
        let mut held = self.checkpoint.lock();
        let mark = *self.mark.lock();
        self.write_slot(&mut held, mark, clean, (self.start(), &self.segments.load()))
    }

    pub(super) fn write_slot(
        &self,
        held: &mut Checkpointer,
        mark: Mark,
        clean: bool,
        (start, segments): (Offset, &[Arc<Segment>]),
    ) -> Result<(), IoError> {
        if self.is_gone() {
            // Another log may be of this name.
            return Ok(());
        }
        let census = Census::of(segments.iter().map(|segment| segment.base()));
        if self.intake.lock().producers.is_empty() {
            // They are asked after the mark was taken, so none is below it.
            held.producers = ProducersAt { from: mark.durable_end, in_file: false };
        }
        let (log_id, producers) = (self.id, held.producers);
        let checkpoint = Checkpoint { log_id, clean, start, mark, census, producers };
        if held.file.is_none() {
            held.file = Some(CheckpointFile::create(&*self.engine.disk, &self.directory)?);
            let synced = self.engine.disk.sync_directory(&self.directory);
            synced.map_err(IoError::at(SYNC, &self.directory))?;
        }
        fail_point!("checkpoint::write");
        if let Some(file) = &mut held.file {
            file.write(&*self.engine.disk, &self.directory, &checkpoint)?;
        }
        held.last = Some(checkpoint);
        Ok(())
    }

    /// Stores the producers if that is due.
    pub(super) fn save_producers_if_due(&self) -> Result<(), IoError> {
        let mut held = self.checkpoint.lock();
        if !self.intake.lock().producers.is_storing_due() {
            return Ok(());
        }
        self.save_producers(&mut held, Offset::new(u64::MAX))
    }

    /// Sees to it that the batches of producers below `before`, or else below the durable end, are
    /// stored, and returns the offset up to which they are: to there they outlive their frames.
    pub(super) fn save_producers_below(&self, before: Offset) -> (Offset, Result<(), IoError>) {
        let mut held = self.checkpoint.lock();
        let saved = self.save_producers(&mut held, before);
        (held.producers.from, saved)
    }

    /// Stores the producers, unless all batches below `before` or the durable end are.
    fn save_producers(&self, held: &mut Checkpointer, before: Offset) -> Result<(), IoError> {
        if self.is_gone() {
            // Another log may be of this name.
            return Ok(());
        }
        let mark = *self.mark.lock();
        if self.intake.lock().producers.is_empty() {
            held.producers = ProducersAt { from: mark.durable_end, in_file: false };
            return Ok(());
        }
        if held.producers.from >= before.min(mark.durable_end) {
            return Ok(());
        }
        self.intake.lock().producers.begin_storing();
        fail_point!("producers::write");
        let written = self.write_producers(&mark).inspect_err(|_| {
            let unfinished = names::new_producers(&self.directory);
            // It may hold the space that is lacking, or never have come about.
            let _absent = self.engine.disk.remove(&unfinished);
        });
        self.intake.lock().producers.end_storing(written?);
        held.producers = ProducersAt { from: mark.durable_end, in_file: true };
        Ok(())
    }

    /// Writes the file of producers, for all batches below the mark's end, and returns its length.
    fn write_producers(&self, mark: &Mark) -> Result<u64, IoError> {
        let at = (mark.durable_end, mark.position);
        let (disk, directory) = (&*self.engine.disk, &self.directory);
        let mut file = ProducersFile::begin(disk, directory, self.id, at)?;
        let mut after = None;
        loop {
            // A few at a time: appends wait for this lock.
            let part = self.intake.lock().producers.part(after);
            let Some((last, _)) = part.last() else {
                break;
            };
            after = Some(*last);
            part.iter().try_for_each(|(id, durable)| file.put(*id, durable))?;
        }
        file.finish()
    }
}
