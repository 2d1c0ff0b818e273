//! What the writer, which holds the `writer` lock, tells the rest of its log.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Log;
use crate::log::active::Active;
use crate::log::checkpoint::Mark;
use crate::log::error::{AckError, FatalError, IoError, Stopped};
use crate::log::group::{Group, Woken};
use crate::log::intake::Refusal;
use crate::log::offset::Offset;
use crate::log::prepared::Prepared;
use crate::log::segment::Segment;
use crate::log::writer::Writer;

impl Log {
    /// Has `work` done with the writer, and wakes those whose fate that decided once it is free.
    pub(super) fn with_writer<R>(&self, work: impl FnOnce(&mut Writer) -> R) -> R {
        let mut writer = self.writer.lock();
        let done = work(&mut writer);
        let woken = writer.take_woken();
        drop(writer);
        drop(woken);
        done
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

    /// `bytes` more are durable, and with them all records below the mark's end.
    pub(crate) fn made_durable(&self, mark: Mark, bytes: u64) {
        let end = mark.durable_end;
        // Before the mark, so that whoever takes note of a durable end finds the producers of all
        // that is below it.
        self.intake.lock().made_durable(end, bytes);
        *self.mark.lock() = mark;
        self.durable_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.watermark.advance(end);
    }

    /// Forgets what was appended and not written; see [`Intake::drop_unwritten`].
    pub(crate) fn drop_unwritten(
        &self,
        taken: &Group,
        written: Offset,
        unsynced_bytes: u64,
    ) -> Arc<Group> {
        self.intake.lock().drop_unwritten(taken, written, unsynced_bytes)
    }

    /// A write or sync failed: nothing is acknowledged any more, and the process should end.
    /// Returns those whose appends are lost with it.
    pub(crate) fn fail(&self, source: IoError) -> Woken {
        let waiting = self.intake.lock().refuse(Refusal::Failed);
        let woken = waiting.map(|group| group.end(Offset::ZERO, AckError::Failed));
        self.watermark.stop(Stopped::Failed);
        self.engine.fatal(&FatalError { log: self.name().to_owned(), source });
        woken.unwrap_or_default()
    }
}
