//! A log's readers: who may touch which, and where they stand.

use super::{Administer, Consume, Guard, Permit};
use crate::acl::Action;
use crate::log::{Log, ReadError, Reader, ReaderAction, ReaderError, ReaderName, ReaderOrder};
use crate::service::caller::Caller;

/// Whose readers someone may touch: their own, or also others'.
#[derive(Clone, Debug)]
pub(crate) struct ReaderScope {
    subject: String,
    any_owner: bool,
}

/// A reader and what it has yet to read.
#[derive(Clone, Debug)]
pub(crate) struct ReaderStanding {
    pub(crate) reader: Reader,
    pub(crate) lag_records: u64,
    pub(crate) lag_us: u64,
}

impl ReaderScope {
    /// Whether `reader` is there for the one who asks.
    fn covers(&self, reader: &Reader) -> bool {
        self.any_owner || reader.owner == self.subject
    }

    /// Asks for `action` on the reader called `name`.
    pub(crate) fn order(self, name: ReaderName, action: ReaderAction) -> ReaderOrder {
        let Self { subject, any_owner } = self;
        ReaderOrder { name, subject, any_owner, action }
    }
}

impl ReaderStanding {
    fn of(log: &Log, reader: Reader) -> Result<Self, ReadError> {
        let (lag_records, lag_us) = (log.lag_records(reader.offset), log.lag_us(reader.offset)?);
        Ok(Self { reader, lag_records, lag_us })
    }
}

impl Guard {
    /// What `caller` may do to the readers of the log that `permit` is for.
    pub(crate) fn reader_scope(&self, caller: &Caller, permit: &Permit<Consume>) -> ReaderScope {
        let subject = caller.subject().as_str();
        let any_owner = caller.policy().permits(subject, Action::Admin, permit.log_name());
        ReaderScope { subject: subject.to_owned(), any_owner }
    }
}

impl Permit<Consume> {
    /// The reader called `name`; another's is not there. Blocks on the disk.
    pub(crate) fn reader(
        &self,
        scope: &ReaderScope,
        name: &ReaderName,
    ) -> Result<Option<Reader>, ReaderError> {
        Ok(self.log.reader(name)?.filter(|reader| scope.covers(reader)))
    }

    /// The readers, without others'. Blocks on the disk.
    pub(crate) fn readers(&self, scope: &ReaderScope) -> Result<Vec<Reader>, ReaderError> {
        let mut readers = self.log.readers()?;
        readers.retain(|reader| scope.covers(reader));
        Ok(readers)
    }

    /// Does what several ask, each within their own scope. Blocks on the disk.
    pub(crate) fn change_readers(
        &self,
        orders: &[ReaderOrder],
    ) -> Vec<Result<Reader, ReaderError>> {
        self.log.change_readers(orders)
    }

    /// Blocks on the disk.
    pub(crate) fn standing(&self, reader: Reader) -> Result<ReaderStanding, ReadError> {
        ReaderStanding::of(&self.log, reader)
    }

    /// As `standing`, of a reader that was moved, whether or not its lag can be told.
    pub(crate) fn standing_moved(&self, reader: Reader) -> ReaderStanding {
        let lag_records = self.log.lag_records(reader.offset);
        let lag_us = self.log.lag_us(reader.offset).unwrap_or_default();
        ReaderStanding { reader, lag_records, lag_us }
    }
}

impl Permit<Administer> {
    /// All readers, whose ever they are. Blocks on the disk.
    pub(crate) fn readers(&self) -> Result<Vec<Reader>, ReaderError> {
        self.log.readers()
    }

    /// Blocks on the disk.
    pub(crate) fn standing(&self, reader: Reader) -> Result<ReaderStanding, ReadError> {
        ReaderStanding::of(&self.log, reader)
    }
}
