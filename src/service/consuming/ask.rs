//! What a client asks to read, and what it is told then.

use std::time::Duration;

use crate::log::{Bounds, Chunk, LogId, Offset, ReaderName};
use crate::service::message::Reply;
use crate::service::refusal::{BadRequest, Refusal};

/// How one interface says all this.
pub(crate) trait Dialect: 'static {
    /// The log that every request is about; `None` if requests name theirs.
    const LOG: Option<&'static str>;
    /// What a call reads from the log, in bytes, unless one batch is larger or it asks for less.
    const CALL_BYTES: usize;

    /// What the request in `message` asks for.
    fn ask(message: &[u8]) -> Result<Ask, BadRequest>;

    /// The replies that carry the records of `part`, in order.
    fn replies(part: Part<'_>) -> impl Iterator<Item = Result<Reply, Refusal>>;

    /// The reply that tells of a gap, behind which it goes on; `None` if the interface has none.
    fn gap(_gap: &Gap, _standing: &Standing) -> Option<Reply> {
        None
    }

    /// The reply that says that there is nothing at `next` yet; `None` if the interface has none.
    fn nothing(_next: Offset, _standing: &Standing) -> Option<Reply> {
        None
    }
}

/// What to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ask {
    /// Empty if the request names none.
    pub(crate) log: String,
    /// The id that the log must have.
    pub(crate) log_id: Option<LogId>,
    pub(crate) start: Start,
    pub(crate) on_trimmed: OnGap,
    pub(crate) on_damaged: OnGap,
    pub(crate) records_max: u64,
    /// What a reply carries at most, but for the record that reaches it.
    pub(crate) bytes_max: usize,
    /// How long to wait at the end of the log; `None` is for a call not at all and for a stream for
    /// ever.
    pub(crate) wait: Option<Duration>,
    /// How often a stream tells that there is nothing.
    pub(crate) heartbeat: Option<Duration>,
}

/// Where to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    Offset(Offset),
    /// At the first record of this time or later, in microseconds since the Unix epoch.
    Time(u64),
    Earliest,
    Latest,
    /// Where the reader of this name stands.
    Reader(ReaderName),
}

/// What to do about records that are not there any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnGap {
    Fail,
    Skip,
}

/// Offsets whose records are not there any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) from: Offset,
    pub(crate) to: Offset,
    pub(crate) cause: GapCause,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GapCause {
    Trimmed,
    Damaged,
}

/// What replies tell of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) log_id: LogId,
    pub(crate) bounds: Bounds,
    /// Microseconds since the Unix epoch.
    pub(crate) now_us: u64,
}

/// The records of a chunk that a client asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part<'a> {
    pub(crate) chunk: &'a Chunk,
    /// The first of them, in the chunk's first batch.
    pub(crate) from: Offset,
    pub(crate) records_max: u64,
    pub(crate) bytes_max: usize,
    pub(crate) standing: Standing,
}
