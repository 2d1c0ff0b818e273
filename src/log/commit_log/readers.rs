//! The readers of a log, within its bounds.

use super::Log;
use crate::log::error::ReaderError;
use crate::log::names::ReaderName;
use crate::log::offset::Offset;
use crate::log::readers::{Reader, ReaderOrder, Terms};

impl Log {
    /// The reader called `name`, if there is one. Its position is durable. May block on the disk,
    /// as the other calls about readers do.
    ///
    /// # Errors
    ///
    /// `Damaged` until the file of the readers is repaired; `Failed`, `NoSpace` and `Closed`.
    pub fn reader(&self, name: &ReaderName) -> Result<Option<Reader>, ReaderError> {
        self.readers.look(|readers| readers.get(name).cloned())
    }

    /// All readers, in the order of their names.
    ///
    /// # Errors
    ///
    /// As [`Log::reader`].
    pub fn readers(&self) -> Result<Vec<Reader>, ReaderError> {
        self.readers.look(|readers| readers.values().cloned().collect())
    }

    /// The lowest offset at which a reader stands; `None` if there is no reader.
    ///
    /// # Errors
    ///
    /// As [`Log::reader`]. Where a reader stands is then not known.
    pub fn readers_lowest(&self) -> Result<Option<Offset>, ReaderError> {
        self.readers.look(|readers| readers.values().map(|reader| reader.offset).min())
    }

    /// Moves, makes and deletes readers as `orders` ask, one after the other, and returns what
    /// became of each: the reader as it stands now, or stood last. Durable on return, with one sync
    /// for all.
    ///
    /// # Errors
    ///
    /// `OutOfRange`, `Ahead`, `Owned`, `NotFound`, `TooMany` and `OwnerTooLong` are the order's own
    /// and change nothing. `NoSpace`, `Failed`, `Damaged` and `Closed` change nothing of any.
    /// After `Unknown` nobody can tell which orders are done.
    pub fn change_readers(&self, orders: &[ReaderOrder]) -> Vec<Result<Reader, ReaderError>> {
        let terms = Terms {
            bounds: self.bounds(),
            now_us: self.engine.clock.now_us(),
            readers_max: self.engine.options.readers_per_log_max,
        };
        self.readers.run(orders, &terms)
    }
}
