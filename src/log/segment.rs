//! A segment: a store and its index, from a base offset on.
//!
//! A segment is known by its offsets alone; its files are opened when they are needed and kept by
//! the cache of open files. Reads never trust the index: the frame that it names must hold the
//! offset, else the index is rebuilt from the store and asked again, and only then is it damage.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, Weak};

use super::chunk::Chunk;
use super::disk::Disk;
use super::error::{IoError, ReadError};
use super::files::{Counted, FileCache};
use super::fill::Frames;
use super::index::Index;
use super::names;
use super::offset::{LogId, Offset};
use super::reached::Reached;
use super::scan::{Found, Scan};
use super::store::{Store, StoreFault};
use super::store_header::STORE_HEADER_BYTES;
use super::width::{narrow, wide};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// Stands for a number of index entries that nobody has counted yet.
const ENTRIES_UNKNOWN: u32 = u32::MAX;

/// A segment of a log. Reads may run concurrently with each other and with the one writer.
#[derive(Debug)]
pub(crate) struct Segment {
    disk: Arc<dyn Disk>,
    cache: Arc<FileCache>,
    directory: PathBuf,
    log_id: LogId,
    base: Offset,
    /// The offset after the last record: of what was written while active, final once sealed.
    end: AtomicU64,
    /// How many index entries readers may look at.
    entries: AtomicU32,
    /// Where the frames end in the store; beyond are zeros that a read need not bring. Only a hint.
    frames_end: AtomicU64,
    files: Mutex<Weak<SegmentFiles>>,
    /// Whether the files are the segment's no more; set under the lock on them.
    is_gone: AtomicBool,
    is_sealed: AtomicBool,
    /// What it amounts to, once it is sealed and someone asked.
    facts: OnceLock<Facts>,
    /// Ranges that were found damaged: from, and where reading can go on.
    damage: Mutex<Vec<(Offset, Option<Offset>)>>,
}

/// What a sealed segment amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) store_bytes: u64,
    /// When its first and its last record were appended; `None` if it is too damaged to tell.
    pub(crate) times_us: Option<(u64, u64)>,
}

/// The open files of a segment.
#[derive(Debug)]
pub(crate) struct SegmentFiles {
    pub(crate) store: Store,
    pub(crate) index: Index,
    /// Counts these among what is open.
    _counted: Counted,
}

impl SegmentFiles {
    pub(crate) fn new(store: Store, index: Index, cache: &FileCache) -> Self {
        Self { store, index, _counted: cache.count() }
    }
}

impl Segment {
    /// A segment on disk whose files are not open yet.
    pub(crate) fn known(
        (disk, cache): (&Arc<dyn Disk>, &Arc<FileCache>),
        directory: &Path,
        log_id: LogId,
        (base, end): (Offset, Offset),
    ) -> Self {
        Self {
            disk: Arc::clone(disk),
            cache: Arc::clone(cache),
            directory: directory.to_owned(),
            log_id,
            base,
            end: AtomicU64::new(end.get()),
            entries: AtomicU32::new(ENTRIES_UNKNOWN),
            frames_end: AtomicU64::new(u64::MAX),
            files: Mutex::default(),
            is_gone: AtomicBool::new(false),
            is_sealed: AtomicBool::new(false),
            facts: OnceLock::new(),
            damage: Mutex::default(),
        }
    }

    /// A segment whose files were just created.
    pub(crate) fn begin(self, files: &Arc<SegmentFiles>) -> Self {
        self.entries.store(0, Ordering::Release);
        *self.files.lock() = Arc::downgrade(files);
        self
    }

    pub(crate) fn base(&self) -> Offset {
        self.base
    }

    pub(crate) fn end(&self) -> Offset {
        Offset::new(self.end.load(Ordering::Acquire))
    }

    pub(crate) fn store_path(&self) -> PathBuf {
        names::store(&self.directory, self.base)
    }

    pub(crate) fn index_path(&self) -> PathBuf {
        names::index(&self.directory, self.base)
    }

    /// Lets readers see `entries` index entries and the records up to `end`, whose frames end at
    /// `position`, as far as the watermark allows. Only the writer calls this.
    pub(crate) fn publish(&self, entries: u32, end: Offset, position: u64) {
        self.frames_end.store(position, Ordering::Relaxed);
        self.entries.store(entries, Ordering::Release);
        self.end.store(end.get(), Ordering::Release);
    }

    /// It takes no more frames; this is what it amounts to, if that is known.
    pub(crate) fn sealed(&self, facts: Option<Facts>) {
        if let Some(facts) = facts {
            self.facts.get_or_init(|| facts);
        }
        self.is_sealed.store(true, Ordering::Release);
    }

    pub(crate) fn is_sealed(&self) -> bool {
        self.is_sealed.load(Ordering::Acquire)
    }

    /// What it amounts to, if that is known: never before it is sealed.
    pub(crate) fn known_facts(&self) -> Option<Facts> {
        self.facts.get().copied()
    }

