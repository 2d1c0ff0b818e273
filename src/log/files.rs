//! Keeps the files of recently used segments open, a bounded number of them.
//!
//! A segment holds its files weakly; the cache holds them strongly until others push them out. The
//! writer of a busy log holds its active segment's beside it.

use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;
use parking_lot::Mutex;

use super::segment::SegmentFiles;

/// The bounded cache of open segment files, shared by all logs.
#[derive(Debug)]
pub(crate) struct FileCache {
    kept: Mutex<LruCache<usize, Arc<SegmentFiles>>>,
}

impl FileCache {
    /// A cache of at most `segments_max` open segments, two files each.
    pub(crate) fn new(segments_max: usize) -> Self {
        let capacity = NonZeroUsize::new(segments_max).unwrap_or(NonZeroUsize::MIN);
        Self { kept: Mutex::new(LruCache::new(capacity)) }
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
