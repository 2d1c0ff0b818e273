//! The readers of a log, within its bounds.

use std::collections::BTreeMap;

use super::Log;
use crate::log::error::{ReadError, ReaderError};
use crate::log::names::ReaderName;
use crate::log::offset::{Bounds, Offset};
use crate::log::readers::{Reader, ReaderOrder, Terms};

impl Log {
    /// The reader called `name`, if there is one. Its position is durable. May block on the disk,
    /// as the other calls about readers do.
    ///
    /// # Errors
    ///
    /// `Damaged` until the file of the readers is repaired; `Failed`, `NoSpace`, `Closed` and
    /// `Deleted`.
    pub fn reader(&self, name: &ReaderName) -> Result<Option<Reader>, ReaderError> {
        self.look(|readers| readers.get(name).cloned())
    }

    /// All readers, in the order of their names.
    ///
    /// # Errors
    ///
    /// As [`Log::reader`].
    pub fn readers(&self) -> Result<Vec<Reader>, ReaderError> {
        self.look(|readers| readers.values().cloned().collect())
    }

    /// All readers, in the order of their names, as they are watched: after a start a position may
    /// not be durable yet. Blocks on the disk the first time, and writes nothing.
    ///
    /// # Errors
    ///
    /// As [`Log::reader`].
    pub fn watch_readers(&self) -> Result<Vec<Reader>, ReaderError> {
        self.unless_gone(self.readers.watch(|readers| readers.values().cloned().collect()))
    }

    /// The lowest offset at which a reader stands; `None` if there is no reader.
    ///
    /// # Errors
    ///
    /// As [`Log::reader`]. Where a reader stands is then not known.
    pub fn readers_lowest(&self) -> Result<Option<Offset>, ReaderError> {
        self.look(|readers| readers.values().map(|reader| reader.offset).min())
    }

    /// How many records a reader at `offset` has yet to read: of those that are held and durable.
    pub fn lag_records(&self, offset: Offset) -> u64 {
        let Bounds { start, end } = self.bounds();
        end.get().saturating_sub(offset.max(start).get())
    }

    /// How long ago the record was appended that a reader at `offset` will read next, in
    /// microseconds; 0 if there is none yet. Of damaged records the one behind them counts. Blocks
    /// on the disk.
    ///
    /// # Errors
    ///
    /// `Io` fails this call only; `Deleted` is for good.
    pub fn lag_us(&self, offset: Offset) -> Result<u64, ReadError> {
        let mut next = offset;
        while next < self.bounds().end {
            // A trim may move the start further while this looks.
            next = next.max(self.bounds().start);
            match self.time_at_us(next) {
                Ok(Some(time_us)) => return Ok(self.engine.now_us().saturating_sub(time_us)),
                Ok(None) => break,
                Err(ReadError::OutOfRange { start, .. }) if next < start => next = start,
                Err(ReadError::Damaged { resume: Some(resume), .. }) if next < resume => {
                    next = resume;
                }
                Err(ReadError::OutOfRange { .. } | ReadError::Damaged { .. }) => break,
                Err(error @ (ReadError::Io(_) | ReadError::Deleted)) => return Err(error),
            }
        }
        Ok(0)
    }

    /// Moves, makes and deletes readers as `orders` ask, one after the other, and returns what
    /// became of each: the reader as it stands now, or stood last. Durable on return, with one sync
    /// for all.
    ///
    /// # Errors
    ///
    /// `OutOfRange`, `Ahead`, `Owned`, `NotFound`, `TooMany` and `OwnerTooLong` are the order's own
    /// and change nothing. `NoSpace`, `Failed`, `Damaged`, `Closed` and `Deleted` change nothing of
    /// any.
    /// After `Unknown` nobody can tell which orders are done; if it was the directory that could
    /// not be synced, the log has failed.
    pub fn change_readers(&self, orders: &[ReaderOrder]) -> Vec<Result<Reader, ReaderError>> {
        let terms = Terms {
            bounds: self.bounds(),
            now_us: self.engine.now_us(),
            readers_max: self.engine.options.readers_per_log_max,
        };
        let outcomes = self.readers.run(orders, &terms);
        if outcomes.contains(&Err(ReaderError::Unknown))
            && let Some(error) = self.readers.take_directory_fault()
        {
            self.with_writer(|writer| writer.fail(self, error));
        }
        outcomes
            .into_iter()
            .map(|outcome| outcome.map_err(|error| self.unless_deleted(error)))
            .collect()
    }

    fn look<R>(
        &self,
        look: impl FnOnce(&BTreeMap<ReaderName, Reader>) -> R,
    ) -> Result<R, ReaderError> {
        self.unless_gone(self.readers.look(look))
    }

    /// Those that are known outlive the log.
    fn unless_gone<R>(&self, looked: Result<R, ReaderError>) -> Result<R, ReaderError> {
        if self.is_gone() { Err(ReaderError::Deleted) } else { looked }
    }

    /// A deletion closes the readers.
    fn unless_deleted(&self, error: ReaderError) -> ReaderError {
        if self.is_gone() { ReaderError::Deleted } else { error }
    }
}
