//! A file's bytes: what the process sees, what is durable, and which sectors lie between.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::tear::{Coin, Unsynced};
use crate::log::disk::{HeapMap, Map as _};
use crate::log::width::wide;

/// The piece that a disk writes whole or not at all.
pub(super) const SECTOR: usize = 512;

/// The piece in which a kernel writes.
pub(super) const PAGE: usize = 4096;

/// One file.
#[derive(Debug, Default)]
pub(super) struct Content {
    visible: Vec<u8>,
    durable: Vec<u8>,
    dirty: BTreeSet<usize>,
    mapped: Option<Arc<HeapMap>>,
}

impl Content {
    /// A file whose bytes are all durable.
    pub(super) fn synced(bytes: Vec<u8>) -> Self {
        Self { durable: bytes.clone(), visible: bytes, ..Self::default() }
    }

    pub(super) fn len(&self) -> u64 {
        wide(self.visible.len())
    }

    pub(super) fn visible(&mut self) -> Vec<u8> {
        self.pull_map();
        self.visible.clone()
    }

    pub(super) fn write(&mut self, bytes: &[u8], at: usize) {
        self.pull_map();
        let end = at + bytes.len();
        if self.visible.len() < end {
            self.visible.resize(end, 0);
        }
        if let Some(target) = self.visible.get_mut(at..end) {
            target.copy_from_slice(bytes);
        }
        self.dirty.extend(at / SECTOR..end.div_ceil(SECTOR));
    }

    pub(super) fn read(&mut self, buffer: &mut [u8], at: usize) -> usize {
        self.pull_map();
        let available = self.visible.get(at..).unwrap_or_default();
        let n = available.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..n), available.get(..n)) {
            to.copy_from_slice(from);
        }
        n
    }

    /// Cut bytes come back as zeros if the file grows again; that they are gone is dirty too.
    pub(super) fn set_len(&mut self, bytes: usize) {
        let old = self.visible.len();
        self.visible.resize(bytes, 0);
        self.dirty.extend(old.min(bytes) / SECTOR..old.max(bytes).div_ceil(SECTOR));
    }

    pub(super) fn sync(&mut self) {
        self.pull_map();
        self.durable.resize(self.visible.len(), 0);
        // Only what is dirty is written: pages that a failed sync left clean stay lost.
        for sector in std::mem::take(&mut self.dirty) {
            let range = sector_range(sector, self.visible.len());
            if let (Some(to), Some(from)) =
                (self.durable.get_mut(range.clone()), self.visible.get(range))
            {
                to.copy_from_slice(from);
            }
        }
    }

    /// A failed sync: the pages look clean from then on, whatever reached the disk.
    pub(super) fn forget_dirty(&mut self) {
        self.dirty.clear();
    }

    pub(super) fn map(&mut self, bytes: usize) -> io::Result<Arc<HeapMap>> {
        if self.visible.len() < bytes {
            return Err(ErrorKind::InvalidInput.into());
        }
        self.pull_map();
        let words = bytes / size_of::<AtomicU32>();
        if let Some(map) = self.mapped.as_ref().filter(|map| map.words().len() == words) {
            return Ok(Arc::clone(map));
        }
        let map = Arc::new(HeapMap::zeroed(words));
        for (word, chunk) in map.words().iter().zip(self.visible.chunks_exact(4)) {
            word.store(u32::from_ne_bytes(chunk.try_into().unwrap_or_default()), Ordering::Relaxed);
        }
        self.mapped = Some(Arc::clone(&map));
        Ok(map)
    }

    pub(super) fn sync_map(&mut self) {
        self.sync();
    }

    pub(super) fn after_power_cut(&self, coin: &mut Coin) -> Self {
        let mut seen = Self {
            visible: self.visible.clone(),
            durable: self.durable.clone(),
            dirty: self.dirty.clone(),
            mapped: self.mapped.clone(),
        };
        seen.pull_map();
        let mut left = seen.durable;
        let grows = coin.survives(Unsynced::Length);
        let len = if grows { seen.visible.len() } else { left.len() };
        left.resize(len, 0);
        let mut last = None;
        for sector in &seen.dirty {
            let piece = sector * SECTOR / coin.piece();
            let survives = match last {
                Some((same, survives)) if same == piece => survives,
                _ => coin.survives(Unsynced::Data),
            };
            last = Some((piece, survives));
            let range = sector_range(*sector, left.len().min(seen.visible.len()));
            if let (true, Some(to), Some(from)) =
                (survives, left.get_mut(range.clone()), seen.visible.get(range))
            {
                to.copy_from_slice(from);
            }
        }
        Self::synced(left)
    }

    /// Brings what was written through the map into the visible bytes.
    fn pull_map(&mut self) {
        let Some(map) = &self.mapped else { return };
        for (i, (word, chunk)) in
            map.words().iter().zip(self.visible.chunks_exact_mut(4)).enumerate()
        {
            let bytes = word.load(Ordering::Relaxed).to_ne_bytes();
            if chunk != bytes {
                chunk.copy_from_slice(&bytes);
                self.dirty.insert(i * 4 / SECTOR);
            }
        }
    }
}

fn sector_range(sector: usize, len: usize) -> Range<usize> {
    let start = (sector * SECTOR).min(len);
    start..(start + SECTOR).min(len)
}
