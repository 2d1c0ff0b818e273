//! The readers of a log: named positions from which consumers go on.
//!
//! Nothing is read before a reader is asked for, and a log that never had one has no file. What is
//! answered is durable, also a position that is only told: readers that were read count for those
//! who watch, and are loaded, which writes and syncs, before anyone builds on them. `format` is the
//! file's bytes, `journal` its life.
//!
//! Lock order: `journal`, then `known`. Only the first is held across file operations, and a look
//! at readers that are known does not take it.

mod check;
mod format;
mod journal;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

pub(crate) use self::check::{Found, check, read};
use self::format::OWNER_BYTES_MAX;
use self::journal::Journal;
use super::disk::Disk;
use super::error::{IoError, ReaderError};
use super::names::ReaderName;
use super::offset::{Bounds, LogId, Offset};
use crate::sync::Mutex;

/// A named position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reader {
    /// Its name.
    pub name: ReaderName,
    /// The offset of the record that it will read next.
    pub offset: Offset,
    /// The subject that it belongs to.
    pub owner: String,
    /// When it was last moved, in microseconds since the Unix epoch.
    pub commit_time_us: u64,
}

/// What someone wants done to a reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReaderOrder {
    /// The reader.
    pub name: ReaderName,
    /// Who asks; a new reader is theirs. At most 255 bytes.
    pub subject: String,
    /// Whether it may be done to another's reader.
    pub any_owner: bool,
    /// What is to be done.
    pub action: ReaderAction,
}

/// What can be done to a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReaderAction {
    /// Let it stand at an offset, and make it if there is none.
    Commit {
        /// The offset of the record to read next, within the log's bounds.
        offset: Offset,
        /// Whether it may go back.
        force: bool,
    },
    /// Forget it.
    Delete,
}

/// The readers of one log. All calls may run concurrently; all may block on the disk.
#[derive(Debug)]
pub(crate) struct Readers {
    journal: Mutex<Journal>,
    known: Mutex<Known>,
}

/// What is known of the readers.
#[derive(Debug)]
enum Known {
    Nothing,
    /// As the file was read, perhaps from the page cache alone.
    Seen(Live),
    /// Durable, and what changes are made to.
    Loaded(Live),
}

impl Known {
    fn seen(&self) -> Option<&Live> {
        match self {
            Self::Nothing => None,
            Self::Seen(live) | Self::Loaded(live) => Some(live),
        }
    }

    fn loaded(&self) -> Option<&Live> {
        if let Self::Loaded(live) = self { Some(live) } else { None }
    }
}

type Live = BTreeMap<ReaderName, Reader>;
/// What becomes of readers: they stand somewhere, or are gone.
type Changes = BTreeMap<ReaderName, Option<Reader>>;

impl Readers {
    /// Those of the log in `directory`. Does nothing yet.
    pub(crate) fn new(disk: &Arc<dyn Disk>, directory: &Path, log_id: LogId) -> Self {
        let journal = Mutex::new(Journal::new(disk, directory, log_id));
        Self { journal, known: Mutex::new(Known::Nothing) }
    }

    /// Has `look` look at all readers, which are loaded now if need be.
    pub(crate) fn look<R>(&self, look: impl FnOnce(&Live) -> R) -> Result<R, ReaderError> {
        if let Some(live) = self.known.lock().loaded() {
            return Ok(look(live));
        }
        self.load(&mut self.journal.lock())?;
        self.known.lock().loaded().map(look).ok_or(ReaderError::Failed)
    }

    /// Has `look` look at all readers, which are read now if need be: for those who watch a
    /// thousand logs, and would wait for a sync of each.
    pub(crate) fn watch<R>(&self, look: impl FnOnce(&Live) -> R) -> Result<R, ReaderError> {
        if let Some(live) = self.known.lock().seen() {
            return Ok(look(live));
        }
        self.see(&mut self.journal.lock())?;
        self.known.lock().seen().map(look).ok_or(ReaderError::Failed)
    }

    /// Does what `orders` ask, one after the other, with one sync for all of them. Answers with the
    /// readers as they stand then, or as they stood when they were deleted.
    ///
    /// # Errors
    ///
    /// Each order's own. If their common write fails, all fail with it.
    pub(crate) fn run(
        &self,
        orders: &[ReaderOrder],
        terms: &Terms,
    ) -> Vec<Result<Reader, ReaderError>> {
        let mut journal = self.journal.lock();
        if let Err(error) = self.load(&mut journal).and_then(|()| self.settle(&mut journal)) {
            return orders.iter().map(|_| Err(error.clone())).collect();
        }
        let mut draft = Draft::new(&self.known, terms);
        let answers = orders.iter().map(|order| draft.run(order)).collect();
        let changes = draft.changes;
        if changes.is_empty() {
            return answers;
        }
        if let Err(error) = journal.change(&changes, || self.after(&changes)) {
            // Some may have been refused because of others that are not done now.
            return orders.iter().map(|_| Err(error.clone())).collect();
        }
        if let Known::Loaded(live) = &mut *self.known.lock() {
            apply(changes, live);
        }
        answers
    }

    /// Why the log's directory was not synced, once, if a change of unknown fate is due to that.
    pub(crate) fn take_directory_fault(&self) -> Option<IoError> {
        self.journal.lock().take_directory_fault()
    }

