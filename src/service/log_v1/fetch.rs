//! Records out: from stored batches to replies.

use super::messages;
use crate::log::{Chunk, Offset, StoredBatch};
use crate::service::guard::{Consume, Permit};
use crate::service::message::Reply;
use crate::service::records;
use crate::service::refusal::Refusal;

/// Enough for most single records in one go; a larger batch is read whole all the same.
const ONE_RECORD_BYTES: usize = 4 * 1024;

/// The record at `offset`. Blocks on the disk.
pub(super) fn one(permit: &Permit<Consume>, offset: Offset) -> Result<Reply, Refusal> {
    let chunk = permit.read(offset, ONE_RECORD_BYTES)?;
    // A read's first batch holds the offset.
    let base_offset = offset;
    replies(&chunk, offset).next().unwrap_or(Err(Refusal::Unreadable { base_offset }))
}

/// A reply for each record of `chunk` from `offset` on.
pub(super) fn replies(
    chunk: &Chunk,
    offset: Offset,
) -> impl Iterator<Item = Result<Reply, Refusal>> {
    chunk
        .batches()
        .flat_map(of_batch)
        .skip_while(move |found| found.as_ref().is_ok_and(|(at, _)| *at < offset))
        .map(|found| found.map(|(at, value)| messages::consume_response(at, value)))
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
