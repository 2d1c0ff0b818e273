//! How `varve.v1` says "read": batches in their stored bytes, cut between records where they are
//! large.

use std::iter;

use super::{Batches, consume_request, consume_response};
use crate::log::{Offset, StoredBatch};
use crate::service::consuming::{Ask, Dialect, Gap, Part, Standing};
use crate::service::message::Reply;
use crate::service::records;
use crate::service::refusal::{BadRequest, Refusal};
use crate::service::wire::Malformed;

impl Dialect for Batches {
    const LOG: Option<&'static str> = None;
    const CALL_BYTES: usize = consume_request::BYTES_LIMIT;

    fn ask(message: &[u8]) -> Result<Ask, BadRequest> {
        consume_request::read(message)
    }

    fn replies(part: Part<'_>) -> impl Iterator<Item = Result<Reply, Refusal>> {
        let mut rest = Rest { batches: part.chunk.batches(), piece: None, left: part.records_max };
        let mut from = part.from;
        iter::from_fn(move || {
            let pieces = rest.pieces(from, part.bytes_max).transpose()?;
            Some(pieces.map(|pieces| {
                from = pieces.last().map_or(from, Piece::next_offset);
                consume_response::batches(&pieces, from, &part.standing)
            }))
        })
    }

    fn gap(gap: &Gap, standing: &Standing) -> Option<Reply> {
        Some(consume_response::gap(gap, standing))
    }

    fn nothing(next: Offset, standing: &Standing) -> Option<Reply> {
        Some(consume_response::nothing(next, standing))
    }
}

/// Consecutive records of one batch, in their stored bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::service) struct Piece<'a> {
    pub(in crate::service) base: Offset,
    pub(in crate::service) records: u32,
    pub(in crate::service) append_time_us: u64,
    pub(in crate::service) payload: &'a [u8],
}

/// What is yet to be sent of a chunk.
struct Rest<'a, I> {
    batches: I,
    /// The batch that was cut.
    piece: Option<Piece<'a>>,
    left: u64,
}

impl<'a, I: Iterator<Item = StoredBatch<'a>>> Rest<'a, I> {
    /// The records from `from` on that reach `bytes_max` bytes; `None` at the end.
    fn pieces(
        &mut self,
        from: Offset,
        bytes_max: usize,
    ) -> Result<Option<Vec<Piece<'a>>>, Refusal> {
        let (mut pieces, mut bytes) = (Vec::new(), 0);
        while bytes < bytes_max && self.left > 0 {
            let Some(piece) = self.piece.take().or_else(|| self.batches.next().map(Piece::whole))
            else {
                break;
            };
            let unreadable = |Malformed| Refusal::Unreadable { base_offset: piece.base };
            let piece = piece.from(from).map_err(unreadable)?;
            let (taken, rest) = piece.cut(self.left, bytes_max - bytes).map_err(unreadable)?;
            self.piece = rest;
            self.left -= u64::from(taken.records);
            bytes += taken.payload.len();
            pieces.push(taken);
        }
        Ok((!pieces.is_empty()).then_some(pieces))
    }
}

impl<'a> Piece<'a> {
    fn whole(batch: StoredBatch<'a>) -> Self {
        Self {
            base: batch.base_offset,
            records: batch.records,
            append_time_us: batch.append_time_us,
            payload: batch.payload,
        }
    }

    fn next_offset(&self) -> Offset {
        self.base.plus(u64::from(self.records))
    }

    /// Without the records below `offset`.
    fn from(self, offset: Offset) -> Result<Self, Malformed> {
        let below = offset.get().saturating_sub(self.base.get());
        if below == 0 {
            return Ok(self);
        }
        Ok(self.split(below, usize::MAX)?.1)
    }

    /// The shortest beginning that has `records_max` records or reaches `bytes_max` bytes, and what
    /// is behind it.
    fn cut(self, records_max: u64, bytes_max: usize) -> Result<(Self, Option<Self>), Malformed> {
        if u64::from(self.records) <= records_max && self.payload.len() <= bytes_max {
            return Ok((self, None));
        }
        let (taken, rest) = self.split(records_max, bytes_max)?;
        Ok((taken, (rest.records > 0).then_some(rest)))
    }

