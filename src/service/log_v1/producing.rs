//! One record in: from a request to a batch in the log.

use std::num::NonZeroU32;

use super::messages;
use crate::log::{AppendError, Durability, Pending};
use crate::service::guard::{Permit, Produce};
use crate::service::limits::Limits;
use crate::service::message::Request;
use crate::service::records;
use crate::service::refusal::{BadRequest, Refusal};

/// The request's record in its stored form.
pub(super) fn payload(request: &mut Request, limits: &Limits) -> Result<Vec<u8>, Refusal> {
    let message = request.bytes();
    let value = messages::produce_request(&message)?;
    if value.len() > limits.record_bytes_max {
        let wide = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
        let (bytes, limit) = (wide(value.len()), wide(limits.record_bytes_max));
        return Err(BadRequest::RecordTooLarge { bytes, limit }.into());
    }
    Ok(records::encode_one(value))
}

/// Appends a payload of one record, to be acknowledged once it is synced.
pub(super) fn append(permit: &Permit<Produce>, payload: &[u8]) -> Result<Pending, AppendError> {
    permit.append(payload, NonZeroU32::MIN, Durability::Synced)
}
