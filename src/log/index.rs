//! Maps an offset to the position of its frame in the store, through a shared memory map.
//!
//! An entry is three little-endian words, 12 bytes: the frame's offset relative to the segment's
//! base, then its position, low word first. Position 0 is the store's header, so an all-zero entry
//! is an unused one. Everything here is derived from the store: readers check the frame that an
//! entry names, and a damaged index costs a rescan, never a record.
//!
//! One writer puts entries and then publishes their count; readers look only below a count that
//! they were given, so that no lock is needed.

use std::sync::atomic::{AtomicU32, Ordering};

use super::disk::{Disk, HeapMap, Map};
use super::error::IoError;
use std::path::Path;

/// The length of an entry.
pub(crate) const ENTRY_BYTES: u64 = 12;

/// A segment's index.
#[derive(Debug)]
pub(crate) struct Index {
    map: Box<dyn Map>,
}

impl Index {
    /// Maps an existing index file, whatever it holds.
    pub(crate) fn open(disk: &dyn Disk, path: &Path) -> Result<Self, IoError> {
        let file = disk.open(path).map_err(IoError::at("open", path))?;
        let bytes = file.file_bytes().map_err(IoError::at("stat", path))?;
        // Space that was not allocated would end the process when a full disk is written through
        // the map, so what is there is allocated again: that costs nothing if it was.
        file.allocate(bytes.max(ENTRY_BYTES)).map_err(IoError::at("allocate space for", path))?;
        let map = file.map(bytes.max(ENTRY_BYTES)).map_err(IoError::at("map", path))?;
        Ok(Self { map })
    }

    /// Creates an index file with room for `entries`, all unused. Where there is no space for it
    /// none is left behind.
    pub(crate) fn create(disk: &dyn Disk, path: &Path, entries: u32) -> Result<Self, IoError> {
        let bytes = u64::from(entries.max(1)) * ENTRY_BYTES;
        let file = disk.create(path).map_err(IoError::at("create", path))?;
        let allocated = file.allocate(bytes);
        allocated.map_err(IoError::at("allocate space for", path)).inspect_err(|_| {
            // It may hold some of the space that is lacking.
            let _removed = disk.remove(path);
        })?;
        let map = file.map(bytes).map_err(IoError::at("map", path))?;
        Ok(Self { map })
    }

    /// An index in memory alone, for when its file cannot be had. It has room for one entry at
    /// least, since an empty segment always takes a batch.
    pub(crate) fn in_memory(entries: u32) -> Self {
        let words = usize::try_from(entries.max(1)).unwrap_or(usize::MAX).saturating_mul(3);
        Self { map: Box::new(HeapMap::zeroed(words)) }
    }

    /// How many entries fit. A file that is no multiple of an entry has a rest that is not used.
    pub(crate) fn capacity(&self) -> u32 {
        u32::try_from(self.map.words().len() / 3).unwrap_or(u32::MAX)
    }

    /// Writes entry `n`; `false` if it does not fit. Only the segment's writer may call this.
    pub(crate) fn put(&self, n: u32, relative: u32, position: u64) -> bool {
        let Some([offset, low, high]) = self.entry(n) else {
            return false;
        };
        let [a, b, c, d, e, f, g, h] = position.to_le_bytes();
        offset.store(relative.to_le(), Ordering::Relaxed);
        low.store(u32::from_ne_bytes([a, b, c, d]), Ordering::Relaxed);
        high.store(u32::from_ne_bytes([e, f, g, h]), Ordering::Relaxed);
        true
    }

    /// The position that the last of the first `count` entries at or below `relative` names.
    pub(crate) fn find(&self, count: u32, relative: u32) -> Option<u64> {
        let (mut low, mut high) = (0, count.min(self.capacity()));
        while low < high {
            let middle = low + (high - low) / 2;
            if self.get(middle)?.0 <= relative { low = middle + 1 } else { high = middle }
        }
        let (_, position) = self.get(low.checked_sub(1)?)?;
        (position != 0).then_some(position)
    }

    /// The position that entry `n` names.
    pub(crate) fn position(&self, n: u32) -> Option<u64> {
        self.get(n).map(|(_, position)| position)
    }

    /// Makes the entries durable.
    pub(crate) fn sync(&self) -> std::io::Result<()> {
        self.map.sync()
    }

    fn get(&self, n: u32) -> Option<(u32, u64)> {
        let [offset, low, high] = self.entry(n)?;
        let [a, b, c, d] = low.load(Ordering::Relaxed).to_ne_bytes();
        let [e, f, g, h] = high.load(Ordering::Relaxed).to_ne_bytes();
        let position = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        Some((u32::from_le(offset.load(Ordering::Relaxed)), position))
    }

    fn entry(&self, n: u32) -> Option<&[AtomicU32; 3]> {
        let first = usize::try_from(n).ok()?.checked_mul(3)?;
        self.map.words().get(first..)?.first_chunk()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entry_at_or_below_an_offset_is_found() {
        let index = Index::in_memory(4);
        for (n, (relative, position)) in [(0, 64), (10, 1 << 33), (15, 1 << 34)].iter().enumerate()
        {
            assert!(index.put(u32::try_from(n).unwrap(), *relative, *position));
        }
        let found: Vec<_> = [0, 9, 10, 14, 15, 99].map(|r| index.find(3, r)).into();
        let [a, b, c] = [Some(64), Some(1 << 33), Some(1 << 34)];
        assert_eq!(found, [a, a, b, b, c, c]);
        assert_eq!(index.find(0, 5), None, "nothing is published yet");
    }

    #[test]
    fn an_entry_beyond_the_capacity_is_refused() {
        let index = Index::in_memory(1);
        assert!(index.put(0, 0, 64));
        assert!(!index.put(1, 1, 128));
    }

    #[test]
    fn a_file_that_is_no_multiple_of_an_entry_holds_the_whole_entries() {
        let disk = crate::log::disk::SimDisk::new();
        let path = Path::new("/x.index");
        disk.create(path).unwrap().allocate(12 * 3 + 7).unwrap();
        assert_eq!(Index::open(&disk, path).unwrap().capacity(), 3);
    }

    #[test]
    fn a_file_without_the_space_that_it_needs_is_not_left_behind() {
        let disk = crate::log::disk::SimDisk::new();
        let path = Path::new("/x.index");
        disk.fail(crate::log::disk::Op::Allocate, 0, std::io::ErrorKind::StorageFull);
        Index::create(&disk, path, 3).unwrap_err();
        assert!(disk.open(path).is_err());
        Index::create(&disk, path, 3).unwrap();
        Index::create(&disk, path, 4).unwrap_err();
        assert_eq!(Index::open(&disk, path).unwrap().capacity(), 3, "one that was there stays");
    }
}
