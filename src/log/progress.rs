//! How far the opening of a set of logs has come, for whoever waits for it.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts what an opening has done. All calls may run concurrently.
#[derive(Debug, Default)]
pub struct OpenProgress {
    logs: AtomicU64,
    logs_open: AtomicU64,
    stores_read: AtomicU64,
}

/// What has been done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// How many logs were found; 0 before that.
    pub logs: u64,
    /// How many of them are open.
    pub logs_open: u64,
    /// How many stores were read because nothing said that they are in order.
    pub stores_read: u64,
}

impl OpenProgress {
    /// What has been done so far.
    #[must_use]
    pub fn so_far(&self) -> Opened {
        Opened {
            logs: self.logs.load(Ordering::Relaxed),
            logs_open: self.logs_open.load(Ordering::Relaxed),
            stores_read: self.stores_read.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn found(&self, logs: usize) {
        self.logs.store(u64::try_from(logs).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(crate) fn log_opened(&self) {
        self.logs_open.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn store_read(&self) {
        self.stores_read.fetch_add(1, Ordering::Relaxed);
    }
}
