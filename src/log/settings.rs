//! How logs are cut into segments, and how the storage works: every limit with unit and default.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use super::clock::{HostTime, TimeSource};
use super::error::FatalError;
use super::progress::OpenProgress;

/// The largest segment that can be set, in bytes.
pub const SEGMENT_BYTES_LIMIT: u64 = 4 << 30;
/// The smallest segment that can be set, in bytes.
pub const SEGMENT_BYTES_MIN: u64 = 4 << 10;
/// The smallest index that can be set, in bytes: one entry.
pub const INDEX_BYTES_MIN: u64 = 12;
/// The largest batch that can be set, in bytes.
pub const BATCH_BYTES_LIMIT: u32 = 64 << 20;
/// The least age at which segments can be set to roll, in milliseconds.
const SEGMENT_AGE_MIN_MS: u64 = 1000;

/// The most segments that may be open: each has its index mapped, and Linux gives a process 65,530
/// maps.
pub const MAPS_MAX: usize = 16_384;

/// A log's settings as they are in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// A segment rolls before its store grows beyond this many bytes; a single larger batch still
    /// gets a segment of its own. 128 MiB. A log's first segments are smaller.
    pub segment_bytes_max: u64,
    /// A segment rolls when its index is full, at this many bytes, 12 for each batch. 12 MiB.
    pub index_bytes_max: u64,
    /// A segment rolls this long after its first append. Never; with `retention_age` after an
    /// eighth of that.
    pub segment_age_max: Option<Duration>,
    /// The largest batch, in bytes of its payload. 8 MiB.
    pub batch_bytes_max: u32,
    /// The largest record, for those who know what a record is. As large as a batch.
    pub record_bytes_max: Option<u32>,
    /// The oldest sealed segments are dropped while the stores have more bytes. Never.
    pub retention_bytes: Option<u64>,
    /// A sealed segment is dropped once its newest record is this old. Never.
    pub retention_age: Option<Duration>,
    /// What readers have yet to read is not dropped while it is no more than so many bytes of
    /// stores. Readers are taken no notice of.
    pub retain_for_readers_bytes: Option<u64>,
    /// A sealed segment is copied into the archive before it is dropped. No.
    pub archive: bool,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            segment_bytes_max: 128 << 20,
            index_bytes_max: 12 << 20,
            segment_age_max: None,
            batch_bytes_max: 8 << 20,
            record_bytes_max: None,
            retention_bytes: None,
            retention_age: None,
            retain_for_readers_bytes: None,
            archive: false,
        }
    }
}

/// The settings that were set for one log; the others follow the server's defaults.
///
/// Where [`LogSettings`] has a setting that may be absent, zero stands here for its absence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogOverrides {
    /// See [`LogSettings::segment_bytes_max`].
    pub segment_bytes_max: Option<u64>,
    /// See [`LogSettings::index_bytes_max`].
    pub index_bytes_max: Option<u64>,
    /// See [`LogSettings::segment_age_max`].
    pub segment_age_max: Option<Duration>,
    /// See [`LogSettings::batch_bytes_max`].
    pub batch_bytes_max: Option<u32>,
    /// See [`LogSettings::record_bytes_max`].
    pub record_bytes_max: Option<u32>,
    /// See [`LogSettings::retention_bytes`].
    pub retention_bytes: Option<u64>,
    /// See [`LogSettings::retention_age`].
    pub retention_age: Option<Duration>,
    /// See [`LogSettings::retain_for_readers_bytes`].
    pub retain_for_readers_bytes: Option<u64>,
    /// See [`LogSettings::archive`].
    pub archive: Option<bool>,
}

/// A setting that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SettingError {
    /// It is below the least or above the most.
    #[error("{name} is {actual}, and should be from {min} to {max}")]
    OutOfRange {
        /// The setting, with its unit.
        name: &'static str,
        /// What it was to be.
        actual: u64,
        /// The least that it can be; zero, where that turns the setting off, can be too.
        min: u64,
        /// The most that it can be.
        max: u64,
    },
    /// Segments are to be archived, and there is no archive.
    #[error("archive is set, and the server has no archive directory")]
    NoArchive,
}

impl LogOverrides {
    /// Whether all can be, on a server that has an archive or has none.
    ///
    /// # Errors
    ///
    /// The first setting that cannot.
    pub(crate) fn check(&self, has_archive: bool) -> Result<(), SettingError> {
        let check = |name, value: Option<u64>, min, max| match value {
            Some(actual) if actual < min || actual > max => {
                Err(SettingError::OutOfRange { name, actual, min, max })
            }
            _ => Ok(()),
        };
        let of_batch = self.batch_bytes_max.map(u64::from);
        let of_age = self.segment_age_max.map(milliseconds).filter(|age| *age != 0);
        let of_segment = self.segment_bytes_max;
        check("segment_bytes_max", of_segment, SEGMENT_BYTES_MIN, SEGMENT_BYTES_LIMIT)?;
        check("index_bytes_max", self.index_bytes_max, INDEX_BYTES_MIN, u64::MAX)?;
        check("segment_age_max_ms", of_age, SEGMENT_AGE_MIN_MS, u64::MAX)?;
        check("batch_bytes_max", of_batch, 1, u64::from(BATCH_BYTES_LIMIT))?;
        if self.archive == Some(true) && !has_archive {
            return Err(SettingError::NoArchive);
        }
        Ok(())
    }

