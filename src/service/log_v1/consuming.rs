//! How `log.v1` says "read": from an offset on, a record a reply, and nothing but records.

use super::producing::OneRecord;
use super::{LOG, messages};
use crate::log::{Offset, StoredBatch};
use crate::service::consuming::{Ask, Dialect, OnGap, Part, Start};
use crate::service::message::Reply;
use crate::service::records;
use crate::service::refusal::{BadRequest, Refusal};

impl Dialect for OneRecord {
    const LOG: Option<&'static str> = Some(LOG);
    /// Enough for most single records.
    const CALL_BYTES: usize = 4 * 1024;

    fn ask(message: &[u8]) -> Result<Ask, BadRequest> {
        Ok(Ask {
            log: LOG.to_owned(),
            log_id: None,
            start: Start::Offset(messages::consume_request(message)?),
            on_trimmed: OnGap::Fail,
            on_damaged: OnGap::Fail,
            records_max: u64::MAX,
            bytes_max: usize::MAX,
            wait: None,
            heartbeat: None,
        })
    }

    fn replies(part: Part<'_>) -> impl Iterator<Item = Result<Reply, Refusal>> {
        part.chunk
            .batches()
            .flat_map(of_batch)
            .skip_while(move |found| found.as_ref().is_ok_and(|(at, _)| *at < part.from))
            .map(|found| found.map(|(at, value)| messages::consume_response(at, value)))
    }
}

/// A batch's records with their offsets; a batch that does not hold what its header says ends in a
/// fault.
fn of_batch(batch: StoredBatch<'_>) -> impl Iterator<Item = Result<(Offset, &[u8]), Refusal>> {
    let base_offset = batch.base_offset;
    let mut values = records::values(batch.payload);
    (0..batch.records).map(move |place| match values.next() {
        Some(Ok(value)) => Ok((base_offset.plus(u64::from(place)), value)),
        Some(Err(_)) | None => Err(Refusal::Unreadable { base_offset }),
    })
}
