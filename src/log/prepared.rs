//! The next segment's files, created, allocated and filled with zeros before they are needed.
//!
//! Their base offset is not known yet, so they have names of their own until the segment begins; a
//! start removes them. They are closed until then, since most logs never need them.
//!
//! The first write into a block that is only allocated makes its sync write the file system's own
//! record of that block too: with 4 KiB a sync took 340 us at the median, and 190 us in space that
//! was filled (ext4, a virtual disk). It is not worth the copy and the disk's time where much is
//! written at once: with megabytes filling took a sixth of the processor time and gained nothing.

use std::io::ErrorKind;
use std::sync::Arc;

use super::active::{Active, Writes, index_entries};
use super::checkpoint::Mark;
use super::commit_log::Log;
use super::disk::Disk;
use super::error::{IoError, SYNC};
use super::index::Index;
use super::names;
use super::offset::Offset;
use super::seed::salt;
use super::segment::{Segment, SegmentFiles};
use super::store::Store;
use super::store_header::{STORE_HEADER_BYTES, StoreHeader};
use super::width::{narrow, wide};
use crate::fail_points::fail_point;
use crate::sync::Instant;

/// How much is filled at once. A log that needs the files meanwhile waits for so much.
const FILL_BYTES: usize = 1 << 20;
static ZEROS: [u8; FILL_BYTES] = [0; FILL_BYTES];

/// Files that are ready to become a segment.
#[derive(Debug)]
pub(crate) struct Prepared {
    capacity_bytes: u64,
    /// Bytes of the store that are filled with zeros.
    filled_bytes: u64,
}

impl Prepared {
    /// Creates and allocates the files. On an error none is left behind.
    pub(crate) fn create(log: &Log, capacity_bytes: u64) -> Result<Self, IoError> {
        Self::create_files(log, capacity_bytes).inspect_err(|_| remove(log))
    }

    fn create_files(log: &Log, capacity_bytes: u64) -> Result<Self, IoError> {
        let disk = &*log.engine().disk;
        let store_path = names::next_store(log.directory());
        let store = disk.create(&store_path).map_err(IoError::at("create", &store_path))?;
        store.allocate(capacity_bytes).map_err(IoError::at("allocate space for", &store_path))?;
        let entries = index_entries(capacity_bytes, &log.settings());
        Index::create(disk, &names::next_index(log.directory()), entries)?;
        Ok(Self { capacity_bytes, filled_bytes: 0 })
    }

    /// Fills the next part of the store's space; `false` if there is none left. On an error no file
    /// is left behind.
    pub(crate) fn fill_on(&mut self, log: &Log) -> Result<bool, IoError> {
        let left = self.capacity_bytes.saturating_sub(self.filled_bytes);
        let part = ZEROS.get(..FILL_BYTES.min(narrow(left))).unwrap_or_default();
        if part.is_empty() {
            return Ok(false);
        }
        self.fill_with(part, log).inspect_err(|_| remove(log))?;
        self.filled_bytes += wide(part.len());
        Ok(true)
    }

    fn fill_with(&self, zeros: &[u8], log: &Log) -> Result<(), IoError> {
        let path = names::next_store(log.directory());
        let store = log.engine().disk.open(&path).map_err(IoError::at("open", &path))?;
        store.write_at(zeros, self.filled_bytes).map_err(IoError::at("write", &path))?;
        store.sync().map_err(IoError::at(SYNC, &path))
    }

    /// Makes the files the segment that begins at `base`, durably. On an error that more space
    /// would cure none is left behind.
    pub(crate) fn begin(self, log: &Log, base: Offset) -> Result<Active, IoError> {
        self.name(log, base).inspect_err(|e| {
            if e.is_no_space() {
                remove(log);
                // Absent if its rename was what failed.
                let _absent = log.engine().disk.remove(&names::index(log.directory(), base));
            }
        })
    }

    fn name(self, log: &Log, base: Offset) -> Result<Active, IoError> {
        let disk = &*log.engine().disk;
        let directory = log.directory();
        let index = self.name_index(log, base)?;
        let header = StoreHeader { log_id: log.id(), base, salt: salt()? };
        let created_as = names::next_store(directory);
        let path = names::store(directory, base);
        let file = disk.open(&created_as).map_err(IoError::at("open", &created_as))?;
        let store = Store::begin(disk, (file, &created_as), &path, &header)?;
        fail_point!("prepared::store_named");
        disk.sync_directory(directory).map_err(IoError::at(SYNC, directory))?;
        let files = Arc::new(SegmentFiles::new(store, index, &log.engine().cache));
        let opener = (&log.engine().disk, &log.engine().cache);
        let segment = Segment::known(opener, directory, log.id(), (base, base)).begin(&files);
        let mark = Mark {
            base,
            position: wide(STORE_HEADER_BYTES),
            capacity_bytes: self.capacity_bytes,
            ..Mark::default()
        };
        let (segment, began) = (Arc::new(segment), Instant::now());
        let allocated_bytes = self.capacity_bytes;
        let (prepare_asked, writes) = (false, Writes::default());
        Ok(Active { segment, files, mark, allocated_bytes, began, prepare_asked, writes })
    }
}

impl Prepared {
    /// The index under its name. One that somebody has removed meanwhile is made anew: nothing
    /// hangs on an index.
    fn name_index(&self, log: &Log, base: Offset) -> Result<Index, IoError> {
        let (disk, directory) = (&*log.engine().disk, log.directory());
        let (created_as, path) = (names::next_index(directory), names::index(directory, base));
        match disk.rename(&created_as, &path) {
            Ok(()) => {
                fail_point!("prepared::index_named");
                Index::open(disk, &path)
            }
            Err(e) if e.kind() == ErrorKind::NotFound => {
                log::warn!(path:% = path.display(), entries = 0; "index_replaced");
                Index::create(disk, &path, index_entries(self.capacity_bytes, &log.settings()))
            }
            Err(e) => Err(IoError::at("rename", &created_as)(e)),
        }
    }
}

/// Removes the files of a segment that was prepared and not used; they may be absent.
pub(crate) fn remove(log: &Log) {
    let disk: &dyn Disk = &*log.engine().disk;
    let _absent = disk.remove(&names::next_store(log.directory()));
    let _absent = disk.remove(&names::next_index(log.directory()));
}
