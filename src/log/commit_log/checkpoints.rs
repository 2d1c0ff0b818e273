//! When and what a log writes into its checkpoint file.

use std::sync::Arc;

use super::Log;
use crate::log::checkpoint::{Census, Checkpoint, CheckpointFile, Mark};
use crate::log::error::{IoError, SYNC};
use crate::log::offset::Offset;
use crate::log::segment::Segment;

/// A log's checkpoint file, and what was last written into it.
#[derive(Debug)]
pub(crate) struct Checkpointer {
    /// `None` until the first append.
    pub(super) file: Option<CheckpointFile>,
    pub(super) last: Option<Checkpoint>,
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
}
