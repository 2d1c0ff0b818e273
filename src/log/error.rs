//! What can go wrong in storage, with the data that tells a user what to do.
//!
//! Three kinds: the caller's fault (the log is as it was), busy or out of space (try again), and
//! fatal (a store write or sync failed; nothing is acknowledged until the log is opened anew).
//!
//! What only administrators can do is in `administration`.

mod administration;

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use thiserror::Error;

pub use self::administration::{BackUpError, CreateError, DeleteError, TrimError, UpdateError};
use super::offset::Offset;

/// What [`IoError::op`] says of a sync.
pub(crate) const SYNC: &str = "sync";
/// What [`IoError::op`] says where a write that failed could not be undone either.
pub(crate) const UNDO: &str = "take back a write to";

/// A file operation that failed, with what was done to which file.
#[derive(Debug, Error)]
#[error("cannot {op} {}", path.display())]
pub struct IoError {
    /// The operation, as a verb.
    pub op: &'static str,
    /// The file or directory.
    pub path: PathBuf,
    /// The system's answer.
    pub source: io::Error,
}

impl IoError {
    /// For `map_err`: names the operation and the file.
    pub(crate) fn at(op: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self { op, path, source }
    }

    /// Whether the disk, a quota or a file size limit is exhausted, so that space helps, or the
    /// open files that the process or the host may have, which changes nothing on the disk either.
    /// Never so for a sync: whatever made it fail, what it should have made durable may be lost.
    /// Nor for a write that could not be undone: what it left may be taken for more than it is.
    pub(crate) fn is_no_space(&self) -> bool {
        ![SYNC, UNDO].contains(&self.op)
            && (self.is_no_files()
                || matches!(
                    self.source.kind(),
                    io::ErrorKind::StorageFull
                        | io::ErrorKind::QuotaExceeded
                        | io::ErrorKind::FileTooLarge
                ))
    }

    fn is_no_files(&self) -> bool {
        let lacking = [Errno::MFILE, Errno::NFILE].map(Errno::raw_os_error);
        self.source.raw_os_error().is_some_and(|number| lacking.contains(&number))
    }
}

/// Why a log or a data directory does not open.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another process has the data directory.
    #[error("{} is locked: another server uses this data directory", path.display())]
    Owned {
        /// The lock file.
        path: PathBuf,
    },
    /// The data was written by a newer release; nothing was changed.
    #[error("{} has format {found}, and this release reads up to {supported}", path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its version, or the feature flags that are not known.
        found: String,
        /// What this release knows.
        supported: String,
    },
    /// Acknowledged records are damaged and `strict` refuses to serve the rest.
    #[error("log {log} is damaged from offset {from}: {what} in {}", path.display())]
    Damaged {
        /// The log's name.
        log: String,
        /// The first offset that cannot be read.
        from: Offset,
        /// The file.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// A log that was named is not there.
    #[error("there is no log {name} in {}", path.display())]
    Absent {
        /// The name.
        name: String,
        /// The folder of the logs.
        path: PathBuf,
    },
    /// A file holds what it cannot hold.
    #[error("{}: {what}", path.display())]
    Invalid {
        /// The file or directory.
        path: PathBuf,
        /// What was found and what would be right.
        what: String,
    },
    /// A file operation failed.
    #[error(transparent)]
    Io(#[from] IoError),
}

/// Why a batch was not appended. The log is as it was.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AppendError {
    /// The batch is larger than the log takes.
    #[error("batch of {bytes} bytes is over the limit of {limit} bytes")]
    TooLarge {
        /// The batch's size.
        bytes: u64,
        /// The largest size.
        limit: u64,
    },
    /// Too many bytes wait for the disk; later there will be room.
    #[error("{pending_bytes} bytes wait for the disk, and the limit is {limit} bytes")]
    Busy {
        /// Bytes appended and not yet durable.
        pending_bytes: u64,
        /// The most there may be.
        limit: u64,
    },
    /// The disk is full, or fuller than its reserve allows.
    #[error("{free_bytes} bytes are free on the disk, and {reserve_bytes} are kept in reserve")]
    NoSpace {
        /// Bytes free when last looked at.
        free_bytes: u64,
        /// Bytes that appends leave free.
        reserve_bytes: u64,
    },
    /// The batch that it was to come behind was dropped, as `AckError::NoSpace` says.
    #[error("the disk was full; a batch before this one, and so this one, is not in the log")]
    PredecessorDropped,
    /// The log does not end where the batch was to go.
    #[error("the log ends at offset {end}, and the batch was to go to offset {expected}")]
    NotAtEnd {
        /// The offset that the batch was to get.
        expected: Offset,
        /// The offset that it would have got. It may not be durable yet: see `Log::settled`.
        end: Offset,
    },
    /// The batch is not the one that its producer has to send next.
    #[error(transparent)]
    Sequence(#[from] SequenceError),
    /// Acknowledged records in the unsealed tail are damaged: the log takes no appends.
    #[error("the log's tail is damaged; it takes no appends until it is repaired")]
    Damaged,
    /// An earlier write or sync failed; only opening the log anew helps.
    #[error("an earlier write or sync of this log failed")]
    Failed,
    /// The log is closed.
    #[error("the log is closed")]
    Closed,
    /// The log was deleted.
    #[error("the log was deleted")]
    Deleted,
}

/// Why a batch that names its producer was neither appended nor recognised. The log is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SequenceError {
    /// The producer has begun a higher epoch.
    #[error("epoch {epoch} of the producer is over: the log has seen epoch {current}")]
    Fenced {
        /// The batch's epoch.
        epoch: u32,
        /// The highest one.
        current: u32,
    },
    /// Batches before this one are missing.
    #[error("the producer's next batch is number {expected} of its epoch, and this is {actual}")]
    Gap {
        /// The sequence that comes next.
        expected: u64,
        /// The batch's sequence.
        actual: u64,
    },
    /// The sequence is that of a batch with other records.
    #[error("the producer's batch number {sequence} is in the log with other records")]
    Reused {
        /// The batch's sequence.
        sequence: u64,
    },
    /// The batch was appended so long ago that it is not remembered.
    #[error(
        "the producer's batch number {sequence} was appended before, and the log remembers those \
         from {oldest} on"
    )]
    TooOld {
        /// The batch's sequence.
        sequence: u64,
        /// The oldest sequence that is remembered.
        oldest: u64,
    },
    /// Too many of the producer's batches are not yet durable; later there will be room.
    #[error("{batches} batches of the producer wait for the disk, which is the limit")]
    Busy {
        /// How many there are.
        batches: usize,
    },
    /// The log knows as many producers as it may, and forgets none.
    #[error("the log knows {limit} producers, which is the limit, and this would be another")]
    TooManyProducers {
        /// How many there may be.
        limit: usize,
    },
}

