//! What a set of logs tells of itself as a whole.

use std::time::Duration;

use super::Logs;
use crate::log::counters::Work;
use crate::log::error::IoError;
use crate::log::latency::Percentiles;
use crate::log::scrub::Scrubbed;
use crate::log::settings::Options;

impl Logs {
    /// What the set was opened with.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.engine.options
    }

    /// Whether a write or sync failed, after which nothing is acknowledged any more.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.engine.has_failed()
    }

    /// Whether appends are refused because the disk is full, or fuller than it should be. It is
    /// looked at about once a second.
    #[must_use]
    pub fn is_out_of_space(&self) -> bool {
        self.engine.space.shortage().is_some()
    }

    /// Bytes that are free on the file system of the data directory, and how many are kept free.
    ///
    /// # Errors
    ///
    /// The file system does not say.
    pub fn space(&self) -> Result<(u64, u64), IoError> {
        let free_bytes = self.engine.disk.free_bytes(&self.data);
        let free_bytes = free_bytes.map_err(IoError::at("stat", &self.data))?;
        Ok((free_bytes, self.engine.options.min_free_bytes))
    }

    /// How long the last 1,024 syncs of stores took.
    #[must_use]
    pub fn sync_latency(&self) -> Percentiles {
        self.engine.sync_latency.percentiles()
    }

    /// For how long the thread that has been at its work longest has been at it: of those that
    /// write and sync, and of the one that keeps time, which takes a second at most. The queue
    /// waits no longer than they all do.
    #[must_use]
    pub fn busy_for(&self) -> Duration {
        self.engine.busy.longest()
    }

    /// What was done since the set was opened.
    #[must_use]
    pub fn work_done(&self) -> Work {
        self.engine.counters.work()
    }

    /// How many jobs wait for the flushers, and how many chores for their thread.
    #[must_use]
    pub fn queued(&self) -> (usize, usize) {
        self.engine.queued()
    }

    /// What the scrubber has done since the start.
    #[must_use]
    pub fn scrubbed(&self) -> Scrubbed {
        self.engine.scrubbed.snapshot()
    }
}
