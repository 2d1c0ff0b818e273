//! What a client asks to have appended, and what it is told then.

use std::num::NonZeroU32;

use super::claim::Claim;
use crate::log::{Append, AppendError, Durability, Offset, Pending, Predecessor};
use crate::service::backend::Backend;
use crate::service::caller::Caller;
use crate::service::guard::{Permit, Produce};
use crate::service::limits::Limits;
use crate::service::message::Reply;
use crate::service::refusal::{BadRequest, Refusal};
use crate::tls::Subject;

/// How one interface says all this.
pub(crate) trait Dialect: 'static {
    /// The log that every request is about; `None` if requests name theirs.
    const LOG: Option<&'static str>;

    /// What the request in `message` asks for.
    fn order(message: &[u8]) -> Result<Order<'_>, BadRequest>;

    /// The reply to a request that was done.
    fn reply(appended: &Appended) -> Reply;
}

/// A batch to be appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Order<'a> {
    /// Empty if the request names none.
    pub(crate) log: &'a str,
    /// The records in their stored form.
    pub(crate) payload: Vec<u8>,
    pub(crate) records: NonZeroU32,
    pub(crate) durability: Durability,
    /// The offset that the first record must get.
    pub(crate) expected: Option<Offset>,
    /// Who says to have made it.
    pub(crate) producer: Option<Claim>,
    /// The size of the largest record in bytes, and the field that records are in.
    pub(crate) largest_record: (&'static str, usize),
}

impl Order<'_> {
    /// Whether records so large are taken, or are in the log from when they were.
    pub(crate) fn check_records(
        &self,
        permit: &Permit<Produce>,
        subject: &Subject,
        limits: &Limits,
    ) -> Result<(), BadRequest> {
        let admitted = limits.admit_record(self.largest_record, permit.record_bytes_max());
        admitted.or_else(|too_large| {
            let producer = self.producer.map(|claim| claim.by(subject));
            let is_there = |producer| permit.has_appended(&producer, &self.payload, self.records);
            if producer.is_some_and(is_there) { Ok(()) } else { Err(too_large) }
        })
    }

    /// Has the batch of `subject` appended, behind the one `before` it in its stream; it is
    /// acknowledged by what is returned.
    pub(crate) fn append(
        &self,
        permit: &Permit<Produce>,
        subject: &Subject,
        before: Option<&Predecessor>,
    ) -> Result<Pending, AppendError> {
        let Self { payload, records, durability, expected, producer, .. } = self;
        let (records, durability, expected) = (*records, *durability, *expected);
        let producer = producer.map(|claim| claim.by(subject));
        permit.append(before, Append { payload, records, durability, expected, producer })
    }
}

/// A batch that is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Appended {
    pub(crate) base: Offset,
    pub(crate) next: Offset,
    pub(crate) append_time_us: u64,
    /// The level reached.
    pub(crate) durability: Durability,
    /// Whether it was there before.
    pub(crate) deduplicated: bool,
}

impl Appended {
    /// `pending`, after it resolved with `durability`.
    pub(crate) fn of(pending: &Pending, durability: Durability) -> Self {
        Self {
            base: pending.base_offset(),
            next: pending.next_offset(),
            append_time_us: pending.append_time_us(),
            durability,
            deduplicated: pending.is_duplicate(),
        }
    }
}

/// The end that an append met instead of the one it expected; once `Permit::settled` has resolved
/// for it, it may be told.
pub(super) fn end_met(error: &AppendError) -> Option<Offset> {
    match error {
        AppendError::NotAtEnd { end, .. } => Some(*end),
        _ => None,
    }
}

/// The right of `caller` to append `order`. Its log is made now if the server does that, which
/// blocks on the disk.
pub(super) fn permit(
    backend: &Backend,
    caller: &Caller,
    order: &Order<'_>,
) -> Result<Permit<Produce>, Refusal> {
    let name = named(order)?;
    match backend.guard.permit(caller, name) {
        Err(Refusal::NoLog { .. }) if backend.creates_logs => {
            // No log is made for what it would not take.
            backend.limits().admit_record(order.largest_record, None)?;
            backend.permit_to_produce(caller, name)
        }
        permit => permit,
    }
}

/// The name of the log, where a request must name one.
pub(super) fn named<'a>(order: &Order<'a>) -> Result<&'a str, Refusal> {
    if order.log.is_empty() { Err(BadRequest::NoLog.into()) } else { Ok(order.log) }
}
