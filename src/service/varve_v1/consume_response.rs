//! The replies that carry records, written around their stored bytes.

use super::consuming::Piece;
use crate::log::Offset;
use crate::service::consuming::{Gap, GapCause, Standing};
use crate::service::message::Reply;
use crate::service::wire;

/// A `ConsumeResponse` with batches, behind which it goes on with `next`.
pub(in crate::service) fn batches(
    pieces: &[Piece<'_>],
    next: Offset,
    standing: &Standing,
) -> Reply {
    let bodies: usize = pieces.iter().map(|piece| wire::bytes_len(batch_len(piece))).sum();
    let mut message = Vec::with_capacity(bodies + standing_len(next, standing));
    for piece in pieces {
        wire::put_bytes_head(&mut message, 1, batch_len(piece));
        message.extend_from_slice(piece.payload);
        put_set(&mut message, 2, piece.base.get());
        put_set(&mut message, 3, piece.append_time_us);
    }
    put_standing(&mut message, next, standing);
    Reply::new(message)
}

/// A `ConsumeResponse` with a gap.
pub(super) fn gap(gap: &Gap, standing: &Standing) -> Reply {
    let cause = match gap.cause {
        GapCause::Trimmed => 1,
        GapCause::Damaged => 2,
    };
    let fields = [(1, gap.from.get()), (2, gap.to.get()), (3, cause)];
    let gap_bytes = fields.iter().map(|(_, value)| set_len(*value)).sum();
    let mut message =
        Vec::with_capacity(wire::bytes_len(gap_bytes) + standing_len(gap.to, standing));
    wire::put_bytes_head(&mut message, 2, gap_bytes);
    for (number, value) in fields {
        put_set(&mut message, number, value);
    }
    put_standing(&mut message, gap.to, standing);
    Reply::new(message)
}

/// A `ConsumeResponse` that says that there is nothing at `next` yet.
pub(super) fn nothing(next: Offset, standing: &Standing) -> Reply {
    let mut message = Vec::with_capacity(standing_len(next, standing));
    put_standing(&mut message, next, standing);
    Reply::new(message)
}

fn batch_len(piece: &Piece<'_>) -> usize {
    piece.payload.len() + set_len(piece.base.get()) + set_len(piece.append_time_us)
}

fn standing_fields(next: Offset, standing: &Standing) -> [(u8, u64); 4] {
    let bounds = standing.bounds;
    [(3, next.get()), (4, bounds.start.get()), (5, bounds.end.get()), (6, standing.now_us)]
}

fn standing_len(next: Offset, standing: &Standing) -> usize {
    let fields = standing_fields(next, standing);
    let log_id = wire::bytes_len(standing.log_id.bytes().len());
    fields.iter().map(|(_, value)| set_len(*value)).sum::<usize>() + log_id
}

fn put_standing(message: &mut Vec<u8>, next: Offset, standing: &Standing) {
    for (number, value) in standing_fields(next, standing) {
        put_set(message, number, value);
    }
    let log_id = standing.log_id.bytes();
    wire::put_bytes_head(message, 7, log_id.len());
    message.extend_from_slice(&log_id);
}

// Proto3 leaves out a field that has its default.
fn set_len(value: u64) -> usize {
    if value == 0 { 0 } else { wire::varint_field_len(value) }
}

fn put_set(message: &mut Vec<u8>, number: u8, value: u64) {
    if value != 0 {
        wire::put_varint(message, number, value);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use protobuf::{EnumOrUnknown, Message as _, MessageField};

    use super::*;
    use crate::log::{Bounds, LogId};
    use crate::proto::log_service::{ConsumeResponse, Gap as WireGap, GapCause as Cause};
    use crate::proto::record::{Batch, Record};

    fn standing(start: u64, end: u64, now_us: u64) -> Standing {
        let bounds = Bounds { start: Offset::new(start), end: Offset::new(end) };
        Standing { log_id: LogId::from_bytes([9; 16]), bounds, now_us }
    }

    fn expected(next_offset: u64, standing: &Standing) -> ConsumeResponse {
        ConsumeResponse {
            next_offset,
            start_offset: standing.bounds.start.get(),
            high_watermark: standing.bounds.end.get(),
            server_time_us: standing.now_us,
            log_id: standing.log_id.bytes().to_vec().into(),
            ..ConsumeResponse::default()
        }
    }

    fn is_exact(reply: &Reply, expected: &ConsumeResponse) -> Result<(), TestCaseError> {
        prop_assert_eq!(reply.as_bytes(), &expected.write_to_bytes().unwrap()[..]);
        Ok(())
    }

    proptest! {
        #[test]
        fn replies_are_written_as_the_generated_code_does(
            values: Vec<Vec<Vec<u8>>>,
            base in prop_oneof![0_u64..3, any::<u64>()],
            append_time_us in prop_oneof![0_u64..2, any::<u64>()],
            (start, end, now_us) in any::<(u64, u64, u64)>(),
        ) {
            let record = |value: Vec<u8>| Record { value: value.into(), ..Record::default() };
            let records = |values: Vec<Vec<u8>>| values.into_iter().map(record).collect();
            let bodies: Vec<Batch> = values
                .into_iter()
                .map(|values| Batch { records: records(values), ..Batch::default() })
                .collect();
            let payloads: Vec<_> = bodies.iter().map(|b| b.write_to_bytes().unwrap()).collect();
            let base_offset = Offset::new(base);
            let piece =
                |payload| Piece { base: base_offset, records: 1, append_time_us, payload };
            let pieces: Vec<_> = payloads.iter().map(|payload| piece(&payload[..])).collect();
            let standing = standing(start, end, now_us);
            let batches = bodies
                .into_iter()
                .map(|body| Batch { base_offset: base, append_time_us, ..body })
                .collect();
            let reply = super::batches(&pieces, Offset::new(end), &standing);
            is_exact(&reply, &ConsumeResponse { batches, ..expected(end, &standing) })?;
        }

        #[test]
        fn gaps_and_heartbeats_are_written_as_the_generated_code_does(
            from in prop_oneof![0_u64..2, any::<u64>()],
            (to, end, now_us) in any::<(u64, u64, u64)>(),
            trimmed: bool,
        ) {
            let standing = standing(from, end, now_us);
            is_exact(&nothing(Offset::new(to), &standing), &expected(to, &standing))?;
            let (cause, wire_cause) = match trimmed {
                true => (GapCause::Trimmed, Cause::GAP_CAUSE_TRIMMED),
                false => (GapCause::Damaged, Cause::GAP_CAUSE_DAMAGED),
            };
            let gap = Gap { from: Offset::new(from), to: Offset::new(to), cause };
            let wire_gap = WireGap {
                from_offset: from,
                to_offset: to,
                cause: EnumOrUnknown::new(wire_cause),
                ..WireGap::default()
            };
            let told = ConsumeResponse {
                gap: MessageField::some(wire_gap),
                ..expected(to, &standing)
            };
            is_exact(&super::gap(&gap, &standing), &told)?;
        }
    }
}