    /// As `cut`, with a rest that may be without records. That it has some and no bytes shows that
    /// there are fewer than the batch says.
    fn split(self, records_max: u64, bytes_max: usize) -> Result<(Self, Self), Malformed> {
        let records_max = records_max.min(self.records.into());
        let (records, bytes) = records::beginning(self.payload, records_max, bytes_max)?;
        let (payload, behind) = self.payload.split_at_checked(bytes).ok_or(Malformed)?;
        let rest = Self {
            base: self.base.plus(u64::from(records)),
            records: self.records.saturating_sub(records),
            payload: behind,
            ..self
        };
        if rest.records > 0 && rest.payload.is_empty() {
            return Err(Malformed);
        }
        Ok((Self { records, payload, ..self }, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(values: &[&str], payload: &mut Vec<u8>) -> u32 {
        for value in values {
            payload.extend(records::encode_one(value.as_bytes()));
        }
        u32::try_from(values.len()).unwrap()
    }

    #[test]
    fn a_batch_is_cut_between_records_at_the_limit_that_is_met_first() {
        let mut payload = Vec::new();
        let records = piece(&["a", "bb", "ccc"], &mut payload);
        let base = Offset::new(7);
        let whole = Piece { base, records, append_time_us: 5, payload: &payload };
        assert_eq!(whole.cut(3, payload.len()), Ok((whole, None)));
        for (records_max, bytes_max) in [(1, usize::MAX), (3, 1), (3, 5)] {
            let (first, rest) = whole.cut(records_max, bytes_max).unwrap();
            assert_eq!((first.base, first.records, first.payload), (base, 1, &payload[..5]));
            let rest = rest.unwrap();
            assert_eq!((rest.base, rest.records), (Offset::new(8), 2));
            assert_eq!((rest.payload, rest.append_time_us), (&payload[5..], 5));
        }
        // The record that reaches the limit comes whole.
        assert_eq!(whole.cut(3, 6).unwrap().0.records, 2);
        let (all, rest) = whole.cut(3, payload.len() - 1).unwrap();
        assert_eq!((all, rest), (whole, None));
    }

    #[test]
    fn nothing_below_the_offset_that_was_asked_for_is_sent() {
        let mut payload = Vec::new();
        let records = piece(&["a", "bb", "ccc"], &mut payload);
        let whole = Piece { base: Offset::new(7), records, append_time_us: 5, payload: &payload };
        for (offset, left) in [(3, 3), (7, 3), (8, 2), (9, 1)] {
            let rest = whole.from(Offset::new(offset)).unwrap();
            assert_eq!((rest.records, rest.next_offset()), (left, Offset::new(10)), "{offset}");
        }
    }

    #[test]
    fn a_payload_that_is_no_batch_is_told() {
        let damaged = Piece { base: Offset::ZERO, records: 2, append_time_us: 0, payload: &[0x0a] };
        assert_eq!(damaged.from(Offset::new(1)), Err(Malformed));
        assert_eq!(damaged.cut(1, 1), Err(Malformed));
    }

    /// What was left of such a batch behind its last record was cut again and again, into pieces of
    /// nothing, until the memory was used up.
    #[test]
    fn a_batch_with_fewer_records_than_its_header_names_is_told_wherever_it_is_cut() {
        let mut payload = Vec::new();
        piece(&["a"], &mut payload);
        let base_offset = Offset::new(7);
        let batch = StoredBatch { base_offset, records: 3, append_time_us: 5, payload: &payload };
        for (from, left, bytes_max) in [(7, 2, 100), (7, 1, 100), (7, 9, 1), (8, 9, 100), (9, 1, 1)]
        {
            let mut rest = Rest { batches: iter::once(batch), piece: None, left };
            let pieces = rest.pieces(Offset::new(from), bytes_max);
            let told =
                matches!(pieces, Err(Refusal::Unreadable { base_offset: at }) if at == base_offset);
            assert!(told, "from {from}, {left} records, {bytes_max} bytes: {pieces:?}");
        }
    }

    #[test]
    fn no_more_records_are_sent_than_the_batch_has_offsets_for() {
        let mut payload = Vec::new();
        piece(&["a", "bb", "ccc"], &mut payload);
        let whole =
            Piece { base: Offset::new(7), records: 1, append_time_us: 5, payload: &payload };
        let (taken, rest) = whole.cut(9, 6).unwrap();
        assert_eq!((taken.records, taken.payload, rest), (1, &payload[..5], None));
    }
}