    /// What this sealed segment amounts to, read from its store the first time.
    pub(crate) fn facts(&self) -> Result<Facts, IoError> {
        if let Some(facts) = self.known_facts() {
            return Ok(facts);
        }
        let open = self.files.lock().upgrade();
        let facts = match open {
            Some(files) => facts_of(&files.store)?,
            // Not kept open: this asks once, about many segments in a row.
            None => match Store::open(&*self.disk, &self.store_path(), self.log_id, self.base) {
                Ok(store) => facts_of(&store)?,
                Err(StoreFault::Io(e)) => return Err(e),
                Err(StoreFault::Header | StoreFault::Newer(_)) => {
                    Facts { store_bytes: self.store_bytes()?, times_us: None }
                }
            },
        };
        Ok(*self.facts.get_or_init(|| facts))
    }

    /// As `facts`, and if its store cannot be read at least its size.
    pub(crate) fn facts_or_size(&self) -> Result<Facts, IoError> {
        self.facts().or_else(|_| Ok(Facts { store_bytes: self.store_bytes()?, times_us: None }))
    }

    /// Lets go of the files, which are about to be removed: nobody opens them by their names any
    /// more, which a log of the same name may use again.
    pub(crate) fn retire(&self) {
        let mut held = self.files.lock();
        self.is_gone.store(true, Ordering::Release);
        let open = std::mem::take(&mut *held).upgrade();
        drop(held);
        if let Some(files) = open {
            self.cache.forget(&files);
        }
    }

    /// Whether some of its records were found damaged.
    pub(crate) fn has_damage(&self) -> bool {
        !self.damage.lock().is_empty()
    }

    fn store_bytes(&self) -> Result<u64, IoError> {
        let path = self.store_path();
        let file = self.disk.open(&path).map_err(IoError::at("open", &path))?;
        file.file_bytes().map_err(IoError::at("stat", &path))
    }

    /// Remembers damage, so that reads of it need not look for it again; `false` if all of it was
    /// known.
    pub(crate) fn mark_damaged(&self, from: Offset, resume: Option<Offset>) -> bool {
        let mut damage = self.damage.lock();
        let covers = |(known, to): &(Offset, Option<Offset>)| {
            *known <= from && to.is_none_or(|to| resume.is_some_and(|resume| resume <= to))
        };
        let is_news = !damage.iter().any(covers);
        if is_news {
            damage.push((from, resume));
        }
        is_news
    }