    /// Has `leave` take the directory away, and changes nothing any more if it did: the path may
    /// soon be another log's.
    pub(crate) fn close_with<E>(&self, leave: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        let mut journal = self.journal.lock();
        leave()?;
        journal.close();
        Ok(())
    }

    /// Changes nothing any more: the log's directory may soon be another's.
    pub(crate) fn close(&self) {
        self.journal.lock().close();
    }

    /// Loads the readers unless another did while this one waited for the journal.
    fn load(&self, journal: &mut Journal) -> Result<(), ReaderError> {
        if journal.is_closed() {
            return Err(ReaderError::Closed);
        }
        if self.known.lock().loaded().is_none() {
            let live = journal.load()?;
            *self.known.lock() = Known::Loaded(live);
        }
        Ok(())
    }

    /// Reads the readers unless another did while this one waited for the journal.
    fn see(&self, journal: &mut Journal) -> Result<(), ReaderError> {
        if journal.is_closed() {
            return Err(ReaderError::Closed);
        }
        if self.known.lock().seen().is_none() {
            let live = journal.see()?;
            *self.known.lock() = Known::Seen(live);
        }
        Ok(())
    }

    /// Decides the fate of orders that was unknown: they are not done.
    fn settle(&self, journal: &mut Journal) -> Result<(), ReaderError> {
        if journal.is_suspect() { journal.replace(&self.after(&Changes::new())) } else { Ok(()) }
    }

    fn after(&self, changes: &Changes) -> Live {
        let mut live = self.known.lock().loaded().cloned().unwrap_or_default();
        apply(changes.clone(), &mut live);
        live
    }
}

fn apply(changes: Changes, live: &mut Live) {
    for (name, reader) in changes {
        match reader {
            Some(reader) => live.insert(name, reader),
            None => live.remove(&name),
        };
    }
}

/// Writes a new file of `readers` into the directory of a log that nobody uses yet, durably, with
/// those that stand behind `end` standing there. Returns how many those are.
pub(crate) fn write(
    disk: &Arc<dyn Disk>,
    (directory, log_id): (&Path, LogId),
    readers: Vec<Reader>,
    end: Offset,
) -> Result<usize, ReaderError> {
    let moved = readers.iter().filter(|reader| reader.offset > end).count();
    let at_most = |reader: Reader| Reader { offset: reader.offset.min(end), ..reader };
    let live = readers.into_iter().map(at_most).map(|reader| (reader.name.clone(), reader));
    Journal::new(disk, directory, log_id).replace(&live.collect())?;
    Ok(moved)
}

/// What orders are measured by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) bounds: Bounds,
    pub(crate) now_us: u64,
    pub(crate) readers_max: usize,
}

/// The readers as they will be once the orders so far are durable.
struct Draft<'a> {
    known: &'a Mutex<Known>,
    terms: &'a Terms,
    changes: Changes,
    /// How many readers there will be.
    count: usize,
}

impl<'a> Draft<'a> {
    fn new(known: &'a Mutex<Known>, terms: &'a Terms) -> Self {
        let count = known.lock().loaded().map_or(0, BTreeMap::len);
        Self { known, terms, changes: Changes::new(), count }
    }

    fn run(&mut self, order: &ReaderOrder) -> Result<Reader, ReaderError> {
        let standing = self.standing(&order.name);
        let of_another =
            standing.as_ref().is_some_and(|r| r.owner != order.subject && !order.any_owner);
        match order.action {
            ReaderAction::Delete => {
                // To one who may not touch it, another's reader is not there.
                let gone = standing.filter(|_| !of_another).ok_or(ReaderError::NotFound)?;
                self.changes.insert(order.name.clone(), None);
                self.count -= 1;
                Ok(gone)
            }
            ReaderAction::Commit { .. } if of_another => Err(ReaderError::Owned),
            ReaderAction::Commit { offset, force } => self.commit(order, standing, (offset, force)),
        }
    }

    fn standing(&self, name: &ReaderName) -> Option<Reader> {
        match self.changes.get(name) {
            Some(changed) => changed.clone(),
            None => self.known.lock().loaded().and_then(|live| live.get(name)).cloned(),
        }
    }

    fn commit(
        &mut self,
        order: &ReaderOrder,
        standing: Option<Reader>,
        (offset, force): (Offset, bool),
    ) -> Result<Reader, ReaderError> {
        let Terms { bounds: Bounds { start, end }, now_us, .. } = *self.terms;
        if offset < start || offset > end {
            return Err(ReaderError::OutOfRange { offset, start, end });
        }
        let owner = match standing {
            Some(Reader { offset: current, .. }) if offset < current && !force => {
                return Err(ReaderError::Ahead { offset, current });
            }
            Some(reader) if reader.offset == offset => return Ok(reader),
            Some(reader) => reader.owner,
            None => self.new_owner(order)?,
        };
        let name = order.name.clone();
        let reader = Reader { name: name.clone(), offset, owner, commit_time_us: now_us };
        self.changes.insert(name, Some(reader.clone()));
        Ok(reader)
    }

    fn new_owner(&mut self, order: &ReaderOrder) -> Result<String, ReaderError> {
        let (bytes, limit) = (order.subject.len(), self.terms.readers_max);
        if bytes > OWNER_BYTES_MAX {
            return Err(ReaderError::OwnerTooLong { bytes });
        }
        if self.count >= limit {
            return Err(ReaderError::TooMany { readers: self.count, limit });
        }
        self.count += 1;
        Ok(order.subject.clone())
    }
}