/// Why an append that was taken has no acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AckError {
    /// The disk was full; the batch is not in the log.
    #[error("the disk is full; the batch is not in the log")]
    NoSpace,
    /// A write or sync failed; the batch is in the log whole, or not at all.
    #[error("a write or sync failed; whether the batch is in the log is unknown")]
    Failed,
}

/// Why a read returned no batch.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The offset is not between start and end.
    #[error(
        "offset {offset} is outside the log, which holds {start} up to but not including {end}"
    )]
    OutOfRange {
        /// The offset that was asked for.
        offset: Offset,
        /// The first offset that is held.
        start: Offset,
        /// The high watermark.
        end: Offset,
    },
    /// Acknowledged records cannot be read any more.
    #[error("records from offset {from} on are damaged")]
    Damaged {
        /// The first offset that is lost.
        from: Offset,
        /// Where reading can go on; none if nothing readable follows.
        resume: Option<Offset>,
    },
    /// The log was deleted.
    #[error("the log was deleted")]
    Deleted,
    /// A file operation failed; only this read is lost.
    #[error(transparent)]
    Io(#[from] IoError),
}

/// Why nothing was done to a reader, or it cannot be told.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReaderError {
    /// A reader can stand only where the log can be read, or at its end.
    #[error(
        "offset {offset} is outside the log, which holds {start} up to but not including {end}"
    )]
    OutOfRange {
        /// The offset that was asked for.
        offset: Offset,
        /// The first offset that is held.
        start: Offset,
        /// The high watermark.
        end: Offset,
    },
    /// It stands further on, and was not forced to go back.
    #[error("the reader stands at offset {current}, and the commit is of offset {offset}")]
    Ahead {
        /// The offset that was asked for.
        offset: Offset,
        /// Where it stands.
        current: Offset,
    },
    /// It belongs to another subject.
    #[error("the reader belongs to another subject")]
    Owned,
    /// There is no such reader.
    #[error("there is no such reader")]
    NotFound,
    /// The log has as many readers as it may.
    #[error("the log has {readers} readers, and the limit is {limit}")]
    TooMany {
        /// How many there are.
        readers: usize,
        /// The most there may be.
        limit: usize,
    },
    /// No subject is that long.
    #[error("the reader's owner has {bytes} bytes, and the limit is 255")]
    OwnerTooLong {
        /// Its length.
        bytes: usize,
    },
    /// The disk is full. Nothing changed.
    #[error("the disk is full, and no reader was moved")]
    NoSpace,
    /// Positions that were answered cannot be read any more.
    #[error("the log's readers are damaged")]
    Damaged,
    /// The file of the readers could not be read or replaced. Nothing changed.
    #[error("the log's readers could not be read or written, and no reader was moved")]
    Failed,
    /// A write or sync failed: the reader stands where it stood, or where it was to stand.
    #[error("a write or sync of the log's readers failed; whether the reader moved is unknown")]
    Unknown,
    /// The log is closed.
    #[error("the log is closed")]
    Closed,
    /// The log was deleted, and its readers with it.
    #[error("the log was deleted")]
    Deleted,
}

/// A store write or sync that failed: the process should end and recover at its next start.
#[derive(Debug, Error)]
#[error("log {log} stopped")]
pub struct FatalError {
    /// The log's name.
    pub log: String,
    /// What failed.
    pub source: IoError,
}

/// The log ended while someone waited for its watermark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Stopped {
    /// It was closed.
    #[error("the log is closed")]
    Closed,
    /// It was deleted.
    #[error("the log was deleted")]
    Deleted,
    /// A write or sync failed.
    #[error("a write or sync of the log failed")]
    Failed,
}