    /// The settings in force under these `defaults`.
    pub(crate) fn over(&self, defaults: &LogSettings) -> LogSettings {
        LogSettings {
            segment_bytes_max: self.segment_bytes_max.unwrap_or(defaults.segment_bytes_max),
            index_bytes_max: self.index_bytes_max.unwrap_or(defaults.index_bytes_max),
            segment_age_max: set(self.segment_age_max, defaults.segment_age_max),
            batch_bytes_max: self.batch_bytes_max.unwrap_or(defaults.batch_bytes_max),
            record_bytes_max: set(self.record_bytes_max, defaults.record_bytes_max),
            retention_bytes: set(self.retention_bytes, defaults.retention_bytes),
            retention_age: set(self.retention_age, defaults.retention_age),
            retain_for_readers_bytes: set(
                self.retain_for_readers_bytes,
                defaults.retain_for_readers_bytes,
            ),
            archive: self.archive.unwrap_or(defaults.archive),
        }
    }
}

/// A setting that zero turns off.
fn set<T: Default + PartialEq>(own: Option<T>, default: Option<T>) -> Option<T> {
    match own {
        Some(own) => Some(own).filter(|own| *own != T::default()),
        None => default,
    }
}

/// Whole milliseconds, as settings are stored.
pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// How the set of logs works.
#[derive(Clone)]
pub struct Options {
    /// Threads that write and sync. 4. With 0 nothing is written until someone flushes by hand.
    pub flushers: usize,
    /// Every append is durable at most this long after it was taken, whatever its level. 100 ms.
    pub sync_delay_max: Duration,
    /// A sync of a store that takes longer is told in the server's own log; `None` is never.
    pub slow_sync: Option<Duration>,
    /// Bytes per log that may be appended and not yet durable; beyond it appends are refused as
    /// busy. 64 MiB.
    pub pending_bytes_max: u64,
    /// Appends are refused while fewer bytes are free on the file system. 64 MiB.
    pub min_free_bytes: u64,
    /// Segments whose files are kept open, two files each. 256.
    pub open_segments_max: usize,
    /// Segments that may be open in all, those of busy logs among them, before logs let go of
    /// theirs after each write. Half as many as the files that the process may have open.
    pub busy_segments_max: usize,
    /// How many logs there may be. 10,000.
    pub logs_max: usize,
    /// How many logs beyond those may have been deleted and still have work in the queues. 1,024.
    pub leaving_logs_max: usize,
    /// How many producers a log may know. It forgets none, so beyond it a batch of a new one is
    /// refused. One takes from some hundred bytes to 17 KiB, in memory and on disk. 10,000.
    pub producers_max: usize,
    /// How many readers a log may have. 1,000.
    pub readers_per_log_max: usize,
    /// Refuse to open a log with damaged records rather than serve the others.
    pub strict: bool,
    /// What logs get that set nothing themselves.
    pub defaults: LogSettings,
    /// Bytes of sealed segments that the scrubber reads in a second; it is off at 0. 8 MiB.
    pub scrub_bytes_per_s: u64,
    /// Where segments are copied to before they are dropped, for logs whose `archive` is set.
    pub archive: Option<PathBuf>,
    /// The clocks. The host's.
    pub time: Arc<dyn TimeSource>,
    /// Counts what the opening does.
    pub progress: Arc<OpenProgress>,
    /// Called once, from any thread, when a write or sync failed and the process should end.
    pub on_fatal: Arc<dyn Fn(&FatalError) + Send + Sync>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            flushers: 4,
            sync_delay_max: Duration::from_millis(100),
            slow_sync: None,
            pending_bytes_max: 64 << 20,
            min_free_bytes: 64 << 20,
            open_segments_max: 256,
            busy_segments_max: busy_segments_max(),
            logs_max: 10_000,
            leaving_logs_max: 1024,
            producers_max: 10_000,
            readers_per_log_max: 1000,
            strict: false,
            defaults: LogSettings::default(),
            scrub_bytes_per_s: 8 << 20,
            archive: None,
            time: Arc::new(HostTime::new()),
            progress: Arc::default(),
            on_fatal: Arc::new(|_| {}),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("flushers", &self.flushers)
            .field("sync_delay_max", &self.sync_delay_max)
            .field("slow_sync", &self.slow_sync)
            .field("pending_bytes_max", &self.pending_bytes_max)
            .field("min_free_bytes", &self.min_free_bytes)
            .field("open_segments_max", &self.open_segments_max)
            .field("busy_segments_max", &self.busy_segments_max)
            .field("logs_max", &self.logs_max)
            .field("leaving_logs_max", &self.leaving_logs_max)
            .field("producers_max", &self.producers_max)
            .field("readers_per_log_max", &self.readers_per_log_max)
            .field("strict", &self.strict)
            .field("defaults", &self.defaults)
            .field("scrub_bytes_per_s", &self.scrub_bytes_per_s)
            .field("archive", &self.archive)
            .finish_non_exhaustive()
    }
}

/// The other half of the files that may be open is for connections, and for what is open shortly.
fn busy_segments_max() -> usize {
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let half = files.unwrap_or(u64::MAX) / 2;
    usize::try_from(half).unwrap_or(usize::MAX).min(MAPS_MAX)
}
