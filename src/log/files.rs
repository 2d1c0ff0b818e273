//! Keeps the files of recently used segments open, a bounded number of them.
//!
//! A segment holds its files weakly; the cache holds them strongly until others push them out. The
//! writer of a busy log holds its active segment's beside it, unless too many are open: then
//! writers let go of theirs after each write.

use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;

use super::segment::SegmentFiles;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicUsize, Ordering};

/// The bounded cache of open segment files, shared by all logs.
#[derive(Debug)]
pub(crate) struct FileCache {
    kept: Mutex<LruCache<usize, Arc<SegmentFiles>>>,
    open: Arc<AtomicUsize>,
    open_max: usize,
}

/// Stands for the open files of a segment for as long as it lives.
#[derive(Debug)]
pub(crate) struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl FileCache {
    /// A cache of at most `segments_max` open segments, and of half of `open_max`; with those of
    /// busy writers, it is crowded beyond `open_max`.
    pub(crate) fn new(segments_max: usize, open_max: usize) -> Self {
        let segments_max = segments_max.min(open_max / 2);
        let capacity = NonZeroUsize::new(segments_max).unwrap_or(NonZeroUsize::MIN);
        Self { kept: Mutex::new(LruCache::new(capacity)), open: Arc::default(), open_max }
    }

    /// Counts one more open segment, until the value is dropped.
    pub(crate) fn count(&self) -> Counted {
        self.open.fetch_add(1, Ordering::Relaxed);
        Counted(Arc::clone(&self.open))
    }

    /// Whether so many segments are open that nobody should hold one without need.
    pub(crate) fn is_crowded(&self) -> bool {
        self.open.load(Ordering::Relaxed) > self.open_max
    }

    /// Keeps `files` open until others are used more recently.
    pub(crate) fn keep(&self, files: Arc<SegmentFiles>) {
        let pushed_out = self.kept.lock().push(Arc::as_ptr(&files).addr(), files);
        // Closed outside the lock: closing may unmap and release much.
        drop(pushed_out);
    }

    /// Lets go of `files`, whose segment is gone.
    pub(crate) fn forget(&self, files: &Arc<SegmentFiles>) {
        let forgotten = self.kept.lock().pop(&Arc::as_ptr(files).addr());
        drop(forgotten);
    }
}