    /// Whether its files are its no more.
    pub(crate) fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Acquire)
    }

    /// Opens its store beside the cache of open files, for one look at all of it.
    pub(crate) fn open_apart(&self) -> Result<Store, StoreFault> {
        Store::open(&*self.disk, &self.store_path(), self.log_id, self.base)
    }

    /// Whole frames from the one that holds `offset`, which lies in this segment below `limit`: at
    /// least one, then as many as fit in `bytes_max`, none that reaches beyond `limit`.
    pub(crate) fn read(
        &self,
        offset: Offset,
        limit: Offset,
        bytes_max: usize,
    ) -> Result<Chunk, ReadError> {
        self.refuse_known_damage(offset)?;
        let files = self.files_to_read(offset)?;
        if let Some(chunk) = self.read_indexed(&files, offset, limit, bytes_max)? {
            return Ok(chunk);
        }
        self.rebuild_index(&files)?;
        if let Some(chunk) = self.read_indexed(&files, offset, limit, bytes_max)? {
            return Ok(chunk);
        }
        let (from, resume) = self.locate_damage(&files.store, offset)?;
        self.mark_damaged(from, resume);
        Err(ReadError::Damaged { from, resume })
    }

    /// The open files for a read at `offset`, which is damaged if the store cannot be read.
    pub(crate) fn files_to_read(&self, offset: Offset) -> Result<Arc<SegmentFiles>, ReadError> {
        self.files().map_err(|fault| match fault {
            StoreFault::Io(e) => e.into(),
            StoreFault::Header | StoreFault::Newer(_) => {
                self.mark_damaged(self.base, Some(self.end()));
                ReadError::Damaged { from: offset, resume: Some(self.end()) }
            }
        })
    }

    /// The segment's open files, opened now if need be.
    pub(crate) fn files(&self) -> Result<Arc<SegmentFiles>, StoreFault> {
        let mut held = self.files.lock();
        if let Some(files) = held.upgrade() {
            self.cache.keep(Arc::clone(&files));
            return Ok(files);
        }
        if self.is_gone.load(Ordering::Acquire) {
            let gone = std::io::Error::from(std::io::ErrorKind::NotFound);
            return Err(StoreFault::Io(IoError::at("open", &self.store_path())(gone)));
        }
        let store = Store::open(&*self.disk, &self.store_path(), self.log_id, self.base)?;
        let files = Arc::new(self.open_index(store).map_err(StoreFault::Io)?);
        *held = Arc::downgrade(&files);
        self.cache.keep(Arc::clone(&files));
        Ok(files)
    }

    /// Makes the index durable if it is open; drops and rebuilds it if that fails.
    pub(crate) fn sync_index(&self) {
        let Some(files) = self.files.lock().upgrade() else {
            return;
        };
        if let Err(error) = files.index.sync() {
            log::warn!(path:% = self.index_path().display(), error:err; "index_sync_failed");
            if let Err(error) = self.rebuild_index(&files) {
                log::warn!(path:% = self.index_path().display(), error:err; "index_rebuild_failed");
            }
        }
    }

    /// Writes every index entry anew from the store. Readers may look at the same time: whatever
    /// they find, they check.
    pub(crate) fn rebuild_index(&self, files: &SegmentFiles) -> Result<(), IoError> {
        // One at a time: the lock on the files is free while they are open.
        let _one = self.damage.lock();
        let entries = self.entries();
        let frames = self.frames(&files.store, entries)?;
        let entries = frames.fill(&files.index, entries)?;
        log::warn!(path:% = self.index_path().display(), entries; "index_rebuilt");
        Ok(())
    }

    /// Its frames. As long as it is active there may be some behind `end` already, and behind the
    /// `entries` that are asked for nothing but the space that appends will take.
    fn frames<'a>(&self, store: &'a Store, entries: u32) -> Result<Frames<'a>, IoError> {
        let nothing = Reached::nothing(self.base);
        if self.is_sealed() {
            Frames::of(store, nothing.within(self.end()), u32::MAX)
        } else {
            Frames::of(store, nothing, entries)
        }
    }

    pub(crate) fn entries(&self) -> u32 {
        self.entries.load(Ordering::Acquire)
    }

    /// Opens the index for `store`, or makes it anew if its file cannot hold what it should.
    fn open_index(&self, store: Store) -> Result<SegmentFiles, IoError> {
        let known = match self.entries() {
            ENTRIES_UNKNOWN => store.footer()?.map(|footer| footer.frames),
            counted => Some(counted),
        };
        let path = self.index_path();
        if let Some(entries) = known
            && let Ok(index) = Index::open(&*self.disk, &path)
            && index.capacity() >= entries
        {
            self.entries.store(entries, Ordering::Release);
            return Ok(SegmentFiles::new(store, index, &self.cache));
        }
        let frames = self.frames(&store, known.unwrap_or(u32::MAX))?;
        let entries = known.unwrap_or(frames.count());
        let index = self.replace_index(&path, entries);
        let filled = frames.fill(&index, entries)?;
        self.entries.store(entries, Ordering::Release);
        log::warn!(path:% = path.display(), entries = filled; "index_replaced");
        Ok(SegmentFiles::new(store, index, &self.cache))
    }

    /// A new index file, or one in memory where the disk has no room for it.
    fn replace_index(&self, path: &Path, entries: u32) -> Index {
        // The file may be absent; if it cannot be removed, creating it anew fails too.
        let _absent = self.disk.remove(path);
        Index::create(&*self.disk, path, entries).unwrap_or_else(|_| Index::in_memory(entries))
    }

    fn read_indexed(
        &self,
        files: &SegmentFiles,
        offset: Offset,
        limit: Offset,
        bytes_max: usize,
    ) -> Result<Option<Chunk>, IoError> {
        let Some(position) = self.position(files, offset) else {
            return Ok(None);
        };
        let frames_bytes = self.frames_end.load(Ordering::Relaxed).saturating_sub(position);
        let bytes_max = bytes_max.min(narrow(frames_bytes));
        Chunk::read(&files.store, position, offset, limit, bytes_max)
    }

    /// Where the index says that the frame stands which holds `offset`.
    pub(crate) fn position(&self, files: &SegmentFiles, offset: Offset) -> Option<u64> {
        files.index.find(self.entries(), self.relative(offset)?)
    }

    fn relative(&self, offset: Offset) -> Option<u32> {
        u32::try_from(offset.get().checked_sub(self.base.get())?).ok()
    }

    fn refuse_known_damage(&self, offset: Offset) -> Result<(), ReadError> {
        let damage = self.damage.lock();
        let hit = damage
            .iter()
            .find(|(from, resume)| *from <= offset && resume.is_none_or(|resume| offset < resume));
        match hit {
            Some(&(_, resume)) => Err(ReadError::Damaged { from: offset, resume }),
            None => Ok(()),
        }
    }

    /// The range around `offset` that no valid frame covers.
    fn locate_damage(
        &self,
        store: &Store,
        offset: Offset,
    ) -> Result<(Offset, Option<Offset>), IoError> {
        let end = self.end();
        let mut reached = Reached::nothing(self.base).within(end);
        let mut scan = Scan::verified(store, wide(STORE_HEADER_BYTES))?;
        loop {
            // Also if a frame holds the offset, where nothing leads to it.
            let from = reached.end.min(offset);
            match scan.next()? {
                Found::Frame { header, intact, .. } => {
                    if intact && reached.take(&header) && header.base > offset {
                        return Ok((from, Some(header.base)));
                    }
                }
                Found::Footer { .. } => return Ok((from, Some(end))),
                Found::Nothing { .. } => {
                    if !scan.resync()? {
                        return Ok((from, Some(end)));
                    }
                }
            }
        }
    }
}

fn facts_of(store: &Store) -> Result<Facts, IoError> {
    let times_us = store.footer()?.map(|footer| (footer.first_time_us, footer.last_time_us));
    Ok(Facts { store_bytes: store.file_bytes()?, times_us })
}
