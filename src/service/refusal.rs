//! Why a call is not answered with what it asked for. `status` turns these into what clients see.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

use super::records::BadRecord;
use super::wire::Malformed;
use crate::acl::Action;
use crate::log::{
    AckError, AppendError, BackUpError, Bounds, DeleteError, IoError, LOG_NAME_BYTES_MAX, LogId,
    NameError, Offset, ReadError, ReaderError, SettingError, Stopped, TrimError,
};
use crate::tls::{Revoked, Subject};

/// Every reason for which a call fails once its caller is known.
#[derive(Debug, Error)]
pub(crate) enum Refusal {
    #[error(transparent)]
    BadRequest(#[from] BadRequest),
    #[error(transparent)]
    Denied(#[from] Denied),
    /// Said only to those who may act on a log of that name.
    #[error("there is no log {name}")]
    NoLog { name: String },
    /// The log was deleted and created again since the client learnt of it.
    #[error("the log {name} is another one by now: its id is {actual} and not {expected}")]
    LogReplaced { name: String, expected: LogId, actual: LogId },
    #[error(transparent)]
    OverLimit(#[from] OverLimit),
    #[error(transparent)]
    OverRate(#[from] OverRate),
    #[error(transparent)]
    Append(#[from] AppendError),
    #[error(transparent)]
    Ack(#[from] AckError),
    #[error("log {name} exists already")]
    LogExists { name: String },
    /// It is the server's, and not to be changed by callers.
    #[error("log {name} is the server's own: its configuration says how long it is kept")]
    OwnLog { name: String },
    #[error(transparent)]
    Delete(DeleteError),
    #[error(transparent)]
    Trim(TrimError),
    #[error(transparent)]
    BackUp(BackUpError),
    /// Files could not be changed; the call is as if it had not been.
    #[error("the server could not change its files")]
    Files(#[source] IoError),
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
    /// Any other fault of a reader than an offset out of range.
    #[error(transparent)]
    Reader(ReaderError),
    /// Any other read error than an offset out of range.
    #[error(transparent)]
    Read(ReadError),
    /// A stored payload passed its checksum and is still no batch.
    #[error("the batch at offset {base_offset} is not in a form that this release reads")]
    Unreadable { base_offset: Offset },
    /// The log ended under a reader.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    #[error("the server is stopping")]
    Stopping,
    /// The client's certificate ran out while its stream was open.
    #[error("the client's certificate has expired")]
    CertificateExpired,
    /// It was revoked while its stream was open.
    #[error(transparent)]
    CertificateRevoked(#[from] Revoked),
    /// A handler without a caller, or one that asks for another action than the method table says:
    /// a fault of ours, answered with a refusal.
    #[error("the call was not admitted")]
    NotAdmitted,
}

/// A request that cannot mean anything.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum BadRequest {
    #[error("the request is not a well-formed message")]
    Malformed,
    #[error("the request has no record")]
    NoRecord { field: &'static str },
    #[error("record {place} of the request cannot be stored: {fault}")]
    Record { place: u32, fault: BadRecord },
    #[error("{field} is not UTF-8")]
    NotText { field: &'static str },
    #[error("{field} is {value}, which has no meaning")]
    NotInEnum { field: &'static str, value: u64 },
    #[error("the record has {bytes} bytes, and the limit is {limit} bytes")]
    RecordTooLarge { field: &'static str, bytes: u64, limit: u64 },
    #[error("{field} has {bytes} bytes, and an id has 16")]
    NotAnId { field: &'static str, bytes: usize },
    #[error("{field} is all zero, which is no id")]
    ZeroId { field: &'static str },
    #[error("{field} is {value}, and may be {min} to {max}")]
    OutOfBounds { field: &'static str, value: u64, min: u64, max: u64 },
    #[error("the request names no log")]
    NoLog,
    #[error("{field} is no name of a reader: {fault}")]
    NotAReaderName { field: &'static str, fault: NameError },
    #[error(transparent)]
    LogName(#[from] NameError),
    #[error("name is no name of a backup: {0}")]
    BackupName(NameError),
    #[error(transparent)]
    Setting(#[from] SettingError),
    #[error("{name:?} is no setting")]
    NoSetting { place: usize, name: String },
    #[error("{name} is both set and reset")]
    SetAndReset { name: &'static str },
    #[error("{field} must be set")]
    Missing { field: &'static str },
    #[error("the stream is about log {first}, and the request names log {other:?}")]
    OtherLog { first: String, other: String },
}

impl From<Malformed> for BadRequest {
    fn from(Malformed: Malformed) -> Self {
        Self::Malformed
    }
}

/// A name as it is repeated to a client and in the server's log: what no log can be called is cut.
pub(crate) fn brief(name: &str) -> String {
    let whole = name.len() <= LOG_NAME_BYTES_MAX;
    let kept = name.get(..name.floor_char_boundary(LOG_NAME_BYTES_MAX)).unwrap_or_default();
    if whole { kept.to_owned() } else { format!("{kept}...") }
}

/// What the policy does not allow. Its text is part of the interface.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{subject} not permitted to {action} to {object}")]
pub(crate) struct Denied {
    pub(crate) subject: Subject,
    pub(crate) action: Action,
    pub(crate) object: String,
}

/// A read that begins where the log holds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("offset {offset} is out of range: the log holds {start} up to but not including {end}")]
pub(crate) struct OutOfRange {
    pub(crate) offset: Offset,
    pub(crate) start: Offset,
    pub(crate) end: Offset,
}

impl OutOfRange {
    pub(crate) fn new(offset: Offset, bounds: Bounds) -> Self {
        Self { offset, start: bounds.start, end: bounds.end }
    }
}

impl From<ReadError> for Refusal {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::OutOfRange { offset, start, end } => {
                Self::OutOfRange(OutOfRange { offset, start, end })
            }
            other => Self::Read(other),
        }
    }
}

impl From<ReaderError> for Refusal {
    fn from(error: ReaderError) -> Self {
        match error {
            ReaderError::OutOfRange { offset, start, end } => {
                Self::OutOfRange(OutOfRange { offset, start, end })
            }
            other => Self::Reader(other),
        }
    }
}

/// More of something at once than is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{actual} {limited}: the limit is {limit}")]
pub(crate) struct OverLimit {
    pub(crate) limited: Limited,
    pub(crate) limit: usize,
    /// What there would be with this call.
    pub(crate) actual: usize,
}

/// What is limited, by the name that the limit has in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limited {
    StreamsPerConnection,
    StreamsPerSubject,
    Streams,
    CallsPerSubject,
    Calls,
    /// Reads that wait for a thread.
    QueuedReads,
    /// Threads that the system would give.
    Threads,
    Logs,
}

impl Limited {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::StreamsPerConnection => "streams_per_connection_max",
            Self::StreamsPerSubject => "streams_per_subject_max",
            Self::Streams => "streams_max",
            Self::CallsPerSubject => "calls_per_subject_max",
            Self::Calls => "calls_max",
            Self::QueuedReads => "queued_reads_max",
            Self::Threads => "threads_max",
            Self::Logs => "logs_max",
        }
    }
}

impl fmt::Display for Limited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::StreamsPerConnection => "open streams on this connection",
            Self::StreamsPerSubject => "open streams of this subject",
            Self::Streams => "open streams",
            Self::CallsPerSubject => "unanswered calls of this subject",
            Self::Calls => "unanswered calls",
            Self::QueuedReads => "queued reads",
            Self::Threads => "threads",
            Self::Logs => "logs",
        })
    }
}

/// More of something per second than is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{actual} {paced} within a second: the limit is {limit}")]
pub(crate) struct OverRate {
    pub(crate) paced: Paced,
    pub(crate) limit: u64,
    /// What there would be with this call.
    pub(crate) actual: u64,
    /// After this time the call would pass, if there is no other one until then.
    pub(crate) wait: Duration,
}

/// What is limited per second, by the name that the limit has in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paced {
    AppendBytes,
    Appends,
}

impl Paced {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::AppendBytes => "append_bytes_per_subject_per_s",
            Self::Appends => "appends_per_subject_per_s",
        }
    }
}

impl fmt::Display for Paced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AppendBytes => "bytes appended by this subject",
            Self::Appends => "appends of this subject",
        })
    }
}
