//! Why logs were not made, changed, trimmed, deleted or backed up.

use std::path::PathBuf;

use thiserror::Error;

use super::{IoError, OpenError, ReaderError};
use crate::log::offset::{LogId, Offset};
use crate::log::settings::SettingError;

/// Why a log was not created. Nothing was left behind.
#[derive(Debug, Error)]
pub enum CreateError {
    /// There is a log of that name.
    #[error("log {name} exists already")]
    Exists {
        /// The name.
        name: String,
    },
    /// The server holds as many logs as it may.
    #[error("{logs} logs exist, which is the limit")]
    TooMany {
        /// How many there are.
        logs: usize,
    },
    /// A setting cannot be.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The set of logs is closed.
    #[error("the server is stopping")]
    Closed,
    /// A sync failed, and the process is to end: a start may find the log or not.
    #[error("a sync failed; whether the log was made is unknown")]
    Failed(#[source] IoError),
    /// A file operation failed.
    #[error(transparent)]
    Io(#[from] IoError),
}

/// Why a trim did not finish. The log's start is where it was or where it was asked to be.
#[derive(Debug, Error)]
pub enum TrimError {
    /// The offset is beyond the end.
    #[error("cannot trim before offset {before}: the log ends at {end}")]
    BeyondEnd {
        /// The offset that was asked for.
        before: Offset,
        /// The high watermark.
        end: Offset,
    },
    /// The log takes no changes: it is closed, failed or damaged.
    #[error("the log is closed, failed or damaged and cannot be trimmed")]
    Unavailable,
    /// The log was deleted.
    #[error("the log was deleted")]
    Deleted,
    /// A segment could not be copied into the archive, so it and those after it are kept.
    #[error("a segment could not be archived")]
    Archive(#[source] IoError),
    /// A file operation failed.
    #[error(transparent)]
    Io(#[from] IoError),
}

/// Why a log's settings were not changed. They are as they were.
#[derive(Debug, Error)]
pub enum UpdateError {
    /// A setting cannot be.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The log takes no changes: it is closed, or a write or sync of it failed.
    #[error("the log is closed or failed")]
    Unavailable,
    /// The log was deleted.
    #[error("the log was deleted")]
    Deleted,
    /// A file operation failed.
    #[error(transparent)]
    Io(#[from] IoError),
}

/// Why a log was not deleted. It is as it was, but after `Failed`.
#[derive(Debug, Error)]
pub enum DeleteError {
    /// There is no such log.
    #[error("there is no log {name}")]
    NotFound {
        /// The name.
        name: String,
    },
    /// It is the log that always exists.
    #[error("log {name} cannot be deleted")]
    Protected {
        /// The name.
        name: String,
    },
    /// The log of that name is another one.
    #[error("log {name} has the id {id}: it is not the one that was meant")]
    Replaced {
        /// The name.
        name: String,
        /// The id that it has.
        id: LogId,
    },
    /// The log does not end where it was expected to.
    #[error("the log ends at offset {end}, and was expected to end at offset {expected}")]
    NotAtEnd {
        /// The offset that was expected.
        expected: Offset,
        /// The log's end, which is durable.
        end: Offset,
    },
    /// The set of logs is closed.
    #[error("the server is stopping")]
    Closed,
    /// A write or sync failed: after a restart the log is there or not.
    #[error("a write or sync of the log failed")]
    Failed,
    /// A file operation failed.
    #[error(transparent)]
    Io(#[from] IoError),
}

/// Why a backup was not made. The logs are as they were, but that some active segments are sealed.
#[derive(Debug, Error)]
pub enum BackUpError {
    /// There is something of that name.
    #[error("{} exists already", path.display())]
    Exists {
        /// The folder that the backup was to be.
        path: PathBuf,
    },
    /// It would stand among the files of the data directory.
    #[error(
        "{} is in the data directory, where backups are only in {}", path.display(),
        backups.display()
    )]
    Misplaced {
        /// The folder that the backup was to be.
        path: PathBuf,
        /// The folder of backups.
        backups: PathBuf,
    },
    /// It would pass for one that is not whole.
    #[error("{} ends in .part, as what is not whole does", path.display())]
    Unfinished {
        /// The folder that the backup was to be.
        path: PathBuf,
    },
    /// Another backup is being made or checked; later there can be one.
    #[error("another backup is being made or checked")]
    Busy,
    /// There is no such log.
    #[error("there is no log {name}")]
    NotFound {
        /// The name.
        name: String,
    },
    /// A write or sync of the log failed.
    #[error("a write or sync of log {name} failed")]
    Failed {
        /// The log's name.
        name: String,
    },
    /// The set of logs is closed.
    #[error("the server is stopping")]
    Closed,
    /// The data directory did not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A log's readers could not be read or written.
    #[error("the readers of log {name} could not be copied")]
    Readers {
        /// The log's name.
        name: String,
        /// Why not.
        source: ReaderError,
    },
    /// A file operation failed.
    #[error(transparent)]
    Io(#[from] IoError),
}
