//! A log's `readers` file as one thread at a time uses it.
//!
//! Changes are written behind the others and synced, within space that the file owns already. A
//! file that is full is replaced by a new one with the readers that there are, under a new name,
//! synced, renamed, its directory synced. The same happens after a write or sync that failed: what
//! the kernel shows of that file may not be on the disk, and syncing it again proves nothing.
//!
//! The file is opened for each write: ten thousand logs have more readers than descriptors.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::format::{self, Contents, HEADER_BYTES, Identity};
use super::{Changes, Live, check};
use crate::log::disk::Disk;
use crate::log::error::{IoError, ReaderError, SYNC};
use crate::log::names;
use crate::log::offset::LogId;
use crate::log::seed::salt;
use crate::log::width::wide;

/// The smallest file, in bytes: a hundred commits or more before it is replaced.
const CAPACITY_MIN: usize = 16 << 10;
/// Capacities are multiples of this.
const CAPACITY_STEP: usize = 4 << 10;

/// The file and where its next entry goes.
#[derive(Debug)]
pub(super) struct Journal {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    log_id: LogId,
    state: State,
    /// A write or sync of the file failed, so it is to be replaced before it is used again.
    suspect: bool,
    /// See [`Journal::take_directory_fault`].
    directory_fault: Option<IoError>,
    /// Damage is told to the operator once.
    damage_told: bool,
}

#[derive(Debug)]
enum State {
    /// Nobody has looked yet.
    Unread,
    Absent,
    Present {
        identity: Identity,
        end: usize,
        capacity: usize,
    },
    Closed,
}

impl Journal {
    pub(super) fn new(disk: &Arc<dyn Disk>, directory: &Path, log_id: LogId) -> Self {
        Self {
            disk: Arc::clone(disk),
            directory: directory.to_owned(),
            log_id,
            state: State::Unread,
            suspect: false,
            directory_fault: None,
            damage_told: false,
        }
    }

    pub(super) fn close(&mut self) {
        self.state = State::Closed;
    }

    pub(super) fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// Reads the readers and changes nothing.
    pub(super) fn see(&mut self) -> Result<Live, ReaderError> {
        let read = self.read()?;
        Ok(read.map_or_else(Live::new, |(_, contents)| contents.readers))
    }

    /// Reads the readers, durable when this returns.
    pub(super) fn load(&mut self) -> Result<Live, ReaderError> {
        let Some((bytes, contents)) = self.read()? else {
            self.state = State::Absent;
            return Ok(Live::new());
        };
        if contents.torn_bytes > 0 {
            log::warn!(
                path:% = self.path().display(), position = contents.end,
                bytes = contents.torn_bytes;
                "readers_torn_tail_cut"
            );
        }
        if self.suspect {
            self.replace(&contents.readers)?;
            return Ok(contents.readers);
        }
        // What was read may be in the page cache alone, and what follows is to be zeros.
        let mut mended = bytes;
        let (end, capacity) = (contents.end, mended.len());
        mended.truncate(end);
        mended.resize(capacity, 0);
        if let Err(error) = self.write(&mended, 0) {
            self.suspect = true;
            return Err(self.failed(&error));
        }
        self.state = State::Present { identity: contents.identity, end, capacity };
        Ok(contents.readers)
    }

    /// Makes `changes` durable in a file that is not suspect; `after` says what the readers are
    /// then.
    ///
    /// # Errors
    ///
    /// `NoSpace` and `Failed` change nothing; after `Unknown` the changes are made or not.
    pub(super) fn change(
        &mut self,
        changes: &Changes,
        after: impl FnOnce() -> Live,
    ) -> Result<(), ReaderError> {
        let State::Present { identity, end, capacity } = self.state else {
            return self.replace(&after());
        };
        let mut bytes = Vec::new();
        for (name, reader) in changes {
            format::put_entry(&mut bytes, (end, end), identity, (name, reader.as_ref()));
        }
        if end + bytes.len() > capacity {
            return self.replace(&after());
        }
        if let Err(error) = self.write(&bytes, end) {
            self.suspect = true;
            self.tell(&error);
            return Err(ReaderError::Unknown);
        }
        self.state = State::Present { identity, end: end + bytes.len(), capacity };
        Ok(())
    }

