//! How often certificates and policy were read again, and how that went the last time.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Counts reloads. All calls may run concurrently.
#[derive(Debug, Default)]
pub struct Reloads {
    done: AtomicU64,
    refused: AtomicU64,
    is_last_refused: AtomicBool,
}

/// What came of reloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ReloadsSeen {
    pub(super) done: u64,
    pub(super) refused: u64,
    pub(super) is_last_refused: bool,
}

impl Reloads {
    /// What was read is in force.
    pub fn done(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
        self.is_last_refused.store(false, Ordering::Relaxed);
    }

    /// What was read had a fault; what was in force stays so.
    pub fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        self.is_last_refused.store(true, Ordering::Relaxed);
    }

    pub(super) fn seen(&self) -> ReloadsSeen {
        ReloadsSeen {
            done: self.done.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            is_last_refused: self.is_last_refused.load(Ordering::Relaxed),
        }
    }
}

impl ReloadsSeen {
    /// The number of what is in force, of which the first was read at the start.
    pub(super) fn generation(self) -> u64 {
        self.done + 1
    }
}
