//! Compares an index with the frames of its store, in one pass beside the walk through the store.

use std::path::PathBuf;

use super::fault::{Fault, Meaning};
use crate::log::codec::Decoder;
use crate::log::disk::{Disk, File};
use crate::log::error::IoError;
use crate::log::index::ENTRY_BYTES;
use crate::log::offset::Offset;
use crate::log::width::{narrow, wide};

/// Entries that are read at once.
const BLOCK_ENTRIES: u64 = 8192;

/// An index that is read entry by entry.
#[derive(Debug)]
pub(super) struct Entries {
    path: PathBuf,
    base: Offset,
    /// `None` if there is no index.
    file: Option<Box<dyn File>>,
    /// The number of the next entry.
    next: u64,
    block: Vec<u8>,
    block_from: u64,
    /// The first entry that is wrong, and how many are.
    wrong: Option<u64>,
    wrong_count: u64,
    unreadable: Option<Fault>,
}

impl Entries {
    pub(super) fn open(disk: &dyn Disk, path: PathBuf, base: Offset) -> Self {
        let opened = disk.open(&path);
        let unreadable = match &opened {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                let what = format!("cannot open it: {e}");
                Some(Fault::of(&path, Meaning::Unreadable, what))
            }
            Ok(_) | Err(_) => None,
        };
        Self {
            path,
            base,
            file: opened.ok(),
            next: 0,
            block: Vec::new(),
            block_from: 0,
            wrong: None,
            wrong_count: 0,
            unreadable,
        }
    }

    /// The next frame begins at `offset` and stands at `position`. Behind damage entries of frames
    /// that are gone may come first.
    pub(super) fn expect(&mut self, offset: Offset, position: u64, behind_damage: bool) {
        if self.unreadable.is_some() {
            return;
        }
        let relative = offset.get().saturating_sub(self.base.get());
        let mut entry = self.get(self.next);
        while behind_damage && entry.is_some_and(|(_, at)| at != 0 && at < position) {
            self.next += 1;
            entry = self.get(self.next);
        }
        if entry.map(|(own, at)| (u64::from(own), at)) != Some((relative, position)) {
            self.wrong.get_or_insert(self.next);
            self.wrong_count += 1;
        }
        self.next += 1;
    }

    /// What is wrong with the index, now that all frames were told.
    pub(super) fn fault(self) -> Option<Fault> {
        if self.unreadable.is_some() {
            return self.unreadable;
        }
        let first = self.wrong?;
        let what = match self.file {
            None => "the index is missing; it is made anew from the store".to_owned(),
            Some(_) => format!(
                "{} of {} entries, from number {first} on, do not lead to their batches; they are \
                 made anew from the store",
                self.wrong_count, self.next
            ),
        };
        Some(Fault::of(&self.path, Meaning::Derived, what).at(first * ENTRY_BYTES))
    }

    fn get(&mut self, n: u64) -> Option<(u32, u64)> {
        let held = self.block_from..self.block_from + wide(self.block.len()) / ENTRY_BYTES;
        if !held.contains(&n) {
            self.read_block(n)?;
        }
        let at = narrow((n - self.block_from) * ENTRY_BYTES);
        let mut fields = Decoder::new(self.block.get(at..)?);
        Some((fields.u32()?, fields.u64()?))
    }

    fn read_block(&mut self, n: u64) -> Option<()> {
        let file = self.file.as_ref()?;
        self.block.resize(narrow(BLOCK_ENTRIES * ENTRY_BYTES), 0);
        match file.read_at(&mut self.block, n.saturating_mul(ENTRY_BYTES)) {
            Ok(read) => self.block.truncate(read),
            Err(e) => {
                self.block.clear();
                self.unreadable = Some(Fault::unreadable(&IoError::at("read", &self.path)(e)));
            }
        }
        self.block_from = n;
        Some(())
    }
}
