//! The messages of `log.v1`, read from a request's bytes and written as a reply's.

use crate::log::Offset;
use crate::service::message::Reply;
use crate::service::refusal::BadRequest;
use crate::service::wire;

/// The value of the record in a `ProduceRequest`.
pub(super) fn produce_request(message: &[u8]) -> Result<&[u8], BadRequest> {
    // Several `record` fields are one message in pieces: of its value the last one counts.
    let mut value = None;
    for field in wire::Fields::of(message) {
        if let (1, wire::Value::Bytes(record)) = field? {
            value = wire::last_bytes(record, 1)?.or(value).or(Some(&[]));
        }
    }
    value.ok_or(BadRequest::NoRecord { field: "record" })
}

/// The offset in a `ConsumeRequest`.
pub(super) fn consume_request(message: &[u8]) -> Result<Offset, BadRequest> {
    Ok(Offset::new(wire::last_varint(message, 1)?))
}

/// A `ProduceResponse`.
pub(super) fn produce_response(offset: Offset) -> Reply {
    let mut message = Vec::with_capacity(varint_bytes(offset));
    put_offset(&mut message, 1, offset);
    Reply::new(message)
}

/// A `ConsumeResponse` with a record.
pub(super) fn consume_response(offset: Offset, value: &[u8]) -> Reply {
    let value_bytes = if value.is_empty() { 0 } else { wire::bytes_len(value.len()) };
    let record_bytes = value_bytes + varint_bytes(offset);
    let mut message = Vec::with_capacity(wire::bytes_len(record_bytes));
    wire::put_bytes_head(&mut message, 2, record_bytes);
    if !value.is_empty() {
        wire::put_bytes_head(&mut message, 1, value.len());
        message.extend_from_slice(value);
    }
    put_offset(&mut message, 2, offset);
    Reply::new(message)
}

// Proto3 leaves out a field that has its default.
fn varint_bytes(offset: Offset) -> usize {
    if offset == Offset::ZERO { 0 } else { wire::varint_field_len(offset.get()) }
}

fn put_offset(message: &mut Vec<u8>, number: u8, offset: Offset) {
    if offset != Offset::ZERO {
        wire::put_varint(message, number, offset.get());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use protobuf::{Message as _, MessageField};

    use super::*;
    use crate::proto::log::{
        ConsumeRequest, ConsumeResponse, ProduceRequest, ProduceResponse, Record,
    };

    fn record(value: Vec<u8>, offset: u64) -> MessageField<Record> {
        MessageField::some(Record { value: value.into(), offset, ..Record::default() })
    }

    #[test]
    fn a_request_without_a_record_is_told_from_an_empty_record() {
        assert_eq!(produce_request(&[]), Err(BadRequest::NoRecord { field: "record" }));
        assert_eq!(produce_request(&[0x10, 1]), Err(BadRequest::NoRecord { field: "record" }));
        assert_eq!(produce_request(&[0x0a, 0]), Ok(&[][..]));
        assert_eq!(produce_request(&[0x0a, 9]), Err(BadRequest::Malformed));
    }

    // The encoding's rule for a message field that comes more than once; the generated code takes
    // the last piece for all of it.
    #[test]
    fn a_record_in_pieces_is_one_record() {
        let (set, unset, emptied) =
            (&[0x0a, 3, 0x0a, 1, b'a'][..], &[0x0a, 0], &[0x0a, 2, 0x0a, 0]);
        let twice = [0x0a, 6, 0x0a, 1, b'b', 0x0a, 1, b'c'];
        for (pieces, value) in [
            ([set, unset], &b"a"[..]),
            ([unset, set], b"a"),
            ([set, emptied], b""),
            ([set, &twice], b"c"),
            ([&twice, set], b"a"),
        ] {
            assert_eq!(produce_request(&pieces.concat()), Ok(value), "{pieces:x?}");
        }
    }

    proptest! {
        #[test]
        fn requests_are_read_as_the_generated_code_writes_them(value: Vec<u8>, offset: u64) {
            let produce = ProduceRequest {
                record: record(value.clone(), offset),
                ..ProduceRequest::default()
            };
            let bytes = produce.write_to_bytes().unwrap();
            prop_assert_eq!(produce_request(&bytes), Ok(&value[..]));
            let consume = ConsumeRequest { offset, ..ConsumeRequest::default() };
            let bytes = consume.write_to_bytes().unwrap();
            prop_assert_eq!(consume_request(&bytes), Ok(Offset::new(offset)));
        }

        #[test]
        fn replies_are_written_as_the_generated_code_does(
            value: Vec<u8>,
            offset in prop_oneof![0_u64..3, any::<u64>()],
        ) {
            let consume = ConsumeResponse {
                record: record(value.clone(), offset),
                ..ConsumeResponse::default()
            };
            let reply = consume_response(Offset::new(offset), &value);
            prop_assert_eq!(reply.as_bytes(), &consume.write_to_bytes().unwrap()[..]);
            let produce = ProduceResponse { offset, ..ProduceResponse::default() };
            let reply = produce_response(Offset::new(offset));
            prop_assert_eq!(reply.as_bytes(), &produce.write_to_bytes().unwrap()[..]);
        }
    }
}