    /// Whether the file may hold something else than was answered.
    pub(super) fn is_suspect(&self) -> bool {
        self.suspect
    }

    /// Writes `readers` into a new file, which takes the old one's place.
    ///
    /// # Errors
    ///
    /// As [`Journal::change`].
    pub(super) fn replace(&mut self, readers: &Live) -> Result<(), ReaderError> {
        let live_bytes: usize =
            readers.iter().map(|(name, reader)| format::entry_bytes(name, &reader.owner)).sum();
        // Twice of what there is, so that a file is replaced after as much again was written.
        let capacity = (2 * (HEADER_BYTES + live_bytes)).next_multiple_of(CAPACITY_STEP);
        let capacity = capacity.max(CAPACITY_MIN);
        let created_as = names::next_readers(&self.directory);
        let created = salt().and_then(|salt| {
            let identity = Identity { log_id: self.log_id, salt };
            let (bytes, end) = format::encode(identity, readers, capacity);
            self.create(&created_as, &bytes)?;
            Ok(State::Present { identity, end, capacity })
        });
        let state = match created {
            Ok(state) => state,
            Err(error) => {
                // It may not be there; whatever is, is no readers file yet.
                let _absent = self.disk.remove(&created_as);
                return Err(self.failed(&error));
            }
        };
        let path = self.path();
        let renamed = self.disk.rename(&created_as, &path);
        // From here on nobody can tell which of both files a start will find.
        self.state = state;
        self.suspect = true;
        if let Err(error) = renamed {
            self.tell(&IoError::at("rename", &created_as)(error));
            return Err(ReaderError::Unknown);
        }
        if let Err(error) = self.disk.sync_directory(&self.directory) {
            self.directory_fault = Some(IoError::at(SYNC, &self.directory)(error));
            return Err(ReaderError::Unknown);
        }
        self.suspect = false;
        Ok(())
    }

    /// Why the log's directory was not synced: not only the readers may have been waiting for that.
    pub(super) fn take_directory_fault(&mut self) -> Option<IoError> {
        self.directory_fault.take()
    }

    fn create(&self, path: &Path, bytes: &[u8]) -> Result<(), IoError> {
        // Left over from an attempt that was cut short; absent in most cases.
        let _absent = self.disk.remove(path);
        let file = self.disk.create(path).map_err(IoError::at("create", path))?;
        file.allocate(wide(bytes.len())).map_err(IoError::at("allocate space for", path))?;
        file.write_at(bytes, 0).map_err(IoError::at("write", path))?;
        file.sync().map_err(IoError::at(SYNC, path))
    }

    /// The file's bytes and what they say; `None` if there is no file.
    fn read(&mut self) -> Result<Option<(Vec<u8>, Contents)>, ReaderError> {
        let read = check::bytes(&*self.disk, &self.directory).map_err(|e| self.failed(&e))?;
        let Some(bytes) = read else { return Ok(None) };
        let contents = format::decode(&bytes, self.log_id).map_err(|what| self.damaged(&what))?;
        Ok(Some((bytes, contents)))
    }

    fn write(&self, bytes: &[u8], position: usize) -> Result<(), IoError> {
        let path = self.path();
        let file = self.disk.open(&path).map_err(IoError::at("open", &path))?;
        file.write_at(bytes, wide(position)).map_err(IoError::at("write", &path))?;
        file.sync().map_err(IoError::at(SYNC, &path))
    }

    fn path(&self) -> PathBuf {
        names::readers(&self.directory)
    }

    fn failed(&self, error: &IoError) -> ReaderError {
        self.tell(error);
        if error.is_no_space() { ReaderError::NoSpace } else { ReaderError::Failed }
    }

    fn tell(&self, error: &IoError) {
        log::error!(path:% = self.path().display(), error:err = *error; "readers_failed");
    }

    fn damaged(&mut self, what: &str) -> ReaderError {
        if !std::mem::replace(&mut self.damage_told, true) {
            log::error!(path:% = self.path().display(), what:%; "readers_damaged");
        }
        ReaderError::Damaged
    }
}
